// The whole recurrence in one launch, forward: a block that holds all of W_h, or a group of blocks that hold it together,
// walks eight lanes from end to end. Of a step only the product, the gates and the way of h to those who multiply it
// depend on the step before; inputs and evolve factors of the next token are fetched while the present one is computed.
//
//   per step: product, update, evolve, publish; one meeting. What goes to memory and comes from there does so while the
//   next product is computed
//   gru_reset_before: product of r and z, publish r h, meeting, product of n, ...
//
// How h travels is a Gather: shared memory and a barrier here, in a block of its own; for groups see recurrence/split. There
// the product begins with the block's own slice, for which the same barrier is enough, while the others' are on their way.
#pragma once

#include <cstdint>

#include "kernels/recurrence/cell_steps.h"
#include "kernels/recurrence/resident/access.h"
#include "kernels/recurrence/resident/evolve.h"
#include "kernels/recurrence/resident/forms.h"
#include "kernels/recurrence/resident/lanes.h"
#include "kernels/recurrence/resident/number.h"
#include "kernels/recurrence/resident/operands.h"
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
  const T* weights = nullptr;    // [G units, units]: W_h, zeros in its padding
  std::int32_t lanes = 0;        // a multiple of resident::lanes_per_tile
  bool tf32 = false;             // float: products of 11 bits instead of two parts of 11
  std::size_t shared_bytes = 0;  // that a block may have
};

namespace resident {

// The gates whose weights multiply a state: those before a reset, and the candidate behind it.
template <class Cell>
inline constexpr int weight_blocks = Cell::product_gates + (Cell::reset_before ? 1 : 0);

// Whether ForwardTile's usual case is this.
template <class T>
bool is_usual(const ResidentForward<T>& args) {
  return is_usual_walk(args) && !args.evolved_hidden && !args.cell_out &&
         goes_in_twos(args.hidden_out);
}

template <class Cell, class E, bool in_group>
using ForwardWeights = StationaryWeights<E, weight_blocks<Cell>,
                                         kept_fragments<E>(weight_blocks<Cell>, false, in_group)>;

// Of each matrix, a warp's.
template <class E>
SIMT_BOTH constexpr int fragments_of(const Division& division) {
  return division.units() / Operand<E>::depth / division.depths;
}

// The most tokens that a lane of this tile has; the same in every warp.
template <bool backward>
SIMT_DEVICE std::int32_t steps_of_tile(const SequenceView& sequences, int tile,
                                       std::int32_t lanes) {
  const int thread = static_cast<int>(simt::lane_index());
  std::int32_t most = 0;
  if (thread < lanes_per_tile)
    most = Lane<backward>(sequences, tile * lanes_per_tile + thread, lanes).count_tokens();
  SIMT_UNROLL
  for (unsigned toggle = 1; toggle < lanes_per_tile; toggle *= 2) {
    const std::int32_t other = simt::shuffle_xor(most, toggle);
    most = other > most ? other : most;
  }
  return simt::shuffle(most, 0);
}

// A block's arrays of shared memory, added up in the order in which the kernel takes them.
template <class Cell, class E, class Gather>
struct ForwardMemory {
  Division division;

  SIMT_BOTH int warp_words() const {
    using Weights = ForwardWeights<Cell, E, Gather::in_group>;
    return static_cast<int>(Weights::shared_words(fragments_of<E>(division)));
  }
  // Sums over parts of the depth, on their way to the warp that owns the units.
  SIMT_BOTH std::size_t partial_sums() const {
    return static_cast<std::size_t>((division.depths - 1) * division.rows() * weight_blocks<Cell>) *
           simt::warp_size;
  }
  std::size_t bytes() const {
    simt::SharedLayout layout;
    Gather::add_to(layout, division, channels<Cell>);
    UnitNumbers::add_to(layout, division);
    UnitNumbers::add_to(layout, division);
    layout.add<simt::Float4>(partial_sums());
    layout.add<std::uint32_t>(static_cast<std::size_t>(warp_words() * division.warps()));
    return layout.bytes;
  }
};

template <class Cell, class T, class E, class Gather, class Form>
class ForwardTile : TileAccess<ResidentForward<T>, Form> {
  using Access = TileAccess<ResidentForward<T>, Form>;
  static constexpr bool usual = Form::usual;
  using Access::args_, Access::own_, Access::is_present, Access::hidden, Access::units,
      Access::keep, Access::kept, Access::give, Access::give_sequence, Access::given_sequence;
  static constexpr int blocks = weight_blocks<Cell>;
  using Op = Operand<E>;
  using Weights = ForwardWeights<Cell, E, Gather::in_group>;
  using Sum = typename Op::Sum;

