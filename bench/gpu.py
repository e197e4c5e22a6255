#!/usr/bin/env python3
"""The GPU benchmark: Lacuna beside PyTorch and cuDNN in alternation, results compared.

    bench/gpu.py --library build/gpu/host/liblacuna.so --output DIR [--quick] [--filter REGEX]
                 [--set deepbench] [--seconds S]

A training step is one forward and backward run, replayed from a CUDA graph by whoever can be captured.
Lacuna is compared with an fp64 reference, and its peers with Lacuna, before anything is timed; a case
in which two differ is refused and reported. Neither that nor a timing makes this program fail.
--device cpu goes through all of it on the CPU backend, to try the program without a GPU: its times mean
nothing.
"""

import argparse
import datetime
import math
import os
import re
import sys
import time

import gpu_report
from gpu_cases import QUICK, deepbench_cases, parse, standard_cases
from report import commit, machine
from watched import WatchedWorker
from workers import HERE, WorkerError

LIMIT = 600  # seconds for one case: a kernel that hangs must not hang the benchmark


def arguments():
    parser = argparse.ArgumentParser(description="Lacuna and its peers on this machine's GPU")
    parser.add_argument("--library", default=os.path.join(HERE, "../build/gpu/host/liblacuna.so"))
    parser.add_argument("--python", default=os.environ.get("LACUNA_BENCH_PYTHON") or sys.executable,
                        help="a Python that has torch")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--filter", default="", help="regular expression on case strings")
    parser.add_argument("--case", action="append", help="any case string, instead of the usual ones")
    parser.add_argument("--set", choices=("usual", "deepbench"), default="usual",
                        help="the usual cases, or the sizes of DeepBench's training set, fewer repeats")
    parser.add_argument("--seconds", type=float, help="after which no further case begins; for "
                        "deepbench 300, else none")
    parser.add_argument("--repeats", type=int, help="samples of each contestant")
    parser.add_argument("--quick", action="store_true", help="the main cases, fewer repeats")
    parser.add_argument("--output", default=os.path.join(HERE, "results"))
    options = parser.parse_args()
    if options.repeats is None:
        options.repeats = 3 if options.device == "cpu" else 15 if options.quick or options.set == "deepbench" else 51
    if options.seconds is None:
        options.seconds = 300 if options.set == "deepbench" else math.inf
    return options


def select(options):
    usual = {"usual": standard_cases, "deepbench": deepbench_cases}[options.set]
    cases = options.case or usual(options.device)
    if options.quick and options.set == "usual" and not options.case and options.device == "cuda":
        cases = [case for case in cases if re.match(QUICK, case)]
    cases = [case for case in cases if re.search(options.filter, case)]
    for case in cases:
        parse(case)
    return cases


class Harness(WatchedWorker):
    """Asks again, without a CUDA graph, for who could not be captured in one."""

    def __init__(self, options):
        super().__init__([options.python, os.path.join(HERE, "gpu_worker.py"), "--library",
                          options.library, "--device", options.device], LIMIT)
        self.repeats = options.repeats
        self.eager = {}  # contestant: why it is not captured in a CUDA graph

    def run(self, case):
        while True:
            reply = self.ask("run", case, self.repeats, *self.eager)
            if "capture_failed" not in reply:
                return reply
            who = reply["capture_failed"]
            self.stop()
            if who in self.eager:
                raise WorkerError(f"{who}: {reply['why']}")
            self.eager[who] = reply["why"].splitlines()[0] if reply["why"] else "no reason given"


def main():
    options = arguments()
    if not os.path.exists(options.library):
        sys.exit(f"{options.library} is not there: build it first (./dev gpu does)")
    options.library = os.path.abspath(options.library)
    cases = select(options)
    harness, results, notes, began = Harness(options), [], [], time.monotonic()
    try:
        libraries = harness.ask("about")
    except WorkerError as error:
        sys.exit(f"{options.python} cannot begin: {error}")
    try:
        for number, case in enumerate(cases, 1):
            if time.monotonic() - began > options.seconds:
                notes.append(f"{options.seconds:.0f} s were over: the last {len(cases) - number + 1} cases "
                             "were not begun")
                break
            print(f"[{number}/{len(cases)}, {time.monotonic() - began:.0f} s] {case}", file=sys.stderr)
            try:
                results.append(harness.run(case))
            except WorkerError as error:
                notes.append(f"{case}: {error}")
                print(f"    {error}", file=sys.stderr)
    except KeyboardInterrupt:
        notes.append("interrupted: the cases that were done are reported")
    harness.stop()
    notes += [f"{who} could not be captured in a CUDA graph: {why}" for who, why in harness.eager.items()]
    findings = {"date": datetime.date.today().isoformat(), "machine": machine(), "commit": commit(),
                "set": options.set, "libraries": libraries, "repeats": options.repeats, "notes": notes,
                "cases": results}
    gpu_report.write(findings, options.output)
    if not results:
        sys.exit("no case was timed")


if __name__ == "__main__":
    main()
