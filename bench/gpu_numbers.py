"""The arrays of a case of bench/gpu.py in plain Python, for a machine without PyTorch, and how far two of them differ.

Numbers are drawn for a block of prime length, which is repeated: an array of millions costs no more than its copy, and no
row of it is like another."""

import array
import math
import operator
import random
import struct

from gpu_layers import GATES

BLOCK = 65537
LOOKED_AT = 2 ** 20  # numbers of an array that are compared, evenly spread; whether all are numbers is seen by their sum
UNIT_ROUNDOFF = {"f32": 2.0 ** -24, "tf32": 2.0 ** -11, "f16": 2.0 ** -11, "bf16": 2.0 ** -8}
SIZE = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2, "u8": 1}
PLAIN = {"f64": "d", "f32": "f", "u8": "B"}


def packed(kind, values):
    """Bytes of these numbers, rounded to nearest."""
    if kind in PLAIN:
        return array.array(PLAIN[kind], values).tobytes()
    if kind == "f16":
        return struct.pack(f"{len(values)}e", *values)
    bits = array.array("I", packed("f32", values))
    return array.array("H", [0x7fc0 if one & 0x7fffffff > 0x7f800000 else (one + 0x7fff + (one >> 16 & 1)) >> 16
                             for one in bits]).tobytes()


def unpacked(kind, data):
    if kind in PLAIN:
        return array.array(PLAIN[kind], data)
    if kind == "f16":
        return struct.unpack(f"{len(data) // 2}e", data)
    wide = bytearray(2 * len(data))
    wide[2::4], wide[3::4] = data[::2], data[1::2]
    return array.array("f", bytes(wide))


class Numbers:
    """`count` numbers: a block, again and again."""

    def __init__(self, count, block):
        self.count, self.block = count, block

    def bytes(self, kind, count=None):
        """Of the first so many, or of all."""
        count = self.count if count is None else count
        whole, rest = divmod(count, len(self.block))
        one = packed(kind, self.block)
        return one * whole + one[:rest * SIZE[kind]]

    def moved(self, unit, generator):
        """Each by as much as a rounding can move it, up or down."""
        return Numbers(self.count, [one * (1 + unit * generator.choice((-1, 1))) for one in self.block])


def make_numbers(case, parameters):
    """{name: Numbers} of what a case gives to a layer, each one that the case's type can hold. `parameters`:
    {name: number of elements}."""
    generator, bound = random.Random(20120), case.hidden ** -0.5
    ranges = {"impute_weight": (0.01, 1), "impute_bias": (0.01, 0.1), "x_mean": (-0.5, 0.5),
              "evolve_weight": (0.001, 0.1 * bound), "evolve_bias": (0.01, 0.1)}  # no kink of max(0, .) is near

    def drawn(count, low, high):
        block = [low + (high - low) * generator.random() for _ in range(min(count, BLOCK))]
        return Numbers(count, list(unpacked(case.type, packed(case.type, block))))

    tokens, width = case.tokens, case.features
    numbers = {"values": drawn(tokens * width, -1.7, 1.7), "d_hidden": drawn(tokens * case.hidden, -1, 1)}
    for name, count in parameters.items():
        numbers[name] = drawn(count, *ranges.get(name, (-bound, bound)))
    if case.cell == "grud":
        measured = [int(generator.random() * 100 >= case.missing) for _ in numbers["values"].block]
        numbers["mask"] = Numbers(tokens * width, measured)
        numbers["values"].block = [one if there else math.nan for one, there in zip(numbers["values"].block, measured)]
        gaps = [generator.expovariate(1) for _ in range(tokens)]
        for first in case.offsets[:-1]:
            gaps[first] = 0.0
        numbers["delta_t"] = Numbers(tokens, list(unpacked("f32", packed("f32", gaps))))
    return numbers


def root_mean_square(values):
    return math.sqrt(sum(map(operator.mul, values, values)) / len(values))


def difference(expected, found):
    """The largest one, of the root mean square of what is expected; infinite where a number is none or is missing."""
    if found is None or len(found) != len(expected) or not math.isfinite(sum(found)):
        return math.inf
    every = len(expected) // LOOKED_AT | 1
    expected, found = expected[::every], found[::every]
    worst = max(map(abs, map(operator.sub, expected, found)))
    return worst / (root_mean_square(expected) or 1) if worst else 0.0


def bounds(case, truth, moved):
    """How far a contestant may be off, by tensor: four times what it makes of the results that every weight and value
    moves by a roundoff of the case's type; and never less than

    fp32: twice unit roundoff x log2 of the longest accumulation x the steps that mix errors, as on the CPU.
    tf32, 16 bits: what storing the result costs.
    """
    kind = "tf32" if case.tf32 else case.type
    unit, width = UNIT_ROUNDOFF[kind], case.features * (2 if case.cell == "grud" else 1)
    result = {}
    for name, values in truth.items():
        least = 2 * unit * math.log2(case.tokens + width + case.hidden) * max(case.lengths)
        if kind != "f32":
            values = values[::len(values) // LOOKED_AT | 1]
            mean = root_mean_square(values)
            least = unit * max(map(abs, values)) / mean if mean else unit
        result[name] = max(4 * difference(truth[name], moved[name]), least)
        if not 0 < result[name] < 1:
            raise AssertionError(f"no useful tolerance for {name}: {result[name]}")
    return result


def compare(expected, found, allowed):
    """(ok, tensor, its error over what is allowed) of the tensor that is worst off."""
    worst = max(((difference(values, found.get(name)) / allowed[name], name) for name, values in expected.items()))
    return worst[0] <= 1, worst[1], worst[0]


def prove_comparer():
    """Plants wrong results, which must all be caught."""
    good = {"hidden": array.array("d", [math.sin(k) for k in range(1000)])}
    allowed = {"hidden": 1e-3}

    def ok(other):
        return compare(good, {"hidden": other}, allowed)[0]

    def planted(value):
        wrong = good["hidden"][:]
        wrong[-1] = value
        return wrong

    last = good["hidden"][-1]
    if not (ok(good["hidden"]) and ok(planted(last + 5e-4))):
        raise AssertionError("the comparer is broken: it rejects what is right")
    if any(map(ok, (None, good["hidden"][:-1], *map(planted, (math.nan, math.inf, -math.inf, last + 2e-3))))):
        raise AssertionError("the comparer is broken: it accepts what is wrong")


def operations(case, tokens, backward):
    """Of the products of so many tokens."""
    width = case.features * (2 if case.cell == "grud" else 1)
    return 2 * GATES[case.cell] * case.hidden * (case.hidden + width) * tokens * (3 if backward else 1)
