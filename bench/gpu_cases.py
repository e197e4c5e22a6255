"""The cases of bench/gpu.py. Case strings are those of the CPU benchmark, with tf32, f16 and bf16 added, and the regime that
a plan is told to take, if it is: lstm_f32_n64_t200_d41_h64_resident."""

import math
import random
import re
import statistics
from dataclasses import dataclass

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

PATTERN = re.compile(r"(?P<cell>lstm|grud|gru|rnn)_(?P<type>f32|tf32|f16|bf16)_n(?P<sequences>\d+)"
                     r"_(t(?P<length>\d+)|len(?P<low>\d+)-(?P<high>\d+)|(?P<physionet>lenphysionet2012))"
                     r"_d(?P<features>\d+)_h(?P<hidden>\d+)(_miss(?P<missing>\d+))?"
                     r"(_(?P<regime>stepwise|resident|cluster|grid|lone))?")


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
                int(found["hidden"]), missing, tuple(lengths), found["regime"] or "")


def deepbench_cases(device):
    sizes, types = (DEEPBENCH_ON_CPU, ["f32"]) if device == "cpu" else (DEEPBENCH, ["f16", "tf32"])
    return [f"{cell}_{kind}_n{batch}_t{steps}_d{hidden}_h{hidden}"
            for cell, hidden, batches, lengths in sizes for steps in lengths for batch in batches
            for kind in types]


def standard_cases(device):
    """What says most first, so that a limit on the time cuts off what says least."""
    if device == "cpu":
        return list(ON_CPU)

    def of(shapes, *kinds):
        return [f"{cell}_{kind}_{shape}" for shape in shapes for cell in ("lstm", "gru") for kind in kinds]

    return (of(SHAPES[:2], "f32", "f16") + [f"grud_f32_{shape}" for shape in GRU_D] + of(RAGGED, "f32", "f16")
            + of(SHAPES[2:], "f32", "f16") + of(SHAPES + RAGGED, "tf32") + of(SHAPES + RAGGED, "bf16"))


def shape(name):
    """What the case strings of several cells and types have in common."""
    return name.split("_", 2)[2]
