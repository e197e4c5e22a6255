"""What Lacuna promises on a GPU, as rules on the case strings, and whether it was kept."""

import re
from dataclasses import dataclass

from gpu_cases import half_as_long, parse

DENSE, RAGGED = r"_n\d+_t\d+_d\d+", r"_n\d+_len\d+-\d+_d\d+"
SMALL, LARGE = r"_h(32|64|128)$", r"_h(256|512|768|1024)(_forward)?$"
GATED = r"(lstm|gru)_"
MET, MISSED, UNDECIDED = "met", "missed", "undecided"


@dataclass(frozen=True)
class Bar:
    about: str
    cases: str  # regular expression
    quantity: str  # over_WHO: how many times its time Lacuna's is; of_floor; further_us
    least: float = None
    most: float = None
    sets: tuple = ("usual", "bars", "large")

    def __str__(self):
        return f"≥ {self.least:g}" if self.most is None else f"≤ {self.most:g}"

    def kept(self, value):
        return value >= self.least if self.most is None else value <= self.most


EVERY = ("usual", "bars", "large", "deepbench")
BARS = [
    Bar("GRU-D beside the eager loop", r"grud_.*_h(64|128)_", "over_torch_loop", 100),
    Bar("GRU-D beside that loop in a CUDA graph", r"grud_.*_h(64|128)_", "over_torch_loop_graph", 20),
    Bar("ragged, up to 128 units, beside cuDNN's packed path", GATED + r"\w+" + RAGGED + SMALL, "over_torch_packed", 5),
    Bar("ragged, 256 units and more, beside cuDNN's packed path", GATED + r"\w+" + RAGGED + LARGE, "over_torch_packed", 5),
    Bar("dense, up to 128 units, beside cuDNN", GATED + r"\w+" + DENSE + SMALL, "over_torch", 1),
    Bar("dense, 256 units and more, beside cuDNN", GATED + "(f32|f16|bf16)" + DENSE + LARGE, "over_torch", 1),
    Bar("cuDNN's reported step at 768 units", r"lstm_f16_n16_t1024_d768_h768_forward$", "further_us", most=1.96),
    Bar("DeepBench's training sizes beside cuDNN", "", "over_torch", 1, sets=("deepbench",)),
    Bar("a step beside its floor", "", "of_floor", most=2, sets=EVERY),
]


def told_floor(plan):
    """Microseconds that a plan says a step of its walk cannot take less than, or None."""
    found = re.search(r"cannot take less than ([\d.]+) us", plan)
    return float(found[1]) if found else None


def floor(case):
    """Microseconds that a time step cannot take less than, or None: a training step walks twice. Findings that do not
    name it are of plans that took fitted constants for a floor."""
    least = case.get("floor_us")
    return least and least * (1 if parse(case["case"]).forward else 2)


def medians(case):
    return {run["who"]: run["median_us"] for run in case["runs"]}


def further_step(case, who, cases):
    """Microseconds of each step that a run has more than one over half the steps, where both were timed: of Lacuna
    beside its own run, else in another case; or None."""
    ours = medians(case)
    half = next((run for run in case["runs"] if run["who"] == f"{who}_half"), None)
    if half and who in ours:
        return more(ours[who] - half["median_us"], case["steps"] - half["steps"])
    others = {other["case"]: other for other in cases}
    name = case["case"]
    twice = next((other for other in others if half_as_long(other) == name), "")
    for longer, shorter in ((name, half_as_long(name)), (twice, name)):
        long, short = others.get(longer), others.get(shorter)
        if long and short and who in medians(long) and who in medians(short):
            return more(medians(long)[who] - medians(short)[who], long["steps"] - short["steps"])
    return None


def more(us, steps):
    """None where a longer run took no longer."""
    return us / steps if us > 0 else None


def of_floor(case, cases):
    """(a measured step over the plan's floor, whether that is at most so): of a further step, or else at most a share of
    the whole run; None where there is no floor."""
    least, ours = floor(case), medians(case).get("lacuna")
    if not least or not ours:
        return None
    further = further_step(case, "lacuna", cases)
    return (further / least, False) if further is not None else (ours / case["steps"] / least, True)


def verdict(bar, case, cases):
    """The verdict on one bar, and its value, with why there is none where it is undecided."""
    ours = medians(case)
    if bar.quantity == "of_floor":
        found = of_floor(case, cases)
        if found is None:
            return UNDECIDED, None, "no floor is told"
        value, at_most = found
        if at_most and not bar.kept(value):
            return UNDECIDED, value, "at most so much: what is done once is in it"
    elif bar.quantity == "further_us":
        value = further_step(case, "lacuna", cases)
        if value is None:
            return UNDECIDED, None, "no run of other length was timed"
    else:
        who = bar.quantity[len("over_"):]
        if who not in ours:
            refused = any(run["who"] == who for run in case["refused"])
            return UNDECIDED, None, f"{who} was {'refused' if refused else 'not timed'}"
        value = ours[who] / ours["lacuna"]
    return MET if bar.kept(value) else MISSED, value, ""


def verdicts(findings):
    """Every bar about the cases that ran; none of times that mean nothing."""
    result = []
    if findings["libraries"]["device"] != "cuda":
        return result
    for case in findings["cases"]:
        for bar in BARS:
            if findings["set"] in bar.sets and re.match(bar.cases, case["case"]):
                outcome, value, why = verdict(bar, case, findings["cases"])
                result.append({"bar": bar.about, "must": str(bar), "case": case["case"], "quantity": bar.quantity,
                               "value": value, "verdict": outcome, **({"why": why} if why else {})})
    return result
