"""A worker process that touches a GPU: it may die, hang or be spoilt, and is then replaced by a fresh one."""

import os
import threading

from workers import Worker, WorkerError


class WatchedWorker:
    """`ask` sends one line and returns the JSON that comes back. A worker that takes longer than `limit`
    seconds, or answers {"broken": why}, is killed; whoever asked gets a WorkerError, the next a new one."""

    def __init__(self, command, limit):
        self.command, self.limit, self.worker = command, limit, None

    def ask(self, *words):
        if self.worker is None:
            self.worker = Worker(self.command, os.sched_getaffinity(0))
        watchdog = threading.Timer(self.limit, self.worker.process.kill)
        watchdog.start()
        try:
            reply = self.worker.ask(*words)
        except WorkerError:
            if self.worker.process.poll() is not None:
                self.worker = None
            raise
        finally:
            watchdog.cancel()
        if "broken" in reply:
            self.stop()
            raise WorkerError(reply["broken"])
        return reply

    def stop(self):
        """After an error on the GPU a process may not even end by itself."""
        if self.worker is not None:
            self.worker.process.kill()
            self.worker.process.wait()
            self.worker = None
