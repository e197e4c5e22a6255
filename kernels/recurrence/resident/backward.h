// The whole recurrence in one launch, backward. The same lanes walk the same sequences, each from its last token. What
// stays in place is W_h transposed: of a step only the product of the gates' gradients with it, and the way of those
// gradients through shared memory, depend on the step before.
//
//   per step: gates backward, publish, barrier, product, evolve backward
//   gru_reset_before: z and n backward, publish, barrier, product of n, r backward, publish, barrier, product of r and z, ...
//
// Where a group of blocks holds W_h, each multiplies the gradients of its own gates, with all columns of its rows of W_h,
// and what that adds to another block's d_h goes there by a Scatter (recurrence/split): warp to warp and thread to thread,
// for the same warp and thread have the same place in every slice. What it adds to its own d_h comes last, while the rest
// is on its way, and stays in the thread's registers.
#pragma once

#include <cstdint>

#include "kernels/recurrence/resident/forward.h"

namespace lacuna {

// T: float, Fp16 or Bf16.
template <class T>
struct ResidentBackward : BackwardView<T> {
  const T* weights = nullptr;  // [G units, units]: W_h, zeros in its padding
  std::int32_t lanes = 0;      // a multiple of resident::lanes_per_tile
  bool tf32 = false;           // float: products of 11 bits instead of two parts of 11
};

namespace resident {

// E: operands forward. Gradients of fp16 layers are multiplied in tf32, which has the same 11 bits and lets none of them
// vanish.
template <class E>
using GradientOperand = std::conditional_t<std::is_same_v<E, simt::Fp16>, Tf32, E>;

template <class Cell, class E, bool in_group>
using BackwardWeights = StationaryWeights<E, weight_blocks<Cell>,
                                          kept_fragments<E>(weight_blocks<Cell>, true, in_group)>;

// The Scatter of a block that has all units itself: nothing has to go anywhere.
class OwnSums {
 public:
  static constexpr bool in_group = false;
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
    layout.add<Stored>(static_cast<std::size_t>(2 * gradients()));
    layout.add<std::uint32_t>(static_cast<std::size_t>(warp_words() * division.warps()));
    return layout.bytes;
  }
};

template <class Cell, class T, class E, class Scatter>
class BackwardTile : TileAccess<ResidentBackward<T>> {
  using Access = TileAccess<ResidentBackward<T>>;
  using Access::args_, Access::own_, Access::is_present, Access::unit_of, Access::keep,
      Access::kept, Access::give, Access::given;
  static constexpr int blocks = weight_blocks<Cell>;
  using Op = Operand<E>;
  using Stored = typename Op::Stored;
  using Weights = BackwardWeights<Cell, E, Scatter::in_group>;
  using Sum = typename Op::Sum;

  // What is known of the next token before its turn.
  struct Token : Meeting {
    float h[pairs] = {}, c[pairs] = {};  // of the tape: evolved
    float saved[Cell::saved_gates][pairs] = {};
    float d_h[pairs] = {}, d_c[pairs] = {};  // dL/d(output) of the token, and of the sequence's end
  };

 public:
  SIMT_DEVICE BackwardTile(const ResidentBackward<T>& args, const Division& division,
                           Scatter& scatter, Stored* gradients, std::uint32_t* shared)
      : Access(args, Own(division, scatter)),
        division_(division),
        scatter_(scatter),
        gradients_(gradients),
        lane_{{args.sequences, this->first_lane(), args.lanes},
              {args.sequences, this->first_lane() + 1, args.lanes}},
        weights_(
            fragments_of<E>(division), own_.thread,
            shared + static_cast<int>(simt::warp_index()) *
                         BackwardMemory<Cell, E, Scatter>{division}.warp_words(),
            [&](int block, int fragment, int row, int k) {
              const int target = division.block_at(own_.rank, distance(fragment / per_target()));
              const int to = target * division.slice + own_.row * units_per_warp + row;
              const int gate_unit =
                  own_.rank * division.slice + unit_at(fragment % per_target() * Op::depth + k);
              const bool inside = to < args.units && gate_unit < args.units;
              return inside ? simt::to_float(
                                  args.weights[(block * args.units + gate_unit) * args.units + to])
                            : 0.0f;
            }) {}

