#!/usr/bin/env python3
"""The CPU benchmark: Lacuna and its peers in alternation, on the same inputs, results compared.

    bench/cpu.py [--quick] [--filter REGEX] [--shape B,T,D,H] [--repeats N] [--physionet DIR]

Needs the program lacuna_bench; PyTorch takes part when LACUNA_BENCH_PYTHON, or python3, has it.
Every contestant's outputs and gradients are compared with Lacuna's before it is timed; a case in
which two differ is refused. Timings never make this program fail.
"""

import argparse
import datetime
import os
import random
import re
import statistics
import sys
import tempfile
import time

import report
from workers import HERE, WorkerError, find_torch, physical_cores, start_native, start_torch

SETTLE = 0.04  # seconds between samples: idle threads of the last library stop spinning meanwhile
# Others may use this machine too. A sample whose threads waited for a core for more than this share
# of its time is taken again. On one thread waiting only adds, so it is subtracted and may be longer.
DISTURBED = {1: 0.6, 2: 0.03}
QUICK = r"(lstm|gru)_f32_n64_(t200|len50-200)_d41|grud_"
MEMORY = r"(lstm|gru)_f32_(n64_(t200|len50-200)|n128_)|grud_"
# Everyone's own way of being told to use no instruction beyond AVX2.
NO_MORE_THAN_AVX2 = {"LACUNA_BENCH_ISA": "avx2", "OPENBLAS_CORETYPE": "Haswell", "ONEDNN_MAX_CPU_ISA": "AVX2",
                     "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
STATIC = {"RecordID", "Age", "Gender", "Height", "ICUType"}


def arguments():
    parser = argparse.ArgumentParser(description="Lacuna and its peers on this machine's CPU")
    parser.add_argument("--program", default=os.path.join(HERE, "../build/bench/bench/lacuna_bench"))
    parser.add_argument("--python", default=os.environ.get("LACUNA_BENCH_PYTHON"),
                        help="a Python that has torch")
    parser.add_argument("--filter", default="", help="regular expression on case strings")
    parser.add_argument("--case", action="append", help="any case string, instead of the usual ones")
    parser.add_argument("--shape", help="B,T,D,H: the cases of this shape, dense and ragged")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--milliseconds", type=float, default=60, help="least length of a sample")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--isa", choices=["best", "avx2"], default="best",
                        help="avx2: nobody uses AVX-512, as on a machine without it")
    parser.add_argument("--quick", action="store_true", help="the main cases, 3 repeats")
    parser.add_argument("--physionet", metavar="DIR",
                        help="PhysioNet 2012 set A: its real lengths instead of drawn ones")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--output", default=os.path.join(HERE, "results"))
    options = parser.parse_args()
    if options.quick:
        options.repeats = min(options.repeats, 3)
    if options.isa == "avx2":
        os.environ.update(NO_MORE_THAN_AVX2)
    options.cores = physical_cores()
    options.threads = [int(n) for n in options.threads.split(",") if int(n) <= len(options.cores)]
    return options


def select(cases, options):
    if options.case:
        return options.case
    if options.quick:
        cases = [case for case in cases if re.match(QUICK, case)]
    if options.shape:
        b, t, d, h = options.shape.split(",")
        shape = re.compile(rf"_n{b}_(t{t}|len\d+-{t})_d{d}_h{h}(_|$)")
        cases = [case for case in cases if shape.search(case)]
    return [case for case in cases if re.search(options.filter, case)]


def physionet_lengths(directory, count):
    """Time stamps per record, of `count` records drawn with a fixed seed."""
    lengths = []
    for folder, _, names in sorted(os.walk(directory)):
        for name in sorted(names):
            if not re.fullmatch(r"\d{6}\.txt", name):
                continue
            with open(os.path.join(folder, name)) as file:
                rows = [line.split(",") for line in file.read().split("\n")[1:] if line]
            stamps = {row[0] for row in rows if row[1] not in STATIC}
            if stamps:
                lengths.append(len(stamps))
    if len(lengths) < count:
        sys.exit(f"{directory} holds {len(lengths)} records; {count} are needed")
    return random.Random(2012).sample(lengths, count)


class Seat:
    """One contestant on one number of threads, with the samples taken of it."""

    def __init__(self, who, threads, worker, difference):
        self.who, self.threads, self.worker, self.difference = who, threads, worker, difference
        self.samples = []  # (nanoseconds per step, share of the time spent waiting for a core)

    def clean(self):
        most = DISTURBED[min(self.threads, 2)]
        return [ns for ns, waited in self.samples if waited <= most]

    def sample(self, milliseconds):
        # A long step needs no warming up, and one is enough: 0 asks for just that.
        if self.samples and self.samples[-1][0] > milliseconds * 2e6:
            milliseconds = 0
        time.sleep(SETTLE)
        answer = self.worker.ask("time", self.who, milliseconds)
        on_core = 1 - answer["waited"] if self.threads == 1 else 1
        self.samples.append((answer["ns"] * on_core, answer["waited"]))

    def result(self):
        clean = self.clean()
        used = clean if len(clean) >= 3 else [ns for ns, _ in self.samples]
        quarters = statistics.quantiles(used, n=4) if len(used) > 1 else [used[0]] * 3
        return {"who": self.who, "threads": self.threads, "median_ns": statistics.median(used),
                "quartiles_ns": [quarters[0], quarters[2]], "samples_ns": used,
                "disturbed": len(self.samples) - len(clean), "settled": used is clean,
                "difference": self.difference}


