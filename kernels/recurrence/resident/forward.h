// The whole recurrence in one launch, forward, for states of at most resident::most_units: a block holds all of W_h and
// walks eight lanes from end to end, alone. Of a step only the product, the gates and the way of h through shared memory
// depend on the step before; inputs and evolve factors of the next token are fetched while the present one is computed.
//
//   per step: product, update, evolve, publish; one barrier
//   gru_reset_before: product of r and z, publish r h, barrier, product of n, ...
#pragma once

#include <cstdint>

#include "kernels/recurrence/cell_steps.h"
#include "kernels/recurrence/resident/access.h"
#include "kernels/recurrence/resident/evolve.h"
#include "kernels/recurrence/resident/lanes.h"
#include "kernels/recurrence/resident/products.h"
#include "kernels/recurrence/views.h"
#include "kernels/simt/launch.h"
#include "kernels/simt/shared.h"
#include "kernels/simt/sync.h"
#include "kernels/simt/warp.h"

namespace lacuna {

// T: float, Fp16 or Bf16.
template <class T>
struct ResidentForward : ForwardView<T> {
  const T* weights = nullptr;  // [G units, units]: W_h, zeros in its padding
  std::int32_t lanes = 0;      // a multiple of resident::lanes_per_tile
  bool tf32 = false;           // float: products of 11 bits instead of two parts of 11
};

namespace resident {

// The gates whose weights multiply a state: those before a reset, and the candidate behind it.
template <class Cell>
inline constexpr int weight_blocks = Cell::product_gates + (Cell::reset_before ? 1 : 0);

// f(the type of the operands) for a layer of T.
template <class T, class F>
auto with_operand([[maybe_unused]] bool tf32, F&& f) {
  if constexpr (std::is_same_v<T, float>)
    if (tf32) return f(Tf32{});
  return f(T{});
}

template <class Cell, class E>
using ForwardWeights =
    StationaryWeights<E, weight_blocks<Cell>, kept_fragments<E>(weight_blocks<Cell>, false)>;

// The most tokens that a lane of this tile has; the same in every warp.
template <bool backward>
SIMT_DEVICE std::int32_t steps_of_tile(const SequenceView& sequences, std::int32_t lanes) {
  const unsigned thread = simt::lane_index();
  std::int32_t most = 0;
  if (thread < lanes_per_tile)
    most = Lane<backward>(
               sequences,
               static_cast<std::int32_t>(simt::block_index().x * lanes_per_tile + thread), lanes)
               .count_tokens();
  SIMT_UNROLL
  for (unsigned toggle = 1; toggle < lanes_per_tile; toggle *= 2) {
    const std::int32_t other = simt::shuffle_xor(most, toggle);
    most = other > most ? other : most;
  }
  return simt::shuffle(most, 0);
}

// A block's arrays of shared memory, added up in the order in which the kernel takes them.
template <class Cell, class E>
struct ForwardMemory {
  using Stored = typename Operand<E>::Stored;
  int units;

  // Of one buffer; there are two, and another for what a reset lets through.
  SIMT_BOTH std::size_t state() const {
    return static_cast<std::size_t>(lanes_per_tile * column_stride<E>(units));
  }
  SIMT_BOTH std::size_t weights() const { return ForwardWeights<Cell, E>::shared_words(units); }
  std::size_t bytes() const {
    simt::SharedLayout layout;
    layout.add<Stored>(2 * state());
    if (Cell::reset_before) layout.add<Stored>(state());
    layout.add<std::uint32_t>(weights());
    return layout.bytes;
  }
};

template <class Cell, class T, class E>
class ForwardTile : TileAccess<ResidentForward<T>> {
  using Access = TileAccess<ResidentForward<T>>;
  using Access::args_, Access::own_, Access::is_present, Access::unit_of, Access::keep,
      Access::give, Access::given;
  static constexpr int blocks = weight_blocks<Cell>;
  using Op = Operand<E>;
  using Stored = typename Op::Stored;
  using Weights = ForwardWeights<Cell, E>;
  using Sum = typename Op::Sum;

  // What is known of the next token before its turn.
  struct Token : Meeting {
    float input[Cell::input_gates][pairs] = {};  // W_x x + b
    float factor[pairs] = {};                    // of h
  };

