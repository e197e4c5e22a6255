#!/usr/bin/env python3
"""`./dev gpu tune` without a GPU: the fit finds constants that were planted in times with noise, choices follow
from constants, and the table is written as the library reads it.
Usage: tune_test.py LACUNA_STEP_COST COMPILER LIBRARY"""

import contextlib
import copy
import ctypes
import dataclasses
import io
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import cudart  # noqa: E402
import lacuna_abi as abi  # noqa: E402
import tune  # noqa: E402
import tune_fit  # noqa: E402
import tune_slope  # noqa: E402
import tune_sweep  # noqa: E402
import tune_table  # noqa: E402
import tune_worker  # noqa: E402
from tune_model import BEST, WAYS, Model, Shape, Way  # noqa: E402
from watched import Hung, WatchedWorker  # noqa: E402
from workers import WorkerError  # noqa: E402

H100 = {"multiprocessors": 132, "gigahertz": 1.755, "shared_bytes": 232448, "clusters": [66, 33, 16, 8]}
A100 = {"multiprocessors": 108, "gigahertz": 1.41, "shared_bytes": 166912, "clusters": [0, 0, 0, 0]}
PROGRAM, COMPILER, LIBRARY = sys.argv[1:4]


class WithModel(unittest.TestCase):
    chip = H100

    def setUp(self):
        self.model = Model(PROGRAM)
        self.model.use(self.chip)
        self.addCleanup(self.model.close)

    def planted(self, truth, noise, outliers, seed):
        """What a GPU of these constants would measure, with noise and a few samples that went wrong."""
        generator = random.Random(seed)
        points = tune_sweep.ordered(self.model, tune_sweep.SHAPES)
        steps = self.model.predict(truth, points)
        times = {point: (us + point[0].gate_bytes / 1.5e6) * math.exp(generator.gauss(0, noise))
                 for point, us in zip(points, steps)}
        for point in generator.sample(points, outliers):
            times[point] *= 3
        return times


class Fit(WithModel):
    TRUTHS = [[9, 60, 12, 0.2, 2, 0.5, 1.1, 4, 3e6],
              [6.3, 128, 32, 0.1, 0.35, 0.2, 0.65, 2.7, 5.5e6],
              [4, 40, 20, 0.3, 0.7, 0.3, 0.9, 5, 2e6]]

    def test_finds_planted_constants(self):
        for seed, truth in enumerate(self.TRUTHS):
            found = tune_sweep.fit_constants(self.model, self.planted(truth, 0.03, 5, seed))
            for name, planted, value, error in zip(self.model.names, truth, found.constants, found.errors):
                self.assertIsNotNone(error, name)
                self.assertLess(abs(math.log(value / planted)), max(0.05, 4 * error),
                                f"{name}: {value}, planted {planted}, +- {error}")

    def test_without_noise_is_exact(self):
        truth = self.TRUTHS[0]
        found = tune_sweep.fit_constants(self.model, self.planted(truth, 0, 0, 1))
        for name, planted, value in zip(self.model.names, truth, found.constants):
            self.assertAlmostEqual(value / planted, 1, 3, name)
        self.assertLess(max(abs(ratio - 1) for ratio in found.ratios), 1e-3)

    def test_leaves_alone_what_no_point_tells(self):
        points = {point: us for point, us in self.planted(self.TRUTHS[0], 0.01, 0, 2).items()
                  if point[1].regime != abi.REGIME_GRID}
        found = tune_sweep.fit_constants(self.model, points)
        flag = self.model.names.index("flag_hop_us")
        self.assertIsNone(found.errors[flag])
        self.assertEqual(round(found.constants[flag], 9), self.model.defaults[flag])
        self.assertAlmostEqual(found.constants[self.model.names.index("store_hop_us")], 0.5, 1)

    def test_solves(self):
        self.assertEqual(tune_fit.solve([[0, 2], [4, 0]], [6, 8]), [2, 3])
        self.assertIsNone(tune_fit.solve([[1, 2], [2, 4]], [1, 2]))


