#!/usr/bin/env python3
"""Does bench/lacuna_abi.py say what include/lacuna/lacuna.h says? A struct that is too short there
would let the library write past its end. Usage: check_python_abi.py ROOT COMPILER"""

import ctypes
import pathlib
import re
import subprocess
import sys
import tempfile


def c_name(python_name):
    """ContextOptions -> lacuna_context_options"""
    return "lacuna" + re.sub("([A-Z])", lambda letter: "_" + letter.group(1).lower(), python_name)


def expectations(module, header):
    """(C expression, its value in the module, what it is) for all that both of them know."""
    for name, value in vars(module).items():
        if isinstance(value, type) and issubclass(value, ctypes.Structure) and value is not ctypes.Structure:
            struct = c_name(name)
            yield f"sizeof({struct})", ctypes.sizeof(value), f"{name}, its size"
            for field, *_ in value._fields_:
                place = getattr(value, field)
                yield f"offsetof({struct}, {field})", place.offset, f"{name}.{field}, its place"
                yield f"sizeof((({struct}*)0)->{field})", place.size, f"{name}.{field}, its size"
        elif isinstance(value, int) and re.search(rf"\bLACUNA_{name} =", header):
            yield f"LACUNA_{name}", value, name
    for number, name in enumerate(module.PARAMETERS):
        yield f"LACUNA_{name.upper()}", number, f"PARAMETERS, {name}"
    yield "LACUNA_PARAMETERS", len(module.PARAMETERS), "PARAMETERS, how many"


def in_c(root, compiler, expressions):
    lines = "".join(f'  printf("%lld\\n", (long long)({one}));\n' for one in expressions)
    with tempfile.TemporaryDirectory() as folder:
        source, program = pathlib.Path(folder, "layout.c"), pathlib.Path(folder, "layout")
        source.write_text("#include <stddef.h>\n#include <stdio.h>\n#include <lacuna/lacuna.h>\n"
                          f"int main(void) {{\n{lines}  return 0;\n}}\n")
        subprocess.run([compiler, "-std=c11", f"-I{root}/include", source, "-o", program], check=True)
        output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return [int(line) for line in output.split()]


def main():
    root, compiler = pathlib.Path(sys.argv[1]), sys.argv[2]
    sys.path.insert(0, str(root / "bench"))
    import lacuna_abi

    found = list(expectations(lacuna_abi, (root / "include/lacuna/lacuna.h").read_text()))
    values = in_c(root, compiler, [expression for expression, _, _ in found])
    wrong = [f"{what}: {here} in lacuna_abi.py, {there} in lacuna.h"
             for (_, here, what), there in zip(found, values, strict=True) if here != there]
    print("\n".join(wrong) or f"{len(found)} numbers agree")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
