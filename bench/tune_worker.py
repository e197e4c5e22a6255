"""The process of bench/tune.py that runs plans. One command per line in, one line of JSON out:
  time CELL TYPE PRECISION HIDDEN SEQUENCES REGIME BLOCKS STEPS REPEATS TRAINING | about | quit
Microseconds of a time step: how much longer a run over 2 STEPS takes than one over STEPS, so that launches,
copies and all else that happens once cancel. `about` runs something small, with which CUDA loads what it needs.
All arrays are the host's, which every backend takes, and nothing is asked for whose size grows with the steps
but the values; a call then ends when its work has.

On the CPU backend layers are in fp32 and there is one way: the times stand in for others."""

import argparse
import array
import ctypes
import json
import random
import statistics
import sys
import time

import lacuna_abi as abi
from tune_model import Shape, Way

REAL = {abi.F32: ("f", 4), abi.F16: ("H", 2), abi.BF16: ("H", 2)}
ONE_HALF = {abi.F32: 0.5, abi.F16: 0x3800, abi.BF16: 0x3f00}  # in the type's own bits
SMALL = (abi.LSTM, abi.F32, abi.PRECISION_DEFAULT, 16, 1, abi.REGIME_STEPWISE, 0, 10, 1, 0)
ref = ctypes.byref


class Array:
    """Numbers in the host's memory, aligned to 64 bytes."""

    def __init__(self, count, size):
        self.held = ctypes.create_string_buffer(count * size + 64)
        self.address = (ctypes.addressof(self.held) + 63) // 64 * 64

    def fill(self, code, numbers):
        data = array.array(code, numbers).tobytes()
        ctypes.memmove(self.address, data, len(data))
        return self


class Runs:
    """A plan, and batches of one feature that it runs: all sequences of the same length."""

    def __init__(self, lib, context, cuda, shape, way, longest, training):
        self.lib, self.shape, self.training = lib, shape, training
        self.plan = self.tape = None
        kind = shape.type if cuda else abi.F32
        code, size = REAL[kind]
        layer = abi.Layer(cell=shape.cell, type=kind, features=1, hidden=shape.hidden)
        count, info = ctypes.c_int64(), abi.ParameterInfo()
        lib.lacuna_layer_parameter_count(ref(layer), ref(count))
        self.weights, self.d_weights = Array(count.value, 4), Array(count.value, 4)
        lib.lacuna_layer_initialize(ref(layer), 1, self.weights.address)
        self.parameters, self.d_parameters = abi.Parameters(), abi.Parameters()
        for index in range(len(abi.PARAMETERS)):
            lib.lacuna_layer_parameter(ref(layer), index, ref(info))
            if info.rows * info.columns > 0:
                self.parameters.tensor[index] = self.weights.address + 4 * info.offset
                self.d_parameters.tensor[index] = self.d_weights.address + 4 * info.offset

        tokens = shape.sequences * longest
        half = ONE_HALF[kind]
        few = [half, half + half / 8] if code == "f" else [half, half + 16]
        self.values = Array(tokens, size).fill(code, random.choices(few, k=tokens))
        states = shape.sequences * shape.hidden
        self.final, self.d_final = Array(states, size), Array(states, size).fill(code, [half] * states)
        plan = abi.PlanOptions(inference=int(not training))
        if cuda:
            plan.regime, plan.blocks, plan.precision = way.regime, way.blocks, shape.precision
        capacity = abi.Capacity(tokens, shape.sequences, longest)
        self.plan = abi.create(lib.lacuna_plan_create, context, ref(layer), ref(capacity), ref(plan))
        if training:
            self.tape = abi.create(lib.lacuna_tape_create, self.plan, None, 0)

    def seconds(self, steps):
        sequences = self.shape.sequences
        offsets = Array(sequences + 1, 8).fill("q", [b * steps for b in range(sequences + 1)])
        batch = abi.Batch(sequences=sequences, tokens=sequences * steps, offsets=offsets.address,
                          values=self.values.address)
        outputs = abi.Outputs(final_hidden=self.final.address)
        d_outputs = abi.OutputGradients(d_final_hidden=self.d_final.address)
        began = time.perf_counter()
        self.lib.lacuna_forward(self.plan, ref(self.parameters), ref(batch), ref(outputs), self.tape,
                                None)
        if self.training:
            self.lib.lacuna_backward(self.plan, ref(self.parameters), ref(batch), ref(d_outputs),
                                     self.tape, ref(self.d_parameters), None, None)
        return time.perf_counter() - began

    def close(self):
        for name in ("tape", "plan"):
            if getattr(self, name):
                getattr(self.lib, f"lacuna_{name}_destroy")(getattr(self, name))


def time_step(lib, context, cuda, words):
    *shape, regime, blocks, steps, repeats, training = map(int, words)
    runs = Runs(lib, context, cuda, Shape(*shape), Way(regime, blocks), 2 * steps, training)
    try:
        short, long = [], []
        for turn in range(-1, repeats):
            samples = runs.seconds(steps), runs.seconds(2 * steps)
            if turn >= 0:  # the first warms up
                short.append(samples[0])
                long.append(samples[1])
        slope = (statistics.median(long) - statistics.median(short)) / steps
        return {"us": 1e6 * slope, "run_us": 1e6 * statistics.median(long)}
    finally:
        runs.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    lib = abi.load(options.library)
    cuda = options.device == "cuda"
    how = abi.ContextOptions(backend=abi.BACKEND_CUDA if cuda else abi.BACKEND_CPU, threads=1)
    context = abi.create(lib.lacuna_context_create, ref(how))
    random.seed(2012)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            break
        try:
            reply = time_step(lib, context, cuda, SMALL if words[0] == "about" else words[1:])
        except Exception as error:  # the process may be spoilt: the driver starts another
            reply = {"broken": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