  // What is known of the next token before its turn, as it lies in memory.
  struct Token : Meeting<usual> {
    TwoOnTheirWay<float> x[Cell::input_gates][2] =
        {};                                     // W_x x. Arbitrary where the token does not fire
    TwoOnTheirWay<float> exponents[1][2] = {};  // of decay

    SIMT_DEVICE float input(int gate, int pair) const { return arrived<float>(x[gate], pair); }
    SIMT_DEVICE float exponent(int pair) const { return arrived<float>(exponents[0], pair); }
  };
  using R = Number<T>;
  using Saved = float[Cell::saved_gates][pairs];
  using Inputs = float[Cell::input_gates][pairs];
  // What has been made of a token and not been stored yet.
  struct Made {
    TwoOnTheirWay<T> saved[Cell::saved_gates][2], h[2];
    float c[usual ? 1 : pairs];  // cell_out
  };

 public:
  SIMT_DEVICE ForwardTile(const ResidentForward<T>& args, const Division& division, Gather& gather,
                          UnitNumbers biases, UnitNumbers evolve, simt::Float4* partial_sums,
                          std::uint32_t* shared)
      : Access(args, Own(division, gather)),  // gcov: what would follow an exception
        division_(division),
        gather_(gather),
        biases_(biases),
        evolve_(evolve),
        partial_sums_(partial_sums),
        lane_{{args.sequences, this->first_lane(), args.lanes},
              {args.sequences, this->first_lane() + 1, args.lanes}},
        weights_(fragments_of<E>(division), own_.thread,
                 shared + static_cast<int>(simt::warp_index()) *
                              ForwardMemory<Cell, E, Gather>{division}.warp_words(),
                 [&](int block, int fragment, int place, int k) {
                   const int unit = own_.first_unit + place;
                   const int from = unit_multiplied(
                       (own_.depth * fragments_of<E>(division_) + fragment) * Op::depth + k);
                   // Aligned to their number, as units() is: all are inside, or none.
                   Patch<Op::patch_depth> patch;
                   if (unit < units() && from < units()) {
                     const T* row =
                         args.weights + std::int64_t{block * units() + unit} * units() + from;
                     SIMT_UNROLL
                     for (auto& of_unit : patch.of) {
                       const auto some = simt::load<Op::patch_depth>(row);
                       SIMT_UNROLL
                       for (int i = 0; i < Op::patch_depth; ++i)
                         of_unit[i] = simt::to_float(some[i]);
                       row += units();
                     }
                   }
                   return patch;
                 }) {}

  SIMT_DEVICE void run() {
    const std::int32_t steps = steps_of_tile<false>(args_.sequences, own_.tile, args_.lanes);
    if constexpr (Gather::in_group)
      if (own_.depth > 0) return help(steps);
    prepare();
    if (steps == 0) return;
    Token even, odd;
    Made made;
    look_ahead(even);
    begin(even);
    publish(0, h_);
    // In pairs, so that no number that is still on its way has to be moved from one token to the other.
    for (std::int32_t step = 0; step < steps; step += 2) {
      walk<0>(even, odd, made, step, steps);
      if (step + 1 < steps) walk<1>(odd, even, made, step + 1, steps);
    }
    if (steps % 2 == 0)  // not `finish` of one or the other, which would lie in memory then
      finish(odd, made);
    else
      finish(even, made);
  }

 private:
  // Where this warp's part of the depth begins, and how many of its fragments are of the block's own slice.
  SIMT_DEVICE int first_position() const { return own_.depth * weights_.fragments() * Op::depth; }
  SIMT_DEVICE int own_fragments() const {
    return own_.depth == 0 ? division_.slice / Op::depth : 0;
  }
  // Of the state, around the circle from this block's slice on.
  SIMT_DEVICE int unit_multiplied(int position) const {
    const int at = own_.rank * division_.slice + position;
    return at < division_.units() ? at : at - division_.units();
  }

