// The whole recurrence in one launch, forward: a block, or a group of blocks, walks its lanes from end to end. Of a step
// only the product, the gates and the way of h to those who multiply it depend on the step before; inputs and evolve
// factors of the next token are fetched while the present one is computed.
//
//   per step: product, update, evolve, publish; one meeting. What goes to memory and comes from there does so while the
//   next product is computed
//   gru_reset_before: product of r and z, publish r h, meeting, product of n, ...
//
// Here is what a walk does besides its product, of which there are two: on tensor cores for eight lanes (forward.h), and in
// plain arithmetic for a single one (lone/forward.h).
#pragma once

#include <cstdint>

#include "kernels/recurrence/cell_steps.h"
#include "kernels/recurrence/resident/access.h"
#include "kernels/recurrence/resident/evolve.h"
#include "kernels/recurrence/resident/forms.h"
#include "kernels/recurrence/resident/lanes.h"
#include "kernels/recurrence/resident/number.h"
#include "kernels/recurrence/resident/operands.h"
#include "kernels/recurrence/views.h"

namespace lacuna {

// T: float, Fp16 or Bf16.
template <class T>
struct ResidentForward : ForwardView<T> {
  const T* weights = nullptr;    // [G units, units]: W_h, zeros in its padding
  std::int32_t lanes = 0;        // whole tiles
  bool tf32 = false;             // float: products of 11 bits instead of two parts of 11
  std::size_t shared_bytes = 0;  // that a block may have
};

namespace resident {

// Whether ForwardWalk's usual case is this.
template <class Own, class T>
bool is_usual(const ResidentForward<T>& args) {
  return is_usual_walk(args) && !args.evolved_hidden && !args.cell_out &&
         goes_whole<Own>(args.hidden_out, args.hidden);
}

// Product: what multiplies a state by W_h, and how the state gets there (ForwardProduct; lone::ForwardProduct).
template <class Cell, class T, class Product, class Form>
class ForwardWalk : TileAccess<ResidentForward<T>, typename Product::Own, Form> {
  using Own = typename Product::Own;
  using Access = TileAccess<ResidentForward<T>, Own, Form>;
  static constexpr bool usual = Form::usual;
  using Access::args_, Access::own_, Access::pairs, Access::is_present, Access::hidden,
      Access::units, Access::keep, Access::kept, Access::give, Access::give_sequence,
      Access::given_sequence;
  template <class X>
  using Row = typename Access::template Row<X>;
  static constexpr int blocks = weight_blocks<Cell>;

  // What is known of the next token before its turn, as it lies in memory.
  struct Token : Meeting<Own, usual> {
    Row<float> x[Cell::input_gates] = {};  // W_x x. Arbitrary where the token does not fire
    Row<float> exponents[1] = {};          // of decay

    SIMT_DEVICE float input(int gate, int pair) const {
      return Access::template at_pair<float>(x[gate], pair);
    }
    SIMT_DEVICE float exponent(int pair) const {
      return Access::template at_pair<float>(exponents[0], pair);
    }
  };
  using R = Number<T>;
  using Saved = float[Cell::saved_gates][pairs];
  using Inputs = float[Cell::input_gates][pairs];
  // What has been made of a token and not been stored yet.
  struct Made {
    Row<T> saved[Cell::saved_gates], h;
    float c[usual ? 1 : pairs];  // cell_out
  };

 public:
  // `product`: what a Product is made of besides.
  template <class... A>
  SIMT_DEVICE ForwardWalk(const ResidentForward<T>& args, const Own& own, UnitNumbers biases,
                          UnitNumbers evolve, A&&... product)
      : Access(args, own),  // gcov: what would follow an exception
        cell_(cell_of<Cell>(args.cell)),
        biases_(biases),
        evolve_(evolve),
        lanes_(args.sequences, this->first_lane(), args.lanes),
        product_(args, units(), own_, product...) {}

