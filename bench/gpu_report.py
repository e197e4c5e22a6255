"""Turns the findings of bench/gpu.py into Markdown tables and a JSON file."""

import json
import os
import re

from gpu_cases import SETS, half_as_long, parse
from report import markdown

NAMES = {"lacuna": "Lacuna", "lacuna_device_lengths": "Lacuna, lengths on the device",
         "torch": "cuDNN", "torch_packed": "cuDNN, packed", "torch_padded": "cuDNN, padded",
         "torch_loop": "loop", "torch_loop_graph": "loop, graph",
         "torch_hoisted": "hoisted loop", "torch_hoisted_graph": "hoisted loop, graph"}
SECTIONS = [
    ("Dense", lambda case: not case.forward and case.cell != "grud" and not case.ragged),
    ("Ragged", lambda case: not case.forward and case.cell != "grud" and case.ragged),
    ("GRU-D", lambda case: not case.forward and case.cell == "grud"),
    ("Forward runs alone", lambda case: case.forward),
]
HEADINGS = ["case", "contestant", "as", "µs", "quartiles", "µs per time step", "µs per further step", "/ floor",
            "x Lacuna's time", "peak MiB", "difference / allowed"]
ALIKE = ("commit", "set", "repeats", "libraries")  # in all parts of a report


def mebibytes(count):
    return "-" if count is None else f"{count / 2**20:.1f}"


def floor(case):
    """Microseconds that the plan says a time step cannot take less than, or None. Its floor is that of one walk over
    the sequences, of which a training step has two."""
    found = re.search(r"cannot take less than ([\d.]+) us", case.get("plan", ""))
    return float(found[1]) * (1 if parse(case["case"]).forward else 2) if found else None


def further_step(case, who, cases):
    """Microseconds of each step that a run over 2 T has more than one over T, where both were timed; or None."""
    steps = {other["case"]: other["steps"] for other in cases}
    others = {other["case"]: {run["who"]: run["median_us"] for run in other["runs"]} for other in cases}
    name = case["case"]
    half = half_as_long(name)
    twice = next((other for other in others if half_as_long(other) == name), "")
    for longer, shorter in ((name, half), (twice, name)):
        if who in others.get(longer, {}) and who in others.get(shorter, {}):
            return (others[longer][who] - others[shorter][who]) / (steps[longer] - steps[shorter])
    return None


def of_floor(case, run, further):
    """A measured step over the plan's floor: of a further step, or else at most a share of the whole run."""
    least = floor(case)
    if run["who"] != "lacuna" or not least:
        return "-"
    return f"{further / least:.2f}" if further is not None else f"≤ {run['median_us'] / case['steps'] / least:.2f}"


def rows(case, cases, repeats, device):
    def name(run):
        return NAMES[run["who"]].replace("cuDNN", "PyTorch" if device == "cpu" else "cuDNN")

    def tail(run):
        return [mebibytes(run["peak_bytes"]), f"{run['difference']['of_allowed']:.2g}"]

    ours = next(run["median_us"] for run in case["runs"] if run["who"] == "lacuna")
    result = []
    for run in case["runs"]:
        median, (low, high), taken = run["median_us"], run["quartiles_us"], len(run["samples_us"])
        how = ("graph" if run["graph"] else "eager") + (f", {taken} samples" if taken < repeats else "")
        further = further_step(case, run["who"], cases)
        result.append([case["case"], name(run), how, f"{median:.1f}", f"{low:.1f} - {high:.1f}",
                       f"{median / case['steps']:.2f}", "-" if further is None else f"{further:.2f}",
                       of_floor(case, run, further), f"{median / ours:.2f}", *tail(run)])
    return result + [[case["case"], name(run), "refused", *6 * ["-"], *tail(run)] for run in case["refused"]]


def summary(findings):
    about = findings["libraries"]
    what = findings["machine"]["cpu"]
    if about["device"] == "cuda":
        what = (f"{about['gpu']}, driver {about['driver'] or 'unknown'}, CUDA {about['cuda']}, "
                f"cuDNN {about['cudnn']}")
    lines = [f"{what}; PyTorch {about['torch']}; Lacuna {about['lacuna']} at {findings['commit']}; "
             f"{about['math']}; {findings['date']}.",
             "One training step: forward, and backward to inputs, weights and biases; where a case says so, a forward "
             f"run alone. Medians of {findings['repeats']} alternated samples (fewer where it says so), caches warm. A "
             "time step is all of that over the longest sequence's length; a further step, what a run over twice the "
             "steps takes more, by step, where both were timed. Floor: the plan's own, for a training step twice that "
             "of its forward walk; below a further step, or (≤) below a time step, in which stands what is done once. "
             "A ratio above 1 says that Lacuna is faster. The last column: Lacuna against an fp64 reference, the others "
             "against Lacuna, in the tensor that is worst off; who is off by more than 1 is refused: not timed."]
    if about["device"] == "cpu":
        lines.append("**On the CPU, to try the program: these times mean nothing.**")
    return lines + [f"- {note}" for note in findings["notes"]]


def merged(parts):
    """Findings of one set, of {name: findings of a part of it}. Of a case in several the last counts."""
    (first, one), *others = parts.items()
    for name, other in others:
        for field in ALIKE:
            if other[field] != one[field]:
                raise ValueError(f"{name}: {field} is {other[field]}, and in {first} {one[field]}")
    cases = {case["case"]: case for part in parts.values() for case in part["cases"]}
    order = SETS[one["set"]](one["libraries"]["device"])
    missing = [case for case in order if case not in cases]
    notes = [f"{name}: {note}" for name, part in parts.items() for note in part["notes"]]
    if missing:
        notes.append(f"of the set {len(missing)} cases have no times, {missing[0]} is the first")
    return {**one, "date": max(part["date"] for part in parts.values()), "part": "", "notes": notes,
            "cases": [cases.pop(case) for case in order if case in cases] + list(cases.values())}


def write(findings, folder):
    device = findings["libraries"]["device"]
    parts = ["\n\n".join(summary(findings))]
    for title, belongs in SECTIONS:
        table = [row for case in findings["cases"] if belongs(parse(case["case"]))
                 for row in rows(case, findings["cases"], findings["repeats"], device)]
        if table:
            parts.append(markdown(title, HEADINGS, table))
    text = "\n\n".join(parts) + "\n"
    print("\n" + text)
    os.makedirs(folder, exist_ok=True)
    kind = "gpu" if device == "cuda" else "gpu-on-cpu"
    name = f"{kind}-{findings['date']}" + ("" if findings["set"] == "usual" else f"-{findings['set']}")
    name += f"-{findings['part']}" if findings.get("part") else ""
    base = os.path.join(folder, name)
    with open(base + ".json", "w", encoding="utf-8") as file:
        json.dump(findings, file, indent=1)
    with open(base + ".md", "w", encoding="utf-8") as file:
        file.write(text)
    print(f"written: {os.path.relpath(base)}.json and .md")
