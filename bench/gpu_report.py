"""Turns the findings of bench/gpu.py into Markdown tables and a JSON file."""

import json
import os

from report import markdown

NAMES = {"lacuna": "Lacuna", "lacuna_device_lengths": "Lacuna, lengths on the device",
         "torch": "cuDNN", "torch_packed": "cuDNN, packed", "torch_padded": "cuDNN, padded",
         "torch_loop": "loop", "torch_loop_graph": "loop, graph",
         "torch_hoisted": "hoisted loop", "torch_hoisted_graph": "hoisted loop, graph"}
SECTIONS = [
    ("Dense", lambda case: "_len" not in case and not case.startswith("grud")),
    ("Ragged", lambda case: "_len" in case and not case.startswith("grud")),
    ("GRU-D", lambda case: case.startswith("grud")),
]
HEADINGS = ["case", "contestant", "as", "µs per training step", "quartiles", "µs per time step",
            "x Lacuna's time", "peak MiB", "difference / allowed"]


def mebibytes(count):
    return "-" if count is None else f"{count / 2**20:.1f}"


def rows(case, repeats, device):
    def name(run):
        return NAMES[run["who"]].replace("cuDNN", "PyTorch" if device == "cpu" else "cuDNN")

    def tail(run):
        return [mebibytes(run["peak_bytes"]), f"{run['difference']['of_allowed']:.2g}"]

    ours = next(run["median_us"] for run in case["runs"] if run["who"] == "lacuna")
    result = []
    for run in case["runs"]:
        median, (low, high), taken = run["median_us"], run["quartiles_us"], len(run["samples_us"])
        how = ("graph" if run["graph"] else "eager") + (f", {taken} samples" if taken < repeats else "")
        result.append([case["case"], name(run), how, f"{median:.1f}", f"{low:.1f} - {high:.1f}",
                       f"{median / case['steps']:.2f}", f"{median / ours:.2f}", *tail(run)])
    return result + [[case["case"], name(run), "refused", "-", "-", "-", "-", *tail(run)] for run in case["refused"]]


def summary(findings):
    about = findings["libraries"]
    what = findings["machine"]["cpu"]
    if about["device"] == "cuda":
        what = (f"{about['gpu']}, driver {about['driver'] or 'unknown'}, CUDA {about['cuda']}, "
                f"cuDNN {about['cudnn']}")
    lines = [f"{what}; PyTorch {about['torch']}; Lacuna {about['lacuna']} at {findings['commit']}; "
             f"{about['math']}; {findings['date']}.",
             "One training step: forward, and backward to inputs, weights and biases. Medians of "
             f"{findings['repeats']} alternated samples (fewer where it says so), caches warm. A time step "
             "is a training step over the longest sequence's length. A ratio above 1 says that Lacuna is faster. The "
             "last column: Lacuna against an fp64 reference, the others against Lacuna, in the "
             "tensor that is worst off; who is off by more than 1 is refused: not timed."]
    if about["device"] == "cpu":
        lines.append("**On the CPU, to try the program: these times mean nothing.**")
    return lines + [f"- {note}" for note in findings["notes"]]


def write(findings, folder):
    device = findings["libraries"]["device"]
    parts = ["\n\n".join(summary(findings))]
    for title, belongs in SECTIONS:
        table = [row for case in findings["cases"] if belongs(case["case"])
                 for row in rows(case, findings["repeats"], device)]
        if table:
            parts.append(markdown(title, HEADINGS, table))
    text = "\n\n".join(parts) + "\n"
    print("\n" + text)
    os.makedirs(folder, exist_ok=True)
    kind = "gpu" if device == "cuda" else "gpu-on-cpu"
    name = f"{kind}-{findings['date']}" + ("" if findings["set"] == "usual" else f"-{findings['set']}")
    base = os.path.join(folder, name)
    with open(base + ".json", "w", encoding="utf-8") as file:
        json.dump(findings, file, indent=1)
    with open(base + ".md", "w", encoding="utf-8") as file:
        file.write(text)
    print(f"written: {os.path.relpath(base)}.json and .md")
