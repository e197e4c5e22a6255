"""Which plans bench/tune.py times, and what it makes of the times."""

import lacuna_abi as abi
import tune_fit
from tune_model import Shape

# Sizes that land in each regime, few and many lanes, each precision, and a cell that exchanges
# its state twice a step.
SHAPES = [
    *(Shape(abi.LSTM, abi.BF16, 0, hidden, 8) for hidden in (64, 128, 256, 512, 1024, 2048)),
    *(Shape(abi.LSTM, abi.BF16, 0, hidden, 64) for hidden in (256, 512, 1024)),
    Shape(abi.LSTM, abi.BF16, 0, 256, 256),
    *(Shape(abi.LSTM, abi.F32, 0, hidden, 8) for hidden in (64, 128, 256, 512)),
    Shape(abi.LSTM, abi.F32, 0, 256, 64),
    # Where lone lanes come to an end.
    Shape(abi.LSTM, abi.BF16, 0, 64, 512), Shape(abi.LSTM, abi.BF16, 0, 128, 264),
    Shape(abi.LSTM, abi.F32, 0, 64, 1024),
    *(Shape(abi.LSTM, abi.F32, abi.PRECISION_TF32, hidden, 8) for hidden in (128, 512)),
    *(Shape(abi.GRU, abi.F16, 0, hidden, 8) for hidden in (128, 384, 1024)),
    Shape(abi.GRU, abi.F32, 0, 700, 16),
    *(Shape(abi.GRU_RESET_BEFORE, abi.F32, 0, hidden, 8) for hidden in (128, 256, 512)),
    Shape(abi.RNN_TANH, abi.BF16, 0, 1760, 16),
]
# Without a GPU only that everything works is of interest.
TINY = [Shape(abi.LSTM, abi.F32, 0, hidden, sequences) for hidden in (16, 48) for sequences in (1, 8)]

# A part of each step that the model leaves out: the products over all tokens are read. Fitted beside the
# model's constants so as not to spoil them, and then forgotten. Bytes a microsecond.
READ_BYTES = 2e6

WITHIN = 1.1  # a choice may take so many times the best
FAR = 8  # times the best of a shape, by the defaults: a way that is not worth the time of measuring it


def ordered(model, shapes):
    """Every way that serves and is not far off, what tells most first: of each shape the best way of the nearest
    regime, then that of the next regime, and so on; then the second best way of each regime, and so on. A prefix
    holds all shapes, and those of their ways between which a choice is made."""
    points = model.serving(shapes)
    expected = dict(zip(points, model.predict(model.defaults, points)))
    turns = {}
    for shape in shapes:
        ways = sorted((point for point in points if point[0] == shape), key=expected.get)
        taken = {}  # regime: its ways so far
        for point in ways:
            if expected[point] <= FAR * expected[ways[0]]:
                of_regime = taken.setdefault(point[1].regime, [])
                of_regime.append(point)
                turns[point] = len(of_regime), list(taken).index(point[1].regime)
    return sorted(turns, key=turns.get)


def fit_constants(model, times):
    """`times`: {(shape, way): measured microseconds of a step}."""
    points = list(times)

    def predict(constants):
        *ours, read_bytes = constants
        steps = model.predict(ours, points)
        return [us + shape.gate_bytes / read_bytes for us, (shape, _) in zip(steps, points)]

    found = tune_fit.fit(predict, [*model.defaults, READ_BYTES], list(times.values()))
    found.constants.pop()
    found.errors.pop()
    return found


def judge(model, constants, times, measured=True):
    """For each shape that was timed in several ways: the way that is chosen, the best, and how many times the
    best one's time the choice takes (None: the choice was not timed). `measured`: as Model.choose has it."""
    by_shape = {}
    for (shape, way), us in times.items():
        by_shape.setdefault(shape, {})[way] = us
    shapes = [shape for shape, ways in by_shape.items() if len(ways) > 1]
    rows = []
    for shape, chosen in zip(shapes, model.choose(constants, shapes, measured) if shapes else []):
        ways = by_shape[shape]
        best = min(ways, key=ways.get)
        rows.append((shape, chosen, best, ways[chosen] / ways[best] if chosen in ways else None))
    return rows


def lost(judged):
    """`judged`: {whose: rows of judge(), of the same times}. How many times the best ones' time the choices of each
    take, on average over the shapes whose choices were all timed: ({whose: times}, number of these shapes)."""
    ratios = [alike for alike in zip(*([ratio for *_, ratio in rows] for rows in judged.values()))
              if None not in alike]
    return {whose: sum(column) / len(ratios) for whose, column in zip(judged, zip(*ratios))}, len(ratios)
