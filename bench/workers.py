"""The processes that bench/cpu.py alternates: how they are found, pinned and spoken to."""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class WorkerError(Exception):
    """A worker answered with an error, or died."""


class Worker:
    """A child process on fixed cores; `ask` sends one line and returns the JSON that comes back."""

    def __init__(self, command, cores):
        self.command = command
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def ask(self, *words):
        try:
            self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: there is nothing to receive
        return self.receive(words[0])

    def receive(self, asked):
        """The next line, of an answer to the command `asked`."""
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            raise WorkerError(f"{self.command[0]} ended with status {status} at '{asked}'")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait()


def physical_cores():
    """One logical CPU per physical core, of those this process may use."""
    cores = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        path = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            with open(path) as file:
                siblings = file.read().strip()
        except OSError:
            siblings = str(cpu)
        cores.setdefault(siblings, cpu)
    return list(cores.values())


def find_torch(wanted=None):
    """A Python that can import torch, and why there is none: (path, reason)."""
    candidates = [wanted] if wanted else [sys.executable, "python3"]
    for python in candidates:
        try:
            if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
                return python, ""
        except OSError:
            pass
    return None, f"no torch in {' or '.join(candidates)} (set LACUNA_BENCH_PYTHON)"


def start_native(program, threads, cores):
    return Worker([program, "--worker", str(threads)], cores[-threads:])


def start_torch(python, threads, cores):
    return Worker([python, os.path.join(HERE, "peers_torch.py"), str(threads)], cores[-threads:])