class Choice(WithModel):
    LSTM = Shape(abi.LSTM, abi.BF16, 0, 256, 8)

    def test_follows_from_the_constants(self):
        names, constants = self.model.names, list(self.model.defaults)
        self.assertEqual(self.model.choose(constants, [self.LSTM])[0].regime, abi.REGIME_CLUSTER)
        constants[names.index("store_hop_us")] = 9
        self.assertEqual(self.model.choose(constants, [self.LSTM])[0].regime, abi.REGIME_GRID)
        constants[names.index("flag_hop_us")] = 9
        self.assertEqual(self.model.choose(constants, [self.LSTM]), [Way(abi.REGIME_STEPWISE, 0)])

    def test_is_judged_by_what_was_measured(self):
        chosen = self.model.choose(self.model.defaults, [self.LSTM])[0]
        other = Way(abi.REGIME_GRID, 4)
        rows = tune_sweep.judge(self.model, self.model.defaults,
                                {(self.LSTM, chosen): 3.0, (self.LSTM, other): 2.0})
        self.assertEqual(rows, [(self.LSTM, chosen, other, 1.5)])
        self.assertEqual(tune_sweep.lost({"ours": rows}), ({"ours": 1.5}, 1))
        rows = tune_sweep.judge(self.model, self.model.defaults,
                                {(self.LSTM, other): 2.0, (self.LSTM, Way(abi.REGIME_GRID, 8)): 3.0})
        self.assertEqual(rows, [(self.LSTM, chosen, other, None)])
        self.assertEqual(tune_sweep.lost({"ours": rows}), ({}, 0))

    def test_is_compared_over_the_shapes_of_which_all_choices_were_timed(self):
        def rows(*ratios):
            return [(self.LSTM, BEST, BEST, ratio) for ratio in ratios]

        self.assertEqual(tune_sweep.lost({"ours": rows(1, None, 3), "theirs": rows(2, 1, 4)}),
                         ({"ours": 2, "theirs": 3}, 2))

    def test_of_what_was_not_measured_is_without_groups(self):
        small = Shape(abi.LSTM, abi.F16, 0, 128, 8)
        constants = list(self.model.defaults)
        constants[self.model.names.index("gates_us")] = 90
        whole = {abi.REGIME_RESIDENT, abi.REGIME_LONE}
        self.assertNotIn(self.model.choose(constants, [small])[0].regime, whole)
        self.assertIn(self.model.choose(constants, [small], measured=False)[0].regime, whole)
        self.assertNotIn(self.model.choose(constants, [small])[0].regime, whole)

    def test_of_planted_times_is_within_the_bar(self):
        truth = Fit.TRUTHS[0]
        rows = tune_sweep.judge(self.model, truth, self.planted(truth, 0, 0, 3))
        self.assertEqual(len(rows), len(tune_sweep.SHAPES))
        # A group of twice the blocks has to save a tenth, hence 1 / 0.9.
        self.assertLess(max(ratio for *_, ratio in rows), 1 / 0.9 + 1e-6)


class ChoiceWithoutClusters(WithModel):
    chip = A100

    def test_has_no_cluster_among_its_points(self):
        regimes = {way.regime for _, way in self.model.serving(tune_sweep.SHAPES)}
        self.assertEqual(regimes, {abi.REGIME_STEPWISE, abi.REGIME_RESIDENT, abi.REGIME_LONE,
                                   abi.REGIME_GRID})


class Order(WithModel):
    def test_has_all_shapes_and_regimes_in_a_prefix(self):
        points = tune_sweep.ordered(self.model, tune_sweep.SHAPES)
        self.assertEqual(len(points), len(set(points)))
        self.assertEqual([shape for shape, _ in points[:len(tune_sweep.SHAPES)]], tune_sweep.SHAPES)
        # The best of each shape, and then the best of another regime.
        expected = dict(zip(points, self.model.predict(self.model.defaults, points)))
        for point in points[:len(tune_sweep.SHAPES)]:
            self.assertEqual(expected[point], min(us for other, us in expected.items() if other[0] == point[0]))
        self.assertEqual({len({way.regime for other, way in points[:2 * len(tune_sweep.SHAPES)] if other == shape})
                          for shape in tune_sweep.SHAPES}, {2})

    def test_leaves_out_what_is_far_off(self):
        points = tune_sweep.ordered(self.model, tune_sweep.SHAPES)
        every = self.model.serving(tune_sweep.SHAPES)
        expected = dict(zip(every, self.model.predict(self.model.defaults, every)))
        for shape in tune_sweep.SHAPES:
            best = min(us for point, us in expected.items() if point[0] == shape)
            for point, us in expected.items():
                if point[0] == shape:
                    self.assertEqual(point in points, us <= 8 * best, point)


