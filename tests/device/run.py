#!/usr/bin/env python3
"""Everything that needs a GPU, from a finished build, without CMake: `./dev gpu` calls it.

    tests/device/run.py --build DIR --output DIR [--commit TEXT] [--only STEP]... [--jobs N]

Steps, each leaning on those before: conformance (the wrappers of CUDA beside the emulator), tests (of every source
in lacuna_device_tests, which stands for a program of its own), the four tools of compute-sanitizer over some of
them, bench (bench/gpu.py; of Lacuna alone where no Python has torch). Only where asked for: tune (bench/tune.py), which writes into the source tree, and
deepbench, bars and large (sets of bench/gpu.py).
Tests, in shards of some cases each, and sanitizers run N processes at once on the one GPU, which helps since most of
their time is the processor's; whatever holds a clock runs alone.
Writes OUTPUT/gpu-NAME-TIME.json, .txt (the same, to be read) and .log (all that the programs said).
Exit code 0: nothing failed, and of the steps that were asked for conformance and tests have run. A program that
leaves all of its cases out is skipped, which says nothing of the library; one without any case has failed, and so
have the tests where no program passed.
"""

import argparse
import concurrent.futures
import datetime
import glob
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
SETS = ("deepbench", "bars", "large")  # of cases of bench/gpu.py, beside the usual ones
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
# Under a sanitizer a kernel takes up to a hundred times as long, so the cases are few and short: one of
# each cell, of each way to impute and to evolve, and what else starts kernels of its own. Calls of
# CUDA that fail are not reported: some tests make them fail, others ask before they know.
SANITIZED = {
    "lacuna_conformance": None,
    "recurrence_oracle_device_test":
        "Models/Oracle.*rnn_f32*:Models/Oracle.*lstm_decay_f32*:Models/Oracle.*gru_reset_before*:"
        "Models/Oracle.*grud_f32*:Models/Oracle.*grud_relax_f64*:Models/Oracle.*ode_euler_f64*",
    "cuda_types_device_test": "Odd/*",
    "cuda_lengths_device_test": "*",
    "cuda_training_device_test": "*",
    "cuda_precision_device_test": "Cells/*",
    "cuda_tape_device_test": "Regimes/*",
    "cuda_split_device_test": "Sizes/*",
    "cuda_usual_device_test": "Bend/*:Sizes/UsualWhole.Agrees/*14:Sizes/UsualWhole.Agrees/*15",
}
# What a tool does not understand: racecheck knows barriers, not the flags by which a conformance case hands memory over.
NOT_UNDERSTOOD = {("racecheck", "lacuna_conformance")}
CASES_OF_A_SHARD = 40
SANITIZER = ("--error-exitcode", "86", "--report-api-errors", "no", "--print-limit", "20")


class Runner:
    def __init__(self, options):
        self.options = options
        self.log = open(options.log, "w", encoding="utf-8", errors="replace")
        self.lock = threading.Lock()
        self.environment = dict(os.environ)

    def run(self, command, limit, **more):
        """(status, output, seconds); a program that outlasts its limit has the status 124. `more`: added to the
        environment."""
        began = time.monotonic()
        status, output = self.ran(command, limit, self.environment | more)
        seconds = time.monotonic() - began
        words = [f"{name}={value}" for name, value in more.items()] + list(map(str, command))
        with self.lock:
            self.log.write(f"\n$ {' '.join(words)}\n{output}\n# status {status}, {seconds:.1f} s\n")
            self.log.flush()
        return status, output, seconds

    @staticmethod
    def ran(command, limit, environment):
        try:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True,
                                       errors="replace", stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            return 127, str(error)
        try:
            output, _ = process.communicate(timeout=limit)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return 124, process.communicate()[0]


def step(name, outcome, seconds=0.0, why="", **counts):
    one = {"step": name, "outcome": outcome, "seconds": round(seconds, 1)}
    if why:
        one["why"] = why
    return one | counts


def last_line(output):
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "no output"


def conformance(runner, programs):
    program = programs.get("lacuna_conformance")
    if program is None:
        return [step("conformance", "failed", why="the build has no lacuna_conformance")]
    status, output, seconds = runner.run(program, 300)
    equal = len(re.findall(r" equal, \d+ words", output))
    differ = re.findall(r"^ *(\S+) +DIFFERS", output, re.M)
    absent = len(re.findall(r"not on this device", output))
    good = status == 0 and equal > 0 and not differ
    why = "" if good else ", ".join(differ) or f"status {status}: {last_line(output)}"
    return [step("conformance", "passed" if good else "failed", seconds, why, cases_passed=equal,
                 cases_failed=len(differ), cases_skipped=absent)]


