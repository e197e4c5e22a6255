#!/usr/bin/env python3
"""What a step of the recurrences on chip issues, from the machine code of kernels that were compiled here.

    count_step_loop.py [--steps N] [--kernel PATTERN] [--arch ARCH] [--table OUT] FILE...

FILE is a cubin, an object or library that holds some, or a listing (.sass) that nvdisasm -c has made of one;
nvdisasm, and cuobjdump for objects, have to be in the PATH or in $CUDA_HOME/bin: without them nothing is
counted, and the exit status is 77. The step loop is the largest loop that holds barriers and products, which
are the tensor core's, or, in kernels that use none, multiplications with an addition; it holds --steps steps, 2 as these kernels are written. Numbers are of one warp and one step, and of
all code that lies in the loop, whether it is taken or not: what an array that nobody wants, another kind of
evolve or a sequence's end would need counts, too. Nothing is measured. Files without any step loop are an
error.

    issue       cycles that two warps of each scheduler take to issue it all, one instruction a cycle
    early use   loads from global memory whose number is used before a tensor core product follows: each
                is a wait for memory that nothing hides. Not told of kernels without tensor cores
"""

import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)\s*(.*?)\s*;")
LABEL = re.compile(r"^(\.L_x_\d+):")
FUNCTION = re.compile(r"^\.text\.(\S+):")

KINDS = {
    "products": "HMMA",
    "loads": "LDG LDGSTS",
    "stores": "STG",
    "shared": "LDS STS LDSM",
    "special": "MUFU",
    "float": "FFMA FMUL FADD FSEL FSETP FMNMX HADD2 F2FP",
    "branches": "BRA BSSY BSYNC CALL RET BREAK WARPSYNC",
    "barriers": "BAR SYNCS",
}
WARPS_PER_SCHEDULER = 2
SKIPPED = 77  # what CTest is told to take for "not tested"


def tool(name):
    beside = pathlib.Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin" / name
    found = shutil.which(name) or (str(beside) if beside.is_file() else None)
    if not found:
        print(f"{name} not found: put it into the PATH or set CUDA_HOME", file=sys.stderr)
        sys.exit(SKIPPED)
    return found


def listings(path, arch):
    """The text of every cubin in a file; where cuobjdump names their architecture, of `arch` alone."""
    def listing(cubin):
        return subprocess.run([tool("nvdisasm"), "-c", str(cubin)], capture_output=True, text=True,
                              check=True).stdout
    if path.suffix == ".sass":
        yield path.read_text(encoding="utf-8")
    elif path.suffix == ".cubin":
        yield listing(path)
    else:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([tool("cuobjdump"), "-xelf", "all", str(path.resolve())], cwd=folder,
                           check=True, stdout=subprocess.DEVNULL)
            for cubin in sorted(pathlib.Path(folder).glob(f"*{arch}*.cubin")):
                yield listing(cubin)


def functions(text):
    """(name, instructions, labels): an instruction is (its name, operands)."""
    name, instructions, labels = None, [], {}
    for line in text.splitlines():
        if found := FUNCTION.match(line):
            if name:
                yield name, instructions, labels
            name, instructions, labels = found[1], [], {}
        elif found := LABEL.match(line):
            labels[found[1]] = len(instructions)
        elif found := INSTRUCTION.search(line):
            instructions.append((found[2], found[3]))
    if name:
        yield name, instructions, labels


def base(instruction):
    return instruction[0].split(".")[0]


def product_of(instructions):
    return "HMMA" if any(base(one) == "HMMA" for one in instructions) else "FFMA"


def step_loop(instructions, labels):
    """[begin, end) of the largest loop with products and barriers."""
    product = product_of(instructions)
    best = None
    for at, (name, operands) in enumerate(instructions):
        target = re.search(r"\.L_x_\d+", operands) if name.startswith("BRA") else None
        if not target or labels.get(target[0], at + 1) > at:
            continue
        begin, end = labels[target[0]], at + 1
        names = {base(one) for one in instructions[begin:end]}
        if product in names and names & {"BAR", "SYNCS"} and (not best or end - begin > best[1] - best[0]):
            best = begin, end
    return best


def loaded(name, operands):
    """A pattern for the registers that a load fills."""
    first = int(re.match(r"U?R(\d+)", operands)[1])
    wide = re.search(r"\.(64|128)\b", name)
    registers = range(first, first + (int(wide[1]) // 32 if wide else 1))
    return re.compile(r"\bR(" + "|".join(map(str, registers)) + r")\b")


def early_uses(loop):
    """Loads whose first use, in the order of the code, stands before any product that follows them."""
    count = 0
    for at, (name, operands) in enumerate(loop):
        if base((name, operands)) != "LDG":  # LDGSTS, a copy to shared memory, fills no register
            continue
        target = loaded(name, operands)
        for later, arguments in loop[at + 1:]:
            if later.startswith("HMMA"):
                break
            if target.search(arguments):
                sources = arguments if later.startswith("ST") else arguments.partition(",")[2]
                count += bool(target.search(sources))
                break
    return count


def count(loop, product, steps):
    kinds = collections.Counter()
    for instruction in loop:
        for kind, names in {**KINDS, "products": product}.items():
            if base(instruction) in names.split():
                kinds[kind] += 1
                break
        else:
            kinds["integer, moves"] += 1
    return {kind: round(kinds[kind] / steps) for kind in (*KINDS, "integer, moves")}


def demangled(name):
    try:
        name = subprocess.run(["c++filt", name], capture_output=True, text=True, check=True).stdout.strip()
    except OSError:
        pass
    return re.sub(r"^void |lacuna::device_path::|lacuna::simt::device_path::|lacuna::simt::|lacuna::|\(.*\)$",
                  "", name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=2, help="steps that a pass of the loop makes")
    parser.add_argument("--kernel", default="", help="only kernels whose name matches this")
    parser.add_argument("--arch", default="", help="of objects and libraries, only this architecture's code")
    parser.add_argument("--table", type=pathlib.Path, help="where the table goes besides")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    rows = []
    for text in (text for path in options.files for text in listings(path, options.arch)):
        for name, instructions, labels in functions(text):
            where = step_loop(instructions, labels)
            name = demangled(name)
            if not where or not re.search(options.kernel, name):
                continue
            loop = instructions[where[0]:where[1]]
            product = product_of(instructions)
            everything = round(len(loop) / options.steps)
            rows.append([f"`{name}`", everything, WARPS_PER_SCHEDULER * everything,
                         *count(loop, product, options.steps).values(),
                         round(early_uses(loop) / options.steps) if product == "HMMA" else "-"])
    if not rows:
        sys.exit(f"Error: no step loop in {', '.join(map(str, options.files))}")
    head = ["kernel", "all", "issue", *KINDS, "integer, moves", "early use"]
    rows.sort(key=lambda row: row[0])
    table = "".join("| " + " | ".join(map(str, row)) + " |\n" for row in [head, ["---"] * len(head), *rows])
    print(table, end="")
    if options.table:
        options.table.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