def answered(steps, us, apart=0.0):
    """As the worker does: a step takes `us`, and the middle halves of the samples are `apart` of that."""
    short = [steps * us * (1 + share * apart / 2) for share in (-1, 0, 1)]
    return {"us": us, "steps": steps, "short_us": short, "long_us": [2 * steps * us] * 3}


class Doubtful(WithModel):
    """A worker that is made up, and what it says of one point the first and the second time."""

    POINT = Shape(abi.LSTM, abi.BF16, 0, 256, 8), Way(abi.REGIME_GRID, 4)

    def asked(self, forward, training):
        """Of each what is answered in turn: (microseconds, how far apart)."""
        options = unittest.mock.Mock(seconds=60, library="", device="cuda", repeats=3)
        sweep, answers = tune.Sweep(options, self.model, [self.POINT]), {0: list(forward), 1: list(training)}

        def ask(_, *words, limit):
            us, apart = answers[words[9]].pop(0)
            return answered(words[7], us, apart)

        with unittest.mock.patch.object(sweep.worker, "ask", ask):
            sweep.run()
        self.assertEqual(answers, {0: [], 1: []})  # no more was asked
        return sweep

    def test_a_training_step_of_its_forward_run_alone_is_timed_once_more(self):
        good = self.asked([(2.0, 0)], [(4.0, 0)])
        self.assertEqual((good.forward, good.training, good.notes), ({self.POINT: 2.0}, {self.POINT: 4.0}, []))
        self.assertEqual([row[:3] for row in good.kept],
                         [["lstm_bf16_n8_h256", "grid 4", "forward"], ["lstm_bf16_n8_h256", "grid 4", "training"]])
        again = self.asked([(2.0, 0), (2.1, 0)], [(2.2, 0), (4.1, 0)])
        self.assertEqual((again.forward, again.training, again.notes), ({self.POINT: 2.1}, {self.POINT: 4.1}, []))
        bad = self.asked([(2.0, 0), (2.0, 0)], [(2.2, 0), (2.3, 0)])
        self.assertEqual((bad.forward, bad.training), ({}, {}))
        self.assertEqual(bad.notes, ["lstm_bf16_n8_h256, grid 4: 2.30 us for a training step and 2.00 for its forward "
                                     "run, less than 1.2 times, once more: left out"])

    def test_samples_that_lie_far_apart_are_taken_once_more(self):
        again = self.asked([(2.0, 0.5), (2.1, 0.1)], [(4.0, 0)])
        self.assertEqual((again.forward, again.notes), ({self.POINT: 2.1}, []))
        bad = self.asked([(2.0, 0)], [(4.0, 0.5), (4.0, 0.4)])
        self.assertEqual((bad.forward, bad.training), ({self.POINT: 2.0}, {}))
        self.assertEqual(bad.notes, ["lstm_bf16_n8_h256, grid 4, training: samples lie 40 % of what is measured apart, "
                                     "twice: left out"])
        self.assertEqual(self.asked([(2.0, 0.5), (2.0, 0.5)], []).training, {})

    def test_of_samples(self):
        short, long = [10, 11, 12], [30, 32, 31]
        self.assertEqual(tune_slope.slope(short, long, 10), 2)
        self.assertEqual(tune_slope.spread(short, long), 0.2)
        self.assertEqual(tune_slope.spread(long, short), math.inf)
        # One of a dozen that went wrong does not matter.
        self.assertLess(tune_slope.spread([*short * 4, 900], long * 4), 0.25)


