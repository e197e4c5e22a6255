"""The cases of bench/gpu.py. Case strings are those of the CPU benchmark, with tf32, f16 and bf16 added, the regime that
a plan is told to take, if it is, and forward where there is no backward run: lstm_f32_n64_t200_d41_h64_resident_forward.
"""

import math
import random
import re
import statistics
from dataclasses import dataclass, replace

SHAPES = ["n64_t200_d41_h64", "n128_t100_d76_h128", "n64_t100_d128_h256", "n16_t50_d512_h512",
          "n64_t25_d1024_h1024"]
RAGGED = ["n64_len50-200_d41_h64", "n128_len25-100_d76_h128"]
GRU_D = ["n256_lenphysionet2012_d37_h64_miss85", "n256_lenphysionet2012_d37_h128_miss85"]
QUICK = r"(lstm|gru)_\w+_n64_(t200|len50-200)_|(lstm|gru)_\w+_n64_t100_|grud_\w+_h64_"
# Without a GPU only that everything works is of interest; halves are CUDA's alone.
ON_CPU = ["lstm_f32_n8_t25_d41_h64", "gru_f32_n8_t25_d41_h64", "lstm_f32_n16_len5-20_d11_h32",
          "gru_f32_n16_len5-20_d11_h32", "grud_f32_n16_lenphysionet2012_d37_h64_miss85"]


# The training set of DeepBench (github.com/baidu-research/DeepBench, code/kernels/rnn_problems.h): cell, hidden
# units, batches, numbers of steps; its layers have as many inputs as units. Its "vanilla" cell, our rnn, has the
# rectifier, at whose kink two right gradients may differ; here it has tanh, which is as much work. Short ones first,
# so that a limit on the time cuts the long ones off. It times neither the product with the inputs nor the gradients
# of weights; here both are part of everybody's training step.
DEEPBENCH = [
    ("gru", 512, [32], [1]),
    ("lstm", 256, [16, 32, 64], [150]),
    ("lstm", 512, [16, 32, 64, 128], [25]),
    ("lstm", 1024, [16, 32, 64, 128], [25]),
    ("lstm", 1536, [8, 16, 32], [50]),
    ("rnn", 1760, [16, 32, 64, 128], [50]),
    ("rnn", 2048, [16, 32, 64, 128], [50]),
    ("rnn", 2560, [16, 32, 64, 128], [50]),
    ("lstm", 2048, [16, 32, 64, 128], [25]),
    ("lstm", 4096, [16, 32, 64, 128], [25]),
    ("gru", 1536, [32], [187, 375, 750, 1500]),
    ("gru", 2048, [32], [187, 375, 750, 1500]),
    ("gru", 2560, [32], [187, 375, 750, 1500]),
    ("gru", 2816, [32], [187, 375, 750]),
    ("gru", 1024, [32, 64], [1500]),
]
# The same in small, to try the program without a GPU.
DEEPBENCH_ON_CPU = [("gru", 16, [4], [1]), ("lstm", 8, [2, 3], [6]), ("rnn", 24, [4], [5]),
                    ("gru", 12, [3], [9])]

# Of the project's bars: dense layers of up to 128 units, and layers of 256 and more.
TYPES = ["f32", "f16", "tf32", "bf16"]
SMALL = {"hidden": [64, 128, 32], "sequences": [16, 64, 256, 1024]}
LARGE = {"hidden": [256, 512, 1024], "sequences": [16, 64, 256]}
# Two numbers of steps, whose difference is that of their steps alone. cuDNN was reported to take 1.96 us for one in fp16.
STEPS = [f"lstm_{kind}_n16_t{steps}_d768_h768_forward" for kind in ("f16", "bf16") for steps in (512, 1024)]
BARS_ON_CPU = ["lstm_f32_n4_t6_d5_h8", "gru_f32_n4_t6_d5_h8"]
LARGE_ON_CPU = ["lstm_f32_n4_len3-9_d5_h12", "gru_f32_n4_t6_d5_h12",
                *(f"lstm_f32_n4_t{steps}_d12_h12_forward" for steps in (20, 40))]

PATTERN = re.compile(r"(?P<cell>lstm|grud|gru|rnn)_(?P<type>f32|tf32|f16|bf16)_n(?P<sequences>\d+)"
                     r"_(t(?P<length>\d+)|len(?P<low>\d+)-(?P<high>\d+)|(?P<physionet>lenphysionet2012))"
                     r"_d(?P<features>\d+)_h(?P<hidden>\d+)(_miss(?P<missing>\d+))?"
                     r"(_(?P<regime>stepwise|resident|cluster|grid|lone))?(_(?P<forward>forward))?")


@dataclass(frozen=True)
class Case:
    name: str
    cell: str
    type: str  # of the numbers
    tf32: bool  # products in it, where the type is f32
    features: int
    hidden: int
    missing: int  # percent
    lengths: tuple
    regime: str = ""  # of the plan; else its choice
    forward: bool = False  # no backward run

    @property
    def ragged(self):
        return len(set(self.lengths)) > 1

    @property
    def tokens(self):
        return sum(self.lengths)

    @property
    def offsets(self):
        return [sum(self.lengths[:b]) for b in range(len(self.lengths) + 1)]


