"""Whether two contestants computed the same, and how far apart they may be.

Errors are the largest difference over a tensor, relative to the reference's root mean square.
"""

import math

import torch

UNIT_ROUNDOFF = {"f32": 2.0 ** -24, "tf32": 2.0 ** -11, "f16": 2.0 ** -11, "bf16": 2.0 ** -8}


def difference(expected, found):
    """Not a number where either has one, infinite where the tensor is missing or misshapen."""
    if found is None or found.shape != expected.shape:
        return math.inf
    expected, found = expected.double(), found.double()
    scale = expected.square().mean().sqrt()
    worst = (found - expected).abs().max()  # max passes a NaN on
    return 0.0 if worst == 0 else float(worst / scale)


def compare(expected, found, tolerances):
    """(ok, tensor, its error over its tolerance) of the tensor that is worst off."""
    worst = ("", 0.0)
    for name, tensor in expected.items():
        share = difference(tensor, found.get(name)) / tolerances[name]
        if not share <= worst[1]:
            worst = (name, share)
        if math.isnan(share):
            break
    return worst[1] <= 1, *worst


def tolerances(case, reference, plain):
    """The most that a contestant may be off the fp64 reference, by tensor: twice the error of a plain
    loop in the case's own type, and never less than

    fp32: unit roundoff x log2 of the longest accumulation x the steps that mix errors. It bounds the
    long cases; in short, wide ones millions of long sums have worse outliers, hence the loop.
    tf32, 16 bits: what storing the result costs. The formula would pass 1 after some dozen steps.
    """
    kind = "tf32" if case.tf32 else case.type
    unit = UNIT_ROUNDOFF[kind]
    width = case.features * (2 if case.cell == "grud" else 1)
    mixing = unit * math.log2(case.tokens + width + case.hidden) * max(case.lengths)
    result = {}
    for name, tensor in reference.items():
        wide = tensor.double()
        storing = unit
        if wide.any():  # of one step d_weights_h is 0
            storing *= float(wide.abs().max() / wide.square().mean().sqrt())
        result[name] = max(2 * difference(tensor, plain[name]),
                           mixing if kind == "f32" else storing)
        if not 0 < result[name] < 1:
            raise AssertionError(f"no useful tolerance for {name}: {result[name]}")
    return result


def twice(bounds):
    """Between two contestants: each may be off by as much, in opposite directions."""
    return {name: 2 * bound for name, bound in bounds.items()}


def prove_comparer(good, bounds):
    """Plants wrong results, in every tensor, which must all be caught."""
    def must(expected, other, what):
        if compare(good, other, bounds)[0] != expected:
            raise AssertionError("the comparer is broken: it " + what)

    must(True, good, "rejects a result compared with itself")
    for name, tensor in good.items():
        wrong = tensor.double().clone()
        flat = wrong.view(-1)
        kept = flat[-1].clone()
        scale = tensor.double().square().mean().sqrt() if tensor.any() else 1
        for value, what in ((math.nan, "accepts a NaN"), (math.inf, "accepts an infinity"),
                            (kept + 2 * bounds[name] * scale, "accepts a wrong value")):
            flat[-1] = value
            must(False, {**good, name: wrong}, f"{what} in {name}")
        must(False, {k: v for k, v in good.items() if k != name}, f"does not miss {name}")
        must(False, {**good, name: torch.empty(0)}, f"accepts another shape of {name}")