class Hanging(WithModel):
    """A worker that is made up: clusters of 8 hang, and so do training steps of a grid; the rest takes its time."""

    def asked(self, hangs, seconds=60):
        points = tune_sweep.ordered(self.model, tune_sweep.SHAPES)
        options = unittest.mock.Mock(seconds=seconds, library="", device="cuda", repeats=3)
        sweep, asked = tune.Sweep(options, self.model, points), []

        def ask(_, *words, limit):
            shape, regime, blocks, steps, training = Shape(*words[:5]), words[5], words[6], words[7], words[9]
            asked.append((shape, Way(regime, blocks), steps, training))
            if hangs(Way(regime, blocks), training):
                raise Hung("no answer within 4 s: killed")
            return answered(steps, (2 if training else 1) * 3 * sweep.expected[shape, Way(regime, blocks)])

        with unittest.mock.patch.object(sweep.worker, "ask", ask):
            sweep.run()
        return sweep, asked

    def test_a_number_of_blocks_is_left_out_after_two(self):
        eight = Way(abi.REGIME_CLUSTER, 8)
        sweep, asked = self.asked(lambda way, _: way == eight)
        self.assertEqual(sum(way == eight for _, way, *_ in asked), 2)
        self.assertEqual(len(asked), 2 + 2 * sum(way != eight for _, way in sweep.points))
        self.assertEqual(len(sweep.notes), 3)
        self.assertEqual(sweep.notes[2], "cluster 8, forward: left out from here on, after 2 that hung")

    def test_a_regime_is_left_out_after_four(self):
        sweep, asked = self.asked(lambda way, _: way.regime == abi.REGIME_CLUSTER)
        self.assertEqual(sum(way.regime == abi.REGIME_CLUSTER for _, way, *_ in asked), 4)
        self.assertIn("cluster, forward: left out from here on, after 4 that hung", sweep.notes)

    def test_forward_runs_go_on_where_training_hangs(self):
        sweep, asked = self.asked(lambda way, training: training and way.regime == abi.REGIME_GRID)
        grids = sum(way.regime == abi.REGIME_GRID for _, way in sweep.points)
        self.assertEqual(sum(way.regime == abi.REGIME_GRID for _, way, *_ in asked), grids + 4)
        self.assertEqual(len(sweep.forward), len(sweep.points))

    def test_steps_follow_from_what_was_measured(self):
        _, asked = self.asked(lambda *_: False)
        self.assertEqual(asked[0][2], 4000)
        resident = [(shape, steps) for shape, way, steps, training in asked
                    if way.regime == abi.REGIME_RESIDENT and not training]
        expected = dict(zip([shape for shape, _ in resident], self.model.predict(
            self.model.defaults, [(shape, Way(abi.REGIME_RESIDENT, 0)) for shape, _ in resident])))
        for point, (shape, steps) in enumerate(resident):
            if point == 0 or shape.sequences > 64:  # nothing is known yet, or memory allows no more
                continue
            slope_us = 1500 + 4 * (3 if "gru" in str(shape) else 4) * shape.hidden ** 2 / 5e3
            self.assertAlmostEqual(steps, min(4000, slope_us / (3 * expected[shape])), -1)

    def test_a_prefix_is_timed_where_time_is_over(self):
        sweep, asked = self.asked(lambda *_: False, seconds=-1)
        self.assertEqual(asked, [])
        count = len(sweep.points)
        self.assertEqual(sweep.notes, [f"-1 s were over: the last {count} of {count} points were not timed"])


class Program(WithModel):
    def test_says_what_is_wrong(self):
        for words, said in ((("predict", 1), "shared_bytes: not a number"), (("device", 7), "device: 7"),
                            (("dance",), "unknown command 'dance'")):
            with self.assertRaisesRegex(WorkerError, said):
                self.model.worker.ask(*words)
        self.assertFalse(self.model.add(Choice.LSTM, Way(abi.REGIME_CLUSTER, 32)))
        self.assertTrue(self.model.add(Choice.LSTM, BEST))