  SIMT_DEVICE void run() {
    const std::int32_t steps = steps_of_tile<Own, false>(args_.sequences, own_.tile, args_.lanes);
    if constexpr (Product::in_group)
      if (own_.depth != 0) return product_.help(own_, steps);
    prepare();
    if (steps == 0) return;
    Token even, odd;
    look_ahead(even);
    begin(even);
    product_.publish(own_, 0, h_);
    if constexpr (usual) {
      // In pairs, so that no number that is still on its way has to be moved from one token to the other.
      Made made;
      for (std::int32_t left = steps; left > 0; left -= 2) {
        simt::note_step(steps - left);
        const bool has_made = left != steps;
        walk(even, odd, made, 0, has_made, left > 1);
        if (left == 1) return finish(even, made);
        simt::note_step(steps - left + 1);
        walk(odd, even, made, 1, true, left > 2);
      }
      finish(odd, made);
    } else {
      // Half the code: what may be asked for makes much of it. By the end of a step such numbers should have arrived (not timed).
      Made made = {};
      for (std::int32_t step = 0; step < steps; ++step) {
        simt::note_step(step);
        walk(even, odd, made, step % 2, step > 0, step + 1 < steps);
        const Token before = even;
        even = odd;
        odd = before;
      }
      finish(odd, made);
    }
  }

 private:
  SIMT_DEVICE void prepare() {
    biases_.fill(own_, hidden(), [&](int which, int unit) {
      if (which < Cell::input_gates) return args_.bias[which * hidden() + unit];
      return Cell::hidden_bias && which == 3 && args_.bias_hn ? args_.bias_hn[unit] : 0.0f;
    });
    evolve_.fill(own_, hidden(), [&](int which, int unit) {
      return evolve_number(args_.evolve, which, unit, hidden(), Cell::has_cell);
    });
    this->pass_empty(lanes_, args_.final_hidden, args_.initial_hidden);
    if constexpr (Cell::has_cell) this->pass_empty(lanes_, args_.final_cell, args_.initial_cell);
    lanes_.begin();
  }

  SIMT_DEVICE void look_ahead(Token& token) {
    if constexpr (!usual) token = {};
    this->advance(lanes_, token, reads_gap(cell_));
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
  // nothing else would keep a warp busy then. has_made, goes_on: there is a step before this one, and one behind it.
  SIMT_DEVICE void walk(const Token& now, Token& next, Made& made, int channel, bool has_made,
                        bool goes_on) {
    // Found by trying, as kept_fragments.
    if constexpr (Form::units == 0)
      own_.template forget_addresses<Product::template forgets_thread<T>>();
    Inputs inputs;
    const auto meanwhile = [&] {
      if (has_made) finish(next, made);
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
    if (goes_on) product_.publish(own_, 1 - channel, h_);
  }

  // The state before a token: evolved.
  SIMT_DEVICE void begin(const Token& token) {
    if (token.any_first()) {
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
    product_.template multiply<0, blocks>(own_, products, channel, meanwhile);
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
          cell_.forward(x, p, UnitState<R>{R(h_[i]), R(c_[i])}, R(token.dt_of(i)), s);
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
    product_.template multiply<0, 2>(own_, products, channel, meanwhile);
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
    product_.publish(own_, reset_channel, reset_h);
    product_.template multiply<2, 3>(own_, candidate, reset_channel, [] {});
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
    for (int side = 0; side < Own::lanes; ++side) {
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g)
        made.saved[g][side] =
            Access::template some_of<T>(side, [&](int pair) { return saved[g][pair]; });
      made.h[side] = Access::template some_of<T>(side, [&](int pair) { return h_[pair]; });
    }
    if constexpr (!usual) {
      SIMT_UNROLL
      for (int i = 0; i < pairs; ++i) made.c[i] = c_[i];
    }
  }
  // Gives gates and the state after a token to whoever asked for them.
  SIMT_DEVICE void finish(const Token& token, const Made& made) const {
    this->template keep_some<Cell::saved_gates>(
        args_.gates, token, [&](int gate, int side) { return made.saved[gate][side]; });
    this->give_some(args_.hidden_out, token, [&](int side) { return made.h[side]; });
    if constexpr (Cell::has_cell && !usual)
      give(args_.cell_out, token, [&](int pair) { return made.c[pair]; });
  }
  SIMT_DEVICE void end(const Token& token) const {
    if (!token.any_last()) return;
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Place& place = token.place_of(i);
      if (!place.last()) continue;
      give_sequence(args_.final_hidden, place.sequence, i, h_[i]);
      if constexpr (Cell::has_cell) give_sequence(args_.final_cell, place.sequence, i, c_[i]);
    }
  }

  Cell cell_;
  UnitNumbers biases_, evolve_;  // of the input gates, and behind them b_hn; of the evolve
  Lanes<false, Own::lanes> lanes_;
  Product product_;
  float h_[pairs] = {}, c_[pairs] = {};
};

}  // namespace resident
}  // namespace lacuna
