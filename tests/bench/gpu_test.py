#!/usr/bin/env python3
"""bench/gpu.py and bench/gpu_kernels.py around workers that are made up: who hangs, dies, cannot be captured or
differs costs its own case or its own times, and what was timed is written however the program ends.
Usage: gpu_test.py
Where there is torch, its real worker as well, with a contestant that computes something else."""

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import gpu_bars  # noqa: E402
import gpu_cases  # noqa: E402
import gpu_report  # noqa: E402
from watched import Hung, WatchedWorker  # noqa: E402
from workers import WorkerError  # noqa: E402

# Answers as gpu_worker.py and gpu_kernels_worker.py do; what becomes of a case follows from its number of features.
# 1: it hangs, 2: it dies, 3: Lacuna is refused, 4: a peer is, 5: a peer cannot be captured, 6: it takes a second.
STAND_IN = f"""#!{sys.executable}
import json, os, sys, time

def say(**what):
    print(json.dumps(what), flush=True)

def run(who, median):
    return dict(who=who, graph=True, median_us=median, quartiles_us=[median, median], samples_us=[median] * 5,
                peak_bytes=None, difference=dict(tensor="hidden", of_allowed=0.5))

for line in sys.stdin:
    words = line.split()
    if words[0] == "about":
        say(device="cuda", gpu="a stand-in", driver="", cuda="0", cudnn=0, torch="0", lacuna="0", math="none")
        continue
    case, repeats, eager = words[1], int(words[2]), words[3:]
    features = case.split("_d")[1].split("_")[0]
    say(now="lacuna: first step")
    if features == "1":
        time.sleep(60)
    elif features == "2":
        os._exit(3)
    elif features == "3":
        say(error="refused: lacuna differs")
        continue
    elif features == "5" and not eager:
        say(capture_failed="torch", why="no graph")
        continue
    elif features == "6":
        time.sleep(1)
    if words[0] == "kernels":
        kernel = dict(kernel="void lacuna::resident<float>", calls=1, us=25.0)
        say(case=case, steps=2, us=30.0, plan="", kernels=[kernel])
        continue
    peer, refused = [run("torch", 20.0)], []
    if features == "4":
        peer, refused = [], [dict(who="torch", peak_bytes=None, difference=dict(tensor="d_bias", of_allowed=7.5))]
    say(case=case, tokens=4, steps=2, runs=[run("lacuna", 10.0)] + peer, refused=refused, seconds={{}}, eager=eager)
"""


def case(features, hidden=8):
    return f"lstm_f32_n2_t2_d{features}_h{hidden}"


