"""The process of bench/tune.py that runs plans. One command per line in, one line of JSON out:
  time CELL TYPE PRECISION HIDDEN SEQUENCES REGIME BLOCKS STEPS REPEATS TRAINING | about | quit
Microseconds of a time step: how much longer a run over 2 STEPS takes than one over STEPS, so that packing of
weights and all else that happens once cancel; and the samples of both, REPEATS or, where they lie far apart, up to four
times as many. `about` runs something small, with which CUDA loads what it needs.
Nothing is asked for whose size grows with the steps but the values.

--timed graph: arrays are the device's, a run is captured as a CUDA graph, and what counts is the device's time of a
replay. --timed eager: arrays are the host's, which every backend takes; a call then ends when its work has.

On the CPU backend layers are in fp32 and there is one way: the times stand in for others."""

import argparse
import array
import ctypes
import json
import random
import sys
import time

import cudart
import lacuna_abi as abi
from tune_model import Shape, Way
from tune_slope import CALM, MORE, slope, spread

REAL = {abi.F32: ("f", 4), abi.F16: ("H", 2), abi.BF16: ("H", 2)}
ONE_HALF = {abi.F32: 0.5, abi.F16: 0x3800, abi.BF16: 0x3f00}  # in the type's own bits
SMALL = (abi.LSTM, abi.F32, abi.PRECISION_DEFAULT, 16, 1, abi.REGIME_STEPWISE, 0, 10, 2, 0)
ref = ctypes.byref


class Array:
    """Numbers in the host's memory, aligned to 64 bytes."""

    def __init__(self, count, size):
        self.bytes = count * size
        self.held = ctypes.create_string_buffer(count * size + 64)
        self.address = (ctypes.addressof(self.held) + 63) // 64 * 64

    def fill(self, code, numbers):
        data = array.array(code, numbers).tobytes()
        ctypes.memmove(self.address, data, len(data))
        return self


class Eager:
    """Each run is a call, on arrays of the host."""

    name, stream = "eager", None

    def place(self, array):
        """The address at which a run finds what is in an array of the host."""
        return array.address

    def timer(self, run):
        """What returns the seconds of one run, each time it is called."""
        def seconds():
            began = time.perf_counter()
            run()
            return time.perf_counter() - began

        return seconds

    def close(self):
        pass


class Graphs:
    """Each run is captured once as a CUDA graph and replayed, on arrays of the device."""

    name = "graph"

    def __init__(self, cuda):
        self.cuda, self.stream, self.placed, self.captured = cuda, cuda.stream, [], []

    def place(self, array):
        self.placed.append(self.cuda.copied(array.address, array.bytes))
        return self.placed[-1]

    def timer(self, run):
        run()  # what is loaded or chosen at first cannot be captured
        self.cuda.wait()
        graph = self.cuda.capture(run)
        self.captured.append(graph)
        return lambda: self.cuda.seconds(graph)

    def close(self):
        self.cuda.wait()
        for graph in self.captured:
            self.cuda.destroy(graph)
        for there in self.placed:
            self.cuda.free(there)


