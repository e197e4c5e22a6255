"""The process of bench/gpu_kernels.py that touches the GPU. One command per line in, one line of JSON out:
  about | kernels CASE STEPS | quit
Before its answer, kernels says in lines of {"now": what} what it begins."""

import argparse
import json
import sys

import lacuna_abi as abi
import torch
from gpu_cases import parse
from gpu_contestants import Lacuna, make_inputs


def device():
    torch.cuda.set_stream(torch.cuda.Stream())
    return torch.device("cuda", torch.cuda.current_device())


def contestant(case, library, on):
    """One that has run, so that nothing is done for the first time any more."""
    lacuna = Lacuna(library, case, make_inputs(case), on)
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


def now(what):
    print(json.dumps({"now": what}), flush=True)


def measure(name, steps, library, on):
    case = parse(name)
    now("the first step")
    lacuna = contestant(case, library, on)
    now("steps that follow each other")
    found = {"case": name, "steps": max(case.lengths), "us": span(lacuna, steps), "plan": lacuna.explain()}
    now("steps under the profiler")
    found["kernels"] = kernels(lacuna, steps)
    lacuna.close()
    return found


def bare(names, steps, path):
    library, on = abi.load(path), device()
    for name in names:
        lacuna = contestant(parse(name), library, on)
        for _ in range(steps):
            lacuna.step()
        lacuna.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    options = parser.parse_args()
    library, on = abi.load(options.library), device()
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            break
        try:
            reply = {"gpu": torch.cuda.get_device_name(on)} if words[0] == "about" else \
                measure(words[1], int(words[2]), library, on)
        except Exception as error:  # the process may be spoilt: the driver starts another
            reply = {"broken": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
