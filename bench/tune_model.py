"""The library's own cost model (host/cuda/step_cost.cu), asked through the program lacuna_step_cost, so that
its formulas are written down once."""

import os
import re
from dataclasses import dataclass

import lacuna_abi as abi
from workers import Worker

REGIMES = {regime: name for name, regime in abi.REGIME_OF.items() if name}
CELLS = {abi.LSTM: "lstm", abi.GRU: "gru", abi.GRU_RESET_BEFORE: "gru_reset_before",
         abi.RNN_TANH: "rnn"}
GATES = {abi.LSTM: 4, abi.GRU: 3, abi.GRU_RESET_BEFORE: 3, abi.RNN_TANH: 1}
TYPES = {abi.F32: "f32", abi.F16: "f16", abi.BF16: "bf16"}


@dataclass(frozen=True)
class Shape:
    cell: int
    type: int
    precision: int
    hidden: int
    sequences: int

    def __str__(self):
        kind = "tf32" if self.precision == abi.PRECISION_TF32 else TYPES[self.type]
        return f"{CELLS[self.cell]}_{kind}_n{self.sequences}_h{self.hidden}"

    @staticmethod
    def parse(text):
        """The shape that is written so."""
        found = re.fullmatch(r"(\w+)_(tf32|f32|f16|bf16)_n(\d+)_h(\d+)", text)
        cells = {name: cell for cell, name in CELLS.items()}
        if not found or found[1] not in cells:
            raise ValueError(f"shape '{text}': not of the form CELL_TYPE_nB_hH")
        tf32 = found[2] == "tf32"
        kind = abi.F32 if tf32 else next(kind for kind, name in TYPES.items() if name == found[2])
        return Shape(cells[found[1]], kind, abi.PRECISION_TF32 if tf32 else abi.PRECISION_DEFAULT, int(found[4]),
                     int(found[3]))

    @property
    def numbers(self):
        return self.cell, self.type, self.precision, self.hidden, self.sequences

    @property
    def weight_bytes(self):
        """Of W_h, in fp32, as it is given."""
        return 4 * GATES[self.cell] * self.hidden ** 2

    @property
    def gate_bytes(self):
        """What a step reads of the products that were made for all tokens at once."""
        return 4 * self.sequences * GATES[self.cell] * self.hidden


@dataclass(frozen=True)
class Way:
    regime: int
    blocks: int  # of a group; 0 where there are none

    def __str__(self):
        return REGIMES[self.regime] + (f" {self.blocks}" if self.blocks else "")

    @staticmethod
    def parse(text):
        """The way that is written so."""
        name, *blocks = text.split()
        if not abi.REGIME_OF.get(name) or len(blocks) > 1:
            raise ValueError(f"way '{text}': not of the form REGIME [BLOCKS]")
        return Way(abi.REGIME_OF[name], int(blocks[0]) if blocks else 0)


BEST = Way(abi.REGIME_BEST, 0)
WAYS = [Way(abi.REGIME_STEPWISE, 0), Way(abi.REGIME_RESIDENT, 0), Way(abi.REGIME_LONE, 0),
        *(Way(abi.REGIME_CLUSTER, 2 ** n) for n in range(1, 5)),
        *(Way(abi.REGIME_GRID, 2 ** n) for n in range(1, 8))]


class Model:
    """Of one chip. A point is a (shape, way)."""

    def __init__(self, program):
        self.worker = Worker([program], os.sched_getaffinity(0))
        known = self.worker.ask("constants")
        self.names, self.defaults = known["names"], known["defaults"]
        self.chip, self.points = None, None

    def device(self, index=0):
        return self.worker.ask("device", index)

    def use(self, chip):
        self.chip = chip
        self.begin()

    def begin(self):
        chip = self.chip
        self.worker.ask("chip", chip["multiprocessors"], chip["gigahertz"], chip["shared_bytes"],
                        *chip["clusters"], *([chip["capability"]] if "capability" in chip else []))
        self.points = []

    def add(self, shape, way):
        """Whether the way serves."""
        if "refused" in self.worker.ask("point", *shape.numbers, way.regime, way.blocks):
            return False
        self.points.append((shape, way))
        return True

    def serving(self, shapes):
        """Every way that serves, for each shape."""
        self.begin()
        for shape in shapes:
            for way in WAYS:
                self.add(shape, way)
        return list(self.points)

    def ask_for(self, points):
        """All later answers are about these."""
        if points != self.points:
            self.begin()
            for shape, way in points:
                if not self.add(shape, way):
                    raise ValueError(f"{shape}: {way} does not serve")

    def predict(self, constants, points):
        """Microseconds of a step of all sequences, for each point."""
        self.ask_for(points)
        return [us for _, _, us in self.worker.ask("predict", *constants)["steps"]]

    def choose(self, constants, shapes, measured=True):
        """The way that a plan takes, for each shape; of constants that count as not measured on the chip where
        `measured` is false."""
        self.ask_for([(shape, BEST) for shape in shapes])
        self.worker.ask("measured", int(measured))
        steps = self.worker.ask("predict", *constants)["steps"]
        self.worker.ask("measured", 1)
        grouped = (abi.REGIME_CLUSTER, abi.REGIME_GRID)
        return [Way(regime, blocks if regime in grouped else 0) for regime, blocks, _ in steps]

    def close(self):
        self.worker.close()
        self.worker.process.stdout.close()
