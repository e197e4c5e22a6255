// The walk of backward_walk.h with eight lanes, whose products tensor cores make.
#pragma once

#include <cstdint>

#include "kernels/recurrence/resident/backward_walk.h"
#include "kernels/recurrence/resident/forward.h"
#include "kernels/recurrence/resident/partial_sums.h"

namespace lacuna {
namespace resident {

// E: operands forward. Gradients of fp16 layers are multiplied in tf32, which has the same 11 bits and lets none of them
// vanish. A group's weights stay in 16 bits, for there room on chip decides how many blocks it takes.
template <class E, bool in_group>
using GradientOperand = std::conditional_t<std::is_same_v<E, simt::Fp16>,
                                           std::conditional_t<in_group, Fp16InTf32, Tf32>, E>;

template <class Cell, class E, bool in_group>
using BackwardWeights = StationaryWeights<E, weight_blocks<Cell>,
                                          kept_fragments<E>(weight_blocks<Cell>, true, in_group)>;

// The Scatter of a block that has all units itself: nothing has to go anywhere.
class OwnSums {
 public:
  static constexpr bool in_group = false, helpers_add = false;
  static void add_to(simt::SharedLayout& /*shared*/, const Division& /*division*/) {}
  SIMT_DEVICE int tile() const { return static_cast<int>(simt::block_index().x); }
  SIMT_DEVICE int rank() const { return 0; }
};

// E: a GradientOperand.
template <class Cell, class E, class Scatter>
struct BackwardMemory {
  using Stored = typename Operand<E>::Stored;
  static constexpr int blocks = weight_blocks<Cell>;
  Division division;

  // Of one buffer, which has a column of every lane; there are two.
  SIMT_BOTH int gradients() const {
    return static_cast<int>(operand_size<E>(blocks * division.slice));
  }
  SIMT_BOTH int warp_words() const {
    using Weights = BackwardWeights<Cell, E, Scatter::in_group>;
    return static_cast<int>(Weights::shared_words(fragments_of<E>(division)));
  }
  std::size_t bytes() const {
    simt::SharedLayout layout;
    Scatter::add_to(layout, division);
    UnitNumbers::add_to(layout, division);
    PartialSums<Scatter::helpers_add>::add_to(layout, division);
    layout.add<Stored>(static_cast<std::size_t>(2 * gradients()));
    layout.add<std::uint32_t>(static_cast<std::size_t>(warp_words() * division.warps()));
    return layout.bytes;
  }
};

// Who multiplies gradients of gates by W_h transposed for eight lanes: tensor cores, in a block that holds all of W_h, or in
// a group of blocks that hold it together. There each multiplies the gradients of its own gates, with all columns of its
// rows of W_h, and what that adds to another block's d_h goes there by a Scatter (recurrence/split): warp to warp and
// thread to thread, for the same warp and thread have the same place in every slice. What it adds to its own d_h comes
// last, while the rest is on its way, and stays in the thread's registers.
template <class Cell, class E, class Scatter>
class BackwardProduct {
  static constexpr int blocks = weight_blocks<Cell>;
  using Op = Operand<E>;
  using Stored = typename Op::Stored;
  using Weights = BackwardWeights<Cell, E, Scatter::in_group>;
  using Sum = typename Op::Sum;

 public:
  using Own = resident::Own;
  static constexpr bool in_group = Scatter::in_group;
  // BackwardWalk: cells with a c have no registers for what few of their layers read, nor have groups for a decay's exponents.
  template <class Some>
  static constexpr bool fetches_h = !Some::has_cell;
  template <class Some>
  static constexpr bool fetches_exponent = !Some::has_cell && !in_group;

  // `units`: of rows and columns of the weights.
  template <class T>
  SIMT_DEVICE BackwardProduct(const ResidentBackward<T>& args, int units, const Own& own,
                              const Division& division, Scatter& scatter,
                              const PartialSums<Scatter::helpers_add>& partial_sums,
                              Stored* gradients, std::uint32_t* shared)
      : division_(division),
        scatter_(scatter),
        partial_sums_(partial_sums),
        gradients_(gradients),
        weights_(fragments_of<E>(division), own.thread,
                 shared + warp_of_block() * BackwardMemory<Cell, E, Scatter>{division}.warp_words(),
                 [&](int block, int fragment, int place, int k) {
                   const int target =
                       division.block_at(own.rank, distance(own, fragment / per_target()));
                   const int to = target * division.slice + own.row * units_per_warp + place;
                   const int gate_unit =
                       own.rank * division.slice + fragment % per_target() * Op::depth + k;
                   // Aligned to their number, as units is: all are inside, or none.
                   Patch<Op::patch_depth> patch;
                   if (to < units && gate_unit < units) {
                     const T* row =
                         args.weights + std::int64_t{block * units + gate_unit} * units + to;
                     SIMT_UNROLL
                     for (int i = 0; i < Op::patch_depth; ++i) {
                       const auto two = simt::load<2>(row);
                       patch.of[0][i] = simt::to_float(two[0]);
                       patch.of[1][i] = simt::to_float(two[1]);
                       row += units;
                     }
                   }
                   return patch;
                 }) {}