class Whole(WithModel):
    """bench/tune.py with a GPU that is made up: its facts and its times, but for the last."""

    fits = {}  # number of points: what was fitted, for the forward runs are always the same ones

    def fit_once(self, model, times):
        if len(times) not in self.fits:
            self.fits[len(times)] = self.fit_constants(model, times)
        return copy.deepcopy(self.fits[len(times)])

    def setUp(self):
        super().setUp()
        self.fit_constants = tune_sweep.fit_constants
        fit = unittest.mock.patch.object(tune_sweep, "fit_constants", self.fit_once)
        fit.start()
        self.addCleanup(fit.stop)

    def run_it(self, constants_of_training, points=None, interrupted=False, line=None, timed="graph"):
        """`line`: constants that the table has of the chip."""
        truth = Fit.TRUTHS[0]
        forward = self.planted(truth, 0.02, 3, 5)
        steps = self.model.predict(constants_of_training, list(forward))

        training_steps = {point: 9 * us for point, us in zip(forward, steps)}
        there = list(forward)[:points]

        def time(_, point, training):
            if point == there[-1] and interrupted:
                raise KeyboardInterrupt
            return (training_steps if training else forward)[point] if point in there else None

        def begin(sweep):
            sweep.timed = timed

        facts = {**H100, "name": "NVIDIA Stand-in", "capability": 90, "constants": "none"}
        with unittest.mock.patch.object(Model, "device", lambda _: facts), \
                unittest.mock.patch.object(tune.Sweep, "begin", begin), \
                unittest.mock.patch.object(tune.Sweep, "time", time):
            return self.main_of(["--library", PROGRAM, "--commit", "0123abc"], line)

    def main_of(self, words, line=None):
        """(what is said, the chips of the table afterwards, the findings)"""
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
            table = pathlib.Path(folder, "chips.inc")
            text = "// Chips.\n"
            if line:
                chip = tune_table.Chip("NVIDIA Before", 90, 132, "4567def", line)
                text = tune_table.with_chip(text, chip, self.model.names)
            table.write_text(text, encoding="utf-8")
            try:
                tune.main([*words, "--program", PROGRAM, "--output", folder, "--table", str(table)])
            except SystemExit as ended:
                print(ended)
            found = json.loads(next(pathlib.Path(folder).glob("tune-nvidia-stand-in-*.json")).read_text())
            after = table.read_text()
            beside = pathlib.Path(folder, "measured_chips.inc")
            self.assertEqual(beside.read_text() if beside.exists() else text, after)
            return said.getvalue(), tune_table.parse(after, self.model.names)[1], found

    def named(self, constants):
        return dict(zip(self.model.names, constants))

    def test_writes_the_table(self):
        said, chips, found = self.run_it(Fit.TRUTHS[0])
        self.assertEqual([(chip.name, chip.key, chip.commit) for chip in chips],
                         [("NVIDIA Stand-in", (90, 132), "0123abc")], said)
        for name, planted in zip(self.model.names, Fit.TRUTHS[0]):
            self.assertLess(abs(math.log(chips[0].constants[name] / planted)), 0.25, name)
        self.assertRegex(said, r"within 10 % of the quickest for \d+ of 28 shapes")
        self.assertEqual(len(found["forward"]), len(found["training"]))
        self.assertEqual(len(found["choices"]), len(tune_sweep.SHAPES))
        self.assertEqual((found["timed"], list(found["lost"])), ("graph", ["these constants", "the defaults"]))

    QUICK_LAUNCHES = [6.3, 128, 32, 0.1, 0.35, 0.2, 0.65, 0.5, 5.5e7]
    SLOW_HOPS = [6.3, 128, 32, 0.1, 0.35, 1, 3, 2.7, 5.5e6]

    def test_replaces_a_line_that_chooses_worse(self):
        said, chips, found = self.run_it(Fit.TRUTHS[0], line=self.named(self.QUICK_LAUNCHES))
        self.assertEqual([(chip.name, chip.commit) for chip in chips], [("NVIDIA Stand-in", "0123abc")], said)
        self.assertLess(found["lost"]["these constants"], found["lost"]["the table's line"])

    def test_keeps_a_line_that_chooses_best(self):
        said, chips, found = self.run_it(Fit.TRUTHS[2], line=self.named(Fit.TRUTHS[2]))
        self.assertEqual([(chip.name, chip.commit) for chip in chips], [("NVIDIA Before", "4567def")], said)
        self.assertEqual(found["outcome"], "the table stays as it is: choices by the table's line lose less")
        self.assertEqual(min(found["lost"], key=found["lost"].get), "the table's line")
        self.assertRegex(said, r"choices by the table's line take 1\.0\d+ times the best, of 28 shapes")

    def test_takes_out_a_line_where_the_defaults_choose_best(self):
        said, chips, found = self.run_it(self.SLOW_HOPS, line=self.named(self.QUICK_LAUNCHES))
        self.assertEqual(chips, [], said)
        self.assertRegex(found["outcome"], "line is taken out of .*: choices by the defaults lose less")
        self.assertEqual(min(found["lost"], key=found["lost"].get), "the defaults")
        # As the library chooses without a line: with one of the same constants it would lose more.
        training = {(Shape.parse(shape), Way.parse(way)): us for shape, way, us in found["training"]}
        with_a_line = tune_sweep.lost({"": tune_sweep.judge(self.model, self.model.defaults, training)})[0][""]
        self.assertLess(found["lost"]["the defaults"], with_a_line)

    def test_leaves_the_table_where_choices_would_be_worse(self):
        said, chips, _ = self.run_it(self.SLOW_HOPS)
        self.assertEqual(chips, [])
        self.assertIn("the table stays as it is: choices by the defaults lose less", said)

    def test_leaves_the_table_where_runs_were_eager(self):
        said, chips, found = self.run_it(Fit.TRUTHS[0], timed="eager")
        self.assertEqual((chips, found["timed"]), ([], "eager"))
        self.assertIn("the table stays as it is: runs were eager ones", said)

    def test_says_what_a_line_lacks(self):
        line = self.named(Fit.TRUTHS[2])
        del line["lone_gates"]
        said, chips, _ = self.run_it(Fit.TRUTHS[2], line=line)
        self.assertEqual([chip.name for chip in chips], ["NVIDIA Before"])
        self.assertIn("the table's line of NVIDIA Before lacks lone_gates: there the default stands\n", said)
        said, _, _ = self.run_it(Fit.TRUTHS[2], line=self.named(Fit.TRUTHS[2]))
        self.assertNotIn("lacks", said)

    def test_fits_once_more_what_was_recorded(self):
        _, _, found = self.run_it(Fit.TRUTHS[0])
        with tempfile.TemporaryDirectory() as folder:
            recorded = pathlib.Path(folder, "recorded.json")

            def again(**changed):
                recorded.write_text(json.dumps({**found, **changed}), encoding="utf-8")
                return self.main_of(["--from", str(recorded)])

            said, chips, once_more = again()
            self.assertEqual([(chip.name, chip.commit) for chip in chips], [("NVIDIA Stand-in", "0123abc")], said)
            self.assertEqual({name: round(value, 9) for name, value in once_more["constants"].items()},
                             {name: round(value, 9) for name, value in found["constants"].items()})
            self.assertIn(f"nothing was timed now: the times are those of {recorded}", said)
            # Before files said how, runs were eager.
            del found["timed"]
            said, chips, _ = again()
            self.assertEqual(chips, [])
            self.assertIn("runs were eager ones", said)
            said, chips, _ = again(device="cpu", timed="graph")
            self.assertEqual(chips, [])
            self.assertIn("nothing was measured on a GPU", said)
            said, _, _ = again(forward=[*found["forward"], ["lstm_f32_n8_h4096", "resident", 1.0, 1.0]])
            self.assertIn("lstm_f32_n8_h4096, resident: does not serve any more, and is left out", said)
            (shape, way, us, _), *others = found["forward"]
            said, _, again_found = again(training=[[shape, way, 1.1 * us], *found["training"][1:]])
            self.assertIn(f"{shape}, {way}: {1.1 * us:.2f} us for a training step and {us:.2f} for its forward run, "
                          "less than 1.2 times, cannot be: left out", said)
            self.assertEqual([row[:2] for row in again_found["forward"]], [row[:2] for row in others])
            self.assertEqual(again_found["samples"], found["samples"])

    def test_leaves_the_table_where_points_are_missing(self):
        said, chips, found = self.run_it(Fit.TRUTHS[0], points=100)
        self.assertEqual(chips, [])
        self.assertRegex(said, "the table stays as it is: [0-9]+ of [0-9]+ points are missing")
        # Half of the points still tell what most constants are, and are written down.
        for name, planted in zip(self.model.names, Fit.TRUTHS[0]):
            if found["errors"][name] is not None:
                self.assertLess(abs(math.log(found["constants"][name] / planted)), 0.35, name)
        self.assertGreater(sum(error is not None for error in found["errors"].values()), 5)
        self.assertEqual(len(found["forward"]), 100)

    def test_writes_what_there_is_when_interrupted(self):
        for points, outcome in ((60, "points are missing"), (5, "^too few points were timed to fit anything$")):
            _, chips, found = self.run_it(Fit.TRUTHS[0], points, interrupted=True)
            self.assertEqual(chips, [])
            self.assertEqual((len(found["forward"]), len(found["training"])), (points - 1, points - 1))
            self.assertRegex(found["notes"][-1], f"^interrupted: {points - 1} of [0-9]+ points were timed$")
            self.assertRegex(found["outcome"], outcome)


