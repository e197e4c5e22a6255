#!/usr/bin/env python3
"""Registers, shared memory and spills of every kernel, from what ptxas reported while compiling.

    check_kernels.py --reports DIR --exceptions FILE --table FILE

DIR is searched for *.ptxas, which cmake/record_kernels.sh leaves beside each object. A kernel that
spills registers or has a stack fails the check, unless a line of the exceptions names it:

    ARCHITECTURE PART-OF-ITS-NAME -- why that is right

An exception that no kernel needs fails it too.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(\S+)'")
PROPERTIES = re.compile(
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def read(text):
    """One dictionary per kernel and architecture; a function called by a kernel counts as its part."""
    kernels, kernel = [], None
    for line in text.splitlines():
        if found := ENTRY.search(line):
            kernel = {"name": found[1], "arch": found[2], "stack": 0, "stores": 0, "loads": 0,
                      "registers": 0, "shared": 0}
            kernels.append(kernel)
        elif kernel and (found := PROPERTIES.search(line)):
            for key, value in zip(("stack", "stores", "loads"), found.groups()):
                kernel[key] += int(value)
        elif kernel and (found := USED.search(line)):
            kernel["registers"] = int(found[1])
            shared = SHARED.search(line)
            kernel["shared"] = int(shared[1]) if shared else 0
    return kernels


def demangled(names):
    try:
        out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True,
                             check=True)
        return dict(zip(names, out.stdout.splitlines()))
    except (OSError, subprocess.CalledProcessError):
        return {name: name for name in names}


def shortened(name):
    """Without result and parameters, and without the namespaces that all have."""
    depth = 0
    for at in range(len(name) - 1, -1, -1) if name.endswith(")") else ():
        depth += {")": 1, "(": -1}.get(name[at], 0)
        if depth == 0:
            name = name[:at]
            break
    name = re.sub(r"^void ", "", name)
    name = re.sub(r"lacuna::device_path::|lacuna::simt::|lacuna::|\(anonymous namespace\)::", "", name)
    if re.match(r"cub::|cub_|.*::CUB_|thrust::", name):
        name = "cub::" + re.sub(r"^.*?(\w+)<.*$", r"\1", name)
    return name


def family(name):
    """Namespaces, or those of its first function where there are none."""
    head = name.split("<")[0]
    return head.rsplit("::", 1)[0] if "::" in head else head


def exceptions(path):
    found = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            what, dash, why = line.partition(" -- ")
            arch, space, part = what.strip().partition(" ")
            if not dash or not space or not why.strip():
                sys.exit(f"{path}: expected 'ARCHITECTURE PART-OF-NAME -- why', got '{line}'")
            found.append({"arch": arch, "part": part.strip(), "used": False})
    return found


def main():
    parser = argparse.ArgumentParser()
    for option in ("reports", "exceptions", "table"):
        parser.add_argument("--" + option, type=pathlib.Path, required=True)
    options = parser.parse_args()

    kernels = {}  # the same instance in two objects is one kernel; the worse counts
    for file in sorted(options.reports.rglob("*.ptxas")):
        for kernel in read(file.read_text(encoding="utf-8", errors="replace")):
            key = (kernel["name"], kernel["arch"])
            kernels[key] = max(kernels.get(key, kernel), kernel,
                               key=lambda k: (k["stores"] + k["loads"], k["stack"], k["registers"]))
    if not kernels:
        sys.exit(f"Error: no report of any kernel below {options.reports}")
    names = demangled(sorted({name for name, _ in kernels}))
    for kernel in kernels.values():
        kernel["name"] = shortened(names[kernel["name"]])
    rows = sorted(kernels.values(), key=lambda k: (k["name"], k["arch"]))

    allowed, wrong, excused = exceptions(options.exceptions), [], 0
    for k in rows:
        spills, stack = k["stores"] + k["loads"], k["stack"]
        if not spills and not stack:
            continue
        named = [e for e in allowed if e["arch"] == k["arch"] and e["part"] in k["name"]]
        for exception in named:
            exception["used"] = True
        if named:
            excused += 1
        else:
            wrong.append(f"{k['name']}, {k['arch']}: " +
                         (f"{k['stores']} bytes of spill stores, {k['loads']} of loads" if spills
                          else f"{stack} bytes of stack"))
    wrong += [f"no kernel needs the exception '{e['part']}' ({e['arch']}) any longer"
              for e in allowed if not e["used"]]

    families = {}
    for k in rows:
        one = families.setdefault((family(k["name"]), k["arch"]), [0, 0, 0, 0])
        one[0] += 1
        for i, value in enumerate((k["registers"], k["shared"], k["stores"] + k["loads"]), 1):
            one[i] = max(one[i], value)

    options.table.parent.mkdir(parents=True, exist_ok=True)
    with open(options.table, "w", encoding="utf-8") as out:
        out.write("Largest of each family: registers a thread, static shared memory, spills\n\n")
        out.write(f"{'family':<40} {'arch':<8} {'kernels':>7} {'registers':>9} {'shared':>7} "
                  f"{'spills':>6}\n")
        for (name, arch), (count, registers, shared, spills) in sorted(families.items()):
            out.write(f"{name:<40} {arch:<8} {count:>7} {registers:>9} {shared:>7} {spills:>6}\n")
        out.write("\nEvery kernel: registers, static shared memory, stack, bytes of spill stores "
                  "and loads\n\n")
        for k in rows:
            out.write(f"{k['arch']:<8} {k['registers']:>4} {k['shared']:>6} {k['stack']:>5} "
                      f"{k['stores']:>5} {k['loads']:>5}  {k['name']}\n")
    if wrong:
        sys.exit("Error:\n  " + "\n  ".join(wrong))
    print(f"{len(rows)} kernels, no spill but {excused} named exceptions; {options.table}")


if __name__ == "__main__":
    main()
