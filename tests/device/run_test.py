#!/usr/bin/env python3
"""tests/device/run.py around programs and tools that are made up: what passes, fails, is skipped, crashes, hangs or is
missing, and what the exit code makes of it.
Usage: run_test.py"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

RUN = pathlib.Path(__file__).resolve().with_name("run.py")
SPEC = importlib.util.spec_from_file_location("device_run", RUN)
device_run = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(device_run)

# lacuna_device_tests: {source: cases}. A case passes, fails, is skipped, "crash" ends the program and "hang" does not.
TESTS = """#!{python}
import os, sys, time
sources = {sources!r}
if sys.argv[1] == "--sources":
    print(*sources, sep="\\n")
    sys.exit()
cases = sources[sys.argv[1]]
if "--gtest_list_tests" in sys.argv:
    print("Suite.")
    for number, _ in enumerate(cases):
        print(f"  Case{{number}}")
    sys.exit()
print("on NVIDIA Stand-in, sm_90, CUDA runtime 13.0, driver's CUDA 13.1")
shard, shards = int(os.environ.get("GTEST_SHARD_INDEX", 0)), int(os.environ.get("GTEST_TOTAL_SHARDS", 1))
rows = []
for number, case in enumerate(cases):
    if number % shards != shard:
        continue
    if case == "crash":
        sys.exit(134)
    if case == "hang":
        time.sleep(60)
    inside = dict(failed="<failure message='off'/>", skipped="<skipped message='a.cpp:73&#x0A;one device&#x0A;'/>")
    result = "skipped" if case == "skipped" else "completed"
    rows.append(f"<testcase name='Case{{number}}' classname='Suite' status='run' result='{{result}}'>"
                f"{{inside.get(case, '')}}</testcase>")
report = next((word.split("xml:")[1] for word in sys.argv if "gtest_output" in word), os.devnull)
with open(report, "w") as out:
    out.write(f"<testsuites>{{''.join(rows)}}</testsuites>")
