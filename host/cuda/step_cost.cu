#include "host/cuda/step_cost.h"

#include <algorithm>

#include "kernels/recurrence/lone/division.h"

namespace lacuna::cuda {
namespace {

constexpr int tensor_cores = 4;

// A block multiplies its own slice, 1 of `blocks`, while the others' arrive; backward, where its own part of the sums comes
// last, while they travel. That either hides the other wholly has not been measured.
double overlapped(double work, double arrival, int blocks) {
  const double own = work / blocks;
  return std::max(arrival, own) + work - own;
}

double hop_us(lacuna_regime regime, const StepConstants& constants) {
  switch (regime) {
    case LACUNA_REGIME_CLUSTER: return constants.store_hop_us;
    case LACUNA_REGIME_GRID: return constants.flag_hop_us;
    default: return 0;
  }
}

}  // namespace

StepCost tile_step(const StepShape& shape, lacuna_regime regime, const resident::Division& division,
                   const Machine& machine) {
  const StepConstants& constants = machine.constants;
  const double cycle_us = 1e-3 / machine.gigahertz;
  const double warps = division.warps(), units = division.units();
  const double fragments = units / shape.depth / division.depths * shape.matrices;  // of a warp
  const double cores = std::min<double>(warps, tensor_cores);
  const double tensor = warps * fragments * shape.products / cores * constants.mma_cycles;
  const double beyond = std::max(0.0, fragments - static_cast<double>(shape.kept) * shape.matrices);
  const double fragment_bytes = resident::units_per_warp * shape.depth * shape.operand_bytes;
  const double column_bytes = resident::lanes_per_tile * shape.depth * shape.operand_bytes;
  const double shared = warps *
                        (beyond * fragment_bytes + fragments / shape.matrices * column_bytes) /
                        constants.shared_bytes;
  const double others_bytes =
      resident::lanes_per_tile * division.units_of_others() * shape.operand_bytes;
  const double received = regime == LACUNA_REGIME_RESIDENT
                              ? 0
                              : shape.exchanges * others_bytes / constants.remote_bytes;
  const double hops = shape.exchanges * hop_us(regime, constants);

  const double real = static_cast<double>(shape.hidden) / units;
  const double least = tensor * real * real * cores / tensor_cores;
  return {
      .us = constants.gates_us + overlapped(cycle_us * std::max(tensor, shared),
                                            hops + cycle_us * received, division.blocks),
      .floor_us = constants.gates_us +
                  overlapped(cycle_us * least, hops + cycle_us * received * real, division.blocks)};
}

// Forward. Blocks wait for their own gates and barriers at the same time, but share what multiplies. That reads of the
// state hide behind products is assumed.
StepCost lone_step(const StepShape& shape, int sharing, const Machine& machine) {
  const StepConstants& constants = machine.constants;
  const int units = resident::padded_units(shape.hidden);
  const double products = static_cast<double>(shape.matrices) * units * units / machine.multipliers;
  const double beyond = static_cast<double>(
      lone::weights_beyond(shape.matrices, units, lone::knows_size(shape.matrices, shape.hidden)));
  const double shared = beyond * shape.operand_bytes / constants.shared_bytes;
  const double gates = constants.lone_gates * constants.gates_us;
  const double cycle_us = 1e-3 / machine.gigahertz;
  const double real = static_cast<double>(shape.hidden) / units;
  return {.us = gates + sharing * cycle_us * std::max(products, shared),
          .floor_us = gates + sharing * cycle_us * products * real * real};
}

int lone_blocks_at_once(int units) {
  // Shared memory is enough for those, too: where weights lie in it, registers hold one block.
  constexpr int registers = 65536, most_of_a_thread = 256;
  return std::max(registers / (most_of_a_thread * lone::threads_of(units)), 1);
}

StepCost stepwise_step(const StepShape& shape, std::int64_t sequences, const Machine& machine) {
  const StepConstants& constants = machine.constants;
  const double hidden = static_cast<double>(shape.hidden);
  const double weights = shape.matrices * hidden * hidden * shape.operand_bytes;
  const double products = static_cast<double>(sequences) / resident::lanes_per_tile * hidden /
                          resident::units_per_warp * hidden / shape.depth * shape.matrices *
                          shape.products;
  const double tensor = products / (machine.multiprocessors * tensor_cores) * constants.mma_cycles *
                        1e-3 / machine.gigahertz;
  const double work = std::max(tensor, weights / constants.cache_bytes);
  return {.us = 2 * shape.exchanges * constants.launch_us + work,
          .floor_us = work + constants.gates_us};
}

}  // namespace lacuna::cuda