def count_cases(runner, program):
    """Of a GoogleTest program; 1 where it does not say."""
    status, output, _ = runner.run([*program, "--gtest_list_tests"], 120)
    return max(1, len(re.findall(r"^  \S", output, re.M))) if status == 0 else 1


def one_shard(runner, program, shard, shards, limit):
    """The cases of one shard by outcome, its status, last line and seconds, the GPU it says it ran on, and why it left
    a case out."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.xml")
        status, output, seconds = runner.run([*program, f"--gtest_output=xml:{report}"], limit,
                                             GTEST_SHARD_INDEX=str(shard), GTEST_TOTAL_SHARDS=str(shards))
        passed, skipped, failures, reason = 0, 0, [], ""
        try:
            for case in xml.etree.ElementTree.parse(report).iter("testcase"):
                if case.find("failure") is not None:
                    failures.append(f"{case.get('classname')}.{case.get('name')}")
                elif case.get("result") in ("skipped", "suppressed") or \
                        case.find("skipped") is not None:
                    skipped += 1
                    reason = reason or said_of_skipping(case)
                elif case.get("status") != "notrun":  # which is what other shards' cases are
                    passed += 1
        except (OSError, xml.etree.ElementTree.ParseError):
            pass  # it crashed or never began; its status tells
    on = re.search(r"^on (.*), (sm_\d+), CUDA runtime (\S+), driver's CUDA (\S+)$", output, re.M)
    return passed, skipped, failures, status, last_line(output), seconds, on and on.groups(), reason


def said_of_skipping(case):
    """The last line of a skipped case's message, which stands behind the file that skips."""
    element = case.find("skipped")
    lines = (element.get("message", "") if element is not None else "").strip().splitlines()
    return lines[-1][:200] if lines else ""


def outcome_of(failures, crashed, passed, skipped, reason, line):
    """What becomes of a program, and why."""
    if failures or crashed:
        return "failed", "; ".join(crashed)
    if passed:
        return "passed", ""
    if skipped:  # for all of them want what this machine has not, as a second GPU
        return "skipped", f"all of its {skipped} cases are left out here" + (f": {reason}" if reason else "")
    return "failed", f"no case ran: {line}"


