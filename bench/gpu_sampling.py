"""What the two processes of bench/gpu.py that touch the GPU share, with PyTorch and without: how long a contestant is
sampled, what a case is at, and how it may end."""

import json
import time

LEAST_SAMPLES = 5
SAMPLING = 1.5  # seconds of a contestant, beyond which no more than the least are taken


class CaptureFailed(Exception):
    def __init__(self, who, error):
        super().__init__(str(error))
        self.who = who


class Refused(Exception):
    """Lacuna differs from the reference."""


class Phases:
    """What a case is at, said to whoever waits, and the seconds that each part took. `wait`: until the device has done
    what a part has queued."""

    def __init__(self, wait=lambda: None):
        self.wait, self.seconds, self.name, self.began = wait, {}, None, time.perf_counter()

    def begin(self, name):
        self.end()
        self.name = name
        print(json.dumps({"now": name}), flush=True)

    def end(self):
        self.wait()
        now = time.perf_counter()
        if self.name is not None:
            self.seconds[self.name] = round(self.seconds.get(self.name, 0) + now - self.began, 4)
        self.name, self.began = None, now
