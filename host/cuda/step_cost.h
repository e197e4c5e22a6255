// What a time step is expected to take in each regime: a model to choose by, of few constants. They are measured per chip
// (measured_chips.h), or else these defaults. Pure: no device is asked.
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
  bool plain = false;     // stepwise: by multiply-adds, which is how cuBLASLt multiplies floats
  int operand_bytes = 2;  // of an element of state or weight on chip
  int kept = 0;           // fragments (16 x depth) of each matrix that a warp has in registers
};

// The defaults are published measurements of an H100, and guesses where there are none.
struct StepConstants {
  // Cycles between two products m16n8k16 of one of a multiprocessor's four tensor cores.
  double mma_cycles = 6.3;
  double shared_bytes = 128;  // of shared memory, a cycle
  // Of other blocks' shared memory or the second-level cache, a cycle: a guess.
  double remote_bytes = 32;
  double gates_us = 0.1;  // activations of a step, a barrier: a guess
  // The same of a block of one lane, to that: a thread has one unit instead of four. Instructions counted, not measured.
  double lone_gates = 0.35;
  double store_hop_us = 0.2;  // st.async, arrival at an mbarrier, wait
  double flag_hop_us = 0.65;  // release, acquire between two multiprocessors
  double launch_us = 2.7;     // from one kernel of a stream to the next
  // Of the second-level cache, a microsecond, all multiprocessors together.
  double cache_bytes = 5500e3;

  bool operator==(const StepConstants&) const = default;
};

// All of them, as the table of measured chips and bench/tune.py write them.
using ConstantOf = double StepConstants::*;
struct NamedConstant {
  const char* name;
  ConstantOf value;
};
inline constexpr NamedConstant step_constants[] = {
    {"mma_cycles", &StepConstants::mma_cycles},     {"shared_bytes", &StepConstants::shared_bytes},
    {"remote_bytes", &StepConstants::remote_bytes}, {"gates_us", &StepConstants::gates_us},
    {"lone_gates", &StepConstants::lone_gates},     {"store_hop_us", &StepConstants::store_hop_us},
    {"flag_hop_us", &StepConstants::flag_hop_us},   {"launch_us", &StepConstants::launch_us},
    {"cache_bytes", &StepConstants::cache_bytes}};

// What NVIDIA's tables say of a multiprocessor: no kernel gets beyond. The defaults are an H100's.
struct ChipLimits {
  int multipliers = 128;  // fp32 products a cycle
  double mma_cycles = 4;  // as StepConstants::mma_cycles, at a tensor core's full rate
};
// capability: of compute, 80 where it is 8.0; 0: of no GPU. By dense fp16 peaks: 312e12 operations a second of an A100 (108
// multiprocessors, 1.41 GHz), 150e12 of an A40 (84, 1.74), 121e12 of an L4 (58, 2.04), 2,250e12 of a B200 (148, 1.85), 503e12 of
// an RTX PRO 6000 (188, 2.6). GeForce cards of 8.6, 8.9 and 12.0 have half of that where sums are fp32.
constexpr ChipLimits limits_of(int capability) {
  ChipLimits limits;
  if (capability == 80) limits = {.multipliers = 64, .mma_cycles = 8};
  if (capability > 80 && capability < 90) limits.mma_cycles = 16;
  if (capability >= 100) limits.mma_cycles = 2;
  if (capability >= 120) limits.mma_cycles = 16;
  return limits;
}

struct Machine {
  int multiprocessors = 1;
  double gigahertz = 1;
  StepConstants constants;
  ChipLimits limits;
};

struct StepCost {
  double us = 0;  // expected; constants that promise too much bring it below the floor
  // By published limits alone: below this gets no kernel that divides the work in the same way.
  double floor_us = 0;
  double start_us = 0;  // once, before the first step: a launch, W_h on its way into registers
};

// Of one tile of lanes; regime: RESIDENT, CLUSTER or GRID.
StepCost tile_step(const StepShape& shape, lacuna_regime regime, const resident::Division& division,
                   const Machine& machine);

// Of blocks of one lane, `sharing` of them on a multiprocessor, all at once.
StepCost lone_step(const StepShape& shape, int sharing, const Machine& machine);
// Of those that run on a multiprocessor at once, of as many units: as many as its registers are enough for.
int lone_blocks_at_once(int units);

// Of all sequences.
StepCost stepwise_step(const StepShape& shape, std::int64_t sequences, const Machine& machine);

}  // namespace lacuna::cuda