def tests(runner, programs, jobs, limit, add):
    """A step for each source's *_device_test; returns the releases of CUDA that one of them names."""
    names = [name for name in programs if name.endswith("_device_test")]
    releases, outcomes = None, []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        counts = dict(zip(names, pool.map(lambda name: count_cases(runner, programs[name]), names)))
        shards = {name: -(-counts[name] // CASES_OF_A_SHARD) for name in names}
        # Those with most shards first, so that none of them is left alone at the end.
        names.sort(key=shards.get, reverse=True)
        parts = {name: [pool.submit(one_shard, runner, programs[name], shard, shards[name], limit)
                        for shard in range(shards[name])] for name in names}
        for name in names:
            results = [part.result() for part in parts[name]]
            failures = [failure for one in results for failure in one[2]]
            crashed = [f"status {status}: {line}" for _, _, bad, status, line, *_ in results if status and not bad]
            passed = sum(one[0] for one in results)
            releases = next((one[6] for one in results if one[6]), releases)
            skipped = sum(one[1] for one in results)
            reason = next((one[7] for one in results if one[7]), "")
            outcome, why = outcome_of(failures, crashed, passed, skipped, reason, results[0][4])
            outcomes.append(outcome)
            one = step(name, outcome, sum(one[5] for one in results), why, cases_passed=passed,
                       cases_failed=len(failures), cases_skipped=skipped)
            if failures:
                one["failures"] = failures
            add([one])
    if not {"passed", "failed"} & set(outcomes):
        add([step("tests", "failed", why="no program had a case that could run")])
    return releases


def sanitized(runner, tool, name, program, words, limit):
    """What is wrong with one program by one tool, or nothing; and seconds. `words`: that start it."""
    cases = SANITIZED[program]
    command = [tool, "--tool", name, *SANITIZER, *words]
    if cases:
        command.append(f"--gtest_filter={cases}")
    status, output, seconds = runner.run(command, limit)
    count = re.search(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)", output)
    if cases and not re.search(r"\[  PASSED  \] [1-9]", output):
        return f"{program}: no case passed, status {status}", seconds
    if status or count is None or int(count[1]):
        reports = count[1] if count else "no"
        return f"{program}: {reports} reports, status {status}", seconds
    return "", seconds


def sanitizers(runner, programs, jobs, limit):
    places = [f"{home}/bin" for home in (os.environ.get("CUDA_HOME"), "/usr/local/cuda") if home]
    tool = shutil.which("compute-sanitizer",
                        path=os.pathsep.join([runner.environment["PATH"], *places]))
    if tool is None:
        return [step(name, "skipped", why="no compute-sanitizer here") for name in TOOLS]
    there = [program for program in SANITIZED if program in programs]
    absent = [f"{program}: not in the build" for program in SANITIZED if program not in programs]
    steps = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        parts = {name: [pool.submit(sanitized, runner, tool, name, program, programs[program], limit)
                        for program in there if (name, program) not in NOT_UNDERSTOOD] for name in TOOLS}
        for name in TOOLS:
            if not there:
                steps.append(step(name, "failed", why="none of its programs is there"))
                continue
            results = [part.result() for part in parts[name]]
            bad = absent + [why for why, _ in results if why]
            steps.append(step(name, "failed" if bad else "passed", sum(seconds for _, seconds in results),
                              "; ".join(bad), programs=len(results)))
    return steps


def python_with_torch(runner):
    for python in (os.environ.get("LACUNA_BENCH_PYTHON"), shutil.which("python3"), sys.executable):
        if python and runner.run([python, "-c", "import torch; assert torch.cuda.is_available()"],
                                 300)[0] == 0:
            return python
    return None


def tune(runner, options):
    status, output, seconds = runner.run(
        [sys.executable, str(ROOT / "bench" / "tune.py"), "--library",
         str(options.build / "host" / "liblacuna.so"), "--program",
         str(options.build / "tests" / "lacuna_step_cost"), "--output", str(options.output),
         "--commit", options.commit], 300)
    print(output, flush=True)
    return [step("tune", "failed" if status else "passed", seconds,
                 f"status {status}: {last_line(output)}" if status else "")]


def bench(runner, options, name="bench", more=()):
    script = ROOT / "bench" / "gpu.py"
    if not script.is_file():
        return [step(name, "skipped", why="there is no bench/gpu.py")]
    python, without = python_with_torch(runner), ""
    if python is None:
        python, without = sys.executable, "without peers: no python3 here has torch with CUDA"
        more = ("--alone", *more)
    status, output, seconds = runner.run(
        [python, str(script), "--library", str(options.build / "host" / "liblacuna.so"), "--output",
         str(options.output), *more], 1800)
    why = [without] if without else []
    if status:
        why.append(f"status {status}: {last_line(output)}")
    return [step(name, "failed" if status else "passed", seconds, "; ".join(why))]


def find_programs(runner, paths):
    """The words that start each program. The device tests are one, which runs the cases of the source it is given."""
    programs = {}
    for path in paths:
        if path.name == "lacuna_device_tests":
            status, output, _ = runner.run([path, "--sources"], 120)
            for source in output.split() if status == 0 else []:
                programs[f"{source}_device_test"] = [str(path), source]
        else:
            programs[path.name] = [str(path)]
    return programs


def find_libraries(runner, paths):
    """A carried program may look for cuBLASLt where the machine that built it had it."""
    missing = set()
    for path in paths:
        output = runner.run(["ldd", path], 60)[1]
        missing.update(re.findall(r"^\s*(\S+) => not found", output, re.M))
    if not missing:
        return ""
    homes = [os.environ.get("CUDA_HOME"), *sorted(glob.glob("/usr/local/cuda*"), reverse=True)]
    folders = [f"{home}/{sub}" for home in homes if home
               for sub in ("lib64", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib")]
    where = runner.run([shutil.which("python3") or sys.executable, "-c",
                        "import sys; print(*sys.path, sep='\\n')"], 60)[1]
    for path in where.splitlines():
        folders += glob.glob(f"{glob.escape(path)}/nvidia/*/lib") if path else []
    add = []
    for library in sorted(missing):
        folder = next((f for f in folders if os.path.exists(os.path.join(f, library))), None)
        if folder is None:
            return f"{library} is not here: the build needs the CUDA release it was made with"
        add.append(folder)
    old = runner.environment.get("LD_LIBRARY_PATH")
    runner.environment["LD_LIBRARY_PATH"] = ":".join([*dict.fromkeys(add), *([old] if old else [])])
    return ""


def describe():
    query = ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap,memory.total",
             "--format=csv,noheader"]
    try:
        out = subprocess.run(query, capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return None
    rows = [line.split(", ") for line in out.stdout.splitlines() if line.count(", ") >= 3]
    if out.returncode or not rows:
        return None
    name, driver, capability, memory = rows[0][:4]
    return {"gpu": name, "gpus": len(rows), "driver": driver, "compute_capability": capability,
            "memory": memory}


def readable(result):
    head = result["machine"]
    lines = [f"{head['gpu']} ({head['gpus']} of them), compute capability "
             f"{head['compute_capability']}, {head['memory']}",
             f"driver {head['driver']}, CUDA runtime {head.get('cuda_runtime', 'unknown')}",
             f"commit {result['commit']}, {result['time']}", ""]
    for one in result["steps"]:
        counts = [f"{one['cases_' + kind]} {kind}" for kind in ("passed", "failed", "skipped")
                  if one.get("cases_" + kind)]
        lines.append(f"{one['outcome']:<8} {one['step']:<36} {one['seconds']:>8.1f} s  "
                     f"{', '.join(counts)}".rstrip())
        if one.get("why"):
            lines.append(f"         {one['why']}")
        lines += [f"         {name}" for name in one.get("failures", [])[:20]]
    lines += ["", "{passed} steps passed, {failed} failed, {skipped} skipped".format(
        **result["counts"])]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Everything that needs a GPU, from a build")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--only", action="append", metavar="STEP",
                        choices=("conformance", "tests", "sanitizers", "bench", "tune", *SETS))
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 8), metavar="N",
                        help="processes of tests and sanitizers at once")
    parser.add_argument("--limit", type=float, default=900, metavar="S",
                        help="seconds that each of them may take")
    options = parser.parse_args()
    options.build, options.output = options.build.resolve(), options.output.resolve()
    wanted = options.only or ("conformance", "tests", "sanitizers", "bench")

    machine = describe()
    if machine is None:
        sys.exit("no GPU: nvidia-smi finds none")
    paths = [path for path in (options.build / "tests" / "lacuna_device_tests",
                               options.build / "tests" / "emulator" / "lacuna_conformance") if path.is_file()]
    if not any(path.name == "lacuna_device_tests" for path in paths):
        sys.exit(f"no tests/lacuna_device_tests in {options.build}: the build is not complete")

    began = datetime.datetime.now().astimezone()
    slug = re.sub(r"[^a-z0-9]+", "-", machine["gpu"].lower()).strip("-")
    options.output.mkdir(parents=True, exist_ok=True)
    base = str(options.output / f"gpu-{slug}-{began:%Y-%m-%d-%H%M%S}")
    options.log = base + ".log"
    runner = Runner(options)
    steps = []

    def add(more):
        for one in more:
            print(f"   {one['outcome']}: {one['step']}, {one['seconds']} s"
                  + (f" ({one['why']})" if one.get("why") else ""), flush=True)
            steps.append(one)

    problem, programs = find_libraries(runner, paths), {}
    if not problem:
        programs = find_programs(runner, paths)
        if not any(name.endswith("_device_test") for name in programs):
            problem = "lacuna_device_tests names no sources, see the log"
    if problem:
        add([step("programs", "failed", why=problem)])
    else:
        if "conformance" in wanted:
            add(conformance(runner, programs))
        if "tests" in wanted:
            releases = tests(runner, programs, options.jobs, options.limit, add)
            if releases:
                machine["cuda_runtime"], machine["cuda_driver"] = releases[2:]
        if "sanitizers" in wanted:
            add(sanitizers(runner, programs, options.jobs, options.limit))
        if "bench" in wanted:
            add(bench(runner, options))
        if "tune" in wanted:
            add(tune(runner, options))
        for name in SETS:
            if name in wanted:
                add(bench(runner, options, name, ("--set", name)))

    counts = {kind: sum(one["outcome"] == kind for one in steps)
              for kind in ("passed", "failed", "skipped")}
    result = {"machine": machine, "commit": options.commit,
              "time": began.isoformat(timespec="seconds"), "counts": counts, "steps": steps}
    with open(base + ".json", "w", encoding="utf-8") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    text = readable(result)
    with open(base + ".txt", "w", encoding="utf-8") as out:
        out.write(text)
    print("\n" + text + base + ".json")
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
