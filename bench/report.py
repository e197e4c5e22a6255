"""Turns the findings of bench/cpu.py into a table, a JSON file and a bar chart."""

import json
import os
import platform
import subprocess

from bars import bar, kept, quantities, unsettled, verdicts
from workers import HERE

ISAS = ("avx512f", "avx2", "avx", "sse2", "asimd")

# Columns of the table: heading, quantity. A ratio above 1 says that Lacuna is faster.
OF_SGEMM, SCALING = ("Lacuna", "of_sgemm"), ("x 1 thread", "over_one_thread")
SECTIONS = [
    ("dense", lambda case: "_len" not in case and not case.startswith("grud"),
     [OF_SGEMM, ("oneDNN", "onednn_of_sgemm"), ("PyTorch", "torch_of_sgemm"),
      ("x oneDNN", "over_onednn"), ("x PyTorch", "over_torch"), SCALING]),
    ("ragged", lambda case: "_len" in case and not case.startswith("grud"),
     [OF_SGEMM, ("packed", "torch_packed_of_sgemm"), ("padded", "torch_padded_of_sgemm"),
      ("x packed", "over_torch_packed"), ("x padded", "over_torch_padded"),
      ("/ own dense", "cost_over_dense"), SCALING]),
    ("GRU-D", lambda case: case.startswith("grud"),
     [OF_SGEMM, ("loop", "torch_loop_of_sgemm"), ("hoisted", "torch_hoisted_of_sgemm"),
      ("x loop", "over_torch_loop"), ("x hoisted", "over_torch_hoisted"), SCALING]),
]


def machine():
    model, flags = platform.machine(), ""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    model = value.strip()
                if key.strip() in ("flags", "Features"):
                    flags = value.split()
    except OSError:
        pass
    return {"cpu": model, "isa": [isa for isa in ISAS if isa in flags], "logical_cpus": os.cpu_count(),
            "system": platform.system() + " " + platform.release()}


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", HERE, *words], capture_output=True, text=True)

    head = git("rev-parse", "--short=12", "HEAD").stdout.strip()
    if not head:
        return "unknown"
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "..").stdout.strip()
    return head + ("+changes" if changed else "")


def cell(case, threads, row, quantity, busy):
    """`0.81 (>=0.75 met)`: the value, and the promise where there is one."""
    value = row.get(quantity)
    if value is None:
        return "-"
    text = f"{value:.2f}" + ("?" if busy else "")
    promise = bar(case, threads, quantity)
    if promise is None:
        return text
    sign = ">=" if promise > 0 else "<="
    verdict = "machine busy" if busy else "met" if kept(value, promise) else "MISSED"
    return f"{text} ({sign}{abs(promise):g} {verdict})"


def tables(findings):
    """[(title, headings, rows)]; ratios first, milliseconds last."""
    found, busy = quantities(findings), unsettled(findings)
    runs = {(case["case"], run["threads"], run["who"]): run
            for case in findings["cases"] for run in case["runs"]}
    result = []
    for title, belongs, columns in SECTIONS:
        names = [case["case"] for case in findings["cases"] if belongs(case["case"])]
        keys = [(name, threads) for name in names for threads in (1, 2) if (name, threads) in found]
        if not keys:
            continue
        rows = []
        for name, threads in keys:
            row = found[name, threads]
            lacuna = runs.get((name, threads, "lacuna"))
            time = "-"
            if lacuna:
                low, high = lacuna["quartiles_ns"]
                time = f"{lacuna['median_ns'] / 1e6:.2f} ± {(high - low) / 2e6:.2f}"
            rows.append([name, str(threads)]
                        + [cell(name, threads, row, what, (name, threads) in busy)
                           for _, what in columns]
                        + [f"{row.get('sgemm_gflops', 0):.0f}", time])
        result.append((title, ["case", "threads"] + [heading for heading, _ in columns]
                       + ["sgemm GF/s", "ms"], rows))
    return result


def memory_table(findings):
    rows = []
    for case in findings["cases"]:
        lacuna, torch = (case.get("memory", {}).get(who) for who in ("lacuna", "torch"))
        row = [case["case"]]
        if lacuna:
            equal = all(lacuna[part] == lacuna[part + "_used"] for part in ("tape", "workspace"))
            row += [f"{lacuna[part] / 2**20:.1f}" for part in ("tape", "workspace")]
            row += ["met" if equal else f"{lacuna['tape_used'] / 2**20:.1f} + "
                    f"{lacuna['workspace_used'] / 2**20:.1f}: MISSED",
                    str(lacuna["allocations_in_run"]), f"{lacuna['peak'] / 2**20:.1f}"]
        else:
            row += ["-"] * 5
        row.append(f"{torch['peak'] / 2**20:.1f} ({torch['who']})" if torch else "-")
        if lacuna and torch:
            share = lacuna["peak"] / torch["peak"]
            row.append(f"{share:.2f} (<=1 {'met' if share <= 1 else 'MISSED'})")
        else:
            row.append("-")
        if lacuna or torch:
            rows.append(row)
    return ("memory of one training step, MiB, one thread",
            ["case", "tape", "workspace", "all used", "allocations", "Lacuna's peak",
             "PyTorch's peak", "share"], rows)