  SIMT_DEVICE void run() {
    const std::int32_t steps = steps_of_tile<true>(args_.sequences, own_.tile, args_.lanes);
    if constexpr (Scatter::in_group)
      if (own_.depth > 0) return help(steps);
    Token now;
    look_ahead(now);
    for (std::int32_t step = 0; step < steps; ++step) {
      simt::note_step(step);
      own_.forget_addresses();
      Token next;
      look_ahead(next);
      Stored* const buffer = buffer_of(step);
      receive(now);
      if constexpr (Cell::reset_before)
        update_in_halves(now, buffer);
      else
        update(now, buffer);
      evolve(now, next);
      now = next;
    }
  }

 private:
  // Fragments in the depth of one product, and how far the block is whose d_h this warp's n-th one is for. Warps that share
  // the depth of products forward share the targets here: those that own units have their own block as their last.
  SIMT_DEVICE int per_target() const { return division_.slice / Op::depth; }
  SIMT_DEVICE int distance(int n) const {
    return (own_.depth - 1) * (division_.blocks / division_.depths) + 1 + n;
  }
  SIMT_DEVICE int fragments_for_others() const {
    return weights_.fragments() - (own_.depth == 0 ? per_target() : 0);
  }
  SIMT_DEVICE Stored* buffer_of(std::int32_t step) const {
    return gradients_ + (step % 2) * BackwardMemory<Cell, E, Scatter>{division_}.gradients();
  }

  // One place in the source for warps that own units and those that help them.
  SIMT_DEVICE void gradients_are_there() const { simt::sync_block(); }