  // To all who multiply it. Nothing is sent that nobody awaits.
  SIMT_DEVICE void publish(int channel, const float (&values)[pairs]) {
    SIMT_UNROLL
    for (int side = 0; side < 2; ++side)
      gather_.publish(channel, own_.lane(side), own_.place(side),
                      Op::stored(values[Own::pair_of(side, 0)], values[Own::pair_of(side, 1)]));
  }

  template <int first, int end>
  SIMT_DEVICE void multiply(Sum (&sums)[end - first], int channel) {
    const typename Op::Stored* column = gather_.own_column(channel, own_.thread / 4);
    const int own = own_fragments();
    const auto await_others = [&] {
      if constexpr (Gather::in_group) {
        gather_.meet_others(channel);
        column =
            gather_.others_column(channel, own_.thread / 4) + first_position() - division_.slice;
      }
    };
    gather_.meet_own();
    if (own == 0) await_others();
    weights_.template multiply<first, end, true>(
        sums, [&](int, int fragment) { return column + fragment * Op::depth; },
        [&](int fragment) {
          if (fragment + 1 == own) await_others();
        });
  }

  // The sums of another warp of these units, of an other part of the depth.
  SIMT_DEVICE simt::Float4* partial_sum(int depth, int gate) const {
    return partial_sums_ +
           (((depth - 1) * division_.rows() + own_.row) * blocks + gate) *
               static_cast<int>(simt::warp_size) +
           own_.thread;
  }
  SIMT_DEVICE void meet_row() const {
    simt::sync_named(1 + static_cast<unsigned>(own_.row),
                     static_cast<unsigned>(division_.depths) * simt::warp_size);
  }

  // meanwhile(): what does not wait for it.
  template <int first, int end, class F>
  SIMT_DEVICE void product(float (&to)[end - first][pairs], int channel, F&& meanwhile) {
    Sum sums[end - first];
    multiply<first, end>(sums, channel);
    meanwhile();
    SIMT_UNROLL
    for (int g = 0; g < end - first; ++g) {
      SIMT_UNROLL
      for (int i = 0; i < pairs; ++i) to[g][i] = sums[g].total(i);
    }
    if constexpr (Gather::in_group) {
      if (division_.depths == 1) return;
      meet_row();
      for (int depth = 1; depth < division_.depths; ++depth) {
        SIMT_UNROLL
        for (int g = 0; g < end - first; ++g) {
          const simt::Float4 part = *partial_sum(depth, g);
          SIMT_UNROLL
          for (int i = 0; i < pairs; ++i) to[g][i] += part[i];
        }
      }
    }
  }

  // What a warp does that has no units of its own, but a part of the depth of another's products.
  SIMT_DEVICE void help(std::int32_t steps) {
    for (std::int32_t step = 0; step < steps; ++step) {
      simt::note_step(step);
      if constexpr (Cell::reset_before) {
        help_product<0, 2>(step % 2);
        help_product<2, 3>(reset_channel);
      } else {
        help_product<0, blocks>(step % 2);
      }
    }
  }
  template <int first, int end>
  SIMT_DEVICE void help_product(int channel) {
    Sum sums[end - first];
    multiply<first, end>(sums, channel);
    SIMT_UNROLL
    for (int g = 0; g < end - first; ++g)
      *partial_sum(own_.depth, g) = {sums[g].total(0), sums[g].total(1), sums[g].total(2),
                                     sums[g].total(3)};
    meet_row();
  }

  SIMT_DEVICE void prepare() {
    biases_.fill(own_, hidden(), [&](int which, int unit) {
      if (which < Cell::input_gates) return args_.bias[which * hidden() + unit];
      return Cell::hidden_bias && which == 3 && args_.bias_hn ? args_.bias_hn[unit] : 0.0f;
    });
    evolve_.fill(own_, hidden(), [&](int which, int unit) {
      return evolve_number(args_.evolve, which, unit, hidden(), Cell::has_cell);
    });
    this->pass_empty(lane_, args_.final_hidden, args_.initial_hidden);
    if constexpr (Cell::has_cell) this->pass_empty(lane_, args_.final_cell, args_.initial_cell);
    lane_[0].begin();
    lane_[1].begin();
  }

