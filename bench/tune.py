#!/usr/bin/env python3
"""Measures the few constants of the CUDA backend's cost model on the GPU at hand, from the library's own
kernels, and writes them into the table that the library uses from its next build (`./dev gpu tune`).

    bench/tune.py --library build/gpu/host/liblacuna.so --program build/gpu/tests/lacuna_step_cost
                  --output DIR [--commit TEXT] [--seconds 110]
    bench/tune.py --from OUTPUT/tune-CHIP-DATE.json --program build/cpu/tests/lacuna_step_cost --output DIR
                  fits and judges once more what was timed then; needs no GPU

Plans of the shapes in tune_sweep.py are timed in the ways that serve and are not far off by the defaults: forward
runs, to which the constants are fitted, and training steps, by which the choice that follows is judged. Runs are
replayed from CUDA graphs; where that cannot be they are eager, and no table is written, for launches then take
longer. What tells most comes first, so that an early end (--seconds, SIGINT, SIGTERM) leaves a smaller sweep of all
shapes. A point whose samples lie far apart, or whose training step takes hardly more than its forward run, is timed
once more and then left out, of a recorded file at once. Says of each point what was measured and what the model predicts, and writes it to
OUTPUT/tune-CHIP-DATE.json. Three sets of constants are judged by the same training steps: what was fitted, what the
table says of the chip, and the defaults of a chip without a line. The table gets, keeps or loses its line
accordingly; it is left as it is when more than a tenth of the points are missing.
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
from tune_model import REGIMES, Model, Shape, Way
from tune_slope import LEAST_TRAINING, WIDE, plausible, spread
from watched import Hung, WatchedWorker, finish_when_told
from workers import HERE, WorkerError

LIMIT = 4  # seconds for one point, which takes some 50 ms: a kernel that hangs must not hang the rest
START_LIMIT = 30  # seconds in which a process loads CUDA and the library
HANGS = 2  # of a regime with a number of blocks, after which it is left out; of a regime, twice as many
SLOPE_US = 1500  # that the longer run shall take more than the shorter one, where weights are small
COPIED = 5e3  # bytes of weights a microsecond: each run begins with their copy, whose time is not always the same
MISSING = 0.1  # of the points
GATES_BYTES = 2 ** 30  # that the products over all tokens may take
FITTED, LINE, DEFAULTS = "these constants", "the table's line", "the defaults"


def arguments(words=None):
    parser = argparse.ArgumentParser(description="the cost model's constants, measured on this GPU")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--library")
    source.add_argument("--from", dest="recorded", metavar="FILE", help="findings of an earlier run, instead of a GPU")
    parser.add_argument("--program", required=True, help="lacuna_step_cost, of the same build")
    parser.add_argument("--output", required=True, help="a folder for what was found")
    parser.add_argument("--table", default=os.path.join(HERE, "../host/cuda/measured_chips.inc"))
    parser.add_argument("--commit", help="of the build")
    parser.add_argument("--seconds", type=float, default=110, help="after which no more is timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args(words)
    for path in (options.library, options.program):
        if path and not os.path.exists(path):
            sys.exit(f"{path} is not there: build it first (./dev gpu tune does)")
    if options.recorded:
        return options
    options.commit = options.commit or commit()
    options.library = os.path.abspath(options.library)
    return options


def steps_for(shape, expected_us, device):
    """So many that the slope is measured well, as far as memory allows."""
    if device == "cpu":
        return 200
    room = GATES_BYTES // (2 * shape.gate_bytes)
    slope_us = SLOPE_US + shape.weight_bytes / COPIED
    return int(min(max(slope_us / expected_us, 100), 4000, max(room, 50)))


class Sweep:
    """`forward` and `training`: {point: microseconds of a step}. What fails is noted and missing. `samples`:
    {(point, training): what the worker said}. `timed`: graph, or eager where no run can be captured."""

    def __init__(self, options, model, points):
        self.options, self.points = options, points
        self.doubted = options.device == "cuda"  # elsewhere times mean nothing, and all are kept
        self.timed = "graph" if self.doubted else "eager"
        self.expected = dict(zip(points, model.predict(model.defaults, points)))
        self.until = time.monotonic() + options.seconds
        self.worker = self.new_worker()
        self.forward, self.training, self.samples, self.notes = {}, {}, {}, []
        self.hangs = collections.Counter()
        self.slower = {}  # (regime, training): how many times what the defaults say the last such point took

    def new_worker(self):
        return WatchedWorker([sys.executable, os.path.join(HERE, "tune_worker.py"), "--library", self.options.library,
                              "--device", self.options.device, "--timed", self.timed], LIMIT, START_LIMIT)

    def begin(self):
        """Starts a worker: of one that cannot replay graphs another takes the place, which is eager."""
        try:
            self.worker.start()
        except WorkerError as error:
            if self.timed == "eager":
                sys.exit(f"nothing can be timed: {error}")
            self.notes.append(f"no run could be replayed as a CUDA graph, so that all are eager: {error}")
            self.worker.stop()
            self.timed = "eager"
            self.worker = self.new_worker()
            self.begin()

    @property
    def kept(self):
        """The samples, for a JSON file."""
        return [[*map(str, point), "training" if training else "forward", one["steps"], one["short_us"], one["long_us"]]
                for (point, training), one in self.samples.items()]

    def run(self):
        """A point's training step right after its forward run, so that an early end leaves as many of both."""
        try:
            for number, point in enumerate(self.points):
                if time.monotonic() > self.until:
                    self.notes.append(f"{self.options.seconds:.0f} s were over: the last {len(self.points) - number} "
                                      f"of {len(self.points)} points were not timed")
                    break
                self.time_both(point)
        except KeyboardInterrupt:
            self.notes.append(f"interrupted: {len(self.forward)} of {len(self.points)} points were timed")
        self.worker.stop()

    def time_both(self, point):
        """What cannot be true of a training step and its forward run is timed once more, and then left out: nobody
        knows which of them is wrong."""
        for again in (False, True):
            forward = self.time(point, False)
            training = None if forward is None else self.time(point, True)
            if training is None or not self.doubted or plausible(forward, training):
                break
            if again:
                self.notes.append(implausible(point, forward, training) + " once more: left out")
                return
        if forward is not None:
            self.forward[point] = forward
        if training is not None:
            self.training[point] = training

    def time(self, point, training):
        """Microseconds of a step, or None. Samples that lie far apart are taken once more."""
        for _ in range(2):
            reply = self.ask(point, training)
            if reply is None or reply["us"] <= 0:
                return None
            apart = spread(reply["short_us"], reply["long_us"])
            if apart <= WIDE or not self.doubted:
                self.samples[point, training] = reply
                return reply["us"]
        self.notes.append(f"{called(point)}, {'training' if training else 'forward'}: samples lie {100 * apart:.0f} % "
                          "of what is measured apart, twice: left out")
        return None

    def ask(self, point, training):
        """What the worker says of a point, or None."""
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
        else:
            self.notes.append(f"{shape}, {way}, {what}: a run of twice the steps took no longer")
        return reply


