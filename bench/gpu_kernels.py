#!/usr/bin/env python3
"""Where a training step of Lacuna goes on a GPU: the time of each of its kernels, by PyTorch's profiler.

    bench/gpu_kernels.py --library build/gpu/host/liblacuna.so --output DIR [--case CASE]... [--steps N]
                         [--seconds S] [--limit S]

Case strings are those of bench/gpu.py. SIGINT, SIGTERM and --seconds end it early: what was found is written all the
same. With --bare nobody profiles: the steps alone are run, for a profiler that stands around this program
(ncu --kernel-name 'regex:ward' bench/gpu_kernels.py --bare ...).
"""

import argparse
import json
import math
import os
import re
import sys

from gpu import START_LIMIT, run_all
from gpu_cases import standard_cases
from watched import WatchedWorker, finish_when_told
from workers import HERE, WorkerError

# What tells most comes first: each regime, both precisions, then other cells and sizes, then all else.
FIRST = ["lstm_f16_n64_t200_d41_h64", "lstm_f32_n64_t200_d41_h64_resident", "lstm_f32_n64_t200_d41_h64", "lstm_f16_n64_t100_d128_h256",
         "lstm_f32_n64_t100_d128_h256", "gru_f16_n64_t200_d41_h64", "gru_f32_n64_t200_d41_h64",
         "grud_f32_n256_lenphysionet2012_d37_h64_miss85", "lstm_f16_n128_t100_d76_h128",
         "lstm_f16_n64_t25_d1024_h1024", "lstm_f16_n64_len50-200_d41_h64"]
CASES = FIRST + [case for case in standard_cases("cuda") if case not in FIRST and "_bf16_" not in case]


class Profiled(WatchedWorker):
    def __init__(self, options):
        super().__init__([options.python, os.path.join(HERE, "gpu_kernels_worker.py"), "--library",
                          options.library], options.limit, START_LIMIT)
        self.steps = options.steps

    def run(self, case, seconds):
        found = self.ask("kernels", case, self.steps, limit=seconds)
        print(f"\n{case}: {found['us']:.1f} us a step, {found['us'] / found['steps']:.2f} a time step; kernels "
              f"{sum(row['us'] for row in found['kernels']):.1f} us")
        for row in found["kernels"]:
            print(f"{row['us']:>10.1f} us  {row['calls']:>6.1f} x  {short(row['kernel'])}")
        sys.stdout.flush()
        return found


def short(name):
    """Without namespaces and return type, and no longer than a line."""
    return re.sub(r"\b(void |lacuna::|kernels::|cuda::|simt::|\(anonymous namespace\)::)", "", name)[:110]


def arguments():
    parser = argparse.ArgumentParser(description="the time of each kernel of Lacuna's training step")
    parser.add_argument("--library", default=os.path.join(HERE, "../build/gpu/host/liblacuna.so"))
    parser.add_argument("--python", default=os.environ.get("LACUNA_BENCH_PYTHON") or sys.executable,
                        help="a Python that has torch")
    parser.add_argument("--output", help="a folder for the findings as JSON")
    parser.add_argument("--case", action="append")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=math.inf, help="after which nothing more is measured")
    parser.add_argument("--limit", type=float, default=20, help="seconds for one case, which may hang")
    parser.add_argument("--bare", action="store_true", help="run the steps, measure nothing")
    return parser.parse_args()


def main():
    options = arguments()
    if options.bare:
        from gpu_kernels_worker import bare
        bare(options.case or CASES, options.steps, options.library)
        return
    finish_when_told()
    profiled, findings, notes = Profiled(options), [], []
    try:
        about = profiled.start()
    except WorkerError as error:
        sys.exit(f"{options.python} cannot begin: {error}")
    try:
        run_all(profiled, options.case or CASES, options.seconds, findings, notes)
    except KeyboardInterrupt:
        notes.append("interrupted: the cases that were done are reported")
    profiled.stop()
    print("\n".join(["", *notes]))
    if options.output:
        os.makedirs(options.output, exist_ok=True)
        path = os.path.join(options.output, "gpu-kernels.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**about, "notes": notes, "cases": findings}, file, indent=1)
        print(f"written: {os.path.relpath(path)}")
    if not findings:
        sys.exit("no case was measured")


if __name__ == "__main__":
    main()