class Text(unittest.TestCase):
    def test_of_shapes_and_ways_goes_round(self):
        for shape in (*tune_sweep.SHAPES, *tune_sweep.TINY):
            self.assertEqual(Shape.parse(str(shape)), shape)
        for way in WAYS:
            self.assertEqual(Way.parse(str(way)), way)
        for wrong in ("lstm_f64_n8_h16", "lstn_f32_n8_h16", "lstm_f32_h16"):
            with self.assertRaisesRegex(ValueError, f"shape '{wrong}': not of the form"):
                Shape.parse(wrong)
        for wrong in ("stepwice", "grid 2 3"):
            with self.assertRaisesRegex(ValueError, f"way '{wrong}': not of the form"):
                Way.parse(wrong)


class Worker(unittest.TestCase):
    """The real one on the CPU backend, with a CUDA runtime that is made up."""

    SMALL = abi.LSTM, abi.F32, 0, 8, 2, abi.REGIME_STEPWISE, 0, 20, 3

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.cudart = os.path.join(cls.folder.name, "libcudart.so")
        subprocess.run([COMPILER, "-std=c++20", "-O1", "-shared", "-fPIC", "-o", cls.cudart,
                        ROOT / "tests/tune/stand_in_cudart.cpp"], check=True)

    def worker(self, *words):
        worker = WatchedWorker([sys.executable, str(ROOT / "bench/tune_worker.py"), "--library", LIBRARY, "--device",
                                "cpu", *words], 20, 20)
        self.addCleanup(worker.stop)
        return worker

    def test_times_replays(self):
        worker = self.worker("--timed", "graph", "--cudart", self.cudart)
        self.assertEqual(worker.start()["timed"], "graph")
        for training in (0, 1):
            reply = worker.ask("time", *self.SMALL, training)
            self.assertGreater(min(reply["short_us"]), 0)
            self.assertLess(abs(reply["us"]), max(reply["long_us"]))
            self.assertIn(len(reply["long_us"]), range(3, 13))
            self.assertEqual(reply["us"], tune_slope.slope(reply["short_us"], reply["long_us"], reply["steps"]))

    def test_times_calls(self):
        worker = self.worker("--timed", "eager")
        self.assertEqual(worker.start()["timed"], "eager")
        self.assertGreater(min(worker.ask("time", *self.SMALL, 1)["long_us"]), 0)

    def test_names_the_call_that_fails(self):
        not_called = {"cudaFree", "cudaGraphExecDestroy", "cudaMemsetAsync", "cudaRuntimeGetVersion"}
        for call in set(cudart.CALLS) - not_called:
            with unittest.mock.patch.dict(os.environ, LACUNA_FAILING=call), \
                    self.assertRaisesRegex(WorkerError, rf"CudaError: {call}: cudaErrorPlanted \(1\)"):
                self.worker("--timed", "graph", "--cudart", self.cudart).start()
        with self.assertRaisesRegex(WorkerError, "CudaError: no CUDA runtime: /nowhere/libcudart.so"):
            self.worker("--timed", "graph", "--cudart", "/nowhere/libcudart.so").start()

    def test_gives_everything_back(self):
        cuda = cudart.Cuda(self.cudart)
        lib = abi.load(LIBRARY)
        context = abi.create(lib.lacuna_context_create,
                             ctypes.byref(abi.ContextOptions(backend=abi.BACKEND_CPU, threads=1)))
        for training in (0, 1):
            timed = tune_worker.Graphs(cuda)
            tune_worker.time_step(lib, context, abi.BACKEND_CPU, timed, [*self.SMALL, training])
            self.assertEqual((len(timed.placed), len(timed.captured), cuda.lib.stand_in_held()), (5, 2, 0))
        lib.lacuna_context_destroy(context)

    def test_what_a_capture_does_not_allow_is_named(self):
        cuda = cudart.Cuda(self.cudart)
        with self.assertRaisesRegex(cudart.CudaError, "cudaStreamSynchronize: cudaErrorStreamCaptureUnsupported"):
            cuda.capture(cuda.wait)

    def test_another_takes_the_place_of_one_that_cannot_replay(self):
        options = unittest.mock.Mock(seconds=60, library=LIBRARY, device="cpu", repeats=1)
        model = Model(PROGRAM)
        self.addCleanup(model.close)
        model.use(H100)
        sweep = tune.Sweep(options, model, tune_sweep.ordered(model, tune_sweep.TINY))
        self.assertEqual(sweep.timed, "eager")
        sweep.timed = "graph"
        sweep.worker = self.worker("--timed", "graph", "--cudart", "/nowhere/libcudart.so")
        sweep.begin()
        self.addCleanup(sweep.worker.stop)
        self.assertEqual(sweep.timed, "eager")
        self.assertRegex(sweep.notes[0], "^no run could be replayed as a CUDA graph, so that all are eager: CudaError")
        sweep.options.library = "/nowhere/liblacuna.so"
        sweep.worker.stop()
        sweep.worker = sweep.new_worker()
        with self.assertRaisesRegex(SystemExit, "nothing can be timed"):
            sweep.begin()


