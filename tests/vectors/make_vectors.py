#!/usr/bin/env python3
"""Writes pytorch.txt: outputs and gradients of PyTorch's own recurrent modules, in double; with
--projected those of nn.LSTM with a proj_size, pytorch_projected.txt.

The oracle and the library are checked against this file, so that a machine without PyTorch can
run the check. Run it where `import torch` works:

    python3 tests/vectors/make_vectors.py > tests/vectors/pytorch.txt
    python3 tests/vectors/make_vectors.py --projected > tests/vectors/pytorch_projected.txt

Format, one record a line, words separated by blanks, '#' starts a comment:

    made_with WORD...           versions
    case NAME MODULE            MODULE: lstm, gru, rnn_tanh or rnn_relu; begins a case
    sizes B D H                 sequences, features, hidden units
    projection P                nn.LSTM's proj_size, where there is one: then h is P wide
    offsets B+1 integers        sequence b owns tokens offsets[b] .. offsets[b+1]-1
    directions 1|2              2: bidirectional; then h rows are [forward, reverse], 2H wide
    tensor NAME DIMS = VALUES   row-major; DIMS like 12x3; values read back to the same double
    end                         ends the case

Tensors are token-major and ragged: x and d_x [N,D], y and weight_y [N,directions*R], R = P or H; h0, h_n
[directions,B,R] (lstm: c0, c_n [directions,B,H]) and their d_ and weight_; parameters under PyTorch's own names
(weight_ih_l0, ..., the reverse direction's ending in _reverse) and their gradients d_<name>.

The loss is sum(weight_y * y) + sum(weight_h_n * h_n) (+ sum(weight_c_n * c_n)), so weight_y is the
gradient that arrives at y, and so on.
"""

import sys

import torch

SEED = 20240229

# (name, lengths, D, H, bidirectional). Packed sequences of PyTorch have no length 0.
SHAPES = [
    ("dense", [4, 4, 4], 3, 5, False),
    ("ragged", [5, 1, 3, 7, 2], 4, 3, False),
    ("bidirectional", [2, 6, 1, 4], 2, 4, True),
    ("long", [61, 17], 1, 2, False),
]
# (shape, P)
PROJECTED = [
    (("dense", [4, 4, 4], 3, 5, False), 2),
    (("ragged", [5, 1, 3, 7, 2], 4, 3, False), 1),
    (("bidirectional", [2, 6, 1, 4], 2, 4, True), 3),
    (("long", [61, 17], 1, 3, False), 2),
]
MODULES = {
    "lstm": lambda d, h, two: torch.nn.LSTM(d, h, bidirectional=two),
    "gru": lambda d, h, two: torch.nn.GRU(d, h, bidirectional=two),
    "rnn_tanh": lambda d, h, two: torch.nn.RNN(d, h, nonlinearity="tanh", bidirectional=two),
    "rnn_relu": lambda d, h, two: torch.nn.RNN(d, h, nonlinearity="relu", bidirectional=two),
}


def write(*words):
    print(*words)


def write_tensor(name, tensor):
    dims = "x".join(str(size) for size in tensor.shape)
    # repr of a Python float is the shortest text that reads back to the same double.
    write("tensor", name, dims, "=", *(repr(value) for value in tensor.detach().flatten().tolist()))


def run(module, kind, rows, lengths, state):
    """y [N, directions*H] token-major, and the final states."""
    padded = torch.nn.utils.rnn.pad_sequence(rows)
    packed = torch.nn.utils.rnn.pack_padded_sequence(padded, lengths, enforce_sorted=False)
    output, final = module(packed, state if kind == "lstm" else state[0])
    output, _ = torch.nn.utils.rnn.pad_packed_sequence(output)
    y = torch.cat([output[:length, b] for b, length in enumerate(lengths)])
    return y, final if kind == "lstm" else (final,)


def write_case(shape, kind, projection=0):
    name, lengths, features, hidden, two = shape
    if projection:
        name += "_projected"
        module = torch.nn.LSTM(features, hidden, bidirectional=two, proj_size=projection).double()
    else:
        module = MODULES[kind](features, hidden, two).double()
    directions = 2 if two else 1
    rows = [torch.randn(length, features).double().requires_grad_() for length in lengths]
    widths = [projection or hidden] + ([hidden] if kind == "lstm" else [])
    state = [torch.randn(directions, len(lengths), width).double().mul(0.5).requires_grad_()
             for width in widths]
    y, final = run(module, kind, rows, lengths, state)
    weight_y = torch.randn(y.shape).double()
    weight_final = [torch.randn(f.shape).double() for f in final]
    loss = (weight_y * y).sum() + sum((w * f).sum() for w, f in zip(weight_final, final))
    loss.backward()

    write("case", f"{kind}_{name}", kind)
    write("sizes", len(lengths), features, hidden)
    if projection:
        write("projection", projection)
    offsets = [0]
    for length in lengths:
        offsets.append(offsets[-1] + length)
    write("offsets", *offsets)
    write("directions", directions)
    write_tensor("x", torch.cat(rows))
    write_tensor("d_x", torch.cat([row.grad for row in rows]))
    write_tensor("y", y)
    write_tensor("weight_y", weight_y)
    for letter, initial, last, weight in zip("hc", state, final, weight_final):
        write_tensor(f"{letter}0", initial)
        write_tensor(f"d_{letter}0", initial.grad)
        write_tensor(f"{letter}_n", last)
        write_tensor(f"weight_{letter}_n", weight)
    for parameter_name, parameter in module.named_parameters():
        write_tensor(parameter_name, parameter)
        write_tensor(f"d_{parameter_name}", parameter.grad)
    write("end")


def main():
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    write("# Made by make_vectors.py, which describes the format. Do not edit.")
    write("made_with", f"torch-{torch.__version__}", f"seed-{SEED}")
    if "--projected" in sys.argv[1:]:
        for shape, projection in PROJECTED:
            write_case(shape, "lstm", projection)
        return 0
    for kind in MODULES:
        for shape in SHAPES:
            write_case(shape, kind)
    return 0


if __name__ == "__main__":
    sys.exit(main())