class Harness:
    def __init__(self, options):
        self.options = options
        self.folder = tempfile.TemporaryDirectory(prefix="lacuna_bench_")
        self.native = {n: start_native(options.program, n, options.cores) for n in options.threads}
        first = self.native[options.threads[0]]
        self.libraries = first.ask("about")
        python, why = find_torch(options.python)
        self.python, self.torch = python, {}
        if python:
            self.torch = {n: start_torch(python, n, options.cores) for n in options.threads}
            self.libraries.update(self.torch[options.threads[0]].ask("about"))
        self.notes = [] if python else [f"PyTorch takes no part: {why}"]
        if options.isa == "avx2":
            self.notes.append("nobody was allowed more than AVX2")
        for name in ("lacuna", "onednn", "sgemm"):
            if not self.libraries[name]:
                self.notes.append(f"{name} takes no part: not in this build")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def open(self, native, case):
        lengths = ""
        if self.options.physionet and "lenphysionet2012" in case:
            lengths = self.path("lengths")
            sequences = int(re.search(r"_n(\d+)", case).group(1))
            with open(lengths, "w") as file:
                file.write(" ".join(map(str, physionet_lengths(self.options.physionet, sequences))))
        return native.ask("open", case, lengths)

    def seats(self, case, threads):
        """Everyone who can compute the case, results compared; raises where two differ."""
        native, seats = self.native[threads], []
        facts = self.open(native, case)

        def judge(who, worker, answer):
            if not answer["ok"]:
                raise WorkerError(f"refused: {who} differs in {answer['tensor']} by "
                                  f"{answer['worst']:.2g} of its size; allowed {facts['tolerance']:.2g}")
            seats.append(Seat(who, threads, worker, answer["worst"]))

        for who in ("sgemm", "lacuna", "onednn"):
            if not self.libraries[who] or (who == "onednn" and re.search("_len|^grud", case)):
                continue
            judge(who, native, native.ask("check", who))
        if self.torch:
            native.ask("export", self.path("inputs"))
            for who in self.torch[threads].ask("open", case, self.path("inputs"))["contestants"]:
                self.torch[threads].ask("result", who, self.path("result"))
                judge(who, self.torch[threads], native.ask("compare", self.path("result")))
        return facts, seats

    def run(self, case):
        facts, seats = None, []
        for threads in self.options.threads:
            facts, more = self.seats(case, threads)
            seats += more
        # A B A B ...: one sample of each in turn, until each has enough undisturbed ones.
        repeats = self.options.repeats
        for _ in range(2 * repeats):
            for seat in seats:
                if len(seat.clean()) < repeats:
                    seat.sample(self.options.milliseconds)
            if all(len(seat.clean()) >= repeats for seat in seats):
                break
        return {"case": case, **facts, "runs": [seat.result() for seat in seats]}

    def memory(self, case):
        """In fresh processes, because a process seldom gives memory back."""
        result = {}
        native = start_native(self.options.program, 1, self.options.cores)
        self.open(native, case)
        if self.libraries["lacuna"]:
            result["lacuna"] = native.ask("memory")
        if self.python:
            native.ask("export", self.path("inputs"))
            who = "torch_loop" if case.startswith("grud") else (
                "torch_padded" if "_len" in case else "torch")
            torch = start_torch(self.python, 1, self.options.cores)
            torch.ask("open", case, self.path("inputs"))
            result["torch"] = {"who": who, **torch.ask("memory", who)}
            torch.close()
        native.close()
        return result


def main():
    options = arguments()
    if not os.access(options.program, os.X_OK):
        sys.exit(f"{options.program} is not there: build it first (./dev bench cpu does)")
    harness = Harness(options)
    native = harness.native[options.threads[0]]
    cases = select(native.ask("cases")["cases"], options)
    results, began = [], time.monotonic()
    try:
        for number, case in enumerate(cases, 1):
            print(f"[{number}/{len(cases)}, {time.monotonic() - began:.0f} s] {case}", file=sys.stderr)
            try:
                results.append(harness.run(case))
                if re.match(MEMORY, case) and not options.no_memory:
                    results[-1]["memory"] = harness.memory(case)
            except WorkerError as error:
                harness.notes.append(f"{case}: {error}")
    except KeyboardInterrupt:
        harness.notes.append("interrupted: the cases that were done are reported")
    if not results:
        sys.exit("\n".join(harness.notes) or "no case matches")
    findings = {"date": datetime.date.today().isoformat(), "machine": report.machine(),
                "commit": report.commit(), "libraries": harness.libraries, "notes": harness.notes,
                "isa": options.isa, "repeats": options.repeats, "cores": options.cores, "cases": results}
    report.write(findings, options.output)


if __name__ == "__main__":
    main()