 public:
  SIMT_DEVICE ForwardTile(const ResidentForward<T>& args, Stored* state, Stored* reset,
                          std::uint32_t* shared)
      : Access(args),
        units_(padded_units(args.hidden)),
        stride_(column_stride<E>(units_)),
        state_(state),
        reset_(reset),
        lane_{{args.sequences, this->first_lane(), args.lanes},
              {args.sequences, this->first_lane() + 1, args.lanes}},
        weights_(own_, units_, shared, [&](int block, int row, int column) {
          const bool inside = row < args.units && column < args.units;
          return inside ? simt::to_float(
                              args.weights[(block * args.units + row) * args.units + column])
                        : 0.0f;
        }) {}

  SIMT_DEVICE void run() {
    const std::int32_t steps = steps_of_tile<false>(args_.sequences, args_.lanes);
    Token now;
    look_ahead(now);
    begin(now, 0);
    for (std::int32_t step = 0; step < steps; ++step) {
      simt::sync_block();
      const int buffer = step % 2;
      Token next;
      look_ahead(next);
      if constexpr (Cell::reset_before)
        update_in_halves(now, buffer);
      else
        update(now, buffer);
      finish(now);
      begin(next, 1 - buffer);
      now = next;
    }
  }

 private:
  // This thread's lane of a buffer of shared memory, as an operand.
  SIMT_DEVICE const Stored* column(const Stored* buffer) const {
    return buffer + own_.thread / 4 * stride_;
  }
  SIMT_DEVICE Stored* state(int buffer) const { return state_ + buffer * lanes_per_tile * stride_; }
  SIMT_DEVICE void publish(Stored* buffer, int pair, float value) const {
    buffer[own_.lane(pair) * stride_ + own_.unit(pair)] = Op::stored(value);
  }

  SIMT_DEVICE void look_ahead(Token& token) {
    this->template advance<Cell>(lane_, token, [&](std::int32_t sequence, int i) {
      give(args_.final_hidden, sequence, i, given(args_.initial_hidden, sequence, i));
      if constexpr (Cell::has_cell)
        give(args_.final_cell, sequence, i, given(args_.initial_cell, sequence, i));
    });
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const UnitOfToken at = unit_of(token, i);
      if (at.token < 0 || !is_present(i)) continue;
      token.factor[i] = evolution(args_.evolve, at, token.dt[Own::side(i)], 0).factor;
      // The inputs of a token that does not fire are nobody's to read.
      if (!token.fires[Own::side(i)]) continue;
      SIMT_UNROLL
      for (int g = 0; g < Cell::input_gates; ++g)
        token.input[g][i] = args_.gx[(at.token * Cell::input_gates + g) * at.units + at.unit] +
                            args_.bias[g * at.hidden + at.unit];
    }
  }

  // The state before a token: evolved, and where its product and the backward run find it.
  SIMT_DEVICE void begin(const Token& token, int buffer) {
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Place& place = token.place[Own::side(i)];
      if (place.first) {
        h_[i] = given(args_.initial_hidden, place.sequence, i);
        if constexpr (Cell::has_cell) c_[i] = given(args_.initial_cell, place.sequence, i);
      }
      if (place.exists() && is_present(i)) {
        const UnitOfToken at = unit_of(token, i);
        h_[i] = evolved(args_.evolve, at, {.factor = token.factor[i]}, 0, h_[i]);
        if constexpr (Cell::has_cell)
          c_[i] = evolved(args_.evolve, at, evolution(args_.evolve, at, token.dt[Own::side(i)], 1),
                          1, c_[i]);
      } else {
        h_[i] = c_[i] = 0;
      }
      publish(state(buffer), i, h_[i]);
      if (!place.exists()) continue;
      keep(args_.tape_h, place.token, i, h_[i]);
      give(args_.evolved_hidden, place.token, i, h_[i]);
      if constexpr (Cell::has_cell) keep(args_.tape_c, place.token, i, c_[i]);
    }
  }

  SIMT_DEVICE void save(const Token& token, int pair, int gate, float value) const {
    const Place& place = token.place[Own::side(pair)];
    if (place.exists())
      keep(args_.gates, std::int64_t{place.token} * Cell::saved_gates + gate, pair,
           token.fires[Own::side(pair)] ? value : 0);
  }

