"""A worker process that touches a GPU: it may die, hang or be spoilt, and is then replaced by a fresh one."""

import os
import signal
import subprocess
import threading

from workers import Worker, WorkerError


class Hung(WorkerError):
    """A worker did not answer in time, and was killed."""


def finish_when_told():
    """The first SIGINT or SIGTERM raises KeyboardInterrupt; later ones (`timeout` sends two) do nothing, so that
    whoever catches it can write down what was found."""
    def told(*_):
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, told)


class WatchedWorker:
    """`ask` sends one line and returns the JSON that comes back. A worker that takes longer than `limit` seconds,
    or answers {"broken": why}, is killed; whoever asked gets a WorkerError, the next a new one. Lines of
    {"now": what} may come before an answer: they say what was begun last, for the message of one that hangs.

    A new worker is asked `about` first. It has `start_limit` seconds for that, in which it loads what it needs."""

    def __init__(self, command, limit, start_limit):
        self.command, self.limit, self.start_limit = command, limit, start_limit
        self.worker = None

    def start(self):
        """What a worker says of itself, one being started where there is none; else nothing."""
        if self.worker is None:
            self.worker = Worker(self.command, os.sched_getaffinity(0))
            return self.answer("about", limit=self.start_limit)
        return None

    def ask(self, *words, limit=None):
        """`limit`: less than the usual one."""
        self.start()
        return self.answer(*words, limit=min(self.limit, limit or self.limit))

    def answer(self, *words, limit):
        now, late, process = "", threading.Event(), self.worker.process

        def kill():
            late.set()
            process.kill()

        watchdog = threading.Timer(limit, kill)
        watchdog.start()
        try:
            reply = self.worker.ask(*words)
            while "now" in reply:
                now = f" at {reply['now']}"
                reply = self.worker.receive(words[0])
        except WorkerError as error:
            if process.poll() is None:  # it answered {"error": ...}, and goes on
                raise
            self.worker = None
            if late.is_set():
                raise Hung(f"no answer{now} within {limit:.3g} s: killed") from error
            raise WorkerError(f"{error}{now}") from error
        finally:
            watchdog.cancel()
        if "broken" in reply:
            self.stop()
            raise WorkerError(reply["broken"] + now)
        return reply

    def stop(self):
        """After an error on the GPU a process may not even end by itself, and after SIGKILL take its time."""
        if self.worker is not None:
            self.worker.process.kill()
            try:
                self.worker.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
            self.worker = None
