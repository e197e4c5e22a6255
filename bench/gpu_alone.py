"""Lacuna alone, through its C ABI and the CUDA runtime: what takes part in bench/gpu.py where there is no PyTorch."""

import ctypes
import time

import lacuna_abi as abi
from gpu_layers import GRADIENTS, explained, layer_of, plan_options
from gpu_numbers import SIZE, unpacked

ref = ctypes.byref
NANS = 0xff  # every byte of one: not a number in any type


class Host:
    """Arrays in the host's memory, made of bytes; calls that end when their work has."""

    stream = None

    def __init__(self):
        self.held = {}  # address: what lies there

    def place(self, data):
        """The address of a copy, aligned to 64 bytes."""
        held = ctypes.create_string_buffer(len(data) + 64)
        address = (ctypes.addressof(held) + 63) // 64 * 64
        self.held[address] = held
        self.put(address, data)
        return address

    def put(self, address, data):
        ctypes.memmove(address, data, len(data))

    def fetch(self, address, count):
        return ctypes.string_at(address, count)

    def fill(self, address, byte, count):
        ctypes.memset(address, byte, count)

    def wait(self):
        pass

    def timed(self, run):
        """Seconds of it."""
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    def free(self):
        self.held.clear()


class Device:
    """Arrays of the device; calls are queued on a stream."""

    def __init__(self, cuda):
        self.cuda, self.stream, self.held = cuda, cuda.stream, []

    def place(self, data):
        self.held.append(self.cuda.copied(data, len(data)))
        return self.held[-1]

    def put(self, address, data):
        self.cuda.put(address, data, len(data))

    def fetch(self, address, count):
        data = ctypes.create_string_buffer(count)
        self.cuda.fetch(ctypes.addressof(data), address, count)
        return data.raw

    def fill(self, address, byte, count):
        self.cuda.fill(address, byte, count)

    def wait(self):
        self.cuda.wait()

    def timed(self, run):
        return self.cuda.seconds_of(run)

    def free(self):
        self.wait()
        for address in self.held:
            self.cuda.free(address)
        self.held.clear()


def parameters_of(lib, case):
    """{name: number of elements}"""
    layer, info, found = layer_of(case, "f32"), abi.ParameterInfo(), {}
    for index, name in enumerate(abi.PARAMETERS):
        lib.lacuna_layer_parameter(ref(layer), index, ref(info))
        if info.rows * info.columns > 0:
            found[name] = info.rows * info.columns
    return found


