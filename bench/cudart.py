"""The CUDA runtime for Python, through ctypes: memory of the device, a stream, and work that is captured on it as a
graph and replayed between two events.

    cuda = cudart.Cuda()
    graph = cuda.capture(lambda: work_on(cuda.stream))
    seconds = cuda.seconds(graph)  # or, of work that is not captured, cuda.seconds_of(work)

A call that fails raises CudaError with its name and CUDA's own word for what was wrong. The library at hand has a
runtime of its own inside: both work on the device's primary context, so that memory and streams are good in either.
"""

import ctypes
import glob
import os
import sys
from ctypes import POINTER, c_char_p, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p

NAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
NON_BLOCKING = 1
CAPTURE_GLOBAL = 0
HANDLE = c_void_p  # cudaStream_t, cudaEvent_t, cudaGraph_t, cudaGraphExec_t

CALLS = {
    "cudaMalloc": [POINTER(c_void_p), c_size_t],
    "cudaFree": [c_void_p],
    "cudaMemsetAsync": [c_void_p, c_int, c_size_t, HANDLE],
    "cudaMemcpy": [c_void_p, c_void_p, c_size_t, c_int],
    "cudaRuntimeGetVersion": [POINTER(c_int)],
    "cudaStreamCreateWithFlags": [POINTER(HANDLE), c_uint],
    "cudaStreamSynchronize": [HANDLE],
    "cudaStreamBeginCapture": [HANDLE, c_int],
    "cudaStreamEndCapture": [HANDLE, POINTER(HANDLE)],
    "cudaGraphInstantiate": [POINTER(HANDLE), HANDLE, c_ulonglong],
    "cudaGraphDestroy": [HANDLE],
    "cudaGraphLaunch": [HANDLE, HANDLE],
    "cudaGraphExecDestroy": [HANDLE],
    "cudaEventCreate": [POINTER(HANDLE)],
    "cudaEventRecord": [HANDLE, HANDLE],
    "cudaEventSynchronize": [HANDLE],
    "cudaEventElapsedTime": [POINTER(c_float), HANDLE, HANDLE],
}


class CudaError(RuntimeError):
    """A call of the CUDA runtime failed, or there is no runtime to call."""


def load(path=None):
    """The runtime at `path`, or the first that the loader, CUDA's own folder or this Python's packages have."""
    homes = [os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    folders = [os.path.join(home, "lib64") for home in homes if home]
    folders += [folder for place in sys.path if place for folder in glob.glob(f"{glob.escape(place)}/nvidia/*/lib")]
    wanted = [path] if path else [*NAMES, *(os.path.join(folder, name) for folder in folders for name in NAMES)]
    problem = ""
    for name in wanted:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            problem = problem or str(error)
    raise CudaError(f"no CUDA runtime: {problem}")


class Cuda:
    def __init__(self, path=None):
        self.lib = load(path)
        self.lib.cudaGetErrorName.argtypes, self.lib.cudaGetErrorName.restype = [c_int], c_char_p
        for name, types in CALLS.items():
            function = getattr(self.lib, name)
            function.argtypes, function.restype, function.errcheck = types, c_int, self.check
        self.stream = self.create("cudaStreamCreateWithFlags", NON_BLOCKING)
        self.begin, self.end = self.create("cudaEventCreate"), self.create("cudaEventCreate")

    def check(self, status, function, _):
        if status != 0:
            raise CudaError(f"{function.__name__}: {self.lib.cudaGetErrorName(status).decode()} ({status})")
        return status

    def create(self, call, *words):
        """What a call returns through its first argument."""
        handle = HANDLE()
        getattr(self.lib, call)(ctypes.byref(handle), *words)
        return handle.value

    def version(self):
        """Of the runtime: 13.0."""
        number = c_int()
        self.lib.cudaRuntimeGetVersion(ctypes.byref(number))
        return f"{number.value // 1000}.{number.value % 1000 // 10}"

    def copied(self, address, count):
        """The address of `count` bytes on the device that hold what is at `address` of the host."""
        there = self.create("cudaMalloc", count)
        self.put(there, address, count)
        return there

    def put(self, there, address, count):
        self.lib.cudaMemcpy(there, address, count, HOST_TO_DEVICE)
        # It may return before the copy is there, for which a stream that does not block would not wait.
        self.lib.cudaStreamSynchronize(None)

    def fetch(self, address, there, count):
        """Into the host's memory at `address`."""
        self.lib.cudaMemcpy(address, there, count, DEVICE_TO_HOST)

    def fill(self, there, byte, count):
        """Queued on the stream."""
        self.lib.cudaMemsetAsync(there, byte, count, self.stream)

    def free(self, there):
        self.lib.cudaFree(there)

    def wait(self):
        self.lib.cudaStreamSynchronize(self.stream)

    def capture(self, work):
        """What `work` queues on the stream, as a graph that can be replayed. After an error the stream may still be
        captured: the process is not to be used again."""
        self.lib.cudaStreamBeginCapture(self.stream, CAPTURE_GLOBAL)
        work()
        graph = HANDLE()
        self.lib.cudaStreamEndCapture(self.stream, ctypes.byref(graph))
        replayed = self.create("cudaGraphInstantiate", graph, 0)
        self.lib.cudaGraphDestroy(graph)
        return replayed

    def replay(self, replayed):
        self.lib.cudaGraphLaunch(replayed, self.stream)

    def seconds(self, replayed):
        """That one replay takes on the device."""
        return self.seconds_of(lambda: self.replay(replayed))

    def seconds_of(self, work):
        """That what `work` queues takes on the device."""
        self.lib.cudaEventRecord(self.begin, self.stream)
        work()
        self.lib.cudaEventRecord(self.end, self.stream)
        self.lib.cudaEventSynchronize(self.end)
        milliseconds = c_float()
        self.lib.cudaEventElapsedTime(ctypes.byref(milliseconds), self.begin, self.end)
        return milliseconds.value * 1e-3

    def destroy(self, replayed):
        self.lib.cudaGraphExecDestroy(replayed)
