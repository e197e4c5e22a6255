"""The layer and the plan of a case of bench/gpu.py, in the structs of the C ABI."""

import ctypes

import lacuna_abi as abi

TYPE = {"f32": abi.F32, "f64": abi.F64, "f16": abi.F16, "bf16": abi.BF16}
CELL = {"lstm": abi.LSTM, "gru": abi.GRU, "grud": abi.GRU_RESET_BEFORE, "rnn": abi.RNN_TANH}
GATES = {"lstm": 4, "gru": 3, "grud": 3, "rnn": 1}
GRADIENTS = ("weights_x", "weights_h", "bias", "bias_hn", "impute_weight", "impute_bias",
             "evolve_weight", "evolve_bias")


def layer_of(case, kind=None):
    """`kind`: of its numbers, if another than the case's."""
    layer = abi.Layer(cell=CELL[case.cell], type=TYPE[kind or case.type], features=case.features, hidden=case.hidden)
    if case.cell == "grud":
        layer.impute, layer.evolve, layer.mask_input = abi.IMPUTE_DECAY, abi.EVOLVE_DECAY, 1
    return layer


def plan_options(case):
    return abi.PlanOptions(inference=int(case.forward), regime=abi.REGIME_OF[case.regime],
                           precision=abi.PRECISION_TF32 if case.tf32 else abi.PRECISION_DEFAULT)


def explained(lib, plan):
    """What a plan says of itself."""
    length = ctypes.c_size_t()
    lib.lacuna_plan_explain(plan, None, ctypes.byref(length))
    text = ctypes.create_string_buffer(length.value + 1)
    length = ctypes.c_size_t(len(text))
    lib.lacuna_plan_explain(plan, text, ctypes.byref(length))
    return text.value.decode()