class Table(unittest.TestCase):
    def setUp(self):
        model = Model(PROGRAM)
        self.addCleanup(model.close)
        self.names = model.names
        self.constants = dict(zip(model.names, model.defaults))
        self.chip = tune_table.Chip("NVIDIA H100", 90, 132, "0123abc", self.constants)
        self.committed = (ROOT / "host/cuda/measured_chips.inc").read_text(encoding="utf-8")

    def test_that_is_committed_is_well_formed(self):
        comment, chips = tune_table.parse(self.committed, self.names)
        self.assertEqual(tune_table.render(comment, chips, self.names), self.committed)

    def test_goes_round(self):
        text = tune_table.with_chip("// Chips.\n", self.chip, self.names)
        self.assertEqual(tune_table.parse(text, self.names), (["// Chips."], [self.chip]))
        other = tune_table.Chip("NVIDIA A100", 80, 108, "0123abc", self.constants)
        both = tune_table.with_chip(text, other, self.names)
        self.assertEqual(tune_table.parse(both, self.names)[1], [other, self.chip])
        again = tune_table.Chip("NVIDIA H200", 90, 132, "4567def",
                                {**self.constants, "launch_us": 1.5})
        self.assertEqual(tune_table.parse(tune_table.with_chip(both, again, self.names), self.names)[1],
                         [other, again])

    def test_keeps_a_chip_that_was_measured_before_there_was_a_constant(self):
        fewer = {name: value for name, value in self.constants.items() if name != "lone_gates"}
        text = tune_table.with_chip("", dataclasses.replace(self.chip, constants=fewer), self.names)
        self.assertEqual(tune_table.parse(text, self.names)[1][0].constants, fewer)
        self.assertEqual(self.compiles(text), (True, ""))

    def test_names_the_field_that_is_wrong(self):
        good = tune_table.with_chip("", self.chip, self.names).strip()
        for old, new, said in (
                (".mma_cycles = 6.3", ".mma_cycles = -1", "line 1: mma_cycles: -1.0, expected a positive"),
                (".mma_cycles = 6.3", ".mma_cycles = nan", "line 1: mma_cycles: nan"),
                (".mma_cycles = 6.3", ".mma_cycles = x", "line 1: mma_cycles: 'x', expected a number"),
                (".mma_cycles = 6.3, ", "", "line 1: mma_cycles: missing"),
                (".mma_cycles = 6.3", ".mma_cycles = 6.3, .mma_cycles = 6.3", "mma_cycles: given twice"),
                (".mma_cycles = 6.3", ".mma_cycles = 6.3, .more = 1", "line 1: more: no such constant"),
                (" 90,", " 75,", "line 1: capability: 75, expected at least 80"),
                (" 132,", " 0,", "line 1: multiprocessors: 0"),
                ('"NVIDIA H100"', '""', "line 1: name: ''"),
                ('"0123abc"', '""', "line 1: commit: ''"),
                ("{", "", "line 1: 'NVIDIA|line 1: '\"NVIDIA"),
                (good, good + "\n" + good, "line 2: capability, multiprocessors")):
            self.assertIn(old, good)
            with self.assertRaisesRegex(tune_table.TableError, said):
                tune_table.parse(good.replace(old, new, 1), self.names)

    def compiles(self, text):
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder, "host/cuda")
            place.mkdir(parents=True)
            (place / "measured_chips.inc").write_text(text, encoding="utf-8")
            # A copy: beside the committed table the compiler would look there first.
            source = pathlib.Path(folder, "measured_chips.cpp")
            source.write_text((ROOT / "host/cuda/measured_chips.cu").read_text(encoding="utf-8"),
                              encoding="utf-8")
            done = subprocess.run([COMPILER, "-std=c++20", "-fsyntax-only", f"-I{folder}", f"-I{ROOT}",
                                   f"-I{ROOT}/include", f"-I{ROOT}/tests", source], capture_output=True, text=True)
        return done.returncode == 0, done.stderr

    def test_compiles(self):
        text = tune_table.with_chip(self.committed, self.chip, self.names)
        self.assertEqual(self.compiles(text), (True, ""))
        compiled, why = self.compiles(text.replace("6.3", "-6.3"))
        self.assertFalse(compiled)
        self.assertIn("a constant is not positive", why)


if __name__ == "__main__":
    os.chdir(ROOT)
    unittest.main(argv=sys.argv[:1])