  SIMT_DEVICE void update(const Token& token, int buffer) {
    Sum sums[blocks];
    const Stored* const from = column(state(buffer));
    weights_.template multiply<0, blocks, true>(sums, [&](int) { return from; });
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      float x[Cell::input_gates], p[Cell::product_gates], s[Cell::saved_gates];
      SIMT_UNROLL
      for (int g = 0; g < Cell::input_gates; ++g) x[g] = token.input[g][i];
      SIMT_UNROLL
      for (int g = 0; g < Cell::product_gates; ++g) p[g] = sums[g].total(i);
      if constexpr (Cell::hidden_bias)
        if (args_.bias_hn && is_present(i))
          p[Cell::product_gates - 1] += args_.bias_hn[own_.unit(i)];
      const UnitState<float> next =
          Cell::forward(x, p, UnitState<float>{h_[i], c_[i]}, token.dt[Own::side(i)], s);
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g) save(token, i, g, s[g]);
      if (!token.fires[Own::side(i)]) continue;
      h_[i] = next.h;
      c_[i] = next.c;
    }
  }

  SIMT_DEVICE void update_in_halves(const Token& token, int buffer) {
    Sum sums[2], candidate[1];
    float z[pairs];
    const Stored* const from = column(state(buffer));
    weights_.template multiply<0, 2, true>(sums, [&](int) { return from; });
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      float r;
      const float reset_h =
          Cell::template forward_reset<float>({token.input[0][i], token.input[1][i]},
                                              {sums[0].total(i), sums[1].total(i)}, h_[i], r, z[i]);
      // Where a weight of the padding, 0, has met an infinity, r is NaN.
      publish(reset_, i, is_present(i) ? reset_h : 0);
      save(token, i, 0, r);
      save(token, i, 1, z[i]);
    }
    simt::sync_block();
    const Stored* const reset_from = column(reset_);
    weights_.template multiply<2, 3, true>(candidate, [&](int) { return reset_from; });
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      float n;
      const float next =
          Cell::forward_candidate(token.input[2][i], candidate[0].total(i), z[i], h_[i], n);
      save(token, i, 2, n);
      if (token.fires[Own::side(i)]) h_[i] = next;
    }
  }

  // Gives the state after a token to whoever asked for it.
  SIMT_DEVICE void finish(const Token& token) const {
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Place& place = token.place[Own::side(i)];
      if (!place.exists()) continue;
      give(args_.hidden_out, place.token, i, h_[i]);
      if constexpr (Cell::has_cell) give(args_.cell_out, place.token, i, c_[i]);
      if (!place.last) continue;
      give(args_.final_hidden, place.sequence, i, h_[i]);
      if constexpr (Cell::has_cell) give(args_.final_cell, place.sequence, i, c_[i]);
    }
  }

  int units_, stride_;
  Stored *state_, *reset_;
  Lane<false> lane_[2];
  Weights weights_;
  float h_[pairs] = {}, c_[pairs] = {};
};

template <class Cell, class T, class E>
SIMT_KERNEL(most_threads, 1)
void forward(ResidentForward<T> args) {
  using Stored = typename Operand<E>::Stored;
  const ForwardMemory<Cell, E> memory{padded_units(args.hidden)};
  simt::SharedCarver shared;
  Stored* const state = shared.take<Stored>(2 * memory.state());
  Stored* const reset = Cell::reset_before ? shared.take<Stored>(memory.state()) : nullptr;
  std::uint32_t* const weights = shared.take<std::uint32_t>(memory.weights());
  ForwardTile<Cell, T, E>(args, state, reset, weights).run();
}

}  // namespace resident

template <class T>
void resident_forward(simt::Stream stream, const ResidentForward<T>& args) {
  if (args.sequences.count == 0) return;
  with_cell(args.cell, [&]<class Cell>(Cell) {
    resident::with_operand<T>(args.tf32, [&]<class E>(E) {
      const int units = resident::padded_units(args.hidden);
      simt::launch(resident::launch_of_tiles(args.lanes, units,
                                             resident::ForwardMemory<Cell, E>{units}.bytes()),
                   stream, resident::forward<Cell, T, E>, args);
    });
  });
}

}  // namespace lacuna