def parse(name):
    found = PATTERN.fullmatch(name)
    if not found or (found["cell"] == "grud" and found["type"] != "f32"):
        # People write GRU-D in fp32: in 16 bits there is no peer to compare with.
        raise ValueError(f"case '{name}': not of the form CELL_TYPE_nB_tT_dD_hH")
    sequences = int(found["sequences"])

    # Quantiles at equal distances, shuffled: the number of tokens does not depend on luck.
    def length(probability):
        if found["length"]:
            return int(found["length"])
        if found["physionet"]:  # lognormal: median 70, 95th percentile 114, at most 202
            normal = statistics.NormalDist()
            sigma = math.log(114 / 70) / normal.inv_cdf(0.95)
            return min(202, max(1, round(70 * math.exp(sigma * normal.inv_cdf(probability)))))
        low, high = int(found["low"]), int(found["high"])
        return low + int(probability * (high - low + 1))

    lengths = [length((b + 0.5) / sequences) for b in range(sequences)]
    random.Random(2012).shuffle(lengths)
    missing = int(found["missing"] or 0) if found["cell"] == "grud" else 0
    tf32 = found["type"] == "tf32"
    return Case(name, found["cell"], "f32" if tf32 else found["type"], tf32, int(found["features"]),
                int(found["hidden"]), missing, tuple(lengths), found["regime"] or "", bool(found["forward"]))


def deepbench_cases(device):
    sizes, types = (DEEPBENCH_ON_CPU, ["f32"]) if device == "cpu" else (DEEPBENCH, ["f16", "tf32"])
    return [f"{cell}_{kind}_n{batch}_t{steps}_d{hidden}_h{hidden}"
            for cell, hidden, batches, lengths in sizes for steps in lengths for batch in batches
            for kind in types]


def bars_cases(device):
    """Dense layers of up to 128 units."""
    if device == "cpu":
        return list(BARS_ON_CPU)
    return [f"{cell}_{kind}_n{sequences}_t100_d41_h{hidden}" for hidden in SMALL["hidden"]
            for sequences in SMALL["sequences"] for cell in ("lstm", "gru") for kind in TYPES]


def large_cases(device):
    """Layers of 256 units and more: steps, ragged batches, dense ones."""
    if device == "cpu":
        return list(LARGE_ON_CPU)

    def of(shape, kinds):
        return [f"{cell}_{kind}_{shape}_d128_h{hidden}" for hidden in LARGE["hidden"] for cell in ("lstm", "gru")
                for kind in kinds]

    dense = [case for sequences in LARGE["sequences"] for case in of(f"n{sequences}_t50", ("f16", "bf16", "f32"))]
    return STEPS + of("n64_len25-100", TYPES) + dense


def standard_cases(device):
    """What says most first, so that a limit on the time cuts off what says least."""
    if device == "cpu":
        return list(ON_CPU)

    def of(shapes, *kinds):
        return [f"{cell}_{kind}_{shape}" for shape in shapes for cell in ("lstm", "gru") for kind in kinds]

    return (of(SHAPES[:2], "f32", "f16") + [f"grud_f32_{shape}" for shape in GRU_D] + of(RAGGED, "f32", "f16")
            + of(SHAPES[2:], "f32", "f16") + of(SHAPES + RAGGED, "tf32") + of(SHAPES + RAGGED, "bf16"))


SETS = {"usual": standard_cases, "deepbench": deepbench_cases, "bars": bars_cases, "large": large_cases}


def sliced(cases, which):
    """Every N-th case from the I-th on, of "I/N": as much to do in each slice."""
    found = re.fullmatch(r"(\d+)/(\d+)", which)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"slice '{which}': not of the form I/N, 1 <= I <= N")
    return cases[int(found[1]) - 1::int(found[2])]


def from_on(cases, name):
    """Those that are left of a run that ended before this one."""
    if name not in cases:
        raise ValueError(f"case '{name}': not one of the {len(cases)} at hand")
    return cases[cases.index(name):]


def half_as_long(name):
    """The case of half the steps, or nothing where there is no such case."""
    found = PATTERN.fullmatch(name)
    if not found["length"] or int(found["length"]) % 2:
        return ""
    begin, end = found.span("length")
    return f"{name[:begin]}{int(found['length']) // 2}{name[end:]}"


LEAST_HALF = 8  # steps, from which on plans of other lengths choose alike


def halved(case):
    """A dense case over half the steps, of which plans think as of the whole; or None."""
    steps = max(case.lengths) // 2
    return None if case.ragged or case.cell == "grud" or steps < LEAST_HALF else replace(
        case, lengths=(steps,) * len(case.lengths))


def shape(name):
    """What the case strings of several cells and types have in common."""
    return name.split("_", 2)[2]
