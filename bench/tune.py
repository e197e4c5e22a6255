#!/usr/bin/env python3
"""Measures the few constants of the CUDA backend's cost model on the GPU at hand, from the library's own
kernels, and writes them into the table that the library uses from its next build (`./dev gpu tune`).

    bench/tune.py --library build/gpu/host/liblacuna.so --program build/gpu/tests/lacuna_step_cost
                  --output DIR [--commit TEXT] [--seconds 110]

Plans of the shapes in tune_sweep.py are timed in the ways that serve and are not far off by the defaults: forward
runs, to which the constants are fitted, and training steps, by which the choice that follows is judged. What tells
most comes first, so that an early end (--seconds, SIGINT, SIGTERM) leaves a smaller sweep of all shapes. Says of
each point what was measured and what the model predicts, and writes it to OUTPUT/tune-CHIP-DATE.json. The table is
left as it is when more than a tenth of the points are missing, or when choices by what was measured lose more than
by the defaults.
--device cpu goes through all of it without a GPU: its times mean nothing, and no table is written.
"""

import argparse
import collections
import datetime
import json
import os
import re
import shutil
import sys
import time

import tune_sweep
import tune_table
from report import commit
from tune_model import REGIMES, Model
from watched import Hung, WatchedWorker, finish_when_told
from workers import HERE, WorkerError

LIMIT = 4  # seconds for one point, which takes some 50 ms: a kernel that hangs must not hang the rest
START_LIMIT = 30  # seconds in which a process loads CUDA and the library
HANGS = 2  # of a regime with a number of blocks, after which it is left out; of a regime, twice as many
SLOPE_US = 1500  # that the longer run shall take more than the shorter one, where weights are small
COPIED = 5e3  # bytes of weights a microsecond: each run begins with their copy, whose time is not always the same
MISSING = 0.1  # of the points
GATES_BYTES = 2 ** 30  # that the products over all tokens may take