  // What a gate of the products is multiplied by: 0 where the unit is not present.
  SIMT_DEVICE void publish(const Own& own, std::int32_t step, int gate,
                           const float (&values)[pairs]) const {
    Stored* const buffer = buffer_of(step);
    // A thread's units are in one fragment.
    const int place = own.place(0);
    const int first = at(place / Op::depth, gate) + place % Op::depth;
    SIMT_UNROLL
    for (int side = 0; side < Own::lanes; ++side) {
      simt::store(column(buffer, own.lane(side)) + first,
                  Op::stored(values[Own::pair_of(side, 0)], values[Own::pair_of(side, 1)]));
    }
  }

  // What this block has published is there. In a group, warps that own units and those that help them are at different
  // places in the program.
  SIMT_DEVICE void meet() const {
    if constexpr (in_group)
      scatter_.meet_own();
    else
      simt::sync_block();
  }

  // to += W_h transposed, of the gates from `first` to `end`, times what has been published of them.
  // meanwhile(): what does not wait for it.
  template <int first, int end, class F>
  SIMT_DEVICE void add(const Own& own, std::int32_t step, float (&to)[pairs], F&& meanwhile) {
    Sum sums[end - first];
    multiply<first, end>(own, sums, buffer_of(step));
    meanwhile();
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) to[i] += total(sums, i);
    if constexpr (Scatter::in_group) {
      scatter_.meet();
      add_share(own, 0, to);
      if (division_.depths == 1) return;
      if constexpr (Scatter::helpers_add) {
        partial_sums_.meet(own);
        partial_sums_.add_all(own, 0, to);
      } else {  // the same sums, with the same bits
        for (int depth = 1; depth < division_.depths; ++depth) {
          float share[pairs] = {};
          add_share(own, depth, share);
          SIMT_UNROLL
          for (int i = 0; i < pairs; ++i) to[i] += share[i];
        }
      }
    }
  }

  // What a warp does that has no units of its own.
  SIMT_DEVICE void help(const Own& own, std::int32_t steps) {
    for (std::int32_t step = 0; step < steps; ++step) {
      simt::note_step(step);
      if constexpr (Cell::reset_before) {
        help_product<2, 3>(own, step);
        help_product<0, 2>(own, step);
      } else {
        help_product<0, blocks>(own, step);
      }
    }
  }

 private:
  // Fragments in the depth of one product, and how far the block is whose d_h this warp's n-th one is for. Warps that share
  // the depth of products forward share the targets here: those that own units have their own block as their last.
  SIMT_DEVICE int per_target() const { return division_.slice / Op::depth; }
  SIMT_DEVICE int distance(const Own& own, int n) const {
    return (own.depth - 1) * (division_.blocks / division_.depths) + 1 + n;
  }
  SIMT_DEVICE int fragments_for_others(const Own& own) const {
    return weights_.fragments() - (own.depth == 0 ? per_target() : 0);
  }
  SIMT_DEVICE Stored* buffer_of(std::int32_t step) const {
    return gradients_ + (step % 2) * BackwardMemory<Cell, E, Scatter>{division_}.gradients();
  }

  template <int gates>
  SIMT_DEVICE static float total(const Sum (&sums)[gates], int pair) {
    float result = sums[0].total(pair);
    SIMT_UNROLL
    for (int g = 1; g < gates; ++g) result += sums[g].total(pair);
    return result;
  }
  // A lane's column has each fragment of all gates, then the next, so that gates are no more than a constant apart.
  template <class S>
  SIMT_DEVICE S* column(S* buffer, int lane) const {
    return buffer + lane * column_stride<E>(blocks * division_.slice);
  }
  SIMT_DEVICE static int at(int fragment, int gate) {
    return (fragment * blocks + gate) * Op::depth;
  }

