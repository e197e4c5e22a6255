"""include/lacuna/lacuna.h for Python, through ctypes: structs, constants and prototypes, nothing else.

    lib = lacuna_abi.load("liblacuna.so")
    lib.lacuna_plan_create(context, byref(layer), byref(capacity), None, byref(plan))

Fields and their order are the header's, which also says what they mean. A call that fails raises
LacunaError with the library's own message. Whoever passes an array keeps it alive.
"""

import ctypes
from ctypes import (POINTER, Structure, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t,
                    c_uint64, c_void_p)

VERSION = (0, 1)  # of the header written down here

BACKEND_BEST, BACKEND_CPU, BACKEND_CUDA = range(3)
F32, F64, F16, BF16 = range(4)
RNN_TANH, RNN_RELU, RNN_EULER, LSTM, GRU, GRU_RESET_BEFORE = range(6)
IMPUTE_NONE, IMPUTE_MEAN, IMPUTE_FORWARD, IMPUTE_DECAY, IMPUTE_RELAX = range(5)
EVOLVE_NONE, EVOLVE_DECAY, EVOLVE_DECAY_STEP, EVOLVE_RELAX = range(4)
(REGIME_BEST, REGIME_STEPWISE, REGIME_RESIDENT, REGIME_CLUSTER, REGIME_GRID,
 REGIME_LONE) = range(6)
REGIME_OF = {"": REGIME_BEST, "stepwise": REGIME_STEPWISE, "resident": REGIME_RESIDENT,
             "cluster": REGIME_CLUSTER, "grid": REGIME_GRID, "lone": REGIME_LONE}
PRECISION_DEFAULT, PRECISION_TF32 = range(2)
EMPTY_ROWS_UPDATE, EMPTY_ROWS_EVOLVE_ONLY = range(2)

# lacuna_parameter, by the names that lacuna_layer_parameter reports.
PARAMETERS = ("weights_x", "weights_h", "bias", "bias_hn", "x_mean", "impute_weight", "impute_bias",
              "evolve_weight", "evolve_bias", "evolve_target", "norm_gain_x", "norm_gain_h",
              "norm_gain_c", "norm_bias_c", "projection")


class LacunaError(RuntimeError):
    """A call returned another status than LACUNA_OK."""


class Allocator(Structure):
    ALLOCATE = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_size_t, c_size_t, c_void_p)
    DEALLOCATE = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_size_t, c_size_t, c_void_p)
    _fields_ = [("allocate", ALLOCATE), ("deallocate", DEALLOCATE), ("user", c_void_p)]


class ContextOptions(Structure):
    _fields_ = [("backend", c_int), ("threads", c_int32), ("isa", c_int), ("allocator", Allocator),
                ("device", c_int32), ("memory_limit", c_size_t), ("memory_kept_limit", c_size_t)]


class ContextInfo(Structure):
    _fields_ = [("backend", c_int), ("threads", c_int32), ("isa", c_int), ("bytes_in_use", c_size_t),
                ("bytes_peak", c_size_t), ("allocations", c_size_t), ("device", c_int32),
                ("bytes_kept", c_size_t)]


class Layer(Structure):
    _fields_ = [("cell", c_int), ("impute", c_int), ("evolve", c_int), ("empty_rows", c_int),
                ("type", c_int), ("features", c_int64), ("hidden", c_int64),
                ("mask_input", c_int32), ("gap_input", c_int32), ("reverse", c_int32),
                ("zoneout_hidden", c_double), ("zoneout_cell", c_double),
                ("recurrent_dropout", c_double), ("layer_norm", c_int32), ("projection", c_int64)]


class Parameters(Structure):
    """Also lacuna_parameter_gradients, which has the same layout."""

    _fields_ = [("tensor", c_void_p * len(PARAMETERS))]


class ParameterInfo(Structure):
    _fields_ = [("name", c_char_p), ("rows", c_int64), ("columns", c_int64), ("offset", c_int64)]


class Capacity(Structure):
    _fields_ = [("tokens", c_int64), ("sequences", c_int64), ("max_length", c_int64)]


class PlanOptions(Structure):
    _fields_ = [("workspace", c_void_p), ("workspace_bytes", c_size_t), ("inference", c_int32),
                ("regime", c_int), ("precision", c_int), ("tape", c_int), ("tape_budget", c_size_t),
                ("blocks", c_int32)]


class PlanInfo(Structure):
    _fields_ = [("workspace_bytes", c_size_t), ("tape_bytes", c_size_t), ("regime", c_int),
                ("tape", c_int)]


class Carry(Structure):
    _fields_ = [("last_values", c_void_p), ("since", c_void_p), ("last_time", c_void_p),
                ("first_gap", c_void_p)]


