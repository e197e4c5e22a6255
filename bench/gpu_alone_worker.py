"""The process of bench/gpu.py --alone that touches the GPU: gpu_worker.py's commands and answers, without PyTorch and so
without peers. Lacuna's results are compared with those of its CPU backend in fp64, which shares no kernel with the
others, of the same library: of as many first sequences as that computes in a second or so, to which gradients are then
kept as well; of a sequence that is too long alone, the first states.

  about | run CASE REPEATS EAGER... | quit"""

import argparse
import dataclasses
import json
import os
import random
import statistics
import sys
import time

import cudart
import lacuna_abi as abi
from gpu_alone import Device, Host, Run, parameters_of
from gpu_bars import told_floor
from gpu_cases import halved, parse
from gpu_numbers import UNIT_ROUNDOFF, bounds, compare, make_numbers, operations, prove_comparer
from gpu_sampling import LEAST_SAMPLES, SAMPLING, CaptureFailed, Phases, Refused
from nvml import Nvml

OPERATIONS = 1e10  # that the reference may take, which is computed twice
AS_LONG_AS = 6  # sequences fewer ones take, for each step reads all weights


def checked_part(case):
    """(that of a case which the reference computes, whether its gradients too)."""
    part, taken = None, 0
    for kept, length in enumerate(case.lengths, 1):
        taken += operations(case, length, not case.forward)
        if taken * max(1, AS_LONG_AS / kept) <= OPERATIONS:
            part = dataclasses.replace(case, lengths=case.lengths[:kept], regime="")
        elif kept >= AS_LONG_AS:
            break
    if part:
        return part, not case.forward
    steps = max(1, min(case.lengths[0], int(OPERATIONS / AS_LONG_AS / operations(case, 1, False))))
    return dataclasses.replace(case, lengths=(steps,), forward=True, regime=""), False


def reference(lib, case, numbers):
    """The results of a case, by the CPU backend in fp64."""
    run = Run(lib, Host(), dataclasses.replace(case, tf32=False), numbers, abi.BACKEND_CPU, "f64",
              threads=min(8, os.cpu_count() or 1))
    run.step()
    found = run.results()
    run.close()
    return found


def moved(case, numbers):
    """The same numbers, weights and values off by a roundoff."""
    generator, unit = random.Random(7), UNIT_ROUNDOFF["tf32" if case.tf32 else case.type]
    return {name: one if name in ("mask", "delta_t", "d_hidden") else one.moved(unit, generator)
            for name, one in numbers.items()}


class Seat:
    """One contestant of one case: how a step is started, and the samples taken of it."""

    def __init__(self, who, run, cuda, eager):
        self.who, self.contestant, self.cuda, self.graph = who, run, cuda, None
        self.go, self.samples, self.spent, self.facts = run.step, [], 0.0, {"peak_bytes": run.peak_bytes()}
        if cuda and who not in eager:
            run.memory.wait()
            try:
                self.graph = cuda.capture(run.step)
            except (cudart.CudaError, abi.LacunaError) as error:
                raise CaptureFailed(who, error) from error
            self.go = lambda: cuda.replay(self.graph)

    def results(self):
        """Of the very thing that will be timed, with what it writes filled with NaN before."""
        self.contestant.spoil()
        self.go()
        return self.contestant.results()

    def check(self, numbers, truth, allowed):
        part, backward = truth["part"], truth["backward"]
        if not self.contestant.case.forward:
            self.contestant.only_first(numbers, part.tokens if backward else self.contestant.case.tokens)
        found = self.results()
        for name, per_token in (("hidden", part.hidden), ("d_values", part.features)):
            if name in found:
                found[name] = found[name][:part.tokens * per_token]
        ok, name, share = compare(truth["results"], found, allowed)
        self.facts["difference"] = {"tensor": name, "of_allowed": share}
        if not self.contestant.case.forward:
            self.contestant.only_first(numbers, self.contestant.case.tokens)
        return ok

    def sample(self):
        if len(self.samples) < LEAST_SAMPLES or self.spent < SAMPLING:
            began = time.perf_counter()
            self.go()  # warms the caches
            self.contestant.memory.wait()
            self.samples.append(1e6 * self.contestant.memory.timed(self.go))
            self.spent += time.perf_counter() - began

    def result(self):
        quarters = statistics.quantiles(self.samples, n=4)
        return {"who": self.who, "graph": self.graph is not None, "median_us": statistics.median(self.samples),
                "quartiles_us": [quarters[0], quarters[2]], "samples_us": self.samples, **self.facts}

    def close(self):
        self.contestant.memory.wait()
        if self.graph is not None:
            self.cuda.destroy(self.graph)
        self.contestant.close()