class Runs:
    """A plan, and batches of one feature that it runs: all sequences of the same length."""

    def __init__(self, lib, context, backend, timed, shape, way, longest, training):
        self.lib, self.timed, self.shape, self.training = lib, timed, shape, training
        cuda = backend == abi.BACKEND_CUDA
        self.plan = self.tape = None
        self.held = []  # whatever a pointer is taken of
        kind = shape.type if cuda else abi.F32
        code, size = REAL[kind]
        layer = abi.Layer(cell=shape.cell, type=kind, features=1, hidden=shape.hidden)
        count, info = ctypes.c_int64(), abi.ParameterInfo()
        lib.lacuna_layer_parameter_count(ref(layer), ref(count))
        weights = Array(count.value, 4)
        lib.lacuna_layer_initialize(ref(layer), 1, weights.address)
        self.parameters, self.d_parameters = abi.Parameters(), abi.Parameters()
        placed, d_placed = self.place(weights), self.place(Array(count.value, 4))
        for index in range(len(abi.PARAMETERS)):
            lib.lacuna_layer_parameter(ref(layer), index, ref(info))
            if info.rows * info.columns > 0:
                self.parameters.tensor[index] = placed + 4 * info.offset
                self.d_parameters.tensor[index] = d_placed + 4 * info.offset

        tokens = shape.sequences * longest
        half = ONE_HALF[kind]
        few = [half, half + half / 8] if code == "f" else [half, half + 16]
        self.values = self.place(Array(tokens, size).fill(code, random.choices(few, k=tokens)))
        states = shape.sequences * shape.hidden
        self.final = self.place(Array(states, size))
        self.d_final = self.place(Array(states, size).fill(code, [half] * states))
        plan = abi.PlanOptions(inference=int(not training))
        if cuda:
            plan.regime, plan.blocks, plan.precision = way.regime, way.blocks, shape.precision
        capacity = abi.Capacity(tokens, shape.sequences, longest)
        self.plan = abi.create(lib.lacuna_plan_create, context, ref(layer), ref(capacity), ref(plan))
        if training:
            self.tape = abi.create(lib.lacuna_tape_create, self.plan, None, 0)

    def place(self, array):
        self.held.append(array)
        return self.timed.place(array)

    def timer(self, steps):
        """What returns the seconds of a run over so many steps."""
        sequences = self.shape.sequences
        offsets = Array(sequences + 1, 8).fill("q", [b * steps for b in range(sequences + 1)])
        self.held.append(offsets)  # on the host: a plan then knows the lengths
        batch = abi.Batch(sequences=sequences, tokens=sequences * steps, offsets=offsets.address, values=self.values)
        outputs = abi.Outputs(final_hidden=self.final)
        d_outputs = abi.OutputGradients(d_final_hidden=self.d_final)

        def run():
            self.lib.lacuna_forward(self.plan, ref(self.parameters), ref(batch), ref(outputs), self.tape,
                                    self.timed.stream)
            if self.training:
                self.lib.lacuna_backward(self.plan, ref(self.parameters), ref(batch), ref(d_outputs),
                                         self.tape, ref(self.d_parameters), None, self.timed.stream)

        return self.timed.timer(run)

    def close(self):
        self.timed.close()
        for name in ("tape", "plan"):
            if getattr(self, name):
                getattr(self.lib, f"lacuna_{name}_destroy")(getattr(self, name))


def time_step(lib, context, backend, timed, words):
    *shape, regime, blocks, steps, repeats, training = map(int, words)
    runs = Runs(lib, context, backend, timed, Shape(*shape), Way(regime, blocks), 2 * steps, training)
    timers = runs.timer(steps), runs.timer(2 * steps)
    for seconds in timers:  # the first warms up
        seconds()
    short, long = [], []
    while len(short) < repeats or (len(short) < MORE * repeats and spread(short, long) > CALM):
        for seconds, samples in zip(timers, (short, long)):
            samples.append(round(1e6 * seconds(), 3))
    runs.close()  # not after an error, which costs the process
    return {"us": slope(short, long, steps), "steps": steps, "short_us": short, "long_us": long, "timed": timed.name}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--timed", choices=("graph", "eager"), default="graph")
    parser.add_argument("--cudart", help="a CUDA runtime; else one is looked for")
    options = parser.parse_args()
    lib = abi.load(options.library)
    backend = abi.BACKEND_CUDA if options.device == "cuda" else abi.BACKEND_CPU
    context = abi.create(lib.lacuna_context_create, ref(abi.ContextOptions(backend=backend, threads=1)))
    cuda = None
    random.seed(2012)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            break
        try:
            if options.timed == "graph" and cuda is None:
                cuda = cudart.Cuda(options.cudart)
            reply = time_step(lib, context, backend, Graphs(cuda) if cuda else Eager(),
                              SMALL if words[0] == "about" else words[1:])
        except Exception as error:  # the process may be spoilt: the driver starts another
            reply = {"broken": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
