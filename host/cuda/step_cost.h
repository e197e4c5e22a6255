// What a time step is expected to take in each regime: a model to choose by, of few constants, which stand in step_cost.cu
// with their sources. Pure: no device is asked.
#pragma once

#include <cstdint>

#include "kernels/recurrence/resident/tile.h"
#include "lacuna/lacuna.h"

namespace lacuna::cuda {

// What of a layer a step's time depends on.
struct StepShape {
  std::int64_t hidden = 0;
  int matrices = 1;       // [H, H], that multiply a state
  int exchanges = 1;      // of a step: 2 where a reset comes before a product
  int depth = 16;         // of a tensor core's product: 8 for operands of 32 bits
  int products = 1;       // of the tensor core for one of the matrices: 3 for floats in two parts
  int operand_bytes = 2;  // of an element of state or weight on chip
  int kept = 0;           // fragments (16 x depth) of each matrix that a warp has in registers
};

struct Machine {
  int multiprocessors = 1;
  double gigahertz = 1;
};

struct StepCost {
  double us = 0;
  double floor_us =
      0;  // the same without what a kernel might avoid: padding, and weights that registers do not hold
};

// Of one tile of lanes; regime: RESIDENT, CLUSTER or GRID.
StepCost tile_step(const StepShape& shape, lacuna_regime regime, const resident::Division& division,
                   const Machine& machine);

// Of all sequences.
StepCost stepwise_step(const StepShape& shape, std::int64_t sequences, const Machine& machine);

}  // namespace lacuna::cuda