def called(point):
    return ", ".join(map(str, point))


def implausible(point, forward, training):
    return (f"{called(point)}: {training:.2f} us for a training step and {forward:.2f} for its forward run, less than "
            f"{LEAST_TRAINING} times,")


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


def losses_table(losses, shapes, rows):
    """`rows`: of tune_sweep.judge() for each set of constants."""
    lines = []
    for whose, loss in losses.items():
        of_all = [ratio for *_, ratio in rows[whose]]
        timed = [ratio for ratio in of_all if ratio is not None]
        good = sum(ratio <= tune_sweep.WITHIN for ratio in timed)
        lines.append(f"choices by {whose} take {loss:.3f} times the best, of {shapes} shapes; {good} are within 10 % of "
                     f"{len(timed)} that were timed, {len(of_all) - len(timed)} were not, the worst takes {max(timed):.2f}")
    return lines


class Recorded:
    """What an earlier run found, in the form of a Sweep, and with its `facts`, `commit` and `device`."""

    def __init__(self, path, model):
        with open(path, encoding="utf-8") as file:
            data = json.load(file)

        def times(rows):
            return {(Shape.parse(shape), Way.parse(way)): us for shape, way, us, *_ in rows}

        self.facts, self.commit = data["chip"], data["commit"]
        # Older files do not say: they are of a GPU, and of eager runs.
        self.device, self.timed = data.get("device", "cuda"), data.get("timed", "eager")
        self.notes = [*data["notes"], f"nothing was timed now: the times are those of {path}"]
        model.use(self.facts)
        self.forward, self.training = times(data["forward"]), times(data["training"])
        self.kept = data.get("samples", [])
        for point in [one for one in self.training if one in self.forward]:
            if not plausible(self.forward[point], self.training[point]):
                self.notes.append(implausible(point, self.forward.pop(point), self.training.pop(point))
                                  + " cannot be: left out")
        self.points = tune_sweep.ordered(model, tune_sweep.SHAPES)
        serving = set(model.serving(dict.fromkeys(shape for shape, _ in self.forward)))
        for point in self.forward.keys() - serving:
            self.notes.append(f"{called(point)}: does not serve any more, and is left out")
            del self.forward[point]
            self.training.pop(point, None)


def why_not_settled(options, sweep, losses):
    """Why the table is not touched, whatever was found; else nothing."""
    if options.device != "cuda":
        return "nothing was measured on a GPU"
    if sweep.timed != "graph":
        return "runs were eager ones, whose launches take longer than a CUDA graph's"
    missing = [point for point in sweep.points if point not in sweep.forward]
    if len(missing) > MISSING * len(sweep.points):
        return f"{len(missing)} of {len(sweep.points)} points are missing"
    return "" if losses else "of no layer were all choices timed, so nobody knows which are better"


