"""The process of bench/gpu.py that touches the GPU. One command per line in, one line of JSON out:
  about | run CASE REPEATS EAGER... | quit
Before its answer, run says in lines of {"now": what} what it begins. EAGER names contestants that shall not be
captured in a CUDA graph. A capture that fails may leave the process unfit to go on, so the answer then names the
contestant, and a fresh process has to be asked."""

import argparse
import gc
import json
import statistics
import sys
import time

import gpu_compare
import lacuna_abi as abi
import torch
from gpu_bars import told_floor
from gpu_cases import halved, parse
from gpu_contestants import contestants, first_steps, make_inputs, plain, reference
from gpu_sampling import LEAST_SAMPLES, SAMPLING, CaptureFailed, Phases, Refused
from nvml import Nvml


class Seat:
    """One contestant of one case: how a step is started, and the samples taken of it."""

    def __init__(self, who, contestant, device):
        self.who, self.contestant, self.cuda = who, contestant, device.type == "cuda"
        self.run, self.graph, self.facts, self.refused = contestant.step, None, {}, False
        self.samples, self.spent = [], 0.0  # microseconds of each; seconds for all, with what stands around them

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()

    def capture(self):
        for _ in range(3):
            self.contestant.step()
        if hasattr(self.contestant, "forget"):
            self.contestant.forget()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
                self.contestant.step()
        except (RuntimeError, abi.LacunaError) as error:
            raise CaptureFailed(self.who, error) from error
        self.graph, self.run = graph, graph.replay

    def results(self):
        """Of the very thing that will be timed, with what it writes filled with NaN before."""
        self.run()
        self.wait()
        self.poison()
        self.run()
        self.wait()
        return self.contestant.collect()

    def poison(self):
        for tensor in self.contestant.written():
            tensor.fill_(float("nan"))

    def sample(self):
        if len(self.samples) < LEAST_SAMPLES or self.spent < SAMPLING:
            began = time.perf_counter()
            self.samples.append(self.time())
            self.spent += time.perf_counter() - began

    def time(self):
        """Microseconds of one step. The step before it warms the caches after the other contestants."""
        self.run()
        self.poison()
        if not self.cuda:
            start = time.perf_counter()
            self.run()
            return (time.perf_counter() - start) * 1e6
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.wait()
        start.record()
        self.run()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) * 1e3

    def result(self):
        quarters = statistics.quantiles(self.samples, n=4) if len(self.samples) > 1 else self.samples * 3
        return {"who": self.who, "graph": self.graph is not None,
                "median_us": statistics.median(self.samples),
                "quartiles_us": [quarters[0], quarters[2]], "samples_us": self.samples, **self.facts}


def make_seats(case, library, inputs, device, eager, phases):
    seats = []
    for who, (capturable, needs_gpu, make) in contestants(case, library, inputs, device).items():
        if needs_gpu and (device.type != "cuda" or (who in eager and who.endswith("_graph"))):
            continue
        phases.begin(f"{who}: first step")
        seat = Seat(who, make(), device)
        seats.append(seat)
        seat.facts["peak_bytes"] = seat.contestant.peak_bytes()
        if device.type == "cuda" and capturable and who not in eager:
            phases.begin(f"{who}: capture")
            seat.capture()
    return seats


def judge(case, inputs, device, seats, phases):
    """Lacuna against the fp64 reference, everyone else against Lacuna: the tolerances, and of each seat its
    `difference`. Raises where Lacuna differs; who else does is not to be timed."""
    phases.begin("fp64 reference")
    truth = reference(case, inputs, device)
    phases.begin("plain loop")
    bounds = gpu_compare.tolerances(case, truth, plain(case, inputs, device))
    phases.begin("planted errors")
    gpu_compare.prove_comparer(truth, bounds)
    ours = None
    for seat in seats:
        phases.begin(f"{seat.who}: compare")
        results = seat.results()
        if ours is None:  # Lacuna is first
            ok, name, share = gpu_compare.compare(truth, results, bounds)
            if not ok:
                raise Refused(f"refused: {seat.who} differs from the fp64 reference in {name} by {share:.3g} "
                              "times what is allowed")
            ours = results
        elif seat.who == "lacuna_half":  # gradients are sums over other steps
            half = halved(case)
            seat.facts["steps"] = max(half.lengths)
            ok, name, share = gpu_compare.compare({"hidden": first_steps(truth["hidden"], case, half)}, results, bounds)
        else:
            ok, name, share = gpu_compare.compare(ours, results, gpu_compare.twice(bounds))
        seat.facts["difference"] = {"tensor": name, "of_allowed": share}
        seat.refused = not ok
    return bounds


def run_case(name, repeats, eager, library, device, nvml):
    """After any error but Refused the process is not to be used again, so nothing is tidied up then."""
    case, phases = parse(name), Phases(torch.cuda.synchronize if device.type == "cuda" else lambda: None)
    if device.type == "cuda":
        set_math_mode(case.tf32)
    phases.begin("inputs")
    inputs = make_inputs(case)
    seats = make_seats(case, library, inputs, device, eager, phases)
    try:
        bounds = judge(case, inputs, device, seats, phases)
        phases.begin("samples")
        timed = [seat for seat in seats if not seat.refused]
        for turn in range(repeats):  # A B C, C B A, ...: drifting clocks hit all alike
            for seat in timed if turn % 2 == 0 else reversed(timed):
                seat.sample()
        plan = seats[0].contestant.explain()
        result = {"case": name, "tokens": case.tokens, "steps": max(case.lengths),
                  "tolerances": bounds, "plan": plan, "floor_us": told_floor(plan), "clocks": nvml.now(),
                  "runs": [seat.result() for seat in timed],
                  "refused": [{"who": seat.who, **seat.facts} for seat in seats if seat.refused]}
    except Refused as error:
        result = {"error": str(error)}
    phases.begin("tidying up")
    for seat in seats:
        seat.run = seat.graph = None
        seat.contestant.close()
    seats = timed = seat = None
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    phases.end()
    return {**result, "seconds": phases.seconds}


def about(library, device, nvml):
    facts = {"device": device.type, "lacuna": library.lacuna_version().decode(),
             "torch": torch.__version__, "math": "TF32 in its cases alone; sums of 16-bit products in fp32"}
    if device.type == "cuda":
        facts.update(gpu=torch.cuda.get_device_name(device), cuda=torch.version.cuda,
                     cudnn=torch.backends.cudnn.version(), driver=nvml.driver(), clocks_max=nvml.most(),
                     capability=list(torch.cuda.get_device_capability(device)))
    return facts


def set_math_mode(tf32):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def answer(words, library, device, nvml):
    if words[0] == "about":
        return about(library, device, nvml)
    if words[0] == "run":
        try:
            return run_case(words[1], int(words[2]), words[3:], library, device, nvml)
        except CaptureFailed as error:
            return {"capture_failed": error.who, "why": str(error)}
    raise ValueError("unknown command " + words[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = torch.device("cpu")
    if options.device == "cpu":
        torch.set_num_threads(1)
    else:
        device = torch.device("cuda", torch.cuda.current_device())
        # A stream of its own, on which everything is made, run and captured: autograd remembers
        # the stream of a leaf, and the default stream cannot be captured.
        torch.cuda.set_stream(torch.cuda.Stream())
    library, nvml = abi.load(options.library), Nvml()
    # Everything that importing torch made stays: no later collection, of which a case has several, looks at it.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            break
        try:
            reply = answer(words, library, device, nvml)
        except Exception as error:  # the process may be spoilt: the driver starts another
            reply = {"broken": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
