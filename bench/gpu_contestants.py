"""Who takes part in bench/gpu.py: Lacuna through its C ABI, and PyTorch. All have step(), collect(),
written() and bytes(); inputs and parameters are the same numbers, already rounded to the case's type."""

import ctypes
import gc

import lacuna_abi as abi
import torch
from gpu_cases import halved
from gpu_layers import GATES, GRADIENTS, explained, layer_of, plan_options
from peers_torch import GruDHoisted, GruDLoop, Inputs, Module, Peer, padded_rows
from torch.nn.functional import linear

REAL = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def make_inputs(case):
    """On the CPU in fp32, every value one that the case's type can hold."""
    generator = torch.Generator().manual_seed(20120)

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(*shape, generator=generator)

    tokens, width, hidden, grud = case.tokens, case.features, case.hidden, case.cell == "grud"
    stacked, bound = hidden * GATES[case.cell], hidden ** -0.5
    tensors = {
        "values": uniform(-1.7, 1.7, tokens, width),  # of variance 1
        "d_hidden": uniform(-1, 1, tokens, hidden),
        "weights_x": uniform(-bound, bound, stacked, width * (2 if grud else 1)),
        "weights_h": uniform(-bound, bound, stacked, hidden),
        "bias": uniform(-bound, bound, stacked),
    }
    if case.cell == "gru":
        tensors["bias_hn"] = uniform(-bound, bound, hidden)
    tensors = {name: tensor.to(REAL[case.type]).float() for name, tensor in tensors.items()}
    if grud:
        tensors["delta_t"] = -torch.log1p(-uniform(0, 1, tokens))
        tensors["delta_t"][torch.tensor(case.offsets[:-1])] = 0
        mask = (uniform(0, 100, tokens, width) >= case.missing).float()
        tensors["mask"], tensors["delta"] = mask, torch.zeros(tokens, width)
        for begin, end in zip(case.offsets, case.offsets[1:]):
            for s in range(begin + 1, end):
                since = (1 - mask[s - 1]) * tensors["delta"][s - 1]
                tensors["delta"][s] = tensors["delta_t"][s] + since
        tensors["values"][mask == 0] = float("nan")
        # All positive: at the kink of max(0, .) two correct gradients may differ.
        tensors["x_mean"] = uniform(-0.5, 0.5, width)
        tensors["impute_weight"] = uniform(0.01, 1, width)
        tensors["impute_bias"] = uniform(0.01, 0.1, width)
        tensors["evolve_weight"] = uniform(0.001, 0.1 * bound, hidden, width)
        tensors["evolve_bias"] = uniform(0.01, 0.1, hidden)
    return Inputs(offsets=case.offsets, tensors=tensors)


def converted(inputs, device, real):
    return Inputs(offsets=inputs.offsets,
                  tensors={name: tensor.to(device, real) for name, tensor in inputs.tensors.items()})


