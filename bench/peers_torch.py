"""PyTorch as a peer. On the CPU: one long-lived process that bench/cpu.py talks to. bench/gpu.py takes
the classes alone, with tensors of its own device and type.

One command per line in, one line of JSON out, as in worker.h:
  about | open CASE FILE | result WHO FILE | time WHO MILLISECONDS | memory WHO | quit
What it computes is compared with Lacuna's results by lacuna_bench before anything is timed. Each
peer gets what suits it best, prepared outside the timed step: time-major inputs, batches already
packed or padded, and for GRU-D the time since each feature was measured.
"""

import ctypes
import gc
import json
import os
import re
import sys
import time

import torch
from torch import nn
from torch.nn.functional import linear


def parse(case):
    """The parts of a case string that matter here."""
    cell = re.match(r"lstm|gru_reset_before|grud|gru", case).group()
    return cell, "_len" in case


def contestants(case):
    cell, ragged = parse(case)
    if cell == "grud":
        return ["torch_loop", "torch_hoisted"]
    if cell == "gru_reset_before":
        return []  # torch.nn has no such cell
    return ["torch_packed", "torch_padded"] if ragged else ["torch"]


class Inputs:
    """What lacuna_bench exported: tensors by name, token-major, and the sequences' offsets."""

    def __init__(self, path=None, offsets=None, tensors=None):
        self.offsets, self.tensors = offsets, tensors
        if path is not None:
            with open(path, "rb") as file:
                header = json.loads(file.readline())
                self.offsets, self.tensors = header["offsets"], {}
                for entry in header["tensors"]:
                    count = 1
                    for extent in entry["shape"]:
                        count *= extent
                    flat = torch.frombuffer(bytearray(file.read(4 * count)), dtype=torch.float32)
                    self.tensors[entry["name"]] = flat.reshape(entry["shape"])
        self.lengths = [b - a for a, b in zip(self.offsets, self.offsets[1:])]

    def __getitem__(self, name):
        return self.tensors[name]

    def __contains__(self, name):
        return name in self.tensors

    def first_tokens(self, count):
        """A batch of one short sequence with the same parameters, to warm up on."""
        count = min(count, self.lengths[0])
        per_token = ("values", "d_hidden", "delta_t", "delta", "mask")
        tensors = {k: v[:count] if k in per_token else v for k, v in self.tensors.items()}
        return Inputs(offsets=[0, count], tensors=tensors)


def packed_rows(inputs):
    """Which token stands where in a PackedSequence: longest sequence first, time-major."""
    order = sorted(range(len(inputs.lengths)), key=lambda b: -inputs.lengths[b])
    rows, sizes = [], []
    for t in range(max(inputs.lengths)):
        active = [inputs.offsets[b] + t for b in order if inputs.lengths[b] > t]
        rows += active
        sizes.append(len(active))
    return torch.tensor(rows), torch.tensor(sizes)


def padded_rows(inputs):
    """For each token its place in a padded, time-major batch, counted in rows."""
    batch = len(inputs.lengths)
    return torch.tensor([t * batch + b for b, length in enumerate(inputs.lengths)
                         for t in range(length)])


class Peer:
    """Leaves hold every tensor that needs a gradient; `forward` returns what d_hidden meets."""

    def __init__(self, inputs):
        self.inputs = inputs
        self.leaves = {}

    def pad(self, name):
        """[N, width] as [T, B, width], zero where there is no token."""
        steps, batch = max(self.inputs.lengths), len(self.inputs.lengths)
        padded = self.inputs[name].new_zeros(steps * batch, self.inputs[name].shape[1])
        padded[self.rows] = torch.nan_to_num(self.inputs[name])
        return padded.reshape(steps, batch, -1)

    def leaf(self, name, tensor):
        self.leaves[name] = tensor.detach().clone().requires_grad_()
        return self.leaves[name]

    def step(self):
        for leaf in self.leaves.values():
            leaf.grad = None
        self.output = self.forward()
        self.output.backward(self.d_output)

    def tokens(self, tensor):
        """Back to token-major order."""
        return tensor.detach().reshape(-1, tensor.shape[-1])[self.rows]

    def results(self):
        self.step()
        return self.collect()

    def collect(self):
        """What the last step computed, under Lacuna's names."""
        results = {"hidden": self.tokens(self.output), "d_values": self.tokens(self.values.grad)}
        for name, leaf in self.leaves.items():
            if name != "values":
                results["d_" + name] = leaf.grad
        return results


