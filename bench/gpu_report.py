"""Turns the findings of bench/gpu.py into Markdown tables and a JSON file."""

import json
import os

from gpu_bars import BARS, MET, MISSED, UNDECIDED, further_step, of_floor, verdicts
from gpu_cases import SETS, parse
from gpu_short import short_tables
from report import markdown

NAMES = {"lacuna": "Lacuna", "lacuna_half": "Lacuna, half the steps", "lacuna_device_lengths": "Lacuna, lengths on the device",
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
            "x Lacuna's time", "peak MiB", "difference / allowed", "bar"]
ALIKE = ("commit", "set", "repeats", "libraries")  # in all parts of a report


def mebibytes(count):
    return "-" if count is None else f"{count / 2**20:.1f}"


def over_floor(case, cases):
    found = of_floor(case, cases)
    return "-" if found is None else f"{'≤ ' if found[1] else ''}{found[0]:.2f}"


def told(judged):
    """Of a run: what it must be and whether it is."""
    return ", ".join(f"{one['must']}: {one['verdict']}" for one in judged) or "-"


def rows(case, cases, repeats, device, judged=()):
    """`judged`: the verdicts on this case."""
    def name(run):
        return NAMES[run["who"]].replace("cuDNN", "PyTorch" if device == "cpu" else "cuDNN")

    def tail(run):
        return [mebibytes(run["peak_bytes"]), f"{run['difference']['of_allowed']:.2g}"]

    ours = next(run["median_us"] for run in case["runs"] if run["who"] == "lacuna")
    result = []
    for run in case["runs"]:
        if run["who"] == "lacuna_half":  # it stands in what a further step takes
            continue
        bars = [one for one in judged if one["quantity"].removeprefix("over_") == run["who"]
                or (run["who"] == "lacuna" and not one["quantity"].startswith("over_"))]
        median, (low, high), taken = run["median_us"], run["quartiles_us"], len(run["samples_us"])
        how = ("graph" if run["graph"] else "eager") + (f", {taken} samples" if taken < repeats else "")
        further = further_step(case, run["who"], cases)
        result.append([case["case"], name(run), how, f"{median:.1f}", f"{low:.1f} - {high:.1f}",
                       f"{median / case['steps']:.2f}", "-" if further is None else f"{further:.2f}",
                       over_floor(case, cases) if run["who"] == "lacuna" else "-", f"{median / ours:.2f}", *tail(run),
                       told(bars)])
    return result + [[case["case"], name(run), "refused", *6 * ["-"], *tail(run), "-"] for run in case["refused"]]


def span(values):
    low, high = (f"{value:.2f}" if value < 100 else f"{value:.0f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def bars_table(judged):
    """A row for each bar: on how many cases it was met, missed or not decided, and between what they lie."""
    table = []
    for bar in BARS:
        mine = [one for one in judged if one["bar"] == bar.about]
        if mine:
            by_verdict = {kind: [one for one in mine if one["verdict"] == kind] for kind in (MET, MISSED, UNDECIDED)}
            values = {kind: [one["value"] for one in some if one["value"] is not None]
                      for kind, some in by_verdict.items()}
            table.append([bar.about, str(bar), *(f"{len(by_verdict[kind])}" + (f" ({span(found)})" if found else "")
                                                 for kind, found in values.items())])
    return markdown("Bars", ["bar", "must be", "met", "missed", "undecided"], table) if table else ""


def summary(findings):
    about = findings["libraries"]
    what = findings["machine"]["cpu"]
    if about["device"] == "cuda":
        what = f"{about['gpu']}, driver {about['driver'] or 'unknown'}, CUDA {about['cuda']}" + (
            f", cuDNN {about['cudnn']}" if about["cudnn"] else "")
    torch = f"PyTorch {about['torch']}" if about["torch"] else "no PyTorch, so no peers"
    lines = [f"{what}; {torch}; Lacuna {about['lacuna']} at {findings['commit']}; "
             f"{about['math']}; {findings['date']}.",
             "One training step: forward, and backward to inputs, weights and biases; where a case says so, a forward "
             f"run alone. Medians of {findings['repeats']} alternated samples (fewer where it says so), caches warm. A "
             "time step is all of that over the longest sequence's length; a further step, what a run takes more than one "
             "over half the steps, by step, where both were timed. Floor: the plan's own, for a training step twice that "
             "of its forward walk; below a further step, or (≤) below a time step, in which stands what is done once. "
             "A ratio above 1 says that Lacuna is faster. The last column: Lacuna against an fp64 reference, the others "
             "against Lacuna, in the tensor that is worst off; who is off by more than 1 is refused: not timed."]
    if about["device"] == "cpu":
        lines.append("**On the CPU, to try the program: these times mean nothing.**")
    if not about["torch"]:
        lines.append("**Without peers**: nothing here says how fast others are. The last column compares with the CPU "
                     "backend of the same library, in fp64.")
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
    device, judged = findings["libraries"]["device"], verdicts(findings)
    findings = {**findings, "verdicts": judged}
    parts = ["\n\n".join(summary(findings)), *filter(None, [bars_table(judged)]), *(short_tables(findings) if device == "cuda" else [])]
    for title, belongs in SECTIONS:
        table = [row for case in findings["cases"] if belongs(parse(case["case"]))
                 for row in rows(case, findings["cases"], findings["repeats"], device,
                                 [one for one in judged if one["case"] == case["case"]])]
        if table:
            parts.append(markdown(title, HEADINGS, table))
    text = "\n\n".join(parts) + "\n"
    print("\n" + text)
    os.makedirs(folder, exist_ok=True)
    kind = "gpu" if device == "cuda" else "gpu-on-cpu"
    kind += "" if findings["libraries"]["torch"] else "-alone"
    name = f"{kind}-{findings['date']}" + ("" if findings["set"] == "usual" else f"-{findings['set']}")
    name += f"-{findings['part']}" if findings.get("part") else ""
    base = os.path.join(folder, name)
    with open(base + ".json", "w", encoding="utf-8") as file:
        json.dump(findings, file, indent=1)
    with open(base + ".md", "w", encoding="utf-8") as file:
        file.write(text)
    print(f"written: {os.path.relpath(base)}.json and .md")