  SIMT_DEVICE void look_ahead(Token& token) {
    if constexpr (!usual) token = {};
    this->template advance<Cell>(lane_, token);
    kept(args_.gx, token, token.x);
    if (args_.evolve.kind == LACUNA_EVOLVE_DECAY)
      kept(args_.evolve.exponent, token, token.exponents);
  }
  // Before numbers of the token behind it are asked for: who waits for the one waits for the other, where both are counted
  // by the same of a warp's six counters.
  SIMT_DEVICE void take(const Token& token, Inputs& inputs) const {
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const simt::Float4 bias = biases_.of(own_, i);
      SIMT_UNROLL
      for (int g = 0; g < Cell::input_gates; ++g) inputs[g][i] = token.input(g, i) + bias[g];
    }
  }

  // `next` is also the token before, whose numbers are stored, and the next one's asked for, while the tensor cores multiply:
  // nothing else would keep a warp busy then.
  template <int channel>
  SIMT_DEVICE void walk(const Token& now, Token& next, Made& made, std::int32_t step,
                        std::int32_t steps) {
    simt::note_step(step);
    // Found by trying, as kept_fragments.
    if constexpr (Form::units == 0)
      own_.template forget_addresses<Gather::in_group ||
                                     (blocks == 4 && (sizeof(T) == 2 || Op::has_second_part))>();
    Inputs inputs;
    const auto meanwhile = [&] {
      if (step > 0) finish(next, made);
      tape(now);
      take(now, inputs);
      look_ahead(next);
    };
    Saved saved;
    if constexpr (Cell::reset_before)
      update_in_halves(now, inputs, channel, saved, meanwhile);
    else
      update(now, inputs, channel, saved, meanwhile);
    keep_for_later(now, saved, made);
    end(now);
    begin(next);
    if (step + 1 < steps) publish(1 - channel, h_);
  }