class Module(Peer):
    """nn.LSTM, nn.GRU or nn.RNN, on a batch that is dense or padded, or on a PackedSequence."""

    def __init__(self, cell, inputs, packed=False):
        super().__init__(inputs)
        features, hidden = inputs["values"].shape[1], inputs["weights_h"].shape[1]
        kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell]
        self.net = kind(features, hidden).to(inputs["values"])
        with torch.no_grad():
            self.net.weight_ih_l0.copy_(inputs["weights_x"])
            self.net.weight_hh_l0.copy_(inputs["weights_h"])
            self.net.bias_ih_l0.copy_(inputs["bias"])
            self.net.bias_hh_l0.zero_()
            if "bias_hn" in inputs:
                self.net.bias_hh_l0[2 * hidden:] = inputs["bias_hn"]
        self.leaves = dict(self.net.named_parameters())
        if packed:
            order, self.sizes = packed_rows(inputs)
            self.rows = torch.argsort(order)
            self.values = self.leaf("values", inputs["values"][order])
            self.d_output = inputs["d_hidden"][order]
        else:
            self.sizes, self.rows = None, padded_rows(inputs)
            self.values = self.leaf("values", self.pad("values"))
            self.d_output = self.pad("d_hidden")

    def forward(self):
        if self.sizes is None:
            return self.net(self.values)[0]
        return self.net(nn.utils.rnn.PackedSequence(self.values, self.sizes))[0].data

    def collect(self):
        results = super().collect()
        hidden = self.net.hidden_size
        for name, ours in (("weight_ih_l0", "weights_x"), ("weight_hh_l0", "weights_h"),
                           ("bias_ih_l0", "bias"), ("bias_hh_l0", "bias_hn")):
            results["d_" + ours] = results.pop("d_" + name)
        d_bias_hn = results.pop("d_bias_hn")
        if "bias_hn" in self.inputs:
            results["d_bias_hn"] = d_bias_hn[2 * hidden:]
        return results


class GruD(Peer):
    """GRU-D, padded, with its parameters as leaves and all gradients that Lacuna computes."""

    def __init__(self, inputs):
        super().__init__(inputs)
        self.rows = padded_rows(inputs)
        self.values = self.leaf("values", self.pad("values"))
        self.measured = self.pad("mask")
        self.mask = self.measured.bool()
        self.delta = self.pad("delta")
        self.d_output = self.pad("d_hidden")
        self.x_mean = inputs["x_mean"]
        self.hidden = inputs["weights_h"].shape[1]
        for name in ("impute_weight", "impute_bias", "evolve_weight", "evolve_bias"):
            self.leaf(name, inputs[name])

    def start(self):
        return self.values.new_zeros(self.values.shape[1], self.hidden)


class GruDLoop(GruD):
    """As people write it: every token computes its decays, its imputation and its three gates."""

    def __init__(self, inputs):
        super().__init__(inputs)
        both = torch.cat([inputs["weights_x"], inputs["weights_h"]], 1)
        for gate, weights, bias in zip("rzn", both.chunk(3), inputs["bias"].chunk(3)):
            self.leaf("weights_" + gate, weights)
            self.leaf("bias_" + gate, bias)

    def forward(self):
        p = self.leaves
        h = self.start()
        x_last = self.x_mean.expand(self.values.shape[1:])
        outputs = []
        tokens = (self.values, self.mask, self.measured, self.delta)
        for x, mask, measured, delta in zip(*(tensor.unbind(0) for tensor in tokens)):
            gamma_x = torch.exp(-torch.relu(p["impute_weight"] * delta + p["impute_bias"]))
            gamma_h = torch.exp(-torch.relu(linear(delta, p["evolve_weight"], p["evolve_bias"])))
            x_hat = torch.where(mask, x, gamma_x * x_last + (1 - gamma_x) * self.x_mean)
            x_last = torch.where(mask, x, x_last)
            h = gamma_h * h
            combined = torch.cat([x_hat, measured, h], 1)
            r = torch.sigmoid(linear(combined, p["weights_r"], p["bias_r"]))
            z = torch.sigmoid(linear(combined, p["weights_z"], p["bias_z"]))
            combined = torch.cat([x_hat, measured, r * h], 1)
            n = torch.tanh(linear(combined, p["weights_n"], p["bias_n"]))
            h = (1 - z) * n + z * h
            outputs.append(h)
        return torch.stack(outputs)

    def collect(self):
        results = super().collect()
        width = self.inputs["weights_x"].shape[1]
        both = torch.cat([results.pop("d_weights_" + gate) for gate in "rzn"])
        results["d_weights_x"], results["d_weights_h"] = both[:, :width], both[:, width:]
        results["d_bias"] = torch.cat([results.pop("d_bias_" + gate) for gate in "rzn"])
        return results


