#!/usr/bin/env python3
"""The GPU benchmark: Lacuna beside PyTorch and cuDNN in alternation, results compared.

    bench/gpu.py --library build/gpu/host/liblacuna.so --output DIR [--quick] [--filter REGEX]
                 [--set deepbench|bars|large] [--slice I/N] [--from CASE] [--seconds S] [--limit S]
    bench/gpu.py --alone ...                      Lacuna without peers, for a Python that has no PyTorch
    bench/gpu.py --merge FILE... --output DIR     one report of what several runs found of a set; needs no GPU

A training step is one forward and backward run, replayed from a CUDA graph by whoever can be captured.
Lacuna is compared with an fp64 reference, and its peers with Lacuna, before anything is timed: who differs
is refused and reported, and where that is Lacuna the whole case. Neither that nor a timing makes this program
fail. SIGINT, SIGTERM and --seconds end it early: the cases that were done are reported all the same.
--device cpu goes through all of it on the CPU backend, to try the program without a GPU: its times mean
nothing.
"""

import argparse
import collections
import datetime
import json
import math
import os
import re
import sys
import time

import gpu_report
from gpu_cases import QUICK, SETS, from_on, parse, shape, sliced
from report import commit, machine
from watched import Hung, WatchedWorker, finish_when_told
from workers import HERE, WorkerError

START_LIMIT = 120  # seconds in which a process imports torch, perhaps from a slow disk


def arguments():
    parser = argparse.ArgumentParser(description="Lacuna and its peers on this machine's GPU")
    parser.add_argument("--library", default=os.path.join(HERE, "../build/gpu/host/liblacuna.so"))
    parser.add_argument("--python", default=os.environ.get("LACUNA_BENCH_PYTHON") or sys.executable,
                        help="a Python that has torch")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--alone", action="store_true", help="Lacuna alone, by the CUDA runtime: needs no torch, has no "
                        "peers, and compares results with the CPU backend's")
    parser.add_argument("--filter", default="", help="regular expression on case strings")
    parser.add_argument("--case", action="append", help="any case string, instead of the usual ones")
    parser.add_argument("--set", choices=SETS, default="usual",
                        help="the usual cases; fewer repeats of the sizes of DeepBench's training set, of small dense "
                        "layers (bars), of layers of 256 units and more (large)")
    parser.add_argument("--slice", metavar="I/N", help="only every N-th of these cases, from the I-th on")
    parser.add_argument("--from", dest="first", metavar="CASE", help="only this one of these cases, and those after it")
    parser.add_argument("--merge", nargs="+", metavar="FILE", help="findings of slices of one set, which become one "
                        "report; nothing is timed")
    parser.add_argument("--seconds", type=float, help="after which nothing more is timed; for sets but the usual 300, "
                        "else none")
    parser.add_argument("--limit", type=float, help="seconds for one case, so that a kernel that hangs does not "
                        "hang the rest: 20, for sets but the usual 60")
    parser.add_argument("--repeats", type=int, help="samples of each contestant; fewer, but 5, of one that is slow")
    parser.add_argument("--quick", action="store_true", help="the main cases, fewer repeats")
    parser.add_argument("--output", default=os.path.join(HERE, "results"))
    options = parser.parse_args()
    usual = options.set == "usual"
    if options.repeats is None:
        options.repeats = 3 if options.device == "cpu" else 15 if options.quick or not usual else 51
    if options.seconds is None:
        options.seconds = math.inf if usual else 300
    if options.limit is None:
        options.limit = 20 if usual else 60
    return options


def commit_of(library):
    """Of the build that the library is part of; of the source tree, where the build does not say."""
    path = os.path.join(os.path.dirname(library), "..", "commit")
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    return commit()


