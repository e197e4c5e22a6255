#!/usr/bin/env python3
"""Lines of the kernels that no test executed, by gcov's account.

    check_coverage.py --build DIR --source DIR [--gcov PROGRAM] [--library TARGET] [--report FILE] FOLDER...

Reads every .gcda below the build folder, and looks at files in the FOLDERs of the source tree. A line
counts as executed when any instance of its template, in any program, executed it. What nobody
instantiates is not compiled, and so not counted: a file with a kernel and no counted line is an error.

A launch written over several lines counts by any of them, from its name to the parenthesis that
closes it: gcov gives some of these lines to what would follow an exception alone.

Kernels are templates, and a line says nothing of an instance that no test runs: instances are counted
besides, and those that never ran are listed in the report by name. Of the library, the objects of that
TARGET, every one must have run, in whatever program; tests have instances of their own that may not.

A line that cannot be executed carries `// gcov: why`, and is then no failure. A line that has the
comment and is executed all the same is one.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

EXCEPTION = re.compile(r"// gcov: \S")


def counted(gcov, build, data):
    """{file: {line: times}} of one object, and {file: {(line, function): times}}."""
    out = subprocess.run([gcov, "--json-format", "--stdout", str(data)], cwd=build, text=True,
                         capture_output=True, check=False)
    if out.returncode:
        sys.exit(f"{gcov} {data}: {out.stderr.strip()}")
    files, functions = {}, {}
    for document in out.stdout.splitlines():
        parsed = json.loads(document)
        base = parsed.get("current_working_directory", str(build))
        for file in parsed["files"]:
            name = os.path.realpath(os.path.join(base, file["file"]))
            add(files.setdefault(name, {}),
                ((line["line_number"], line["count"]) for line in file["lines"]))
            add(functions.setdefault(name, {}),
                (((one["start_line"], one["demangled_name"]), one["execution_count"])
                 for one in file.get("functions", [])))
    return files, functions


def add(total, counts):
    for what, times in counts:
        total[what] = total.get(what, 0) + times


def kernels(functions, text):
    """{instance of a kernel: times}, of a file's functions."""
    def is_kernel(line):
        return any("SIMT_KERNEL(" in one for one in text[max(line - 2, 0):line])
    return {name: times for (line, name), times in functions.items() if is_kernel(line)}


def launches(text):
    """{line of a call of simt::launch: its lines that nothing else stands on}."""
    code = "\n".join(line.split("//")[0] for line in text)
    found = {}
    for call in re.finditer(r"\bsimt::launch\(", code):
        depth, end = 1, call.end()
        while depth and end < len(code):
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        before = code[code.rfind("\n", 0, call.start()) + 1:call.start()]
        lines = range(code.count("\n", 0, call.start()) + 1, code.count("\n", 0, end) + 2)
        found |= dict.fromkeys(lines, lines[1:] if before.strip() else lines)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--gcov", default="gcov")
    parser.add_argument("--library")
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("folders", nargs="+")
    options = parser.parse_args()
    source = options.source.resolve()

    data = sorted(options.build.resolve().rglob("*.gcda"))
    if not data:
        sys.exit(f"Error: no .gcda below {options.build}: nothing was compiled to count, or ran")
    totals, functions, of_library = {}, {}, set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for one, (files, found) in zip(data, pool.map(
                lambda one: counted(options.gcov, options.build.resolve(), one), data)):
            for name, lines in files.items():
                add(totals.setdefault(name, {}), lines.items())
            for name, counts in found.items():
                add(functions.setdefault(name, {}), counts.items())
                if f"{options.library}.dir" in one.parts:
                    of_library |= {name for _, name in counts}

    instances = {}
    report, executed, all_lines, excused, wrong = [], 0, 0, 0, 0
    uncounted = []  # files
    for folder in options.folders:
        for path in sorted((source / folder).rglob("*.h")):
            shown = path.relative_to(source)
            lines = totals.get(str(path), {})
            text = path.read_text(encoding="utf-8").splitlines()
            if not lines:
                uncounted.append(str(shown))
                if any("SIMT_KERNEL(" in line and not line.startswith("#") for line in text):
                    report.append(f"{shown}: has a kernel, and no line that was compiled")
                    wrong += 1
                continue
            instances |= kernels(functions.get(str(path), {}), text)
            launch = launches(text)
            executed_here, missed = 0, []
            for number in sorted(lines):
                named = number <= len(text) and EXCEPTION.search(text[number - 1])
                all_lines += 1
                if lines[number] or any(lines.get(n) for n in launch.get(number, ())):
                    executed += 1
                    executed_here += 1
                    if named:
                        missed.append((number, "executed in spite of its exception"))
                elif named:
                    excused += 1
                else:
                    missed.append((number, text[number - 1].strip() if number <= len(text) else ""))
            report.append(f"{shown}: {executed_here} of {len(lines)} lines")
            report += [f"  {shown}:{number}: {what}" for number, what in missed]
            wrong += len(missed)
    idle = sorted(name for name, times in instances.items() if not times)
    report += [f"  never ran: {name}" for name in idle if name not in of_library]
    report += [f"  never ran, of {options.library}: {name}" for name in idle if name in of_library]
    wrong += sum(name in of_library for name in idle)
    report.append(f"{len(instances) - len(idle)} of {len(instances)} instances of kernels ran")
    if uncounted:
        report.append("no counted line: " + ", ".join(uncounted))
    share = 100 * executed / all_lines if all_lines else 0
    report.append(f"{executed} of {all_lines} lines executed ({share:.2f} %), {excused} excused by "
                  f"name, {wrong} to mend")
    text = "\n".join(report) + "\n"
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(text, encoding="utf-8")
    if wrong or not all_lines:
        print(text, end="")
        sys.exit("Error: not every line or instance was executed")
    print("\n".join(report[-3:] if uncounted else report[-2:]))


if __name__ == "__main__":
    main()