  SIMT_DEVICE void look_ahead(Token& token) {
    this->template advance<Cell>(lane_, token, [&](std::int32_t sequence, int i) {
      give(args_.d_initial_hidden, sequence, i, given(args_.d_final_hidden, sequence, i));
      if constexpr (Cell::has_cell)
        give(args_.d_initial_cell, sequence, i, given(args_.d_final_cell, sequence, i));
    });
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Place& place = token.place[Own::side(i)];
      if (!place.exists()) continue;
      token.h[i] = kept(args_.tape_h, place.token, i);
      if constexpr (Cell::has_cell) token.c[i] = kept(args_.tape_c, place.token, i);
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g)
        token.saved[g][i] = kept(args_.gates, std::int64_t{place.token} * Cell::saved_gates + g, i);
      token.d_h[i] = given(args_.d_hidden_out, place.token, i);
      if constexpr (Cell::has_cell) token.d_c[i] = given(args_.d_cell_out, place.token, i);
      if (!place.last) continue;
      token.d_h[i] += given(args_.d_final_hidden, place.sequence, i);
      if constexpr (Cell::has_cell) token.d_c[i] += given(args_.d_final_cell, place.sequence, i);
    }
  }

  // All of dL/d(state after the token).
  SIMT_DEVICE void receive(const Token& token) {
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const bool goes_on = !token.place[Own::side(i)].last;
      d_h_[i] = token.d_h[i] + (goes_on ? d_h_[i] : 0);
      if constexpr (Cell::has_cell) d_c_[i] = token.d_c[i] + (goes_on ? d_c_[i] : 0);
    }
    if (args_.d_hidden_rows == nullptr) return;
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i)
      if (const Place& place = token.place[Own::side(i)]; place.exists())
        keep(args_.d_hidden_rows, place.token, i, d_h_[i]);
  }

  // A gate's gradient, for the sums over all tokens.
  SIMT_DEVICE void store_gate(const Token& token, int pair, int gate, float value) const {
    const Place& place = token.place[Own::side(pair)];
    if (place.exists())
      keep(args_.d_gates, std::int64_t{place.token} * Cell::gradient_gates + gate, pair, value);
  }

  SIMT_DEVICE void publish(Stored* buffer, int gate, int pair, float value) const {
    // All of a thread's places are in one fragment.
    const int place = own_.place(0);
    const int first = at(place / Op::depth, gate) + place % Op::depth;
    column(buffer, own_.lane(pair))[first + own_.place(pair) - place] =
        Op::stored(is_present(pair) ? value : 0);
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

  template <int first, int end>
  SIMT_DEVICE void add_product(const Stored* buffer, float (&to)[pairs]) {
    Sum sums[end - first];
    multiply<first, end>(sums, buffer);
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) to[i] += total(sums, i);
    if constexpr (Scatter::in_group) {
      scatter_.meet();
      for (int distance = 1; distance < division_.blocks; ++distance) {
        const simt::Float4 part = scatter_.from(distance, own_);
        SIMT_UNROLL
        for (int i = 0; i < pairs; ++i) to[i] += part[i];
      }
    }
  }

  // What others get is sent to each as soon as it is complete. What is left in `sums` is this block's own.
  template <int first, int end>
  SIMT_DEVICE void multiply(Sum (&sums)[end - first], const Stored* buffer) {
    const Stored* const from = column(buffer, own_.thread / 4);
    if constexpr (Scatter::in_group) {
      const int others = fragments_for_others();
      if (others == 0) scatter_.all_sent();
      int to = distance(0), next = 0;  // whom for, and where in the column
      weights_.template multiply<first, end, false>(
          sums, [&](int gate, int) { return from + next + gate * Op::depth; },
          [&](int fragment) {
            if ((next += blocks * Op::depth) < blocks * division_.slice || to == 0) return;
            scatter_.send(to, own_,
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

  // What a warp does that has no units of its own.
  SIMT_DEVICE void help(std::int32_t steps) {
    for (std::int32_t step = 0; step < steps; ++step) {
      simt::note_step(step);
      if constexpr (Cell::reset_before) {
        help_product<2, 3>(buffer_of(step));
        help_product<0, 2>(buffer_of(step));
      } else {
        help_product<0, blocks>(buffer_of(step));
      }
    }
  }
  template <int first, int end>
  SIMT_DEVICE void help_product(const Stored* buffer) {
    gradients_are_there();
    Sum sums[end - first];
    multiply<first, end>(sums, buffer);
    scatter_.meet();
  }

  SIMT_DEVICE void update(const Token& token, Stored* buffer) {
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const int side = Own::side(i);
      float s[Cell::saved_gates], d[Cell::gradient_gates] = {}, d_dt = 0;
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g) s[g] = token.saved[g][i];
      if (token.fires[side]) {
        const UnitState<float> direct =
            Cell::backward(s, UnitState<float>{token.h[i], token.c[i]},
                           UnitState<float>{d_h_[i], d_c_[i]}, token.dt[side], d, d_dt);
        d_h_[i] = direct.h;
        d_c_[i] = direct.c;
      }
      SIMT_UNROLL
      for (int g = 0; g < Cell::gradient_gates; ++g) store_gate(token, i, g, d[g]);
      SIMT_UNROLL
      for (int g = 0; g < Cell::product_gates; ++g)
        publish(buffer, g, i, d[Cell::product_gradient(g)]);
      if constexpr (Cell::reads_gap)
        if (token.place[side].exists()) keep(args_.d_euler, token.place[side].token, i, d_dt);
    }
    gradients_are_there();
    add_product<0, blocks>(buffer, d_h_);
  }

  SIMT_DEVICE void update_in_halves(const Token& token, Stored* buffer) {
    float d_reset[pairs] = {};
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      float d_z = 0, d_n = 0;
      if (token.fires[Own::side(i)])
        d_h_[i] = Cell::backward_candidate(token.saved[1][i], token.saved[2][i], token.h[i],
                                           d_h_[i], d_z, d_n);
      store_gate(token, i, 1, d_z);
      store_gate(token, i, 2, d_n);
      publish(buffer, 1, i, d_z);
      publish(buffer, 2, i, d_n);
    }
    gradients_are_there();
    add_product<2, 3>(buffer, d_reset);
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Place& place = token.place[Own::side(i)];
      // Where the token does not fire, r and d_reset are 0, and so is all that follows.
      const float r = token.saved[0][i];
      float d_r;
      d_h_[i] += Cell::backward_reset(r, token.h[i], d_reset[i], d_r);
      store_gate(token, i, 0, d_r);
      publish(buffer, 0, i, d_r);
      if (place.exists()) keep(args_.reset_operand, place.token, i, r * token.h[i]);
    }
    gradients_are_there();
    add_product<0, 2>(buffer, d_h_);
  }

  // The h that a token began with, where a rounded tape does not do for it (evolve_units.h): what the token before made of
  // its own, which `before` holds already.
  SIMT_DEVICE float h_before(const Token& token, const Token& before, int pair) const {
    const int side = Own::side(pair);
    const Place& place = token.place[side];
    if (place.first) return given(args_.initial_hidden, place.sequence, pair);
    if (!before.fires[side]) return before.h[pair];
    float s[Cell::saved_gates];
    SIMT_UNROLL
    for (int g = 0; g < Cell::saved_gates; ++g) s[g] = before.saved[g][pair];
    return Cell::next_h(s, UnitState<float>{before.h[pair], before.c[pair]}, before.dt[side]);
  }

  // Back through what time did before the token, and out at a sequence's begin.
  SIMT_DEVICE void evolve(const Token& token, const Token& before) {
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Place& place = token.place[Own::side(i)];
      if (!place.exists()) continue;
      const UnitOfToken at = unit_of(token, i);
      constexpr int state_parts = Cell::has_cell ? 2 : 1;
      const auto back = [&](int part, float state, float& d) {
        const Evolution time = evolution(args_.evolve, at, token.dt[Own::side(i)], part);
        if (sizeof(T) < sizeof(float) && part == 0 && args_.evolve.kind == LACUNA_EVOLVE_RELAX)
          state = evolved(args_.evolve, at, time, 0, h_before(token, before, i));
        d = evolution_backward(args_.evolve, args_.d_evolve, at, time, part, state_parts, state, d);
      };
      back(0, token.h[i], d_h_[i]);
      if constexpr (Cell::has_cell) back(1, token.c[i], d_c_[i]);
      if (!place.first) continue;
      give(args_.d_initial_hidden, place.sequence, i, d_h_[i]);
      if constexpr (Cell::has_cell) give(args_.d_initial_cell, place.sequence, i, d_c_[i]);
    }
  }

  Division division_;
  Scatter& scatter_;
  Stored* gradients_;
  Lane<true> lane_[2];
  Weights weights_;
  float d_h_[pairs] = {}, d_c_[pairs] = {};
};

