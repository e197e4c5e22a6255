#include "host/cuda/step_cost.h"

#include <algorithm>

namespace lacuna::cuda {
namespace {

// Published measurements on an H100, and guesses where there are none; each is to be replaced by what this code's own
// kernels measure (docs/verification.md).
constexpr double mma_cycles =
    6.3;  // between two products m16n8k16 of one of a multiprocessor's four tensor cores
constexpr double shared_bytes = 128;  // of shared memory, a cycle
constexpr double remote_bytes =
    32;  // of other blocks' shared memory or the second-level cache, a cycle: a guess
constexpr double gates_us = 0.1;      // activations of a step, a barrier: a guess
constexpr double store_hop_us = 0.2;  // st.async, arrival at an mbarrier, wait
constexpr double flag_hop_us = 0.65;  // release, acquire between two multiprocessors
constexpr double launch_us = 2.7;     // from one kernel of a stream to the next
constexpr double cache_bytes =
    5500e3;  // of the second-level cache, a microsecond, all multiprocessors together
constexpr int tensor_cores = 4;

// A block multiplies its own slice, 1 of `blocks`, while the others' arrive; backward, where its own part of the sums comes
// last, while they travel. That either hides the other wholly has not been measured.
double overlapped(double work, double arrival, int blocks) {
  const double own = work / blocks;
  return std::max(arrival, own) + work - own;
}

double hop_us(lacuna_regime regime) {
  switch (regime) {
    case LACUNA_REGIME_CLUSTER: return store_hop_us;
    case LACUNA_REGIME_GRID: return flag_hop_us;
    default: return 0;
  }
}

}  // namespace

StepCost tile_step(const StepShape& shape, lacuna_regime regime, const resident::Division& division,
                   const Machine& machine) {
  const double cycle_us = 1e-3 / machine.gigahertz;
  const double warps = division.warps(), units = division.units();
  const double fragments = units / shape.depth / division.depths * shape.matrices;  // of a warp
  const double cores = std::min<double>(warps, tensor_cores);
  const double tensor = warps * fragments * shape.products / cores * mma_cycles;
  const double beyond = std::max(0.0, fragments - static_cast<double>(shape.kept) * shape.matrices);
  const double fragment_bytes = resident::units_per_warp * shape.depth * shape.operand_bytes;
  const double column_bytes = resident::lanes_per_tile * shape.depth * shape.operand_bytes;
  const double shared =
      warps * (beyond * fragment_bytes + fragments / shape.matrices * column_bytes) / shared_bytes;
  const double others_bytes =
      resident::lanes_per_tile * division.units_of_others() * shape.operand_bytes;
  const double received =
      regime == LACUNA_REGIME_RESIDENT ? 0 : shape.exchanges * others_bytes / remote_bytes;
  const double hops = shape.exchanges * hop_us(regime);

  const double real = static_cast<double>(shape.hidden) / units;
  const double least = tensor * real * real * cores / tensor_cores;
  return {.us = gates_us + overlapped(cycle_us * std::max(tensor, shared),
                                      hops + cycle_us * received, division.blocks),
          .floor_us = gates_us + overlapped(cycle_us * least, hops + cycle_us * received * real,
                                            division.blocks)};
}

StepCost stepwise_step(const StepShape& shape, std::int64_t sequences, const Machine& machine) {
  const double hidden = static_cast<double>(shape.hidden);
  const double weights = shape.matrices * hidden * hidden * shape.operand_bytes;
  const double products = static_cast<double>(sequences) / resident::lanes_per_tile * hidden /
                          resident::units_per_warp * hidden / shape.depth * shape.matrices *
                          shape.products;
  const double tensor =
      products / (machine.multiprocessors * tensor_cores) * mma_cycles * 1e-3 / machine.gigahertz;
  const double work = std::max(tensor, weights / cache_bytes);
  return {.us = 2 * shape.exchanges * launch_us + work, .floor_us = work + gates_us};
}

}  // namespace lacuna::cuda
