#!/usr/bin/env python3
"""bench/gpu.py --alone: its numbers, its judgement, and all of it on the CPU backend, once with a CUDA runtime that is
made up.
Usage: gpu_alone_test.py COMPILER LIBRARY"""

import array
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import cudart  # noqa: E402
import gpu_alone_worker  # noqa: E402
import gpu_numbers  # noqa: E402
import lacuna_abi as abi  # noqa: E402
from gpu_alone import Run, parameters_of  # noqa: E402
from gpu_cases import ON_CPU, parse  # noqa: E402
from gpu_numbers import Numbers, packed, unpacked  # noqa: E402

COMPILER, LIBRARY = sys.argv[1:3]
SMALL = "gru_f32_n3_t20_d5_h8"


class Arrays(unittest.TestCase):
    def test_are_rounded_to_nearest(self):
        for kind, unit in (("bf16", 2.0 ** -8), ("f16", 2.0 ** -11), ("f32", 2.0 ** -24), ("f64", 2.0 ** -53)):
            for value in (1.0, -1.5, 0.0, 0.3, -7.7e-3, 123.456):
                (found,) = unpacked(kind, packed(kind, [value]))
                self.assertLessEqual(abs(found - value), unit * abs(value), (kind, value))
                self.assertEqual(list(unpacked(kind, packed(kind, [found]))), [found])
            self.assertTrue(math.isnan(unpacked(kind, packed(kind, [math.nan]))[0]))
            self.assertTrue(math.isnan(unpacked(kind, b"\xff" * gpu_numbers.SIZE[kind])[0]))
        ulp = 2.0 ** -7  # of bf16, from 1 on; halves go to even
        self.assertEqual(list(unpacked("bf16", packed("bf16", [1 + ulp / 2, 1 + 3 * ulp / 2]))), [1, 1 + 2 * ulp])

    def test_are_a_block_again_and_again(self):
        numbers = Numbers(8, [1.0, 2.0, 3.0])
        self.assertEqual(list(unpacked("f16", numbers.bytes("f16"))), [1, 2, 3, 1, 2, 3, 1, 2])
        self.assertEqual(list(unpacked("f64", numbers.bytes("f64", 2))), [1, 2])

    def test_of_gru_d_are_not_numbers_where_nothing_was_measured(self):
        case = parse("grud_f32_n4_t30_d5_h8_miss60")
        numbers = gpu_numbers.make_numbers(case, {"weights_x": 240, "x_mean": 5})
        values, mask = (unpacked(kind, numbers[name].bytes(kind)) for name, kind in (("values", "f32"), ("mask", "u8")))
        self.assertEqual([math.isnan(one) for one in values], [not one for one in mask])
        self.assertTrue(0.2 < sum(mask) / len(mask) < 0.6)
        self.assertEqual({list(numbers["delta_t"].block)[first] for first in case.offsets[:-1]}, {0.0})


class Judgement(unittest.TestCase):
    def test_catches_what_is_planted(self):
        gpu_numbers.prove_comparer()
        with unittest.mock.patch.object(gpu_numbers, "difference", return_value=0.0), \
                self.assertRaisesRegex(AssertionError, "accepts what is wrong"):
            gpu_numbers.prove_comparer()

    def test_of_many_numbers_looks_at_some_and_sums_all(self):
        good = array.array("d", [1.0]) * 100
        with unittest.mock.patch.object(gpu_numbers, "LOOKED_AT", 20):
            for place, value, seen in ((50, 1.5, 0.5), (51, 1.5, 0.0), (51, math.nan, math.inf)):
                other = good[:]
                other[place] = value
                self.assertEqual(gpu_numbers.difference(good, other), seen)

    def test_allows_what_rounding_moves(self):
        truth = {"hidden": array.array("d", [1.0, -1.0]), "d_bias": array.array("d", [3.0, 4.0])}
        moved = {"hidden": array.array("d", [1.0, -1.01]), "d_bias": truth["d_bias"]}
        allowed = gpu_numbers.bounds(parse("lstm_f16_n2_t16_d4_h8"), truth, moved)
        self.assertAlmostEqual(allowed["hidden"], 0.04)
        self.assertAlmostEqual(allowed["d_bias"], 2.0 ** -11 * 4 / 12.5 ** 0.5)

    def test_is_of_as_much_as_the_reference_can_do(self):
        case = parse("lstm_f32_n6_t10_d4_h8")
        self.assertEqual(gpu_alone_worker.checked_part(case), (case, True))
        one = gpu_numbers.operations(case, 10, True)
        for share, apart, lengths in ((2.5, 1, (10, 10)), (6.1, 6, 6 * (10,)), (5.9, 6, (10,)), (0.2, 1, (6,)),
                                      (1e-9, 6, (1,))):
            with unittest.mock.patch.multiple(gpu_alone_worker, OPERATIONS=share * one, AS_LONG_AS=apart):
                part, backward = gpu_alone_worker.checked_part(case)
            self.assertEqual((part.lengths, part.forward, backward), (lengths, len(lengths) == 1, len(lengths) > 1))