def markdown(title, headings, rows):
    """A Markdown table that is also readable as it stands."""
    widths = [max(len(line[i]) for line in [headings] + rows) for i in range(len(headings))]

    def text(line):
        return "| " + " | ".join(word.ljust(width) for word, width in zip(line, widths)) + " |"

    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    return "\n".join([f"**{title}**", "", text(headings), rule] + [text(row) for row in rows])


def summary(findings):
    libraries, here = findings["libraries"], findings["machine"]
    lines = [f"{here['cpu']}, {' '.join(here['isa'])}, {here['logical_cpus']} logical CPUs; "
             f"Lacuna {libraries['lacuna'] or 'absent'} at {findings['commit']}; "
             f"g++ {libraries['compiler']}; oneDNN {libraries['onednn'] or 'absent'}; "
             f"PyTorch {libraries.get('torch', 'absent')}; sgemm: {libraries['sgemm'] or 'absent'}",
             "One training step: forward, and backward to inputs, weights and biases; fp32; real "
             f"tokens only; medians of {findings['repeats']} alternated repeats. The first columns "
             "are fractions of the sgemm rate, then times faster than the peer."]
    if unsettled(findings):
        lines.append("A question mark: others kept the machine busy, so the number means little.")
    judged = verdicts(findings)
    measured = [one for one in judged if one["kept"] is not None]
    if measured:
        lines.append(f"{sum(one['kept'] for one in measured)} of {len(measured)} promises met"
                     + (f", {len(judged) - len(measured)} not measured"
                        if len(judged) > len(measured) else "") + ".")
    return lines + [f"Note: {note}" for note in findings["notes"]]


def chart(findings):
    """Horizontal bars: each contestant's fraction of the sgemm rate, one group per case."""
    colours = {"of_sgemm": "#c2410c", "onednn_of_sgemm": "#1d4ed8", "torch_of_sgemm": "#6b7280",
               "torch_packed_of_sgemm": "#6b7280", "torch_padded_of_sgemm": "#9ca3af",
               "torch_loop_of_sgemm": "#6b7280", "torch_hoisted_of_sgemm": "#9ca3af"}
    labels = {"of_sgemm": "Lacuna", "onednn_of_sgemm": "oneDNN"}
    found = quantities(findings)
    left, scale, gap, height, top = 330, 420, 130, 13, 46
    panels = sorted({threads for _, threads in found})
    body, y_end = [], 0
    for number, threads in enumerate(panels):
        x0 = left + number * (scale + gap)
        y = top
        body.append(f'<text x="{x0}" y="{top - 12}" font-weight="bold">'
                    f'{threads} thread{"s" if threads > 1 else ""}</text>')
        for case in findings["cases"]:
            row = found.get((case["case"], threads), {})
            bars = [(what, row[what]) for what in colours if what in row]
            if number == 0:
                middle = y + height * len(bars) / 2 + 4
                body.append(f'<text x="{left - 8}" y="{middle:.0f}" text-anchor="end">{case["case"]}</text>')
            for what, value in bars:
                label = labels.get(what, "PyTorch " + what.split("_")[1] if what.count("_") > 2
                                   else "PyTorch")
                width = min(value, 1.15) * scale
                body.append(f'<rect x="{x0}" y="{y}" width="{width:.1f}" height="{height - 2}" '
                            f'fill="{colours[what]}"/><text x="{x0 + width + 4:.1f}" '
                            f'y="{y + height - 4}" font-size="9">{value:.2f} {label}</text>')
                y += height
            y += 8
        y_end = max(y_end, y)
        for tenth in (0, 2, 4, 6, 8, 10):
            x = x0 + scale * tenth / 10
            body.insert(0, f'<line x1="{x}" y1="{top - 4}" x2="{x}" y2="{y}" stroke="#e5e7eb"/>'
                           f'<text x="{x}" y="{y + 14}" text-anchor="middle">{tenth / 10}</text>')
    width = left + len(panels) * (scale + gap) + 20
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y_end + 40}" '
            'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
            '<text x="12" y="18" font-size="14">Fraction of the machine\'s own sgemm rate, '
            'training step, fp32, real tokens only</text>' + "".join(body)
            + f'<text x="12" y="{y_end + 34}">{findings["machine"]["cpu"]}, {findings["date"]}</text>'
            '</svg>\n')


def write(findings, folder):
    findings["verdicts"] = verdicts(findings)
    parts = ["\n".join(summary(findings))]
    parts += [markdown(*table) for table in tables(findings)]
    memory = memory_table(findings)
    if memory[2]:
        parts.append(markdown(*memory))
    text = "\n\n".join(parts) + "\n"
    print("\n" + text)
    os.makedirs(folder, exist_ok=True)
    base = os.path.join(folder, "cpu-" + findings["date"])
    with open(base + ".json", "w") as file:
        json.dump(findings, file, indent=1)
    for suffix, content in ((".md", text), (".svg", chart(findings))):
        with open(base + suffix, "w") as file:
            file.write(content)
    print(f"written: {os.path.relpath(base)}.json, .md and .svg")