def judged(model, found, line, training):
    """Rows of tune_sweep.judge() for each set of constants that the library might use from now on."""
    rows = {FITTED: tune_sweep.judge(model, found.constants, training)}
    if line:
        constants = [line.constants.get(name, default) for name, default in zip(model.names, model.defaults)]
        rows[LINE] = tune_sweep.judge(model, constants, training)
    rows[DEFAULTS] = tune_sweep.judge(model, model.defaults, training, measured=False)
    return rows


class Table:
    """host/cuda/measured_chips.inc, or another in its place."""

    def __init__(self, options, model, facts):
        self.options, self.model, self.facts = options, model, facts
        with open(options.table, encoding="utf-8") as file:
            self.text = file.read()
        self.key = facts["capability"], facts["multiprocessors"]
        self.line = tune_table.line_of(self.text, self.key, model.names)

    def write(self, text):
        self.text = text
        with open(self.options.table, "w", encoding="utf-8") as file:
            file.write(text)
        # Beside the findings, to be brought home from a machine that is lent.
        shutil.copy(self.options.table, os.path.join(self.options.output, "measured_chips.inc"))

    def settle(self, found, losses, commit_timed):
        """Gives the chip the constants by which choices lose least, of equals those named first. What became of it."""
        best, names = min(losses, key=losses.get), self.model.names
        if best == FITTED:
            self.write(tune_table.with_chip(self.text, tune_table.Chip(
                self.facts["name"], *self.key, commit_timed, dict(zip(names, found.constants))), names))
            return f"written: {self.options.table}"
        if best == DEFAULTS and self.line:
            self.write(tune_table.without_chip(self.text, self.key, names))
            return f"the chip's line is taken out of {self.options.table}: choices by the defaults lose less"
        return f"the table stays as it is: choices by {best} lose less"

    def lacking(self):
        """What lines do not say."""
        return [f"the table's line of {name} lacks {', '.join(constants)}: there the default stands"
                for name, constants in tune_table.lacking(self.text, self.model.names).items()]


def report(options, model, facts, sweep):
    """(all there is to say, the same for a JSON file); writes the table where that is worth it."""
    times, table = sweep.forward, Table(options, model, facts)
    text = [f"{facts['name']}, {facts['multiprocessors']} multiprocessors, commit {options.commit}; "
            f"{'replays of CUDA graphs' if sweep.timed == 'graph' else 'eager runs'}", ""]
    data = {"chip": facts, "commit": options.commit, "device": options.device, "timed": sweep.timed,
            "notes": sweep.notes,
            "training": [[str(shape), str(way), us] for (shape, way), us in sweep.training.items()],
            "samples": sweep.kept}
    if len(times) <= len(model.defaults) + 1:
        outcome, ratios = "too few points were timed to fit anything", [None] * len(times)
    else:
        found = tune_sweep.fit_constants(model, times)
        ratios = found.ratios
        rows = judged(model, found, table.line, sweep.training)
        losses, shapes = tune_sweep.lost(rows)
        why_not = why_not_settled(options, sweep, losses)
        outcome = f"the table stays as it is: {why_not}" if why_not else table.settle(found, losses, options.commit)
        text += [*points_table(times, ratios), "", *constants_table(model, found), "", *choices_table(rows[FITTED]),
                 *losses_table(losses, shapes, rows), ""]
        data |= {"constants": dict(zip(model.names, found.constants)),
                 "errors": dict(zip(model.names, found.errors)),
                 "choices": [[str(shape), str(chosen), str(best), ratio]
                             for shape, chosen, best, ratio in rows[FITTED]],
                 "lost": losses}
    data |= {"outcome": outcome, "forward": [[str(shape), str(way), us, ratio] for ((shape, way), us), ratio
                                             in zip(times.items(), ratios)]}
    return [*text, *sweep.notes, *table.lacking(), outcome], data


def timed_now(options, model):
    """(facts of the GPU, a sweep that has run)"""
    facts = model.device()
    model.use(facts)
    points = tune_sweep.ordered(model, tune_sweep.SHAPES if options.device == "cuda" else tune_sweep.TINY)
    finish_when_told()
    sweep = Sweep(options, model, points)
    sweep.begin()
    sweep.run()
    return facts, sweep


def timed_then(options, model):
    """The same, of an earlier run."""
    sweep = Recorded(options.recorded, model)
    options.device, options.commit = sweep.device, options.commit or sweep.commit
    return sweep.facts, sweep


def main(words=None):
    options = arguments(words)
    os.makedirs(options.output, exist_ok=True)
    model = Model(options.program)
    facts, sweep = (timed_then if options.recorded else timed_now)(options, model)
    text, data = report(options, model, facts, sweep)
    if options.device != "cuda":
        text.append("On the CPU, to try the program: these times mean nothing.")
    print("\n".join(text))
    chip = re.sub(r"[^a-z0-9]+", "-", facts["name"].lower()).strip("-")
    path = os.path.join(options.output, f"tune-{chip}-{datetime.date.today().isoformat()}"
                        + ("-fitted-again" if options.recorded else "") + ".json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
    print(f"written: {os.path.relpath(path)}")
    model.close()
    if "constants" not in data:
        sys.exit(data["outcome"])


if __name__ == "__main__":
    main()