class GruDHoisted(GruD):
    """Carefully vectorised: decays, imputation and input products over all tokens at once, two
    products left in the loop, and no indexing whose backward would be quadratic in time."""

    def __init__(self, inputs):
        super().__init__(inputs)
        for name in ("weights_x", "weights_h", "bias"):
            self.leaf(name, inputs[name])
        steps = torch.arange(len(self.mask), device=self.mask.device).reshape(-1, 1, 1).expand(self.mask.shape)
        latest = torch.where(self.mask, steps, -1).cummax(0).values
        before = torch.cat([torch.full_like(latest[:1], -1), latest[:-1]])
        self.seen, self.last = before >= 0, before.clamp(min=0)

    def forward(self):
        p, hidden = self.leaves, self.hidden
        gamma_x = torch.exp(-torch.relu(p["impute_weight"] * self.delta + p["impute_bias"]))
        gamma_h = torch.exp(-torch.relu(linear(self.delta, p["evolve_weight"], p["evolve_bias"])))
        x_last = torch.where(self.seen, self.values.gather(0, self.last), self.x_mean)
        x_hat = torch.where(self.mask, self.values, torch.lerp(self.x_mean, x_last, gamma_x))
        products = linear(torch.cat([x_hat, self.measured], 2), p["weights_x"], p["bias"])
        for_gates, for_n = products.split([2 * hidden, hidden], 2)
        to_gates, to_n = p["weights_h"].split([2 * hidden, hidden])
        h = self.start()
        outputs = []
        for gamma, gates, n in zip(gamma_h.unbind(0), for_gates.unbind(0), for_n.unbind(0)):
            h = gamma * h
            r, z = torch.sigmoid(torch.addmm(gates, h, to_gates.t())).chunk(2, 1)
            n = torch.tanh(torch.addmm(n, r * h, to_n.t()))
            h = torch.lerp(n, h, z)
            outputs.append(h)
        return torch.stack(outputs)


def make_peer(who, case, inputs):
    cell, _ = parse(case)
    if who == "torch_loop":
        return GruDLoop(inputs)
    if who == "torch_hoisted":
        return GruDHoisted(inputs)
    return Module(cell, inputs, packed=who == "torch_packed")


def save(path, tensors):
    entries = [{"name": name, "shape": list(tensor.shape)} for name, tensor in tensors.items()]
    with open(path, "wb") as file:
        file.write((json.dumps({"offsets": [], "tensors": entries}) + "\n").encode())
        for tensor in tensors.values():
            flat = tensor.detach().contiguous()
            file.write(ctypes.string_at(flat.data_ptr(), 4 * flat.numel()))


def waited():
    """Nanoseconds that this process's threads were ready to run but had no core, so far."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/schedstat") as file:
                total += int(file.read().split()[1])
        except (OSError, IndexError):
            pass
    return total


def measure_time(peer, milliseconds):
    warm = time.perf_counter_ns()
    if milliseconds > 0:
        peer.step()
    budget = milliseconds * 1e6 - (time.perf_counter_ns() - warm)
    waited_before, start, steps = waited(), time.perf_counter_ns(), 0
    while True:
        peer.step()
        steps += 1
        elapsed = time.perf_counter_ns() - start
        if elapsed >= budget:
            return {"ns": elapsed / steps, "steps": steps,
                    "waited": (waited() - waited_before) / elapsed}


def status_bytes(key):
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    return 0


def measure_memory(who, case, inputs):
    """Resident memory that one step adds to the inputs and parameters; wants a fresh process."""
    make_peer(who, case, inputs.first_tokens(4)).step()
    peer = make_peer(who, case, inputs)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status_bytes("VmRSS:")
    peer.step()
    return {"peak": status_bytes("VmHWM:") - before}


class Worker:
    def __init__(self):
        self.case, self.inputs, self.peers = None, None, {}

    def peer(self, who):
        if who not in self.peers:
            self.peers[who] = make_peer(who, self.case, self.inputs)
        return self.peers[who]

    def answer(self, command, *words):
        if command == "about":
            return {"torch": torch.__version__, "torch_uses_onednn": torch.backends.mkldnn.is_available(),
                    "threads": torch.get_num_threads()}
        if command == "open":
            self.case, self.inputs, self.peers = words[0], Inputs(words[1]), {}
            return {"contestants": contestants(self.case)}
        if command == "result":
            save(words[1], self.peer(words[0]).results())
            return {}
        if command == "time":
            return measure_time(self.peer(words[0]), float(words[1]))
        if command == "memory":
            return measure_memory(words[0], self.case, self.inputs)
        raise ValueError("unknown command " + command)


def main():
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    worker = Worker()
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        try:
            reply = worker.answer(*line.split())
        except Exception as error:  # the driver reports it and goes on with the other peers
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