class Program(unittest.TestCase):
    def test_needs_no_torch(self):
        with tempfile.TemporaryDirectory() as folder:
            # A torch that cannot be imported stands before any other.
            pathlib.Path(folder, "torch.py").write_text("raise ImportError('not here')", encoding="utf-8")
            done = subprocess.run(
                [sys.executable, str(ROOT / "bench/gpu.py"), "--alone", "--device", "cpu", "--library", LIBRARY,
                 "--output", folder, *(word for name in [*ON_CPU, SMALL + "_forward"] for word in ("--case", name))],
                capture_output=True, text=True, timeout=200, env={**os.environ, "PYTHONPATH": folder})
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            found = json.loads(next(pathlib.Path(folder).glob("gpu-on-cpu-alone-*.json")).read_text(encoding="utf-8"))
            self.assertEqual([one["case"] for one in found["cases"]], [*ON_CPU, SMALL + "_forward"], found["notes"])
            self.assertIn("**Without peers**", done.stdout)
            for one in found["cases"]:
                self.assertLess(one["runs"][0]["difference"]["of_allowed"], 1)
                self.assertEqual(one["checked"]["gradients"], not one["case"].endswith("_forward"))
            done = subprocess.run(
                [sys.executable, str(ROOT / "bench/gpu.py"), "--device", "cpu", "--library", LIBRARY, "--output", folder],
                capture_output=True, text=True, timeout=200, env={**os.environ, "PYTHONPATH": folder})
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"cannot begin: .* \(--alone needs no torch\)\n$")


class Replays(unittest.TestCase):
    """On arrays that a CUDA runtime holds; a replay does once more what was captured."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        path = os.path.join(folder.name, "libcudart.so")
        subprocess.run([COMPILER, "-std=c++20", "-O1", "-shared", "-fPIC", "-o", path,
                        ROOT / "tests/tune/stand_in_cudart.cpp"], check=True)

        class Cuda(cudart.Cuda):
            def capture(self, work):
                super().destroy(super().capture(work))
                return work

            def replay(self, work):
                work()

            def destroy(self, work):
                pass

        cls.cuda, cls.lib = Cuda(path), abi.load(LIBRARY)

    def setUp(self):
        self.bench = gpu_alone_worker.Bench(self.lib, abi.BACKEND_CPU, self.cuda)
        quiet = unittest.mock.patch("builtins.print")
        quiet.start()
        self.addCleanup(quiet.stop)

    def test_are_compared_and_timed(self):
        found = self.bench.run(SMALL, 5, [])
        self.assertEqual([(run["who"], run["graph"], len(run["samples_us"])) for run in found["runs"]],
                         [("lacuna", True, 5), ("lacuna_half", True, 5)])
        self.assertEqual((found["runs"][1]["steps"], found["refused"]), (10, []))
        self.assertEqual(found["checked"], {"sequences": 3, "steps": 20, "gradients": True})
        self.assertIn("hidden", found["tolerances"])
        self.assertIn("d_bias_hn", found["tolerances"])
        self.assertEqual((self.cuda.lib.stand_in_held(), self.cuda.version()), (0, "13.0"))
        self.assertEqual([run["graph"] for run in self.bench.run(SMALL, 2, ["lacuna"])["runs"]], [False, True])

    def test_of_the_first_sequences_alone_have_the_gradients_of_these(self):
        one = gpu_numbers.operations(parse(SMALL), 20, True)
        for share, checked in ((2.5, {"sequences": 2, "steps": 20, "gradients": True}),
                               (0.1, {"sequences": 1, "steps": 6, "gradients": False})):
            with unittest.mock.patch.multiple(gpu_alone_worker, OPERATIONS=share * one, AS_LONG_AS=1):
                found = self.bench.run(SMALL, 2, [])
            self.assertEqual((found["checked"], found["refused"]), (checked, []))

    def results_off(self, name, who):
        """Results that are those of a run but for one number, of runs over so many steps."""
        right = Run.results

        def wrong(run):
            found = right(run)
            if max(run.case.lengths) == who and run.kind == "f32":
                found[name][1] += 0.01
            return found

        return unittest.mock.patch.object(Run, "results", wrong)

    def test_that_differ_are_refused(self):
        for name in ("hidden", "d_values", "d_weights_h"):
            with self.results_off(name, 20):
                self.assertRegex(self.bench.run(SMALL, 2, [])["error"],
                                 f"^refused: lacuna differs from its CPU backend in {name} by ")
        with self.results_off("hidden", 10):
            found = self.bench.run(SMALL, 2, [])
        self.assertEqual(([run["who"] for run in found["runs"]], [run["who"] for run in found["refused"]]),
                         (["lacuna"], ["lacuna_half"]))
        self.assertEqual(self.cuda.lib.stand_in_held(), 0)

    def test_that_are_not_written_are_refused(self):
        with unittest.mock.patch.object(self.cuda, "replay", lambda work: None):
            self.assertRegex(self.bench.run(SMALL, 2, [])["error"], "^refused: .* by inf times")

    def test_who_cannot_be_captured_is_named(self):
        with unittest.mock.patch.object(self.cuda, "capture", side_effect=cudart.CudaError("not now")), \
                self.assertRaisesRegex(gpu_alone_worker.CaptureFailed, "not now") as failed:
            self.bench.run(SMALL, 2, [])
        self.assertEqual(failed.exception.who, "lacuna")

    def test_know_every_parameter(self):
        self.assertEqual(parameters_of(self.lib, parse("grud_f32_n1_t3_d5_h8_miss9")), {
            "weights_x": 240, "weights_h": 192, "bias": 24, "x_mean": 5, "impute_weight": 5, "impute_bias": 5,
            "evolve_weight": 40, "evolve_bias": 8})


if __name__ == "__main__":
    os.chdir(ROOT)
    unittest.main(argv=sys.argv[:1], warnings="ignore")