  // What others get is sent to each as soon as it is complete. What is left in `sums` is this block's own.
  template <int first, int end>
  SIMT_DEVICE void multiply(const Own& own, Sum (&sums)[end - first], const Stored* buffer) {
    const Stored* const from = column(buffer, own.thread / 4);
    if constexpr (Scatter::in_group) {
      const int others = fragments_for_others(own);
      if (others == 0) scatter_.all_sent();
      int to = distance(own, 0), next = 0;  // whom for, and where in the column
      weights_.template multiply<first, end, false>(
          sums, [&](int gate, int) { return from + next + gate * Op::depth; },
          [&](int fragment) {
            next += blocks * Op::depth;
            if (!may_end_slice<E>(fragment) || next < blocks * division_.slice || to == 0) return;
            scatter_.send(to, own,
                          {total(sums, 0), total(sums, 1), total(sums, 2), total(sums, 3)});
            SIMT_UNROLL
            for (Sum& sum : sums) sum = {};
            ++to;
            next = 0;
            if (fragment + 1 == others) scatter_.all_sent();
          });
    } else {
      weights_.template multiply<first, end, false>(
          sums, [&](int gate, int fragment) { return from + at(fragment, gate); }, [](int) {});
    }
  }

  // to += what the others have sent whose parts the warp of this depth adds, in the order of the circle.
  SIMT_DEVICE void add_share(const Own& own, int depth, float (&to)[pairs]) const {
    // Unrolled, with counts that registers would hold through all steps, were the number the compiler's to know.
    const auto each = static_cast<int>(
        simt::opaque(static_cast<std::uint32_t>(division_.blocks / division_.depths)));
    const int end = (depth + 1) * each;
    for (int distance = depth > 0 ? depth * each : 1; distance < end; ++distance) {
      const simt::Float4 part = scatter_.from(distance, own);
      SIMT_UNROLL
      for (int i = 0; i < pairs; ++i) to[i] += part[i];
    }
  }

  template <int first, int end>
  SIMT_DEVICE void help_product(const Own& own, std::int32_t step) {
    meet();
    Sum sums[end - first];
    multiply<first, end>(own, sums, buffer_of(step));
    scatter_.meet();
    if constexpr (Scatter::helpers_add) {
      float share[pairs] = {};
      add_share(own, own.depth, share);
      partial_sums_.put(own, 0, {share[0], share[1], share[2], share[3]});
      partial_sums_.meet(own);
    }
  }

  Division division_;
  Scatter& scatter_;
  PartialSums<Scatter::helpers_add> partial_sums_;
  Stored* gradients_;
  Weights weights_;
};

template <class Cell, class T, class E, class Form, class Scatter>
SIMT_DEVICE void walk_backward(const ResidentBackward<T>& args, const Division& division,
                               Scatter& scatter, simt::SharedCarver& shared) {
  using Stored = typename Operand<E>::Stored;
  const BackwardMemory<Cell, E, Scatter> memory{division};
  const UnitNumbers evolve(shared, division);
  const PartialSums<Scatter::helpers_add> partial_sums(shared, division);
  auto* const gradients = shared.take<Stored>(static_cast<std::size_t>(2 * memory.gradients()));
  auto* const weights =
      shared.take<std::uint32_t>(static_cast<std::size_t>(memory.warp_words() * division.warps()));
  BackwardWalk<Cell, T, BackwardProduct<Cell, E, Scatter>, Form>(
      args, Own(division, scatter), evolve, division, scatter, partial_sums, gradients, weights)
      .run();
}

template <class Cell, class T, class E, class Form>
SIMT_KERNEL(most_threads, 1)
void backward(ResidentBackward<T> args) {
  simt::SharedCarver shared;
  OwnSums scatter;
  walk_backward<Cell, T, E, Form>(args, whole_division<Form>(args.hidden), scatter, shared);
}

}  // namespace resident

template <class T>
void resident_backward(simt::Stream stream, const ResidentBackward<T>& args) {
  if (args.sequences.count == 0) return;
  with_cell(args.cell, [&]<class Cell>(Cell) {
    resident::with_operand<T>(args.tf32, [&]<class Forward>(Forward) {
      using E = resident::GradientOperand<Forward, false>;
      const resident::Division division{.slice = resident::padded_units(args.hidden)};
      const auto bytes = [&]<class Some>(Some) {
        return resident::BackwardMemory<Cell, Some, resident::OwnSums>{division}.bytes();
      };
      resident::with_room<E>(args.shared_bytes, bytes, [&]<class Some>(Some some) {
        resident::with_form<Cell, Some>(
            resident::is_usual<resident::Own>(args), args.hidden, [&]<class Form>(Form) {
              simt::launch(resident::launch_of_tiles(args.lanes, division, bytes(some)), stream,
                           resident::backward<resident::CellOf<Cell, Form>, T, Some, Form>, args);
            });
      });
    });
  });
}

}  // namespace lacuna
