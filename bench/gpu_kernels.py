#!/usr/bin/env python3
"""Where a training step of Lacuna goes on a GPU: the time of each of its kernels, by PyTorch's profiler.

    bench/gpu_kernels.py --library build/gpu/host/liblacuna.so --output DIR [--case CASE]... [--steps N]

Case strings are those of bench/gpu.py. With --bare nobody profiles: the steps alone are run, for a profiler that
stands around this program (ncu --kernel-name regex:resident bench/gpu_kernels.py --bare ...).
"""

import argparse
import json
import os
import re
import sys

import lacuna_abi as abi
import torch
from gpu_cases import parse
from gpu_contestants import Lacuna, make_inputs
from workers import HERE

CASES = [f"{cell}_{kind}_{shape}" for cell in ("lstm", "gru") for kind in ("f32", "tf32", "f16")
         for shape in ("n64_t200_d41_h64", "n128_t100_d76_h128", "n64_t100_d128_h256", "n16_t50_d512_h512",
                       "n64_t25_d1024_h1024")] + \
        [f"grud_f32_n256_lenphysionet2012_d37_h{hidden}_miss85" for hidden in (64, 128)]


def one_step(case, library, device):
    """A contestant that has run, so that nothing is done for the first time any more."""
    lacuna = Lacuna(library, case, make_inputs(case), device)
    for _ in range(3):
        lacuna.step()
    torch.cuda.synchronize()
    return lacuna


def kernels(lacuna, steps):
    """[{kernel, calls of a step, microseconds of a step}], those that take longest first."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(steps):
            lacuna.step()
        torch.cuda.synchronize()
    rows = [{"kernel": event.key, "calls": event.count / steps, "us": event.device_time_total / steps}
            for event in profiler.key_averages() if event.device_time_total > 0]
    return sorted(rows, key=lambda row: -row["us"])


def span(lacuna, steps):
    """Microseconds of a step, start to end, when steps follow each other."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(steps):
        lacuna.step()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) * 1e3 / steps


def short(name):
    """Without namespaces and return type, and no longer than a line."""
    return re.sub(r"\b(void |lacuna::|kernels::|cuda::|simt::|\(anonymous namespace\)::)", "", name)[:110]


def main():
    parser = argparse.ArgumentParser(description="the time of each kernel of Lacuna's training step")
    parser.add_argument("--library", default=os.path.join(HERE, "../build/gpu/host/liblacuna.so"))
    parser.add_argument("--output", help="a folder for the findings as JSON")
    parser.add_argument("--case", action="append")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--bare", action="store_true", help="run the steps, measure nothing")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU here")
    device = torch.device("cuda", torch.cuda.current_device())
    torch.cuda.set_stream(torch.cuda.Stream())
    library, findings = abi.load(options.library), []
    for name in options.case or CASES:
        case = parse(name)
        lacuna = one_step(case, library, device)
        if options.bare:
            for _ in range(options.steps):
                lacuna.step()
            lacuna.close()
            continue
        took, rows, plan = span(lacuna, options.steps), kernels(lacuna, options.steps), lacuna.explain()
        lacuna.close()
        findings.append({"case": name, "us": took, "plan": plan, "kernels": rows})
        print(f"\n{name}: {took:.1f} us a step, {took / max(case.lengths):.2f} a time step; kernels "
              f"{sum(row['us'] for row in rows):.1f} us")
        for row in rows:
            print(f"{row['us']:>10.1f} us  {row['calls']:>6.1f} x  {short(row['kernel'])}", flush=True)
    if options.output and findings:
        os.makedirs(options.output, exist_ok=True)
        path = os.path.join(options.output, "gpu-kernels.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"gpu": torch.cuda.get_device_name(device), "cases": findings}, file, indent=1)
        print(f"written: {os.path.relpath(path)}")


if __name__ == "__main__":
    main()
