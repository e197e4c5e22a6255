#!/usr/bin/env python3
"""`./dev gpu tune` without a GPU: the fit finds constants that were planted in times with noise, choices follow
from constants, and the table is written as the library reads it.
Usage: tune_test.py LACUNA_STEP_COST COMPILER"""

import contextlib
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

import lacuna_abi as abi  # noqa: E402
import tune  # noqa: E402
import tune_fit  # noqa: E402
import tune_sweep  # noqa: E402
import tune_table  # noqa: E402
from tune_model import BEST, Model, Shape, Way  # noqa: E402
from workers import WorkerError  # noqa: E402

H100 = {"multiprocessors": 132, "gigahertz": 1.755, "shared_bytes": 232448, "cluster_blocks": 16}
A100 = {"multiprocessors": 108, "gigahertz": 1.41, "shared_bytes": 166912, "cluster_blocks": 1}
PROGRAM, COMPILER = sys.argv[1:3]


class WithModel(unittest.TestCase):
    chip = H100

    def setUp(self):
        self.model = Model(PROGRAM)
        self.model.use(self.chip)
        self.addCleanup(self.model.close)

    def planted(self, truth, noise, outliers, seed):
        """What a GPU of these constants would measure, with noise and a few samples that went wrong."""
        generator = random.Random(seed)
        points = self.model.serving(tune_sweep.SHAPES)
        steps = self.model.predict(truth, points)
        times = {point: (us + point[0].gate_bytes / 1.5e6) * math.exp(generator.gauss(0, noise))
                 for point, us in zip(points, steps)}
        for point in generator.sample(points, outliers):
            times[point] *= 3
        return times


class Fit(WithModel):
    TRUTHS = [[9, 60, 12, 0.2, 0.5, 1.1, 4, 3e6], [6.3, 128, 32, 0.1, 0.2, 0.65, 2.7, 5.5e6],
              [4, 40, 20, 0.3, 0.3, 0.9, 5, 2e6]]

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
        self.assertEqual(tune_sweep.lost(rows), 1.5)
        rows = tune_sweep.judge(self.model, self.model.defaults,
                                {(self.LSTM, other): 2.0, (self.LSTM, Way(abi.REGIME_GRID, 8)): 3.0})
        self.assertEqual(rows, [(self.LSTM, chosen, other, None)])
        self.assertIsNone(tune_sweep.lost(rows))

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
        self.assertEqual(regimes, {abi.REGIME_STEPWISE, abi.REGIME_RESIDENT, abi.REGIME_GRID})


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

    def run_it(self, constants_of_training, points=None):
        truth = Fit.TRUTHS[0]
        forward = self.planted(truth, 0.02, 3, 5)
        steps = self.model.predict(constants_of_training, list(forward))

        def times(_, asked, training):
            known = dict(zip(forward, steps)) if training else forward
            return {point: known[point] for point in asked[:points]}

        facts = {**H100, "name": "NVIDIA Stand-in", "capability": 90, "constants": "none"}
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, \
                unittest.mock.patch.object(Model, "device", lambda _: facts), \
                unittest.mock.patch.object(tune.Sweep, "time", times), \
                contextlib.redirect_stdout(said):
            table = pathlib.Path(folder, "chips.inc")
            table.write_text("// Chips.\n", encoding="utf-8")
            tune.main(["--library", PROGRAM, "--program", PROGRAM, "--output", folder, "--table",
                       str(table), "--commit", "0123abc"])
            found = json.loads(next(pathlib.Path(folder).glob("tune-nvidia-stand-in-*.json")).read_text())
            return said.getvalue(), tune_table.parse(table.read_text(), self.model.names)[1], found

    def test_writes_the_table(self):
        said, chips, found = self.run_it(Fit.TRUTHS[0])
        self.assertEqual([(chip.name, chip.key, chip.commit) for chip in chips],
                         [("NVIDIA Stand-in", (90, 132), "0123abc")])
        for name, planted in zip(self.model.names, Fit.TRUTHS[0]):
            self.assertLess(abs(math.log(chips[0].constants[name] / planted)), 0.25, name)
        self.assertRegex(said, r"within 10 % of the quickest for \d+ of 25 shapes")
        self.assertEqual(len(found["forward"]), len(found["training"]))
        self.assertEqual(len(found["choices"]), 25)

    def test_leaves_the_table_where_choices_would_be_worse(self):
        said, chips, _ = self.run_it(self.model.defaults)
        self.assertEqual(chips, [])
        self.assertIn("the table stays as it is: choices by these constants take", said)

    def test_leaves_the_table_where_points_are_missing(self):
        said, chips, _ = self.run_it(Fit.TRUTHS[0], points=100)
        self.assertEqual(chips, [])
        self.assertRegex(said, "the table stays as it is: [0-9]+ of [0-9]+ points are missing")


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
