// The walk of forward_walk.h with eight lanes, whose products tensor cores make.
#pragma once

#include <cstdint>

#include "kernels/recurrence/resident/forward_walk.h"
#include "kernels/recurrence/resident/partial_sums.h"
#include "kernels/recurrence/resident/products.h"
#include "kernels/simt/launch.h"
#include "kernels/simt/shared.h"
#include "kernels/simt/sync.h"

namespace lacuna {
namespace resident {

template <class Cell, class E, bool in_group>
using ForwardWeights = StationaryWeights<E, weight_blocks<Cell>,
                                         kept_fragments<E>(weight_blocks<Cell>, false, in_group)>;

// Of each matrix, a warp's.
template <class E>
SIMT_BOTH constexpr int fragments_of(const Division& division) {
  return division.units() / Operand<E>::depth / division.depths;
}

// Whether a slice, which is whole warps of units, can have a fragment as its last. Where the fragment is a constant, so is
// the answer, and what is done at a slice's end stands behind fewer of them.
template <class E>
SIMT_BOTH constexpr bool may_end_slice(int fragment) {
  return (fragment + 1) * Operand<E>::depth % units_per_warp == 0;
}

// A block's arrays of shared memory, added up in the order in which the kernel takes them.
template <class Cell, class E, class Gather>
struct ForwardMemory {
  Division division;

  SIMT_BOTH int warp_words() const {
    using Weights = ForwardWeights<Cell, E, Gather::in_group>;
    return static_cast<int>(Weights::shared_words(fragments_of<E>(division)));
  }
  std::size_t bytes() const {
    simt::SharedLayout layout;
    Gather::add_to(layout, division, channels<Cell>);
    UnitNumbers::add_to(layout, division);
    UnitNumbers::add_to(layout, division);
    PartialSums<weight_blocks<Cell>>::add_to(layout, division);
    layout.add<std::uint32_t>(static_cast<std::size_t>(warp_words() * division.warps()));
    return layout.bytes;
  }
};

// Who multiplies a state by W_h for eight lanes: tensor cores, in a block that holds all of W_h, or in a group of blocks that
// hold it together. How h travels is a Gather: shared memory and a barrier here, in a block of its own; for groups see
// recurrence/split. There the product begins with the block's own slice, for which the same barrier is enough, while the
// others' are on their way.
template <class Cell, class E, class Gather>
class ForwardProduct {
  static constexpr int blocks = weight_blocks<Cell>;
  using Op = Operand<E>;
  using Weights = ForwardWeights<Cell, E, Gather::in_group>;
  using Sum = typename Op::Sum;

 public:
  using Own = resident::Own;
  static constexpr bool in_group = Gather::in_group;
  // Own::forget_addresses: found by trying, as kept_fragments.
  template <class T>
  static constexpr bool forgets_thread = in_group ||
                                         (blocks == 4 && (sizeof(T) == 2 || Op::has_second_part));

  // `units`: of rows and columns of the weights.
  template <class T>
  SIMT_DEVICE ForwardProduct(const ResidentForward<T>& args, int units, const Own& own,
                             const Division& division, Gather& gather,
                             const PartialSums<blocks>& partial_sums, std::uint32_t* shared)
      : division_(division),
        gather_(gather),
        partial_sums_(partial_sums),
        weights_(fragments_of<E>(division), own.thread,
                 shared + warp_of_block() * ForwardMemory<Cell, E, Gather>{division}.warp_words(),
                 [&](int block, int fragment, int place, int k) {
                   const int unit = own.first_unit + place;
                   const int from = unit_multiplied(
                       own, (own.depth * fragments_of<E>(division_) + fragment) * Op::depth + k);
                   // Aligned to their number, as units is: all are inside, or none.
                   Patch<Op::patch_depth> patch;
                   if (unit < units && from < units) {
                     const T* row =
                         args.weights + std::int64_t{block * units + unit} * units + from;
                     SIMT_UNROLL
                     for (auto& of_unit : patch.of) {
                       const auto some = simt::load<Op::patch_depth>(row);
                       SIMT_UNROLL
                       for (int i = 0; i < Op::patch_depth; ++i)
                         of_unit[i] = simt::to_float(some[i]);
                       row += units;
                     }
                   }
                   return patch;
                 }) {}

  // To all who multiply it. Nothing is sent that nobody awaits.
  SIMT_DEVICE void publish(const Own& own, int channel, const float (&values)[pairs]) {
    SIMT_UNROLL
    for (int side = 0; side < Own::lanes; ++side)
      simt::store(gather_.own_column(channel, own.lane(side)) + own.place(side),
                  Op::stored(values[Own::pair_of(side, 0)], values[Own::pair_of(side, 1)]));
    if constexpr (in_group) gather_.send(own, channel);
  }

