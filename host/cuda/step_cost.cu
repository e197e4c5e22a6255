#include "host/cuda/step_cost.h"

#include <algorithm>

#include "kernels/recurrence/lone/division.h"

namespace lacuna::cuda {
namespace {

constexpr int tensor_cores = 4;

// ---- The floor ----

// Cycles from one instruction to another that waits for it, of Ampere and Hopper, by those who have measured them; of the
// special functions about.
constexpr double shared_read = 23, tensor_product = 25, special_function = 18, multiply_add = 4,
                 barrier = 20;
// Registers of a multiprocessor, and what comes to one from shared memory and from the second-level cache in a cycle.
constexpr double register_bytes = 256 * 1024, shared_cycle_bytes = 128, cache_cycle_bytes = 64;
constexpr double graph_node_us = 1;  // from one kernel of a CUDA graph to the next, H100

bool in_group(lacuna_regime regime) {
  return regime == LACUNA_REGIME_CLUSTER || regime == LACUNA_REGIME_GRID;
}

double hop_us(lacuna_regime regime, const StepConstants& constants) {
  switch (regime) {
    case LACUNA_REGIME_CLUSTER: return constants.store_hop_us;
    case LACUNA_REGIME_GRID: return constants.flag_hop_us;
    default: return 0;
  }
}

// From a state to the next one, if there were nothing to multiply but one row: a product, one nonlinearity behind the other
// (a cell with gates has two, relu needs no special function), and the state's way to those that read it.
double chain_us(const StepShape& shape, lacuna_regime regime, double cycle_us) {
  const int nonlinear = shape.matrices > 1 ? 2 : 0;
  const double handed_on =
      in_group(regime) ? hop_us(regime, StepConstants{}) : cycle_us * (barrier + shared_read);
  return cycle_us * (shape.exchanges * tensor_product +
                     nonlinear * (special_function + multiply_add) + multiply_add) +
         shape.exchanges * handed_on;
}

double tile_floor_us(const StepShape& shape, lacuna_regime regime,
                     const resident::Division& division, const Machine& machine) {
  const double cycle_us = 1e-3 / machine.gigahertz;
  const auto hidden = static_cast<double>(shape.hidden);
  const double own = hidden / division.blocks;  // units
  const double numbers = shape.matrices * own * hidden;
  const double tensor = numbers / (resident::units_per_warp * shape.depth) * shape.products /
                        tensor_cores * machine.limits.mma_cycles;
  const double lane_bytes = resident::lanes_per_tile * shape.operand_bytes;
  // Each quarter of a multiprocessor has registers of its own.
  const double readers = std::min(division.rows(), tensor_cores);
  const double beyond = std::max(0.0, numbers * shape.operand_bytes - register_bytes);
  const double shared = (readers * hidden * lane_bytes + beyond) / shared_cycle_bytes;
  const double received = shape.exchanges * (hidden - own) * lane_bytes /
                          (regime == LACUNA_REGIME_GRID ? cache_cycle_bytes : shared_cycle_bytes);
  return std::max(chain_us(shape, regime, cycle_us),
                  cycle_us * std::max({tensor, shared, received}));
}

double lone_floor_us(const StepShape& shape, int sharing, const Machine& machine) {
  const double cycle_us = 1e-3 / machine.gigahertz;
  const auto hidden = static_cast<double>(shape.hidden);
  return std::max(
      chain_us(shape, LACUNA_REGIME_LONE, cycle_us),
      cycle_us * sharing * shape.matrices * hidden * hidden / machine.limits.multipliers);
}

// ---- The start ----

// Kernels that hold W_h: addresses and W_h's way into its places, beside its bytes. A guess, by what is known of it: number
// by number it took 30 us, and it is loaded by vectors now.
constexpr double filling_us = 5;

// weights: numbers that a block holds.
double start_us(const StepShape& shape, double weights, const Machine& machine) {
  const StepConstants& constants = machine.constants;
  const double block_bytes = constants.cache_bytes / machine.multiprocessors;
  return constants.launch_us + filling_us + weights * shape.operand_bytes / block_bytes;
}

// ---- The prediction ----

// A block multiplies its own slice, 1 of `blocks`, while the others' arrive; backward, where its own part of the sums comes
// last, while they travel. That either hides the other wholly has not been measured.
double overlapped(double work, double arrival, int blocks) {
  const double own = work / blocks;
  return std::max(arrival, own) + work - own;
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
  const double received =
      in_group(regime) ? shape.exchanges * others_bytes / constants.remote_bytes : 0;
  const double hops = shape.exchanges * hop_us(regime, constants);

  return {.us = constants.gates_us + overlapped(cycle_us * std::max(tensor, shared),
                                                hops + cycle_us * received, division.blocks),
          .floor_us = tile_floor_us(shape, regime, division, machine),
          .start_us = start_us(shape, shape.matrices * division.slice * units, machine)};
}

// Forward. Blocks wait for their own gates and barriers at the same time, but share what multiplies and reads. An access of 16
// bytes a thread takes two cycles where two neighbours read the same: of every unit's half of the state that is twice units by
// units bytes.
StepCost lone_step(const StepShape& shape, int sharing, const Machine& machine) {
  const StepConstants& constants = machine.constants;
  const int units = resident::padded_units(shape.hidden);
  const double products =
      static_cast<double>(shape.matrices) * units * units / machine.limits.multipliers;
  const double beyond = static_cast<double>(
      lone::weights_beyond(shape.matrices, units, lone::knows_size(shape.matrices, shape.hidden)));
  const double state_bytes = 2.0 * units * units;
  const double shared = (beyond * shape.operand_bytes + state_bytes) / constants.shared_bytes;
  const double gates = constants.lone_gates * constants.gates_us;
  const double cycle_us = 1e-3 / machine.gigahertz;
  return {
      .us = gates + sharing * cycle_us * std::max(products, shared),
      .floor_us = lone_floor_us(shape, sharing, machine),
      .start_us = start_us(shape, static_cast<double>(shape.matrices) * units * units, machine)};
}

int lone_blocks_at_once(int units) {
  // Shared memory is enough for those, too: where weights lie in it, registers hold one block.
  constexpr int registers = 65536, most_of_a_thread = 256;
  return std::max(registers / (most_of_a_thread * lone::threads_of(units)), 1);
}

StepCost stepwise_step(const StepShape& shape, std::int64_t sequences, const Machine& machine) {
  const StepConstants& constants = machine.constants;
  const double hidden = static_cast<double>(shape.hidden);
  const double numbers = shape.matrices * hidden * hidden;
  const double weights = numbers * shape.operand_bytes;
  const double share_us = 1e-3 / machine.gigahertz / machine.multiprocessors;  // a cycle of all
  const double multiplications = static_cast<double>(sequences) * numbers;
  const double of_fragment =
      resident::lanes_per_tile * resident::units_per_warp * static_cast<double>(shape.depth);
  // So many cycles a product of fragments.
  const auto multiplied_us = [&](double mma_cycles) {
    if (shape.plain) return share_us * multiplications / machine.limits.multipliers;
    return share_us * multiplications / of_fragment * shape.products / tensor_cores * mma_cycles;
  };
  const double kernels = 2 * shape.exchanges;
  return {.us = kernels * constants.launch_us +
                std::max(multiplied_us(constants.mma_cycles), weights / constants.cache_bytes),
          .floor_us = std::max({kernels * graph_node_us, multiplied_us(machine.limits.mma_cycles),
                                share_us * weights / cache_cycle_bytes})};
}

}  // namespace lacuna::cuda
