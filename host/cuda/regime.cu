#include "host/cuda/regime.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "host/backend.h"
#include "host/cuda/explain.h"
#include "host/cuda/lanes.h"
#include "host/cuda/step_cost.h"
#include "host/plan/shape.h"
#include "kernels/recurrence/lone/backward.h"
#include "kernels/recurrence/lone/forward.h"
#include "kernels/recurrence/split/backward.h"
#include "kernels/recurrence/split/forward.h"

namespace lacuna::cuda {
namespace {

const char* name_of(lacuna_type type) {
  switch (type) {
    case LACUNA_F64: return "fp64";
    case LACUNA_F16: return "fp16";
    case LACUNA_BF16: return "bf16";
    default: return "fp32";
  }
}

// f(the type of the operands).
template <class F>
auto with_layers_operand(lacuna_type type, bool tf32, F&& f) {
  switch (type) {
    case LACUNA_F16: return f(simt::Fp16{});
    case LACUNA_BF16: return f(simt::Bf16{});
    default: return resident::with_operand<float>(tf32, f);
  }
}

// The type of a layer by that of its operands.
template <class E>
using LayersOf = std::conditional_t<std::is_same_v<E, resident::Tf32>, float, E>;

// Bytes of shared memory that a block of either kernel takes. backward: 0 in inference.
struct BlockMemory {
  std::size_t forward = 0, backward = 0;
  std::size_t most() const { return std::max(forward, backward); }
};

// Of the kernel for operands of E that with_room starts; bytes(a type of operands).
template <class E, class B>
std::size_t taken(std::size_t room, B&& bytes) {
  std::size_t taken = 0;
  resident::with_room<E>(room, bytes, [&]<class Some>(Some some) { taken = bytes(some); });
  return taken;
}

template <class Exchange, class Cell, class E>
BlockMemory memory_of(const resident::Division& division, std::size_t room, bool inference) {
  using Back = resident::GradientOperand<E, Exchange::Scatter::in_group>;
  BlockMemory memory;
  memory.forward = taken<E>(room, [&]<class Some>(Some) {
    using Gather = typename Exchange::template Gather<Some>;
    return resident::ForwardMemory<Cell, Some, Gather>{division}.bytes();
  });
  if (inference) return memory;
  memory.backward = taken<Back>(room, [&]<class Some>(Some) {
    return resident::BackwardMemory<Cell, Some, typename Exchange::Scatter>{division}.bytes();
  });
  return memory;
}

// Of the Form that takes the most.
template <class Cell, class T>
BlockMemory lone_memory(const resident::Division& division, bool inference) {
  using Form = resident::Anything;
  return {lone::ForwardMemory<Cell, T, Form>{division}.bytes(),
          inference ? 0 : lone::BackwardMemory<Cell, T, Form>{division}.bytes()};
}

// A block by itself, as an exchange.
struct Alone {
  template <class E>
  using Gather = resident::OwnOperands<E>;
  using Scatter = resident::OwnSums;
};

// From so many steps on, no choice depends on what comes before the first: what is in part a guess would outweigh what is
// known of a step.
constexpr std::int64_t steps_that_hide_a_start = 8;

// What a plan asks of a regime.
struct Wish {
  const lacuna_layer& layer;
  const lacuna_capacity& capacity;
  const DeviceFacts& facts;
  bool tf32, inference;
  int blocks;   // of a group; 0: the quickest
  int sharers;  // of the device, this plan among them

  // `room`: that a block may have; of 0, what it cannot do without.
  BlockMemory memory(lacuna_regime regime, const resident::Division& division,
                     std::size_t room) const {
    return with_layers_operand(layer.type, tf32, [&]<class E>(E) {
      return with_cell(layer.cell, [&]<class Cell>(Cell) {
        switch (regime) {
          case LACUNA_REGIME_CLUSTER:
            return memory_of<split::OverCluster, Cell, E>(division, room, inference);
          case LACUNA_REGIME_GRID:
            return memory_of<split::OverGrid, Cell, E>(division, room, inference);
          case LACUNA_REGIME_LONE: return lone_memory<Cell, LayersOf<E>>(division, inference);
          default: return memory_of<Alone, Cell, E>(division, room, inference);
        }
      });
    });
  }