def arguments(words=None):
    parser = argparse.ArgumentParser(description="the cost model's constants, measured on this GPU")
    parser.add_argument("--library", required=True)
    parser.add_argument("--program", required=True, help="lacuna_step_cost, of the same build")
    parser.add_argument("--output", required=True, help="a folder for what was found")
    parser.add_argument("--table", default=os.path.join(HERE, "../host/cuda/measured_chips.inc"))
    parser.add_argument("--commit", help="of the build")
    parser.add_argument("--seconds", type=float, default=110, help="after which no more is timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args(words)
    options.commit = options.commit or commit()
    for path in (options.library, options.program):
        if not os.path.exists(path):
            sys.exit(f"{path} is not there: build it first (./dev gpu tune does)")
    options.library = os.path.abspath(options.library)
    return options


def steps_for(shape, expected_us, device):
    """So many that the slope is measured well, as far as memory allows."""
    if device == "cpu":
        return 20
    room = GATES_BYTES // (2 * shape.gate_bytes)
    slope_us = SLOPE_US + shape.weight_bytes / COPIED
    return int(min(max(slope_us / expected_us, 100), 4000, max(room, 50)))


class Sweep:
    """`forward` and `training`: {point: microseconds of a step}. What fails is noted and missing."""

    def __init__(self, options, model, points):
        self.options, self.points = options, points
        self.expected = dict(zip(points, model.predict(model.defaults, points)))
        self.until = time.monotonic() + options.seconds
        self.worker = WatchedWorker([sys.executable, os.path.join(HERE, "tune_worker.py"), "--library",
                                     options.library, "--device", options.device], LIMIT, START_LIMIT)
        self.forward, self.training, self.notes = {}, {}, []
        self.hangs = collections.Counter()
        self.slower = {}  # (regime, training): how many times what the defaults say the last such point took

    def run(self):
        """A point's training step right after its forward run, so that an early end leaves as many of both."""
        try:
            for number, point in enumerate(self.points):
                if time.monotonic() > self.until:
                    self.notes.append(f"{self.options.seconds:.0f} s were over: the last {len(self.points) - number} "
                                      f"of {len(self.points)} points were not timed")
                    break
                for training, times in ((False, self.forward), (True, self.training)):
                    us = self.time(point, training)
                    if us is None:
                        break
                    times[point] = us
        except KeyboardInterrupt:
            self.notes.append(f"interrupted: {len(self.forward)} of {len(self.points)} points were timed")
        self.worker.stop()

    def time(self, point, training):
        """Microseconds of a step, or None."""
        shape, way = point
        alike = way.regime, training
        what = "training" if training else "forward"
        kinds = {(way, what): HANGS, (way.regime, what): 2 * HANGS}
        if any(self.hangs[kind] >= most for kind, most in kinds.items()):
            return None
        try:
            reply = self.worker.ask("time", *shape.numbers, way.regime, way.blocks,
                                    steps_for(shape, self.expected[point] * self.slower.get(alike, 1),
                                              self.options.device),
                                    self.options.repeats, int(training),
                                    limit=max(0.1, self.until - time.monotonic()))
        except WorkerError as error:
            self.notes.append(f"{shape}, {way}, {what}: {error}")
            if isinstance(error, Hung):
                self.hangs.update(kinds.keys())
                for kind, most in kinds.items():
                    if self.hangs[kind] == most:
                        self.notes.append(f"{way if kind[0] == way else REGIMES[way.regime]}, {what}: left out from "
                                          f"here on, after {most} that hung")
            return None
        if reply["us"] > 0:
            self.slower[alike] = reply["us"] / self.expected[point]
            return reply["us"]
        self.notes.append(f"{shape}, {way}, {what}: a run of twice the steps took no longer")
        return None


def constants_table(model, found):
    lines = ["constant          default    measured     +-"]
    for name, default, value, error in zip(model.names, model.defaults, found.constants, found.errors):
        lines.append(f"{name:<14} {default:>10.4g}  {value:>10.4g}  "
                     + (f"{100 * error:4.0f} %" if error is not None else "   - not determined: the default"))
    return lines


def points_table(times, ratios):
    lines = ["predicted / measured   measured us   plan"]
    for ((shape, way), us), ratio in zip(times.items(), ratios):
        lines.append(f"{ratio:>20.2f}   {us:>11.3f}   {shape}, {way}")
    return lines


def choices_table(rows):
    lines = []
    good = sum(ratio is not None and ratio <= tune_sweep.WITHIN for *_, ratio in rows)
    for shape, chosen, best, ratio in rows:
        if ratio is None or ratio > tune_sweep.WITHIN:
            took = "was not timed" if ratio is None else f"takes {ratio:.2f} times as long"
            lines.append(f"{shape}: {chosen} is chosen and {took}; the quickest is {best}")
    return [f"the model's choice is within 10 % of the quickest for {good} of {len(rows)} shapes", *lines]


def why_not_written(options, points, times, rows, rows_by_defaults):
    if options.device != "cuda":
        return "nothing was measured on a GPU"
    if len(times) < (1 - MISSING) * len(points):
        return f"{len(points) - len(times)} of {len(points)} points are missing"
    after, before = tune_sweep.lost(rows), tune_sweep.lost(rows_by_defaults)
    if after is None or before is None:
        return "no training step was timed, so nobody knows whether choices are better"
    if after > before:
        return (f"choices by these constants take {after:.3f} times the best, by the defaults "
                f"{before:.3f}")
    return ""


def write_table(options, model, facts, found):
    chip = tune_table.Chip(facts["name"], facts["capability"], facts["multiprocessors"],
                           options.commit, dict(zip(model.names, found.constants)))
    with open(options.table, encoding="utf-8") as file:
        text = tune_table.with_chip(file.read(), chip, model.names)
    with open(options.table, "w", encoding="utf-8") as file:
        file.write(text)
    # Beside the findings, to be brought home from a machine that is lent.
    shutil.copy(options.table, os.path.join(options.output, "measured_chips.inc"))


def report(options, model, facts, sweep):
    """(all there is to say, the same for a JSON file); writes the table where that is worth it."""
    times = sweep.forward
    text = [f"{facts['name']}, {facts['multiprocessors']} multiprocessors, commit {options.commit}", ""]
    data = {"chip": facts, "commit": options.commit, "notes": sweep.notes,
            "training": [[str(shape), str(way), us] for (shape, way), us in sweep.training.items()]}
    if len(times) <= len(model.defaults) + 1:
        outcome, ratios = "too few points were timed to fit anything", [None] * len(times)
    else:
        found = tune_sweep.fit_constants(model, times)
        ratios = found.ratios
        rows = tune_sweep.judge(model, found.constants, sweep.training)
        why_not = why_not_written(options, sweep.points, times, rows,
                                  tune_sweep.judge(model, model.defaults, sweep.training))
        if not why_not:
            write_table(options, model, facts, found)
        outcome = f"the table stays as it is: {why_not}" if why_not else f"written: {options.table}"
        text += [*points_table(times, ratios), "", *constants_table(model, found), "", *choices_table(rows)]
        data |= {"constants": dict(zip(model.names, found.constants)),
                 "errors": dict(zip(model.names, found.errors)),
                 "choices": [[str(shape), str(chosen), str(best), ratio] for shape, chosen, best, ratio in rows]}
    data |= {"outcome": outcome, "forward": [[str(shape), str(way), us, ratio] for ((shape, way), us), ratio
                                             in zip(times.items(), ratios)]}
    return [*text, *sweep.notes, outcome], data


def main(words=None):
    options = arguments(words)
    os.makedirs(options.output, exist_ok=True)
    model = Model(options.program)
    facts = model.device()
    model.use(facts)
    points = tune_sweep.ordered(model, tune_sweep.SHAPES if options.device == "cuda" else tune_sweep.TINY)
    finish_when_told()
    sweep = Sweep(options, model, points)
    sweep.run()
    text, data = report(options, model, facts, sweep)
    if options.device != "cuda":
        text.append("On the CPU, to try the program: these times mean nothing.")
    print("\n".join(text))
    chip = re.sub(r"[^a-z0-9]+", "-", facts["name"].lower()).strip("-")
    path = os.path.join(options.output, f"tune-{chip}-{datetime.date.today().isoformat()}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
    print(f"written: {os.path.relpath(path)}")
    model.close()
    if "constants" not in data:
        sys.exit(data["outcome"])


if __name__ == "__main__":
    main()