print(f"[  PASSED  ] {{cases.count('passed')}} tests.")
sys.exit("failed" in cases)
"""
CONFORMANCE = "#!/bin/sh\necho ' one equal, 8 words'\necho ' two {two}, 8 words'\necho ' three not on this device'\n"
SMI = "#!/bin/sh\necho 'NVIDIA Stand-in, 1.2, 9.0, 80 MiB'\n"


class Run(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.program("bin/nvidia-smi", SMI)
        self.program("build/tests/emulator/lacuna_conformance", CONFORMANCE.format(two="equal"))

    def program(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def run_it(self, sources, *words, status=0):
        """{step: what is said of it}; `sources`: of the device tests, {name: cases}."""
        self.program("build/tests/lacuna_device_tests", TESTS.format(python=sys.executable, sources=sources))
        steps = words or ("--only", "conformance", "--only", "tests")
        done = subprocess.run(
            [sys.executable, str(RUN), "--build", str(self.folder / "build"), "--output", str(self.folder / "out"),
             "--jobs", "2", *steps], capture_output=True, text=True, timeout=60,
            env={**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "CUDA_HOME": str(self.folder)})
        self.said = done.stdout + done.stderr
        self.assertEqual(done.returncode, status, self.said)
        found = sorted((self.folder / "out").glob("*.json"))
        self.result = json.loads(found[-1].read_text(encoding="utf-8")) if found else {}
        return {one["step"]: one for one in self.result.get("steps", [])}

    def counts(self, one):
        return tuple(one["cases_" + kind] for kind in ("passed", "failed", "skipped"))

    def test_passes(self):
        steps = self.run_it({"plan": ["passed"] * 90 + ["skipped"]})
        self.assertEqual([one["outcome"] for one in steps.values()], ["passed", "passed"])
        self.assertEqual(self.counts(steps["conformance"]), (2, 0, 1))
        self.assertEqual(self.counts(steps["plan_device_test"]), (90, 0, 1))  # of three shards
        self.assertEqual(self.result["machine"]["cuda_runtime"], "13.0")
        self.assertEqual(self.result["counts"], {"passed": 2, "failed": 0, "skipped": 0})

    def test_what_this_machine_cannot_run_is_skipped(self):
        steps = self.run_it({"plan": ["passed"], "cuda_devices": ["skipped"] * 10})
        one = steps["cuda_devices_device_test"]
        self.assertEqual((one["outcome"], self.counts(one)), ("skipped", (0, 0, 10)))
        self.assertEqual(one["why"], "all of its 10 cases are left out here: one device")
        self.assertIn("skipped  cuda_devices_device_test", self.said)
        self.assertEqual(self.result["counts"], {"passed": 2, "failed": 0, "skipped": 1})

    def test_that_nothing_could_run_is_a_failure(self):
        steps = self.run_it({"plan": ["skipped"], "cuda_devices": ["skipped"]}, status=1)
        self.assertEqual((steps["tests"]["outcome"], steps["tests"]["why"]),
                         ("failed", "no program had a case that could run"))
        one = self.run_it({"plan": ["passed"], "empty": []}, status=1)["empty_device_test"]
        self.assertEqual((one["outcome"], self.counts(one)), ("failed", (0, 0, 0)))
        self.assertRegex(one["why"], "^no case ran: ")

    def test_a_failure_is_named(self):
        steps = self.run_it({"plan": ["passed", "failed", "skipped"]}, status=1)
        one = steps["plan_device_test"]
        self.assertEqual((one["outcome"], self.counts(one), one["failures"]), ("failed", (1, 1, 1), ["Suite.Case1"]))

    def test_a_crash_is_no_pass(self):
        for cases in (["passed", "crash"], ["skipped", "crash"]):
            one = self.run_it({"plan": cases, "other": ["passed"]}, status=1)["plan_device_test"]
            self.assertEqual(one["outcome"], "failed")
            self.assertRegex(one["why"], "^status 134: on NVIDIA Stand-in")

    def test_a_program_that_hangs_is_ended(self):
        steps = self.run_it({"plan": ["hang"], "other": ["passed"]}, "--only", "tests", "--limit", "1", status=1)
        self.assertEqual(steps["other_device_test"]["outcome"], "passed")
        self.assertRegex(steps["plan_device_test"]["why"], "^status 124: ")

    def test_a_conformance_case_that_differs_is_named(self):
        self.program("build/tests/emulator/lacuna_conformance",
                     CONFORMANCE.format(two="equal") + "echo ' four  DIFFERS'\n")
        one = self.run_it({"plan": ["passed"]}, status=1)["conformance"]
        self.assertEqual((one["outcome"], one["why"], self.counts(one)), ("failed", "four", (2, 1, 1)))
        (self.folder / "build/tests/emulator/lacuna_conformance").unlink()
        one = self.run_it({"plan": ["passed"]}, status=1)["conformance"]
        self.assertEqual(one["why"], "the build has no lacuna_conformance")

    def test_a_tool_that_is_missing_is_said_to_be(self):
        with unittest.mock.patch.object(device_run.shutil, "which", return_value=None):
            steps = device_run.sanitizers(unittest.mock.Mock(environment={"PATH": ""}), {}, 1, 1)
        self.assertEqual({(one["step"], one["outcome"], one["why"]) for one in steps},
                         {(tool, "skipped", "no compute-sanitizer here") for tool in device_run.TOOLS})
        self.program("bin/nvidia-smi", "#!/bin/sh\nexit 9\n")
        self.run_it({"plan": ["passed"]}, status=1)
        self.assertIn("no GPU: nvidia-smi finds none", self.said)

    def test_sanitizers_report_and_want_a_case_that_passed(self):
        sources = {name.replace("_device_test", ""): ["passed"] for name in device_run.SANITIZED
                   if name.endswith("_device_test")}

        def tool(errors):  # its own words end where the program's path begins
            place = self.folder / "build/tests"
            self.program("bin/compute-sanitizer", f'#!/bin/sh\nwhile [ "${{1#{place}}}" = "$1" ]; do shift; done\n"$@"\n'
                         f"echo '========= ERROR SUMMARY: {errors} errors'\n")

        for errors, good in ((0, True), (3, False)):
            tool(errors)
            steps = self.run_it(sources, "--only", "sanitizers", status=0 if good else 1)
            self.assertEqual({one["outcome"] for one in steps.values()}, {"passed" if good else "failed"}, steps)
        tool(0)
        steps = self.run_it({**sources, "cuda_types": ["skipped"]}, "--only", "sanitizers", status=1)
        self.assertEqual(steps["memcheck"]["why"], "cuda_types_device_test: no case passed, status 0")


class Bench(unittest.TestCase):
    """Which words bench/gpu.py is called with."""

    def called(self, python, status=0):
        runner = unittest.mock.Mock()
        runner.run.return_value = (status, "said", 1.0)
        options = unittest.mock.Mock(build=pathlib.Path("/build"), output=pathlib.Path("/out"))
        with unittest.mock.patch.object(device_run, "python_with_torch", return_value=python):
            (one,) = device_run.bench(runner, options, "bars", ("--set", "bars"))
        return one, list(map(str, runner.run.call_args.args[0]))

    def test_has_peers_where_there_is_torch(self):
        one, words = self.called("/with/torch")
        self.assertEqual((one["step"], one["outcome"], one.get("why")), ("bars", "passed", None))
        self.assertEqual((words[0], words[-2:]), ("/with/torch", ["--set", "bars"]))
        self.assertNotIn("--alone", words)

    def test_is_of_lacuna_alone_where_there_is_none(self):
        one, words = self.called(None)
        self.assertEqual((one["outcome"], one["why"]), ("passed", "without peers: no python3 here has torch with CUDA"))
        self.assertEqual((words[0], "--alone" in words), (sys.executable, True))
        one, _ = self.called(None, status=1)
        self.assertEqual((one["outcome"], one["why"]), (
            "failed", "without peers: no python3 here has torch with CUDA; status 1: said"))


if __name__ == "__main__":
    unittest.main()
