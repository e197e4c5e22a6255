"""What Lacuna promises on the CPU, as rules on the case strings, and whether it was kept."""

import re

FIRST, SECOND = "n64_t200_d41_h64", "n128_t100_d76_h128"
LARGE = "(n64_t100_d128_h256|n16_t50_d512_h512|n64_t25_d1024_h1024)"
RAGGED = "(n64_len50-200_d41_h64|n128_len25-100_d76_h128)"
PHYSIONET = "n(64|256)_lenphysionet2012_"

# (cases, threads, quantity, bar): the quantity must be at least the bar, or at most where negative.
BARS = [
    (rf"\w+_f32_{FIRST}$", 1, "of_sgemm", 0.75),
    (rf"\w+_f32_{FIRST}$", 1, "over_onednn", 1.3),
    (rf"\w+_f32_{SECOND}$", 1, "of_sgemm", 0.82),
    (rf"\w+_f32_{SECOND}$", 1, "over_onednn", 1.15),
    (rf"\w+_f32_{LARGE}$", 1, "of_sgemm", 0.90),
    (rf"\w+_f32_{LARGE}$", 1, "over_onednn", 1.0),
    (rf"\w+_f32_{RAGGED}$", 1, "over_torch_packed", 8),
    (rf"\w+_f32_{RAGGED}$", 1, "cost_over_dense", -1.1),
    (rf"grud_f32_{FIRST}_", 1, "over_torch_loop", 5),
    (rf"grud_f32_{FIRST}_", 1, "over_torch_hoisted", 3),
    (rf"grud_f32_{PHYSIONET}", 1, "over_torch_loop", 10),
    (rf"\w+_f32_({FIRST}|{SECOND}|{LARGE}|{RAGGED}|{PHYSIONET})", 2, "over_one_thread", 1.8),
]


def bar(case, threads, quantity):
    """The promise about this quantity, or None."""
    for cases, with_threads, what, value in BARS:
        if re.match(cases, case) and threads == with_threads and what == quantity:
            return value
    return None


def kept(value, promise):
    return value >= promise if promise > 0 else value <= -promise


def dense_case(case):
    """The dense case of the same shape: its T is the ragged case's longest length."""
    return re.sub(r"len\d+-(\d+)", r"t\1", case)


def quantities(findings):
    """{(case, threads): {quantity: value}}: every ratio that can be formed from the medians."""
    median, tokens, operations = {}, {}, {}
    for case in findings["cases"]:
        tokens[case["case"]], operations[case["case"]] = case["tokens"], case["operations"]
        for run in case["runs"]:
            median[case["case"], run["threads"], run["who"]] = run["median_ns"]

    result = {}
    for (case, threads, who), ns in median.items():
        row = result.setdefault((case, threads), {})
        sgemm = median.get((case, threads, "sgemm"))
        if who != "sgemm" and sgemm:
            rate = findings["libraries"]["sgemm_operations"] / sgemm
            row["of_sgemm" if who == "lacuna" else who + "_of_sgemm"] = operations[case] / ns / rate
        if who == "sgemm":
            row["sgemm_gflops"] = findings["libraries"]["sgemm_operations"] / ns
        lacuna = median.get((case, threads, "lacuna"))
        if not lacuna:
            continue
        if who not in ("lacuna", "sgemm"):
            row["over_" + who] = ns / lacuna
        if who == "lacuna":
            row["milliseconds"] = ns / 1e6
            dense = dense_case(case)
            dense_ns = median.get((dense, threads, "lacuna"))
            if dense != case and dense_ns:
                row["cost_over_dense"] = (ns / tokens[case]) / (dense_ns / tokens[dense])
            if threads != 1 and median.get((case, 1, "lacuna")):
                row["over_one_thread"] = median[case, 1, "lacuna"] / ns
    return result


def unsettled(findings):
    """The (case, threads) in which others kept the cores busy: too few undisturbed samples."""
    return {(case["case"], run["threads"]) for case in findings["cases"] for run in case["runs"]
            if not run["settled"]}


def verdicts(findings):
    """Every promise about the cases that ran. `kept` is None where it was not measured, or was in
    a machine too busy to tell."""
    found, busy = quantities(findings), unsettled(findings)
    result = []
    for case, threads in sorted(found):
        for cases, with_threads, what, value in BARS:
            if not re.match(cases, case) or threads != with_threads:
                continue
            measured = found[case, threads].get(what)
            result.append({"case": case, "threads": threads, "quantity": what, "bar": value,
                           "value": measured,
                           "kept": None if measured is None or (case, threads) in busy
                           else kept(measured, value)})
    return result