class Program(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.stand_in = pathlib.Path(self.folder.name, "python")
        self.stand_in.write_text(STAND_IN, encoding="utf-8")
        self.stand_in.chmod(0o755)

    def command(self, cases, *more):
        words = [sys.executable, str(ROOT / "bench/gpu.py"), "--library", str(self.stand_in), "--python",
                 str(self.stand_in), "--output", self.folder.name, "--limit", "1.5", "--repeats", "11", *more]
        return words + [word for one in cases for word in ("--case", one)]

    def found(self):
        path = next(pathlib.Path(self.folder.name).glob("gpu-*.json"))
        findings = json.loads(path.read_text(encoding="utf-8"))
        return findings, [one["case"] for one in findings["cases"]], path.with_suffix(".md").read_text(encoding="utf-8")

    def run_it(self, cases, *more):
        done = subprocess.run(self.command(cases, *more), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.said = done.stderr
        return self.found()

    def test_a_bad_case_costs_itself_alone(self):
        findings, timed, _ = self.run_it([case(0), case(1), case(2), case(3), case(7)])
        self.assertEqual(timed, [case(0), case(7)])
        self.assertEqual(findings["notes"],
                         [f"{case(1)}: no answer at lacuna: first step within 1.5 s: killed",
                          f"{case(2)}: {self.stand_in} ended with status 3 at 'run' at lacuna: first step",
                          f"{case(3)}: refused: lacuna differs"])

    def test_shapes_that_hang_come_last(self):
        self.assertEqual(gpu_cases.shape("grud_f32_n2_t2_d1_h8"), gpu_cases.shape(case(1)))
        halves = case(1).replace("f32", "f16")
        self.run_it([case(1), halves, case(0), case(7)])
        self.assertEqual([line.split()[-1] for line in self.said.splitlines() if line.startswith("[")],
                         [case(1), case(0), case(7), halves])

    def test_a_refused_peer_leaves_the_others_their_times(self):
        _, timed, report = self.run_it([case(4)])
        self.assertEqual(timed, [case(4)])
        self.assertRegex(report, r"\| Lacuna +\| graph, 5 samples \| 10.0 ")
        self.assertRegex(report, r"\| cuDNN +\| refused +\| - .*\| 7.5 ")

    def test_who_cannot_be_captured_stays_eager(self):
        findings, timed, _ = self.run_it([case(5), case(7)])
        self.assertEqual(timed, [case(5), case(7)])
        self.assertEqual([one["eager"] for one in findings["cases"]], [["torch"], ["torch"]])
        self.assertEqual(findings["notes"], ["torch could not be captured in a CUDA graph: no graph"])

    def test_seconds_end_it_in_the_midst_of_a_case(self):
        began = time.monotonic()
        findings, timed, _ = self.run_it([case(0), case(1), case(7)], "--seconds", "1", "--limit", "50")
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(timed, [case(0)])
        self.assertEqual(findings["notes"][-1], f"1 s were over: 1 cases were not begun, {case(7)} and after")

    def test_a_signal_ends_it_and_all_is_written(self):
        for which in (signal.SIGTERM, signal.SIGINT):
            program = subprocess.Popen(self.command([case(0), *[case(6)] * 30]), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE, text=True)
            for line in program.stderr:
                if line.startswith("[3/"):
                    break
            for _ in range(2):  # as `timeout` does
                program.send_signal(which)
            program.communicate(timeout=20)
            self.assertEqual(program.returncode, 0)
            findings, timed, _ = self.found()
            self.assertEqual(timed, [case(0), case(6)])
            self.assertEqual(findings["notes"], ["interrupted: the cases that were done are reported"])


    def test_slices_become_one_report(self):
        chosen = ("--set", "bars", "--filter", "n16_t100_d41_h64$")
        every = [name for name in gpu_cases.bars_cases("cuda") if name.endswith("n16_t100_d41_h64")]
        self.assertEqual(len(every), 8)
        _, first, _ = self.run_it([], *chosen, "--slice", "1/2")
        self.assertEqual(first, every[::2])
        path = next(pathlib.Path(self.folder.name).glob("gpu-*-bars-1-of-2.json"))
        found, whole = json.loads(path.read_text(encoding="utf-8")), str(path).replace("-1-of-2", "")
        for later in (["--slice", "2/2"], ["--from", every[-3]]):
            self.run_it([], *chosen, *later)
        parts = [str(path), str(path).replace("1-of-2", "2-of-2"), str(path).replace("1-of-2", f"from-{every[-3]}")]
        again = json.loads(pathlib.Path(parts[2]).read_text(encoding="utf-8"))
        self.assertEqual([one["case"] for one in again["cases"]], every[-3:])
        again["cases"][0]["runs"][0]["median_us"] = 77.0
        again["notes"] = ["what was noted"]
        pathlib.Path(parts[2]).write_text(json.dumps(again), encoding="utf-8")

        def merge(*paths):
            words = [sys.executable, str(ROOT / "bench/gpu.py"), "--output", self.folder.name, "--merge", *paths]
            return subprocess.run(words, capture_output=True, text=True, timeout=60)

        self.assertEqual(merge(*parts).returncode, 0)
        merged = json.loads(pathlib.Path(whole).read_text(encoding="utf-8"))
        self.assertEqual([one["case"] for one in merged["cases"]], every)
        self.assertEqual([one["runs"][0]["median_us"] for one in merged["cases"]], [10.0] * 5 + [77.0, 10.0, 10.0])
        missing = gpu_cases.bars_cases("cuda")[8]
        self.assertEqual(merged["notes"], [f"{os.path.basename(parts[2])}: what was noted",
                                           f"of the set 88 cases have no times, {missing} is the first"])
        found["commit"] = "another"
        path.write_text(json.dumps(found), encoding="utf-8")
        refused = merge(*parts)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, "bars-2-of-2.json: commit is .*, and in .*bars-1-of-2.json another\n$")

    def test_kernels_are_written_however_it_ends(self):
        command = [sys.executable, str(ROOT / "bench/gpu_kernels.py"), "--python", str(self.stand_in), "--output",
                   self.folder.name, "--limit", "1.5"]
        for one in (case(0), case(1), case(7), *[case(6)] * 30):
            command += ["--case", one]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in program.stderr:
            if line.startswith("[5/"):
                break
        program.terminate()
        said, _ = program.communicate(timeout=20)
        self.assertEqual(program.returncode, 0)
        self.assertIn(f"{case(0)}: 30.0 us a step, 15.00 a time step; kernels 25.0 us\n"
                      "      25.0 us     1.0 x  resident<float>\n", said)
        found = json.loads(pathlib.Path(self.folder.name, "gpu-kernels.json").read_text(encoding="utf-8"))
        self.assertEqual([one["case"] for one in found["cases"]], [case(0), case(7), case(6)])
        self.assertEqual(found["notes"], [f"{case(1)}: no answer at lacuna: first step within 1.5 s: killed",
                                          "interrupted: the cases that were done are reported"])
        self.assertEqual(found["gpu"], "a stand-in")


class Watched(unittest.TestCase):
    def worker(self, program, limit, start_limit):
        worker = WatchedWorker([sys.executable, "-c", program], limit, start_limit)
        self.addCleanup(worker.stop)
        return worker

    def test_may_take_its_time_to_start(self):
        slow = 'import sys, time\ntime.sleep(1)\nfor line in sys.stdin: print(\'{"a": 1}\', flush=True)'
        self.assertEqual(self.worker(slow, 0.5, 30).ask("go"), {"a": 1})
        with self.assertRaisesRegex(Hung, "no answer within 0.4 s"):
            self.worker(slow, 30, 0.4).ask("go")

    def test_goes_on_after_an_error_and_is_replaced_when_broken(self):
        replies = ('import os, sys\nfor line in sys.stdin: print(\'{"%s": "pid %d"}\' % '
                   '("about" if "about" in line else line.strip(), os.getpid()), flush=True)')
        worker = self.worker(replies, 10, 10)
        first = worker.ask("fine")["fine"]
        with self.assertRaisesRegex(WorkerError, first):
            worker.ask("error")
        self.assertEqual(worker.ask("fine")["fine"], first)
        with self.assertRaisesRegex(WorkerError, first):
            worker.ask("broken")
        self.assertNotEqual(worker.ask("fine")["fine"], first)


class Order(unittest.TestCase):
    def test_has_every_case_once_and_the_telling_ones_first(self):
        cases = gpu_cases.standard_cases("cuda")
        self.assertEqual((len(cases), len(set(cases))), (58, 58))
        kinds = [name.split("_")[1] for name in cases]
        self.assertEqual(set(kinds[:30]), {"f32", "f16"})
        self.assertEqual(kinds[30:], ["tf32"] * 14 + ["bf16"] * 14)

    def test_of_named_sets_is_of_cases_that_there_are(self):
        for name, count in (("deepbench", 104), ("bars", 96), ("large", 82)):
            for device in ("cuda", "cpu"):
                cases = gpu_cases.SETS[name](device)
                self.assertEqual(len(cases), len(set(map(gpu_cases.parse, cases))))
            self.assertEqual(len(gpu_cases.SETS[name]("cuda")), count)

    def test_of_slices_leaves_nothing_out(self):
        cases = gpu_cases.large_cases("cuda")
        slices = [gpu_cases.sliced(cases, f"{i}/3") for i in (1, 2, 3)]
        self.assertEqual(sorted(sum(slices, [])), sorted(cases))
        self.assertEqual({len(one) for one in slices}, {27, 28})
        self.assertEqual(gpu_cases.from_on(cases, cases[7]), cases[7:])
        for wrong in ("0/3", "4/3", "1", "a/b"):
            with self.assertRaisesRegex(ValueError, f"slice '{wrong}': not of the form I/N"):
                gpu_cases.sliced(cases, wrong)
        with self.assertRaisesRegex(ValueError, "case 'none': not one of the 82 at hand"):
            gpu_cases.from_on(cases, "none")

    def test_knows_the_case_of_half_the_steps(self):
        for name, half in (("lstm_f16_n16_t1024_d768_h768_forward", "lstm_f16_n16_t512_d768_h768_forward"),
                           ("gru_f32_n100_t100_d100_h100", "gru_f32_n100_t50_d100_h100"),
                           ("gru_f32_n2_t25_d2_h2", ""), ("gru_f32_n2_len2-4_d2_h2", "")):
            self.assertEqual(gpu_cases.half_as_long(name), half)


class Report(unittest.TestCase):
    """Of a measured step and the plan's floor."""

    def case(self, name, steps, ours, theirs, floor=2.0, half=None):
        """`half`: what Lacuna takes over half the steps."""
        runs = [("lacuna", ours), ("torch", theirs)] + ([("lacuna_half", half)] if half else [])
        return {"case": name, "steps": steps, "floor_us": floor, "refused": [], "runs": [
            {"who": who, "graph": True, "median_us": median, "quartiles_us": [median, median], "samples_us": [median],
             "peak_bytes": None, "difference": {"of_allowed": 0.5},
             **({"steps": steps // 2} if who == "lacuna_half" else {})} for who, median in runs]}

    def columns(self, case, *others):
        """Microseconds of a further step, over the floor: of Lacuna and of its peer."""
        return [(row[6], row[7]) for row in gpu_report.rows(case, [case, *others], 1, "cuda")]

    def test_further_steps_are_those_that_a_longer_run_has_more(self):
        short = self.case("lstm_f16_n2_t4_d1_h8", 4, 30.0, 60.0)
        long = self.case("lstm_f16_n2_t8_d1_h8", 8, 50.0, 108.0)
        for one, other in ((short, long), (long, short)):
            self.assertEqual(self.columns(one, other), [("5.00", "1.25"), ("12.00", "-")])
        self.assertEqual(self.columns(short), [("-", "≤ 1.88"), ("-", "-")])
        self.assertEqual(self.columns(short, self.case("lstm_bf16_n2_t8_d1_h8", 8, 50.0, 108.0)),
                         [("-", "≤ 1.88"), ("-", "-")])

    def test_a_forward_run_walks_once(self):
        short = self.case("lstm_f16_n2_t4_d1_h8_forward", 4, 30.0, 60.0)
        long = self.case("lstm_f16_n2_t8_d1_h8_forward", 8, 50.0, 108.0)
        self.assertEqual(self.columns(long, short), [("5.00", "2.50"), ("12.00", "-")])

    def test_a_plan_without_a_floor_has_none(self):
        self.assertEqual(self.columns(self.case("lstm_f16_n2_t4_d1_h8", 4, 30.0, 60.0, None)),
                         [("-", "-"), ("-", "-")])

    def test_a_run_over_half_the_steps_tells_what_a_further_step_takes(self):
        whole = self.case("lstm_f16_n2_t25_d1_h8", 25, 55.0, 60.0, half=29.0)
        self.assertEqual(self.columns(whole), [("2.00", "0.50"), ("-", "-")])
        self.assertEqual(self.columns(self.case("lstm_f16_n2_t25_d1_h8", 25, 28.0, 60.0, half=29.0)),
                         [("-", "≤ 0.28"), ("-", "-")])
        for name, steps in (("lstm_f16_n3_t25_d1_h8", 12), ("rnn_f16_n3_t16_d1_h8_forward", 8),
                            ("gru_f32_n3_t15_d1_h8", None), ("gru_f32_n3_len8-32_d1_h8", None),
                            ("grud_f32_n3_t50_d1_h8_miss5", None)):
            half = gpu_cases.halved(gpu_cases.parse(name))
            self.assertEqual(half and half.lengths, steps and 3 * (steps,))

    def test_every_dense_case_of_bars_and_large_has_a_run_over_half_the_steps(self):
        for which in ("bars", "large"):
            for name in gpu_cases.SETS[which]("cuda"):
                one = gpu_cases.parse(name)
                self.assertEqual(gpu_cases.halved(one) is None, one.ragged, name)

    def verdicts(self, *cases, which="bars", device="cuda"):
        return {(one["quantity"], one["case"]): (one["verdict"], one["value"] and round(one["value"], 3), one.get("why"))
                for one in gpu_bars.verdicts({"set": which, "libraries": {"device": device}, "cases": list(cases)})}

    def test_bars_are_met_missed_or_not_decided(self):
        name, other = "lstm_f16_n64_t100_d41_h64", "gru_f16_n64_t100_d41_h64"
        for ours, half, floor, of_floor in ((200.0, 100.0, 0.6, ("met", 1.667, None)),
                                            (200.0, 100.0, 0.4, ("missed", 2.5, None)),
                                            (200.0, None, 0.6, ("met", 1.667, None)),
                                            (200.0, None, 0.4, ("undecided", 2.5, "at most so much: what is done once is in it")),
                                            (200.0, 100.0, None, ("undecided", None, "no floor is told"))):
            found = self.verdicts(self.case(name, 100, ours, 300.0, floor, half), self.case(other, 100, 400.0, 300.0))
            self.assertEqual(found["of_floor", name], of_floor)
            self.assertEqual(found["over_torch", name], ("met", 1.5, None))
            self.assertEqual(found["over_torch", other], ("missed", 0.75, None))
        self.assertEqual(self.verdicts(self.case(name, 100, 200.0, 300.0), device="cpu"), {})

    def test_a_bar_beside_who_has_no_time_is_not_decided(self):
        name = "gru_f16_n64_len25-100_d128_h512"
        one = self.case(name, 100, 200.0, 300.0)
        self.assertEqual(self.verdicts(one, which="large")["over_torch_packed", name],
                         ("undecided", None, "torch_packed was not timed"))
        one["refused"] = [{"who": "torch_packed"}]
        self.assertEqual(self.verdicts(one, which="large")["over_torch_packed", name][2], "torch_packed was refused")

    def test_bars_are_about_the_cases_they_name(self):
        long = "lstm_f16_n16_t1024_d768_h768_forward"
        self.assertEqual(self.verdicts(self.case(long, 1024, 2000.0, 3000.0, half=900.0), which="large")["further_us", long],
                         ("missed", 2.148, None))
        for which in gpu_cases.SETS:
            cases = [self.case(name, 50, 10.0, 20.0) for name in gpu_cases.SETS[which]("cuda")]
            judged = gpu_bars.verdicts({"set": which, "libraries": {"device": "cuda"}, "cases": cases})
            found = self.verdicts(*cases, which=which)
            self.assertEqual(len(judged), len(found))  # no case has two bars on one quantity
            self.assertEqual({name for quantity, name in found if quantity == "of_floor"}, {one["case"] for one in cases})
        found = self.verdicts(self.case("gru_f16_n32_t187_d2048_h2048", 187, 10.0, 20.0), which="deepbench")
        self.assertEqual({quantity for quantity, _ in found}, {"over_torch", "of_floor"})

    def test_names_the_bars_and_what_came_of_them(self):
        one = self.case("lstm_f16_n64_t100_d41_h64", 100, 200.0, 300.0, 0.6, 100.0)
        two = self.case("lstm_f32_n64_t100_d41_h64", 100, 400.0, 300.0, 0.6, 100.0)
        findings = {"set": "bars", "libraries": {"device": "cuda"}, "cases": [one, two]}
        judged = gpu_bars.verdicts(findings)
        table = gpu_report.bars_table(judged)
        self.assertRegex(table, r"dense, up to 128 units, beside cuDNN +\| ≥ 1 +\| 1 \(1.50\) +\| 1 \(0.75\) +\| 0 ")
        self.assertRegex(table, r"a step beside its floor +\| ≤ 2 +\| 1 \(1.67\) +\| 1 \(5.00\) +\| 0 ")
        rows = gpu_report.rows(one, [one, two], 1, "cuda", [bar for bar in judged if bar["case"] == one["case"]])
        self.assertEqual([row[-1] for row in rows], ["≤ 2: met", "≥ 1: met"])
        (short,) = gpu_report.short_tables({"cases": [one, two, {**two, "case": "gru_f32_n64_t100_d41_h64"}]})
        self.assertRegex(short, r"64 x 100, D 41, H 64 +\| lstm +\| 400, 0.75, 5.0 +\| 200, 1.50, 1.7 \|")


@unittest.skipUnless(importlib.util.find_spec("torch"), "no torch in this Python")
class Judged(unittest.TestCase):
    def test_a_peer_that_differs_is_refused_and_lacuna_refuses_the_case(self):
        import gpu_worker
        import torch
        from gpu_contestants import PlainLoop, Torch, converted, make_inputs

        small = gpu_cases.parse("gru_f32_n2_t3_d4_h8")
        inputs, cpu = make_inputs(small), torch.device("cpu")

        class Off(PlainLoop):
            def collect(self):
                found = super().collect()
                found["d_bias"] = found["d_bias"] * 1.01
                return found

        def seats(*classes):
            return [gpu_worker.Seat(cls.__name__, Torch(cls("gru", converted(inputs, cpu, torch.float32))), cpu)
                    for cls in classes]

        silent = unittest.mock.Mock()
        good = seats(PlainLoop, Off, PlainLoop)
        gpu_worker.judge(small, inputs, cpu, good, silent)
        self.assertEqual([seat.refused for seat in good], [False, True, False])
        self.assertEqual(good[1].facts["difference"]["tensor"], "d_bias")
        with self.assertRaisesRegex(gpu_worker.Refused, "Off differs from the fp64 reference in d_bias"):
            gpu_worker.judge(small, inputs, cpu, seats(Off, PlainLoop), silent)

    def test_a_forward_run_has_no_gradients(self):
        import gpu_worker
        import torch
        from gpu_contestants import PlainLoop, Torch, converted, make_inputs
        from peers_torch import Module

        small = gpu_cases.parse("gru_f32_n2_t3_d4_h8_forward")
        inputs, cpu = make_inputs(small), torch.device("cpu")

        def seat(cls, *first):
            peer = cls(*first, converted(inputs, cpu, torch.float32))
            return gpu_worker.Seat(cls.__name__, Torch(peer, forward_only=True), cpu)

        seats = [seat(PlainLoop, "gru"), seat(Module, "gru")]
        gpu_worker.judge(small, inputs, cpu, seats, unittest.mock.Mock())
        self.assertEqual([one.refused for one in seats], [False, False])
        for one in seats:
            self.assertEqual(list(one.results()), ["hidden"])
            self.assertEqual(len(one.contestant.written()), 1)
            self.assertFalse(one.contestant.peer.output.requires_grad)
        self.assertFalse(seats[1].contestant.peer.net.training)


if __name__ == "__main__":
    os.chdir(ROOT)
    unittest.main(warnings="ignore")  # of pipes to workers that were killed