template <class Cell, class T, class E, class Scatter>
SIMT_DEVICE void walk_backward(const ResidentBackward<T>& args, const Division& division,
                               Scatter& scatter, simt::SharedCarver& shared) {
  using Stored = typename Operand<E>::Stored;
  const BackwardMemory<Cell, E, Scatter> memory{division};
  auto* const gradients = shared.take<Stored>(static_cast<std::size_t>(2 * memory.gradients()));
  auto* const weights =
      shared.take<std::uint32_t>(static_cast<std::size_t>(memory.warp_words() * division.warps()));
  BackwardTile<Cell, T, E, Scatter>(args, division, scatter, gradients, weights).run();
}

template <class Cell, class T, class E>
SIMT_KERNEL(most_threads, 1)
void backward(ResidentBackward<T> args) {
  simt::SharedCarver shared;
  OwnSums scatter;
  walk_backward<Cell, T, E>(args, Division{.slice = padded_units(args.hidden)}, scatter, shared);
}

}  // namespace resident

template <class T>
void resident_backward(simt::Stream stream, const ResidentBackward<T>& args) {
  if (args.sequences.count == 0) return;
  with_cell(args.cell, [&]<class Cell>(Cell) {
    resident::with_operand<T>(args.tf32, [&]<class Forward>(Forward) {
      using E = resident::GradientOperand<Forward>;
      const resident::Division division{.slice = resident::padded_units(args.hidden)};
      const std::size_t bytes =
          resident::BackwardMemory<Cell, E, resident::OwnSums>{division}.bytes();
      simt::launch(resident::launch_of_tiles(args.lanes, division, bytes), stream,
                   resident::backward<Cell, T, E>, args);
    });
  });
}

}  // namespace lacuna