  // to: W_h, of the gates from `first` to `end`, times what has come by the channel.
  // meanwhile(): what does not wait for it.
  template <int first, int end, class F>
  SIMT_DEVICE void multiply(const Own& own, float (&to)[end - first][pairs], int channel,
                            F&& meanwhile) {
    Sum sums[end - first];
    multiply_part<first, end>(own, sums, channel);
    meanwhile();
    SIMT_UNROLL
    for (int g = 0; g < end - first; ++g) {
      SIMT_UNROLL
      for (int i = 0; i < pairs; ++i) to[g][i] = sums[g].total(i);
    }
    if constexpr (Gather::in_group) {
      if (division_.depths == 1) return;
      partial_sums_.meet(own);
      SIMT_UNROLL
      for (int g = 0; g < end - first; ++g) partial_sums_.add_all(own, g, to[g]);
    }
  }

  // What a warp does that has no units of its own, but a part of the depth of another's products.
  SIMT_DEVICE void help(const Own& own, std::int32_t steps) {
    for (std::int32_t step = 0; step < steps; ++step) {
      simt::note_step(step);
      if constexpr (Cell::reset_before) {
        help_product<0, 2>(own, step % 2);
        help_product<2, 3>(own, reset_channel);
      } else {
        help_product<0, blocks>(own, step % 2);
      }
    }
  }

 private:
  // Where this warp's part of the depth begins, and how many of its fragments are of the block's own slice.
  SIMT_DEVICE int first_position(const Own& own) const {
    return own.depth * weights_.fragments() * Op::depth;
  }
  SIMT_DEVICE int own_fragments(const Own& own) const {
    return own.depth == 0 ? division_.slice / Op::depth : 0;
  }
  // Of the state, around the circle from this block's slice on.
  SIMT_DEVICE int unit_multiplied(const Own& own, int position) const {
    const int at = own.rank * division_.slice + position;
    return at < division_.units() ? at : at - division_.units();
  }

  template <int first, int end>
  SIMT_DEVICE void multiply_part(const Own& own, Sum (&sums)[end - first], int channel) {
    const typename Op::Stored* column = gather_.own_column(channel, own.thread / 4);
    const int of_own = own_fragments(own);
    const auto await_others = [&] {
      if constexpr (Gather::in_group) {
        gather_.meet_others(channel);
        column =
            gather_.others_column(channel, own.thread / 4) + first_position(own) - division_.slice;
      }
    };
    gather_.meet_own();
    if (of_own == 0) await_others();
    weights_.template multiply<first, end, true>(
        sums, [&](int, int fragment) { return column + fragment * Op::depth; },
        [&](int fragment) {
          if (may_end_slice<E>(fragment) && fragment + 1 == of_own) await_others();
        });
  }

  template <int first, int end>
  SIMT_DEVICE void help_product(const Own& own, int channel) {
    Sum sums[end - first];
    multiply_part<first, end>(own, sums, channel);
    SIMT_UNROLL
    for (int g = 0; g < end - first; ++g)
      partial_sums_.put(own, g,
                        {sums[g].total(0), sums[g].total(1), sums[g].total(2), sums[g].total(3)});
    partial_sums_.meet(own);
  }

  Division division_;
  Gather& gather_;
  PartialSums<blocks> partial_sums_;
  Weights weights_;
};

template <class Cell, class T, class E, class Form, class Gather>
SIMT_DEVICE void walk_forward(const ResidentForward<T>& args, const Division& division,
                              Gather& gather, simt::SharedCarver& shared) {
  const ForwardMemory<Cell, E, Gather> memory{division};
  const UnitNumbers biases(shared, division), evolve(shared, division);
  const PartialSums<weight_blocks<Cell>> partial_sums(shared, division);
  auto* const weights =
      shared.take<std::uint32_t>(static_cast<std::size_t>(memory.warp_words() * division.warps()));
  ForwardWalk<Cell, T, ForwardProduct<Cell, E, Gather>, Form>(
      args, Own(division, gather), biases, evolve, division, gather, partial_sums, weights)
      .run();
}

template <class Cell, class T, class E, class Form>
SIMT_KERNEL(most_threads, 1)
void forward(ResidentForward<T> args) {
  const Division division = whole_division<Form>(args.hidden);
  simt::SharedCarver shared;
  OwnOperands<E> gather(shared, division, channels<Cell>);
  walk_forward<Cell, T, E, Form>(args, division, gather, shared);
}

}  // namespace resident

template <class T>
void resident_forward(simt::Stream stream, const ResidentForward<T>& args) {
  if (args.sequences.count == 0) return;
  with_cell(args.cell, [&]<class Cell>(Cell) {
    resident::with_operand<T>(args.tf32, [&]<class E>(E) {
      const resident::Division division{.slice = resident::padded_units(args.hidden)};
      const auto bytes = [&]<class Some>(Some) {
        return resident::ForwardMemory<Cell, Some, resident::OwnOperands<Some>>{division}.bytes();
      };
      resident::with_room<E>(args.shared_bytes, bytes, [&]<class Some>(Some some) {
        resident::with_form<Cell, Some>(
            resident::is_usual<resident::Own>(args), args.hidden, [&]<class Form>(Form) {
              simt::launch(resident::launch_of_tiles(args.lanes, division, bytes(some)), stream,
                           resident::forward<resident::CellOf<Cell, Form>, T, Some, Form>, args);
            });
      });
    });
  });
}

}  // namespace lacuna