  // Of a layer that is not fp64's.
  StepShape shape(bool in_group) const {
    return with_layers_operand(layer.type, tf32, [&]<class E>(E) {
      return with_cell(layer.cell, [&]<class Cell>(Cell) {
        constexpr int matrices = resident::weight_blocks<Cell>;
        return StepShape{.hidden = layer.hidden,
                         .matrices = matrices,
                         .exchanges = Cell::reset_before ? 2 : 1,
                         .depth = resident::Operand<E>::depth,
                         .products = std::is_same_v<E, float> ? 3 : 1,
                         .operand_bytes = sizeof(typename resident::Operand<E>::Stored),
                         .kept = resident::kept_fragments<E>(matrices, false, in_group)};
      });
    });
  }
  Machine machine() const {
    Machine machine{facts.multiprocessors, facts.gigahertz, facts.costs.constants,
                    limits_of(facts.capability)};
    // Another chip's, and there are slower tensor cores.
    if (!facts.costs.measured)
      machine.constants.mma_cycles =
          std::max(machine.constants.mma_cycles, machine.limits.mma_cycles);
    return machine;
  }
  // How much of what comes before the first step counts for each.
  double starts_of_step() const {
    const std::int64_t steps = capacity.max_length;
    return steps > 0 && steps < steps_that_hide_a_start ? 1.0 / static_cast<double>(steps) : 0;
  }
};

std::string too_much(const char* what, std::int64_t value, std::int64_t most) {
  return std::string(what) + " is " + std::to_string(value) + ", and it takes at most " +
         std::to_string(most);
}

// Of any regime that keeps W_h on chip. Empty: nothing speaks against it.
std::string why_not_on_chip(const Wish& wish) {
  if (wish.layer.type == LACUNA_F64) return "the type is fp64, which it does not compute in";
  if (wish.layer.layer_norm != 0) return "layer normalisation is stepwise";
  if (wish.layer.projection > 0) return "a projection is stepwise";
  if (draws(wish.layer)) return "zoneout and recurrent dropout are stepwise";
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (wish.capacity.tokens > most) return too_much("capacity.tokens", wish.capacity.tokens, most);
  return {};
}
std::string why_not_so_much(const Wish& wish, lacuna_regime regime,
                            const resident::Division& division) {
  const std::size_t needed = wish.memory(regime, division, 0).most();
  if (needed <= wish.facts.shared_bytes) return {};
  return (division.blocks > 1 ? "a block's part of W_h and a step take " : "W_h and a step take ") +
         std::to_string(needed) + " bytes of shared memory, of which a block has " +
         std::to_string(wish.facts.shared_bytes);
}

// Of a block that has all units: RESIDENT or LONE.
std::string why_not_whole(const Wish& wish, lacuna_regime regime) {
  if (const std::string why = why_not_on_chip(wish); !why.empty()) return why;
  if (wish.layer.hidden > resident::most_units)
    return too_much("hidden", wish.layer.hidden, resident::most_units);
  return why_not_so_much(wish, regime, {.slice = resident::padded_units(wish.layer.hidden)});
}

bool is_whole(lacuna_regime regime) {
  return regime == LACUNA_REGIME_RESIDENT || regime == LACUNA_REGIME_LONE;
}
bool in_groups(lacuna_regime regime) {
  return regime == LACUNA_REGIME_CLUSTER || regime == LACUNA_REGIME_GRID;
}

// What people are told that a step takes.
double told_us(const StepCost& step) { return std::max(step.us, step.floor_us); }

// How a regime would run a plan.
struct Way {
  lacuna_regime regime;
  std::string why_not;  // empty: it serves
  int blocks = 1;       // of a group
  std::int64_t groups = 1;
  double rounds = 1;        // of so many groups, until all sequences have made a step
  StepCost step;            // of all sequences
  double start_us = 0;      // a step's part of what comes before the first
  int multiprocessors = 0;  // that it takes at most; 0: as many as products please
  // Of a group of more blocks that is quicker, but not by enough; 0: of none.
  int passed_blocks = 0;
  double passed_us = 0;
};

std::int64_t tiles_of(std::int64_t lanes, lacuna_regime regime) {
  const std::int64_t tile = lanes_per_tile(regime);
  return (std::max<std::int64_t>(lanes, 1) + tile - 1) / tile;
}
// As many lanes as all tokens fill from the longest sequence's first to its last. No schedule ends earlier with more.
std::int64_t lanes_kept_busy(const lacuna_capacity& capacity) {
  if (capacity.max_length == 0) return capacity.sequences;
  return std::min(capacity.sequences,
                  (capacity.tokens + capacity.max_length - 1) / capacity.max_length);
}

int most_cluster_blocks(const ClusterCounts& clusters) {
  int most = 1;
  for (std::size_t i = 0; i < clusters.size(); ++i)
    if (clusters[i] > 0) most = 2 << i;
  return most;
}
// Clusters need multiprocessors that lie together, so that fewer run at once than there would be room for.
int groups_at_once(const DeviceFacts& facts, lacuna_regime regime,
                   const resident::Division& division) {
  if (regime == LACUNA_REGIME_LONE)
    return facts.multiprocessors * lone_blocks_at_once(division.units());
  const int blocks = division.blocks;
  if (regime != LACUNA_REGIME_CLUSTER) return std::max(facts.multiprocessors / blocks, 1);
  const auto which = static_cast<std::size_t>(std::countr_zero(static_cast<unsigned>(blocks)) - 1);
  return std::max(facts.clusters[which], 1);
}

// By tiles that are walked at once, and how often so many have to be.
void settle(Way& way, const Wish& wish, const resident::Division& division) {
  const std::int64_t tiles = tiles_of(wish.capacity.sequences, way.regime),
                     busy = tiles_of(lanes_kept_busy(wish.capacity), way.regime);
  way.blocks = division.blocks;
  const std::int64_t at_once = groups_at_once(wish.facts, way.regime, division),
                     chips = wish.facts.multiprocessors;
  // Groups of other plans do not make room, as single blocks do when they end.
  const std::int64_t own =
      in_groups(way.regime) ? std::max<std::int64_t>(at_once / wish.sharers, 1) : at_once;
  way.groups = std::min(tiles, own);
  way.multiprocessors = static_cast<int>(std::min(way.groups * way.blocks, chips));
  if (way.regime == LACUNA_REGIME_LONE) {
    // Where only the device knows the lengths all lanes start, but those that end early share nothing any more.
    const std::int64_t blocks = std::min(wish.sharers * busy, at_once);
    const auto sharing = static_cast<int>((blocks + chips - 1) / chips);
    way.step = lone_step(wish.shape(false), sharing, wish.machine());
  } else {
    way.step = tile_step(wish.shape(division.blocks > 1), way.regime, division, wish.machine());
  }
  // Lanes of unlike lengths end together: none waits for a whole round of others.
  const auto turns = [&](std::int64_t all, std::int64_t room) {
    return busy < tiles ? std::max(1.0, static_cast<double>(all) / static_cast<double>(room))
                        : static_cast<double>((all + room - 1) / room);
  };
  way.rounds = std::max(turns(busy, way.groups), turns(wish.sharers * busy, at_once));
  way.step.us *= way.rounds;
  way.step.floor_us *= way.rounds;
  way.start_us = way.step.start_us * wish.starts_of_step();
}

// RESIDENT or LONE.
Way whole_way(const Wish& wish, lacuna_regime regime) {
  Way way{.regime = regime, .why_not = why_not_whole(wish, regime)};
  if (way.why_not.empty()) settle(way, wish, {.slice = resident::padded_units(wish.layer.hidden)});
  return way;
}

// Blocks of the largest group that runs at once.
int most_blocks(const Wish& wish, lacuna_regime regime) {
  const int most = std::min(wish.facts.group.most, wish.facts.multiprocessors);
  return regime == LACUNA_REGIME_CLUSTER ? std::min(most, most_cluster_blocks(wish.facts.clusters))
                                         : most;
}

// Of groups at all.
std::string why_not_groups(const Wish& wish, lacuna_regime regime) {
  if (std::string why = why_not_on_chip(wish); !why.empty()) return why;
  if (regime == LACUNA_REGIME_CLUSTER && most_cluster_blocks(wish.facts.clusters) < 2)
    return wish.facts.capability >= 90 ? "this build has no code for clusters"
                                       : "this GPU has no clusters";
  const int most = most_blocks(wish, regime), fewest = wish.facts.group.fewest;
  if (most < fewest)
    return "a group has at least " + std::to_string(fewest) + " blocks, and " +
           std::to_string(most) + " run at once";
  return {};
}
std::string why_not_division(const Wish& wish, lacuna_regime regime,
                             const resident::Division& division) {
  if (division.slice > resident::most_units)
    return "of " + std::to_string(division.blocks) + " blocks each would have " +
           std::to_string(division.slice) + " units, and one takes at most " +
           std::to_string(resident::most_units);
  return why_not_so_much(wish, regime, division);
}

// What twice the blocks have to save, or they are left to others.
constexpr double worthwhile = 0.9;

Way way_by(const Wish& wish, lacuna_regime regime, int blocks) {
  const resident::Division division = split::division_of(wish.layer.hidden, blocks);
  Way way{.regime = regime, .why_not = why_not_division(wish, regime, division)};
  if (way.why_not.empty()) settle(way, wish, division);
  return way;
}

Way split_way(const Wish& wish, lacuna_regime regime) {
  Way best{.regime = regime, .why_not = why_not_groups(wish, regime)};
  if (!best.why_not.empty()) return best;
  const int most = most_blocks(wish, regime), fewest = wish.facts.group.fewest;
  if (wish.blocks > 0) {
    if (wish.blocks >= fewest && wish.blocks <= most) return way_by(wish, regime, wish.blocks);
    best.why_not = "options.blocks is " + std::to_string(wish.blocks) + ", and " +
                   std::to_string(fewest) + " to " + std::to_string(most) + " run at once";
    return best;
  }
  bool found = false;
  for (int blocks = fewest; blocks <= most; blocks *= 2) {
    const Way way = way_by(wish, regime, blocks);
    const bool serves = way.why_not.empty();
    if (!found ||
        (serves && way.step.us + way.start_us < worthwhile * best.step.us + best.start_us)) {
      best = way;
    } else if (serves && told_us(way.step) < told_us(best.step)) {
      best.passed_blocks = way.blocks;
      best.passed_us = told_us(way.step);
    }
    found = found || serves;
  }
  return best;
}

Way stepwise_way(const Wish& wish) {
  Way way{.regime = LACUNA_REGIME_STEPWISE};
  if (wish.layer.type == LACUNA_F64) return way;  // whatever a step takes: there is no other
  // Launches overlap, but what a GPU multiplies and reads is for all.
  Machine share = wish.machine();
  share.multiprocessors = std::max(share.multiprocessors / wish.sharers, 1);
  share.constants.cache_bytes /= wish.sharers;
  StepShape shape = wish.shape(false);
  shape.plain = wish.layer.type == LACUNA_F32 && !wish.tf32;
  way.step = stepwise_step(shape, wish.capacity.sequences, share);
  return way;
}

// How many times shorter a step has to be than that of a block with all of W_h, where the model rests on a guess: a group's on
// a chip that was not measured, for what a hop from block to block takes depends on the chip; one of a lone lane where everything
// was measured but its gates.
constexpr double doubt = 1.5;

double expected_us(const Way& way) { return told_us(way.step) + way.start_us; }

// What a lone lane's step has to save for the multiprocessors that it takes beyond another way's: as much for twice as many as
// twice the blocks of a group. Both may have all of them.
double handicap_of_lone(const Way& lone, const Way& other) {
  const bool more = other.multiprocessors > 0 && lone.multiprocessors > other.multiprocessors;
  return more ? std::pow(worthwhile, -std::log2(static_cast<double>(lone.multiprocessors) /
                                                other.multiprocessors))
              : 1;
}

// Unless constants were measured, a way without groups where one serves and needs one round. Of more rounds it is compared:
// a step's time grows with them, and then no doubt about a constant outweighs the difference.
const Way& quickest(std::span<const Way> ways, const ChipConstants& costs) {
  const auto serves = [](const Way& way) { return way.why_not.empty(); };
  const auto serves_whole = [&](const Way& way) { return serves(way) && is_whole(way.regime); };
  const bool doubts_hops = !costs.measured && std::any_of(ways.begin(), ways.end(), serves_whole);
  const auto weighed_us = [&](const Way& way) {
    return (doubts_hops && in_groups(way.regime) ? doubt : 1) * told_us(way.step) + way.start_us;
  };
  const auto best_of = [&](auto&& is_meant) {
    const Way *best = nullptr, *lone = nullptr;
    for (const Way& way : ways) {
      if (!serves(way) || !is_meant(way)) continue;
      if (way.regime == LACUNA_REGIME_LONE)
        lone = &way;
      else if (!best || weighed_us(way) < weighed_us(*best))
        best = &way;
    }
    if (!lone || !best) return lone ? lone : best;
    const double guess = costs.lacks_lone() ? doubt : 1;
    const double lone_us =
        std::max(guess, handicap_of_lone(*lone, *best)) * told_us(lone->step) + lone->start_us;
    return lone_us < weighed_us(*best) ? lone : best;
  };
  if (!costs.measured)
    if (const Way* const whole =
            best_of([](const Way& way) { return is_whole(way.regime) && way.rounds <= 1; }))
      return *whole;
  return *best_of([](const Way&) { return true; });  // stepwise always serves
}

std::string times(std::int64_t factor) {
  return factor == 2 ? "twice" : std::to_string(factor) + " times";
}

// Of a way that serves and was not chosen by what it takes. Empty: it takes no less.
std::string why_not_taken(const Way& way, const Way& chosen, const ChipConstants& costs) {
  if (told_us(way.step) >= told_us(chosen.step)) return {};
  if (expected_us(way) >= expected_us(chosen))
    return ", but " + microseconds(way.step.start_us) + " pass before the first";
  if (!costs.measured && is_whole(way.regime) && way.rounds > 1 && chosen.rounds <= 1)
    return ", but in several rounds, and the model's constants are not measured on this chip";
  if (way.regime == LACUNA_REGIME_LONE) {
    if (costs.lacks_lone())
      return ", but saves less than a third, and lone_gates is not measured on this chip";
    return ", but saves less than a tenth for each doubling of the multiprocessors it takes";
  }
  return costs.measured ? std::string()
                        : ", but the model's constants are not measured on this chip";
}

}  // namespace

void choose_regime(DeviceLayout& lay, const lacuna_layer& layer, const lacuna_capacity& capacity,
                   const lacuna_plan_options& options, int sharers, const DeviceFacts& facts) {
  lay.tf32 = options.precision == LACUNA_PRECISION_TF32;
  if (lay.tf32 && layer.type != LACUNA_F32)
    throw BackendError(LACUNA_UNSUPPORTED,
                       "options.precision: 1, tf32, which is for fp32 layers; this one's type is " +
                           std::string(name_of(layer.type)));
  const Wish wish{layer,          capacity, facts, lay.tf32, options.inference != 0,
                  options.blocks, sharers};
  const std::array<Way, 5> ways{whole_way(wish, LACUNA_REGIME_RESIDENT),
                                whole_way(wish, LACUNA_REGIME_LONE),
                                split_way(wish, LACUNA_REGIME_CLUSTER),
                                split_way(wish, LACUNA_REGIME_GRID), stepwise_way(wish)};
  const Way* chosen = &ways.back();
  if (options.regime != LACUNA_REGIME_BEST) {
    for (const Way& way : ways)
      if (way.regime == options.regime) chosen = &way;
    if (!chosen->why_not.empty())
      throw BackendError(LACUNA_UNSUPPORTED, "options.regime: the " +
                                                 std::string(name_of(chosen->regime)) +
                                                 " regime does not serve: " + chosen->why_not);
  } else {
    chosen = &quickest(ways, facts.costs);
  }
  lay.regime = chosen->regime;
  lay.blocks = chosen->blocks;
  lay.most_lanes = static_cast<std::int32_t>(lanes_per_tile(lay.regime) * chosen->groups);
  if (lay.regime != LACUNA_REGIME_STEPWISE) {
    const resident::Division division =
        is_whole(lay.regime) ? resident::Division{.slice = resident::padded_units(layer.hidden)}
                             : split::division_of(layer.hidden, lay.blocks);
    const BlockMemory memory = wish.memory(lay.regime, division, facts.shared_bytes);
    lay.block_bytes = memory.forward;
    lay.backward_block_bytes = memory.backward;
  }
  lay.step_us = told_us(chosen->step);
  lay.floor_us = chosen->step.floor_us;
  lay.start_us = wish.starts_of_step() > 0 ? chosen->step.start_us : 0;
  lay.most_multiprocessors = chosen->multiprocessors;
  lay.multiprocessors = facts.multiprocessors;
  lay.sharers = sharers;
  lay.constants = facts.costs.source;
  for (const Way& way : ways) {
    if (&way == chosen) continue;
    lay.considered += std::string(11, ' ') + "not " + name_of(way.regime) + ", for ";
    if (!way.why_not.empty())
      lay.considered += way.why_not;
    else if (options.regime != LACUNA_REGIME_BEST)
      lay.considered += "options.regime says so";
    else
      lay.considered += "a step would take " + microseconds(told_us(way.step)) +
                        why_not_taken(way, *chosen, facts.costs);
    lay.considered += '\n';
  }
  if (chosen->passed_blocks > 0)
    lay.considered += std::string(11, ' ') + "not by " + std::to_string(chosen->passed_blocks) +
                      " blocks, for a step would take " + microseconds(chosen->passed_us) +
                      ", but that saves less than a tenth for " +
                      times(chosen->passed_blocks / chosen->blocks) + " the blocks\n";
}

std::size_t exchange_bytes(const DeviceLayout& lay, const lacuna_layer& layer, bool inference) {
  const resident::Division division = split::division_of(layer.hidden, lay.blocks);
  return with_layers_operand(layer.type, lay.tf32, [&]<class E>(E) {
    return with_cell(layer.cell, [&]<class Cell>(Cell) {
      const std::size_t forward = split::GridOperands<E>::room(division, resident::channels<Cell>);
      return inference ? forward : std::max(forward, split::GridSums::room(division));
    });
  });
}

}  // namespace lacuna::cuda