class Run:
    """A plan of a case, the arrays it takes and those it makes. `kind`: of the numbers, if not the case's.
    `step()` queues a training step, or a forward run; `results()` are those of the last one."""

    def __init__(self, lib, memory, case, numbers, backend, kind=None, threads=1, lengths_on_device=False):
        self.lib, self.memory, self.case, self.kind = lib, memory, case, kind or case.type
        self.wide = "f64" if self.kind == "f64" else "f32"
        self.plan = self.tape = None
        options = abi.ContextOptions(backend=backend, threads=threads)
        self.context = abi.create(lib.lacuna_context_create, ref(options))
        capacity = abi.Capacity(case.tokens, len(case.lengths), max(case.lengths))
        self.plan = abi.create(lib.lacuna_plan_create, self.context, ref(layer_of(case, self.kind)), ref(capacity),
                               ref(plan_options(case)))
        if not case.forward:
            self.tape = abi.create(lib.lacuna_tape_create, self.plan, None, 0)
        self.made = {}  # name: (address, number of elements, type)
        tokens, memory = case.tokens, self.memory
        self.batch = abi.Batch(sequences=len(case.lengths), tokens=tokens,
                               values=memory.place(numbers["values"].bytes(self.kind, tokens * case.features)))
        if "mask" in numbers:
            self.batch.mask = memory.place(numbers["mask"].bytes("u8", tokens * case.features))
            self.batch.delta_t = memory.place(numbers["delta_t"].bytes(self.wide, tokens))
        self.lengths = Host()
        place = memory.place if lengths_on_device else self.lengths.place
        self.batch.offsets = place(bytes((ctypes.c_int64 * (len(case.lengths) + 1))(*case.offsets)))
        self.batch.offsets_on_device = int(lengths_on_device)
        self.parameters, self.d_parameters = abi.Parameters(), abi.Parameters()
        for index, name in enumerate(abi.PARAMETERS):
            if name in numbers:
                self.parameters.tensor[index] = memory.place(numbers[name].bytes(self.wide))
        self.outputs = abi.Outputs(hidden=self.make("hidden", tokens * case.hidden, self.kind))
        if not case.forward:
            self.make_gradients(numbers)

    def make(self, name, count, kind):
        self.made[name] = self.memory.place(bytes(count * SIZE[kind])), count, kind
        return self.made[name][0]

    def make_gradients(self, numbers):
        case, size = self.case, SIZE[self.wide]
        self.d_hidden = self.memory.place(numbers["d_hidden"].bytes(self.kind, case.tokens * case.hidden))
        self.d_outputs = abi.OutputGradients(d_hidden=self.d_hidden)
        self.d_inputs = abi.InputGradients(d_values=self.make("d_values", case.tokens * case.features, self.kind))
        # One array of all gradients, each on 64 bytes, because every step sets them to zero.
        wanted = [name for name in GRADIENTS if name in numbers]
        places = [-(-numbers[name].count * size // 64) * 64 for name in wanted]
        self.gradients = self.memory.place(bytes(sum(places))), sum(places)
        for index, name in enumerate(wanted):
            address = self.gradients[0] + sum(places[:index])
            self.made["d_" + name] = address, numbers[name].count, self.wide
            self.d_parameters.tensor[abi.PARAMETERS.index(name)] = address

    def step(self):
        if not self.case.forward:
            self.memory.fill(self.gradients[0], 0, self.gradients[1])  # Lacuna adds to them
        self.lib.lacuna_forward(self.plan, ref(self.parameters), ref(self.batch), ref(self.outputs), self.tape,
                                self.memory.stream)
        if not self.case.forward:
            self.lib.lacuna_backward(self.plan, ref(self.parameters), ref(self.batch), ref(self.d_outputs), self.tape,
                                     ref(self.d_parameters), ref(self.d_inputs), self.memory.stream)

    def spoil(self):
        """Whatever a step writes is not a number before it."""
        for address, count, kind in self.made.values():
            self.memory.fill(address, NANS, count * SIZE[kind])

    def results(self):
        self.memory.wait()
        return {name: unpacked(kind, self.memory.fetch(address, count * SIZE[kind]))
                for name, (address, count, kind) in self.made.items()}

    def only_first(self, numbers, tokens):
        """Gradients come from so many first tokens alone, or from all again."""
        there = numbers["d_hidden"].bytes(self.kind, tokens * self.case.hidden)
        self.memory.put(self.d_hidden, there + bytes(self.case.tokens * self.case.hidden * SIZE[self.kind] - len(there)))

    def query(self):
        info = abi.ContextInfo()
        self.lib.lacuna_context_query(self.context, ref(info))
        return info

    def peak_bytes(self):
        """Workspace, tape, outputs and gradients: a step takes nothing else."""
        before = self.query().allocations
        self.step()
        if self.query().allocations != before:
            raise abi.LacunaError("a run called the allocator")
        return self.query().bytes_peak + sum(count * SIZE[kind] for _, count, kind in self.made.values())

    def explain(self):
        return explained(self.lib, self.plan)

    def close(self):
        self.memory.wait()
        for name in ("tape", "plan", "context"):
            if getattr(self, name):
                getattr(self.lib, f"lacuna_{name}_destroy")(getattr(self, name))
        self.memory.free()