class Lacuna:
    def __init__(self, library, case, inputs, device, lengths_on_device=False):
        self.lib, self.device = library, device
        real, cuda = REAL[case.type], device.type == "cuda"
        grud = case.cell == "grud"
        layer, how = layer_of(case), plan_options(case)
        self.context = self.plan = self.tape = None
        options = abi.ContextOptions(backend=abi.BACKEND_CUDA if cuda else abi.BACKEND_CPU,
                                     threads=torch.get_num_threads(), device=device.index or 0)
        self.context = abi.create(library.lacuna_context_create, ctypes.byref(options))
        self.forward_only = case.forward
        capacity = abi.Capacity(case.tokens, len(case.lengths), max(case.lengths))
        self.plan = abi.create(library.lacuna_plan_create, self.context, ctypes.byref(layer),
                               ctypes.byref(capacity), ctypes.byref(how))
        if not case.forward:
            self.tape = abi.create(library.lacuna_tape_create, self.plan, None, 0)

        # Whatever a pointer is taken of stays referenced here.
        self.inputs = {"values": inputs["values"].to(device, real),
                       "d_hidden": inputs["d_hidden"].to(device, real)}
        self.batch = abi.Batch(sequences=len(case.lengths), tokens=case.tokens,
                               values=self.inputs["values"].data_ptr())
        if grud:  # the time since each feature was measured is Lacuna's own
            self.inputs["mask"] = inputs["mask"].to(device, torch.uint8)
            self.inputs["delta_t"] = inputs["delta_t"].to(device)
            self.batch.mask = self.inputs["mask"].data_ptr()
            self.batch.delta_t = self.inputs["delta_t"].data_ptr()
        self.inputs["offsets"] = torch.tensor(inputs.offsets, dtype=torch.int64,
                                              device=device if lengths_on_device else "cpu")
        self.batch.offsets = self.inputs["offsets"].data_ptr()
        self.batch.offsets_on_device = int(lengths_on_device)

        self.results = {"hidden": torch.empty(case.tokens, case.hidden, dtype=real, device=device)}
        self.outputs = abi.Outputs(hidden=self.results["hidden"].data_ptr())
        self.parameters = abi.Parameters()
        for kind, name in enumerate(abi.PARAMETERS):
            if name in inputs:
                self.inputs[name] = inputs[name].to(device).contiguous()
                self.parameters.tensor[kind] = self.inputs[name].data_ptr()
        if not case.forward:
            self.make_gradients(case, inputs, real)

    def make_gradients(self, case, inputs, real):
        self.results["d_values"] = torch.empty(case.tokens, case.features, dtype=real, device=self.device)
        self.d_outputs = abi.OutputGradients(d_hidden=self.inputs["d_hidden"].data_ptr())
        self.d_inputs = abi.InputGradients(d_values=self.results["d_values"].data_ptr())
        self.d_parameters = abi.Parameters()
        wanted = [name for name in GRADIENTS if name in inputs]
        # One array of all gradients, each on 64 bytes, because every step sets them to zero.
        sizes = [(inputs[name].numel() + 15) // 16 * 16 for name in wanted]
        self.gradients = torch.empty(sum(sizes), device=self.device)
        for name, part in zip(wanted, self.gradients.split(sizes)):
            gradient = part[:inputs[name].numel()].reshape(inputs[name].shape)
            self.results["d_" + name] = gradient
            self.d_parameters.tensor[abi.PARAMETERS.index(name)] = gradient.data_ptr()

    def step(self):
        cuda = self.device.type == "cuda"
        stream = torch.cuda.current_stream().cuda_stream if cuda else None
        ref = ctypes.byref
        if not self.forward_only:
            self.gradients.zero_()  # Lacuna adds to them; the peers' step begins without any
        self.lib.lacuna_forward(self.plan, ref(self.parameters), ref(self.batch), ref(self.outputs),
                                self.tape, stream)
        if self.forward_only:
            return
        self.lib.lacuna_backward(self.plan, ref(self.parameters), ref(self.batch),
                                 ref(self.d_outputs), self.tape, ref(self.d_parameters),
                                 ref(self.d_inputs), stream)

    def collect(self):
        return dict(self.results)

    def written(self):
        if self.forward_only:
            return [self.results["hidden"]]
        return [self.results["hidden"], self.results["d_values"], self.gradients]

    def query(self):
        info = abi.ContextInfo()
        self.lib.lacuna_context_query(self.context, ctypes.byref(info))
        return info

    def explain(self):
        return explained(self.lib, self.plan)

    def peak_bytes(self):
        """Workspace, tape, outputs and gradients: a step takes nothing else."""
        before = self.query().allocations
        self.step()
        if self.query().allocations != before:
            raise abi.LacunaError("a run called the allocator")
        return self.query().bytes_peak + sum(t.numel() * t.element_size() for t in self.written())

    def close(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        for name in ("tape", "plan", "context"):
            handle = getattr(self, name)
            setattr(self, name, None)
            if handle:
                getattr(self.lib, f"lacuna_{name}_destroy")(handle)


def first_steps(tensor, case, half):
    """Of each sequence's tokens those that a run over fewer steps has."""
    steps = max(half.lengths)
    return tensor.reshape(len(case.lengths), -1, tensor.shape[-1])[:, :steps].reshape(-1, tensor.shape[-1])


def first_half(inputs, case, half):
    tokens = {name: first_steps(inputs[name], case, half) for name in ("values", "d_hidden")}
    return Inputs(offsets=half.offsets, tensors={**inputs.tensors, **tokens})


class PlainLoop(Peer):
    """LSTM, GRU and RNN token by token from the textbook, computed in the type of its inputs: in fp64 the
    reference, in 16 bits the yardstick of what that type can do. Parameters of 16 bits are held in
    fp32, so that their gradients are summed over the steps in fp32, as everyone else does."""

    def __init__(self, cell, inputs):
        super().__init__(inputs)
        self.cell, self.hidden = cell, inputs["weights_h"].shape[1]
        self.rows = padded_rows(inputs)
        self.values, self.d_output = self.leaf("values", self.pad("values")), self.pad("d_hidden")
        for name in ("weights_x", "weights_h", "bias", "bias_hn"):
            if name in inputs:
                held = torch.promote_types(inputs[name].dtype, torch.float32)
                self.leaf(name, inputs[name].to(held))

    def forward(self):
        p, real = self.leaves, self.values.dtype
        h = c = self.values.new_zeros(self.values.shape[1], self.hidden)
        outputs = []
        for from_x in linear(self.values, p["weights_x"].to(real), p["bias"].to(real)).unbind(0):
            from_h = linear(h, p["weights_h"].to(real))
            if self.cell == "lstm":
                i, f, g, o = (from_x + from_h).chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
            elif self.cell == "rnn":
                h = torch.tanh(from_x + from_h)
            else:
                (xr, xz, xn), (hr, hz, hn) = from_x.chunk(3, 1), from_h.chunk(3, 1)
                r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
                h = torch.lerp(torch.tanh(xn + r * (hn + p["bias_hn"].to(real))), h, z)
            outputs.append(h)
        return torch.stack(outputs)


class Torch:
    """One of PyTorch's ways, with what the benchmark asks of a contestant."""

    def __init__(self, peer, forward_only=False):
        self.peer = peer
        self.step, self.collect = peer.step, peer.collect
        if forward_only:
            self.step, self.collect = self.forward, self.hidden
            if hasattr(peer, "net"):
                peer.net.eval()  # what only a backward run needs is not kept

    def forward(self):
        with torch.no_grad():
            self.peer.output = self.peer.forward()

    def hidden(self):
        return {"hidden": self.peer.tokens(self.peer.output)}

    def written(self):
        grads = [leaf.grad for leaf in self.peer.leaves.values() if leaf.grad is not None]
        return [self.peer.output.detach()] + grads

    def forget(self):
        """Drops the last step's outputs and gradients."""
        self.peer.output = None
        for leaf in self.peer.leaves.values():
            leaf.grad = None

    def peak_bytes(self):
        """What a step adds to inputs and parameters; None on the CPU, where nobody counts."""
        self.forget()
        if not self.peer.d_output.is_cuda:
            return None
        torch.cuda.synchronize()
        gc.collect()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        self.step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    def close(self):
        self.forget()


def loop(case, inputs, device, real):
    """The results of a loop that shares nothing with Lacuna or cuDNN, computed in the type `real`."""
    inputs = converted(inputs, device, real)
    one = Torch(GruDLoop(inputs) if case.cell == "grud" else PlainLoop(case.cell, inputs), case.forward)
    one.step()
    return one.collect()


def reference(case, inputs, device):
    return loop(case, inputs, device, torch.float64)


def plain(case, inputs, device):
    return loop(case, inputs, device, REAL[case.type])


# name: (may be captured in a CUDA graph, needs a GPU, maker)
def contestants(case, library, inputs, device):
    def lacuna(**how):
        return lambda: Lacuna(library, case, inputs, device, **how)

    def peer(cls, *first, **how):
        return lambda: Torch(cls(*first, converted(inputs, device, REAL[case.type]), **how), case.forward)

    result, half = {"lacuna": (True, False, lacuna())}, halved(case)
    if half:  # the same over half the steps, for what a further step takes
        result["lacuna_half"] = (True, False, lambda: Lacuna(library, half, first_half(inputs, case, half), device))
    if case.ragged:
        result["lacuna_device_lengths"] = (True, True, lacuna(lengths_on_device=True))
    if case.cell == "grud":
        result["torch_loop"] = (False, False, peer(GruDLoop))
        result["torch_loop_graph"] = (True, True, peer(GruDLoop))
        result["torch_hoisted_graph"] = (True, True, peer(GruDHoisted))
        if device.type == "cpu":
            result["torch_hoisted"] = (False, False, peer(GruDHoisted))
        return result
    if case.ragged:
        result["torch_packed"] = (True, False, peer(Module, case.cell, packed=True))
        result["torch_padded"] = (True, False, peer(Module, case.cell))
    else:
        result["torch"] = (True, False, peer(Module, case.cell))
    return result