class Noise(Structure):
    _fields_ = [("seed", c_uint64), ("sequence", c_void_p), ("position", c_void_p)]


class Batch(Structure):
    _fields_ = [("sequences", c_int64), ("tokens", c_int64), ("offsets", c_void_p),
                ("values", c_void_p), ("mask", c_void_p), ("fires", c_void_p),
                ("delta_t", c_void_p), ("times", c_void_p), ("delta", c_void_p),
                ("initial_hidden", c_void_p), ("initial_cell", c_void_p), ("carry_in", Carry),
                ("offsets_on_device", c_int32), ("noise", Noise)]


class Outputs(Structure):
    _fields_ = [("hidden", c_void_p), ("cell", c_void_p), ("evolved_hidden", c_void_p),
                ("imputed", c_void_p), ("final_hidden", c_void_p), ("final_cell", c_void_p),
                ("carry_out", Carry)]


class OutputGradients(Structure):
    _fields_ = [("d_hidden", c_void_p), ("d_cell", c_void_p), ("d_final_hidden", c_void_p),
                ("d_final_cell", c_void_p)]


class InputGradients(Structure):
    _fields_ = [("d_values", c_void_p), ("d_delta_t", c_void_p), ("d_initial_hidden", c_void_p),
                ("d_initial_cell", c_void_p)]


HANDLE = c_void_p  # lacuna_context*, lacuna_plan*, lacuna_tape*

# What returns a status; load() makes each of them raise LacunaError.
CALLS = {
    "lacuna_context_create": [POINTER(ContextOptions), POINTER(HANDLE)],
    "lacuna_context_query": [HANDLE, POINTER(ContextInfo)],
    "lacuna_context_trim": [HANDLE],
    "lacuna_layer_check": [POINTER(Layer)],
    "lacuna_layer_input_width": [POINTER(Layer), POINTER(c_int64)],
    "lacuna_layer_output_width": [POINTER(Layer), POINTER(c_int64)],
    "lacuna_layer_parameter": [POINTER(Layer), c_int, POINTER(ParameterInfo)],
    "lacuna_layer_parameter_count": [POINTER(Layer), POINTER(c_int64)],
    "lacuna_layer_initialize": [POINTER(Layer), c_uint64, c_void_p],
    "lacuna_plan_create": [HANDLE, POINTER(Layer), POINTER(Capacity), POINTER(PlanOptions),
                           POINTER(HANDLE)],
    "lacuna_plan_measure": [HANDLE, POINTER(Layer), POINTER(Capacity), POINTER(PlanOptions),
                            POINTER(PlanInfo)],
    "lacuna_plan_query": [HANDLE, POINTER(PlanInfo)],
    "lacuna_plan_explain": [HANDLE, c_char_p, POINTER(c_size_t)],
    "lacuna_plan_explain_batch": [HANDLE, c_void_p, c_int64, c_char_p, POINTER(c_size_t)],
    "lacuna_tape_create": [HANDLE, c_void_p, c_size_t, POINTER(HANDLE)],
    "lacuna_forward": [HANDLE, POINTER(Parameters), POINTER(Batch), POINTER(Outputs), HANDLE, c_void_p],
    "lacuna_backward": [HANDLE, POINTER(Parameters), POINTER(Batch), POINTER(OutputGradients), HANDLE,
                        POINTER(Parameters), POINTER(InputGradients), c_void_p],
}
RELEASES = ("lacuna_context_destroy", "lacuna_plan_destroy", "lacuna_tape_destroy")


def load(path):
    """The library with prototypes; refuses one whose header was another."""
    lib = ctypes.CDLL(path)
    for name in ("lacuna_last_error", "lacuna_version", "lacuna_status_name"):
        getattr(lib, name).restype = c_char_p
    lib.lacuna_status_name.argtypes = [c_int]

    def check(status, function, _):
        if status != 0:
            raise LacunaError(f"{function.__name__}: {lib.lacuna_status_name(status).decode()}: "
                              f"{lib.lacuna_last_error().decode()}")
        return status

    for name, types in CALLS.items():
        function = getattr(lib, name)
        function.restype, function.argtypes, function.errcheck = c_int, types, check
    for name in RELEASES:
        function = getattr(lib, name)
        function.restype, function.argtypes = None, [HANDLE]
    version = lib.lacuna_version().decode()
    if tuple(int(part) for part in version.split(".")[:2]) != VERSION:
        raise LacunaError(f"{path} is Lacuna {version}; this module knows {VERSION[0]}.{VERSION[1]}")
    return lib


def create(call, *arguments):
    """The handle that a *_create call makes."""
    handle = HANDLE()
    call(*arguments, ctypes.byref(handle))
    return handle