  // The state before a token: evolved.
  SIMT_DEVICE void begin(const Token& token) {
    if (token.place[0].first() || token.place[1].first()) {
      SIMT_UNROLL
      for (int i = 0; i < pairs; ++i) {
        const Place& place = token.place_of(i);
        if (!place.first()) continue;
        h_[i] = given_sequence(args_.initial_hidden, place.sequence, i);
        if constexpr (Cell::has_cell) c_[i] = given_sequence(args_.initial_cell, place.sequence, i);
      }
    }
    evolve(0, token, h_);
    if constexpr (Cell::has_cell && !usual) evolve(1, token, c_);
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i)
      if (!is_present(i) || (!usual && !token.place_of(i).exists())) h_[i] = c_[i] = 0;
  }
  SIMT_DEVICE void evolve(int part, const Token& token, float (&state)[pairs]) const {
    if (!does_evolve(args_.evolve.kind, part)) return;
    const lacuna_evolve kind = usual ? LACUNA_EVOLVE_DECAY : args_.evolve.kind;
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Evolution time =
          evolution(kind, evolve_.of(own_, i), token.exponent(i), token.dt_of(i), part);
      state[i] = relax(time.factor, time.target, state[i]);
    }
  }

  // What the backward run needs of the state before a token.
  SIMT_DEVICE void tape(const Token& token) const {
    const auto h = [&](int pair) { return h_[pair]; };
    keep(args_.tape_h, token, h);
    if constexpr (!usual) give(args_.evolved_hidden, token, h);
    if constexpr (Cell::has_cell) keep(args_.tape_c, token, [&](int pair) { return c_[pair]; });
  }

  template <class F>
  SIMT_DEVICE void update(const Token& token, const Inputs& inputs, int channel, Saved& saved,
                          F&& meanwhile) {
    float products[blocks][pairs];
    product<0, blocks>(products, channel, meanwhile);
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      R x[Cell::input_gates], p[Cell::product_gates], s[Cell::saved_gates];
      SIMT_UNROLL
      for (int g = 0; g < Cell::input_gates; ++g) x[g] = R(inputs[g][i]);
      SIMT_UNROLL
      for (int g = 0; g < Cell::product_gates; ++g) p[g] = R(products[g][i]);
      if constexpr (Cell::hidden_bias)
        p[Cell::product_gates - 1] = p[Cell::product_gates - 1] + R(biases_.of(own_, i)[3]);
      const UnitState<R> next =
          Cell::forward(x, p, UnitState<R>{R(h_[i]), R(c_[i])}, R(token.dt_of(i)), s);
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g) saved[g][i] = s[g].value();
      h_[i] = token.fires(i) ? next.h.value() : h_[i];
      c_[i] = token.fires(i) ? next.c.value() : c_[i];
    }
  }

  template <class F>
  SIMT_DEVICE void update_in_halves(const Token& token, const Inputs& inputs, int channel,
                                    Saved& saved, F&& meanwhile) {
    float products[2][pairs], candidate[1][pairs], reset_h[pairs];
    product<0, 2>(products, channel, meanwhile);
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      R r, z;
      reset_h[i] =
          Cell::template forward_reset<R>({R(inputs[0][i]), R(inputs[1][i])},
                                          {R(products[0][i]), R(products[1][i])}, R(h_[i]), r, z)
              .value();
      saved[0][i] = r.value();
      saved[1][i] = z.value();
      // Where a weight of the padding, 0, has met an infinity, r is NaN.
      if (!is_present(i)) reset_h[i] = 0;
    }
    publish(reset_channel, reset_h);
    product<2, 3>(candidate, reset_channel, [] {});
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      R n;
      const R next =
          Cell::forward_candidate(R(inputs[2][i]), R(candidate[0][i]), R(saved[1][i]), R(h_[i]), n);
      saved[2][i] = n.value();
      h_[i] = token.fires(i) ? next.value() : h_[i];
    }
  }

  SIMT_DEVICE void keep_for_later(const Token& token, Saved& saved, Made& made) const {
    this->clear_idle(token, saved);
    SIMT_UNROLL
    for (int side = 0; side < 2; ++side) {
      const int first = Own::pair_of(side, 0), second = Own::pair_of(side, 1);
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g)
        made.saved[g][side] = two_of<T>(saved[g][first], saved[g][second]);
      made.h[side] = two_of<T>(h_[first], h_[second]);
    }
    if constexpr (!usual) {
      SIMT_UNROLL
      for (int i = 0; i < pairs; ++i) made.c[i] = c_[i];
    }
  }
  // Gives gates and the state after a token to whoever asked for them.
  SIMT_DEVICE void finish(const Token& token, const Made& made) const {
    this->template keep_twos<Cell::saved_gates>(
        args_.gates, token, [&](int gate, int side) { return made.saved[gate][side]; });
    this->give_twos(args_.hidden_out, token, [&](int side) { return made.h[side]; });
    if constexpr (Cell::has_cell && !usual)
      give(args_.cell_out, token, [&](int pair) { return made.c[pair]; });
  }
  SIMT_DEVICE void end(const Token& token) const {
    if (!token.place[0].last() && !token.place[1].last()) return;
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Place& place = token.place_of(i);
      if (!place.last()) continue;
      give_sequence(args_.final_hidden, place.sequence, i, h_[i]);
      if constexpr (Cell::has_cell) give_sequence(args_.final_cell, place.sequence, i, c_[i]);
    }
  }

  Division division_;
  Gather& gather_;
  UnitNumbers biases_, evolve_;  // of the input gates, and behind them b_hn; of the evolve
  simt::Float4* partial_sums_;
  Lane<false> lane_[2];
  Weights weights_;
  float h_[pairs] = {}, c_[pairs] = {};
};

template <class Cell, class T, class E, class Form, class Gather>
SIMT_DEVICE void walk_forward(const ResidentForward<T>& args, const Division& division,
                              Gather& gather, simt::SharedCarver& shared) {
  const ForwardMemory<Cell, E, Gather> memory{division};
  const UnitNumbers biases(shared, division), evolve(shared, division);
  simt::Float4* partial_sums = nullptr;
  if constexpr (Gather::in_group)
    if (division.depths > 1) partial_sums = shared.take<simt::Float4>(memory.partial_sums());
  auto* const weights =
      shared.take<std::uint32_t>(static_cast<std::size_t>(memory.warp_words() * division.warps()));
  ForwardTile<Cell, T, E, Gather, Form>(args, division, gather, biases, evolve, partial_sums,
                                        weights)
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
            resident::is_usual(args), args.hidden, [&]<class Form>(Form) {
              simt::launch(resident::launch_of_tiles(args.lanes, division, bytes(some)), stream,
                           resident::forward<Cell, T, Some, Form>, args);
            });
      });
    });
  });
}

}  // namespace lacuna