class Bench:
    """`cuda`: the CUDA runtime, or None where everything is on the CPU."""

    def __init__(self, lib, backend, cuda=None):
        self.lib, self.backend, self.cuda = lib, backend, cuda

    def truth(self, case, numbers, phases):
        """What the reference says of a case, and how far a contestant may be off."""
        phases.begin("reference on the CPU")
        part, backward = checked_part(case)
        results = reference(self.lib, part, numbers)
        phases.begin("how far rounding moves it")
        return ({"part": part, "backward": backward, "results": results},
                bounds(part, results, reference(self.lib, part, moved(part, numbers))))

    def seat(self, who, case, numbers, eager, phases, **how):
        phases.begin(f"{who}: first step")
        memory = Device(self.cuda) if self.cuda else Host()
        return Seat(who, Run(self.lib, memory, case, numbers, self.backend, **how), self.cuda, eager)

    def run(self, name, repeats, eager):
        """After any error but Refused the process is not to be used again, so nothing is tidied up then."""
        case, phases = parse(name), Phases()
        phases.begin("inputs")
        numbers = make_numbers(case, parameters_of(self.lib, case))
        truth, allowed = self.truth(case, numbers, phases)
        seats, refused = [self.seat("lacuna", case, numbers, eager, phases)], []
        half = halved(case)
        if half:
            seats.append(self.seat("lacuna_half", half, numbers, eager, phases))
            seats[-1].facts["steps"] = max(half.lengths)
        if case.ragged and self.backend == abi.BACKEND_CUDA:
            seats.append(self.seat("lacuna_device_lengths", case, numbers, eager, phases, lengths_on_device=True))
        try:
            for seat in list(seats):
                phases.begin(f"{seat.who}: compare")
                expected = truth, allowed
                if seat.who == "lacuna_half":  # its states: gradients are sums over other steps
                    expected = self.truth(dataclasses.replace(half, forward=True), numbers, phases)
                if not seat.check(numbers, *expected):
                    if seat.who == "lacuna":
                        worst = seat.facts["difference"]
                        raise Refused(f"refused: lacuna differs from its CPU backend in {worst['tensor']} by "
                                      f"{worst['of_allowed']:.3g} times what is allowed")
                    refused.append(seat)
            phases.begin("samples")
            timed = [seat for seat in seats if seat not in refused]
            for turn in range(max(2, repeats)):
                for seat in timed if turn % 2 == 0 else reversed(timed):
                    seat.sample()
            plan, part = seats[0].contestant.explain(), truth["part"]
            result = {"case": name, "tokens": case.tokens, "steps": max(case.lengths), "tolerances": allowed,
                      "checked": {"sequences": len(part.lengths), "steps": max(part.lengths),
                                  "gradients": truth["backward"]},
                      "plan": plan, "floor_us": told_floor(plan), "runs": [seat.result() for seat in timed],
                      "refused": [{"who": seat.who, **seat.facts} for seat in refused]}
        except Refused as error:
            result = {"error": str(error)}
        phases.begin("tidying up")
        for seat in seats:
            seat.close()
        phases.end()
        return {**result, "seconds": phases.seconds}


def about(lib, device, cuda, nvml):
    facts = {"device": device, "lacuna": lib.lacuna_version().decode(), "torch": None,
             "math": "TF32 in its cases alone; no peers, results compared with the CPU backend's in fp64"}
    if cuda:
        facts.update(gpu=nvml.name() or "a GPU", cuda=cuda.version(), cudnn=None, driver=nvml.driver(),
                     clocks_max=nvml.most())
    return facts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--cudart", help="a CUDA runtime; else one is looked for")
    options = parser.parse_args()
    lib, nvml = abi.load(options.library), Nvml()
    on_gpu, bench = options.device == "cuda", None
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            break
        try:
            if bench is None:
                prove_comparer()
                bench = Bench(lib, abi.BACKEND_CUDA if on_gpu else abi.BACKEND_CPU,
                              cudart.Cuda(options.cudart) if on_gpu else None)
            if words[0] == "about":
                reply = about(lib, options.device, bench.cuda, nvml)
            else:
                reply = bench.run(words[1], int(words[2]), words[3:])
                if "error" not in reply:
                    reply["clocks"] = nvml.now()
        except CaptureFailed as error:
            reply = {"capture_failed": error.who, "why": str(error)}
        except Exception as error:  # the process may be spoilt: the driver starts another
            reply = {"broken": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