def select(options):
    cases = options.case or SETS[options.set](options.device)
    if options.quick and options.set == "usual" and not options.case and options.device == "cuda":
        cases = [case for case in cases if re.match(QUICK, case)]
    cases = [case for case in cases if re.search(options.filter, case)]
    for case in cases:
        parse(case)
    if options.first:
        cases = from_on(cases, options.first)
    return sliced(cases, options.slice) if options.slice else cases


def part_of(options):
    """Which part of its set a run is, in words that a file's name can have; nothing of all."""
    words = [f"from-{options.first}"] if options.first else []
    return "-".join(words + ([options.slice.replace("/", "-of-")] if options.slice else []))


class Harness(WatchedWorker):
    """Asks again, without a CUDA graph, for who could not be captured in one."""

    def __init__(self, options):
        worker = "gpu_alone_worker.py" if options.alone else "gpu_worker.py"
        super().__init__([options.python, os.path.join(HERE, worker), "--library", options.library,
                          "--device", options.device], options.limit, START_LIMIT)
        self.repeats = options.repeats
        self.eager = {}  # contestant: why it is not captured in a CUDA graph

    def run(self, case, seconds):
        while True:
            reply = self.ask("run", case, self.repeats, *self.eager, limit=seconds)
            if "capture_failed" not in reply:
                return reply
            who = reply["capture_failed"]
            self.stop()
            if who in self.eager:
                raise WorkerError(f"{who}: {reply['why']}")
            self.eager[who] = reply["why"].splitlines()[0] if reply["why"] else "no reason given"


def run_all(harness, cases, seconds, results, notes):
    """Appends to `results` and `notes`, so that what is there outlives an interruption."""
    began, number = time.monotonic(), 0
    left, hung = collections.deque(cases), set()
    while left:
        case, elapsed = left.popleft(), time.monotonic() - began
        if elapsed > seconds:
            notes.append(f"{seconds:.0f} s were over: {len(left) + 1} cases were not begun, {case} and after")
            return
        number += 1
        print(f"[{number}/{len(cases)}, {elapsed:.0f} s] {case}", file=sys.stderr)
        try:
            results.append(harness.run(case, seconds - elapsed))
        except WorkerError as error:
            notes.append(f"{case}: {error}")
            print(f"    {error}", file=sys.stderr)
            if isinstance(error, Hung) and shape(case) not in hung:
                # Others of its shape may take the same kernels and as long: last, so that they cost the rest nothing.
                hung.add(shape(case))
                left = collections.deque(sorted(left, key=lambda one: shape(one) in hung))


def merge(options):
    parts = {}
    for path in options.merge:
        with open(path, encoding="utf-8") as file:
            parts[os.path.basename(path)] = json.load(file)
    try:
        findings = gpu_report.merged(parts)
    except ValueError as error:
        sys.exit(str(error))
    gpu_report.write(findings, options.output)


def main():
    options = arguments()
    if options.merge:
        return merge(options)
    if not os.path.exists(options.library):
        sys.exit(f"{options.library} is not there: build it first (./dev gpu does)")
    options.library = os.path.abspath(options.library)
    try:
        cases = select(options)
    except ValueError as error:
        sys.exit(str(error))
    finish_when_told()
    harness, results, notes = Harness(options), [], []
    try:
        libraries = harness.start()
    except WorkerError as error:
        sys.exit(f"{options.python} cannot begin: {error}" + ("" if options.alone else " (--alone needs no torch)"))
    try:
        run_all(harness, cases, options.seconds, results, notes)
    except KeyboardInterrupt:
        notes.append("interrupted: the cases that were done are reported")
    harness.stop()
    notes += [f"{who} could not be captured in a CUDA graph: {why}" for who, why in harness.eager.items()]
    findings = {"date": datetime.date.today().isoformat(), "machine": machine(), "commit": commit_of(options.library),
                "set": options.set, "part": part_of(options), "libraries": libraries, "repeats": options.repeats, "notes": notes,
                "cases": results}
    gpu_report.write(findings, options.output)
    if not results:
        sys.exit("no case was timed")


if __name__ == "__main__":
    main()
