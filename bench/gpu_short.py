"""The findings of bench/gpu.py by shape and cell, with a column for each type: what docs/benchmarks.md shows."""

import re

from gpu_bars import medians, of_floor
from gpu_cases import parse
from report import markdown

TYPES = ("f32", "tf32", "f16", "bf16")
PEERS = {"Dense, in short: µs, times cuDNN's speed, steps over the floor": (["torch"], True),
         "Ragged, in short: µs, times the speed of cuDNN packed and padded": (["torch_packed", "torch_padded"], False),
         "GRU-D, in short: µs, times the speed of the loop, the loop and the hoisted loop in a graph": (
             ["torch_loop", "torch_loop_graph", "torch_hoisted_graph"], False)}


def kind(case):
    return "GRU-D" if case.cell == "grud" else "Ragged" if case.ragged else "Dense"


def shape_of(case):
    found = re.search(r"_(?:t(\d+)|len(\d+)-(\d+)|lenphysionet2012)_", case.name)
    steps = found[1] or (f"{found[2]}–{found[3]}" if found[2] else "PhysioNet 2012")
    words = f"{len(case.lengths):,} x {steps}, D {case.features:,}, H {case.hidden:,}"
    return words + (", forward" if case.forward else "") + (f", {case.regime}" if case.regime else "")


def entry(found, cases, peers, with_floor):
    times = medians(found)
    words = [f"{times['lacuna']:.0f}", *(f"{times[who] / times['lacuna']:.2f}" if who in times else "–" for who in peers)]
    floor = of_floor(found, cases) if with_floor else None
    return ", ".join(words + ([f"{'≤ ' if floor[1] else ''}{floor[0]:.1f}"] if floor else []))


def short_tables(findings):
    """Where there are several cases to be set side by side."""
    tables = []
    for title, (peers, with_floor) in PEERS.items():
        rows = {}  # (shape, cell): {type: entry}
        for found in findings["cases"]:
            case = parse(found["case"])
            if kind(case) == title.split(",")[0]:
                rows.setdefault((shape_of(case), case.cell), {})["tf32" if case.tf32 else case.type] = entry(
                    found, findings["cases"], peers, with_floor)
        types = [one for one in TYPES if any(one in row for row in rows.values())]
        if len(rows) > 1:
            tables.append(markdown(title, ["shape", "cell", *types], [
                [*name, *(row.get(one, "–") for one in types)] for name, row in rows.items()]))
    return tables
