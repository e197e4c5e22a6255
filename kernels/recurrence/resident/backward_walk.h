// The whole recurrence in one launch, backward. The same lanes walk the same sequences, each from its last token. What
// stays in place is W_h transposed: of a step only the product of the gates' gradients with it, and the way of those
// gradients through shared memory, depend on the step before.
//
//   per step: gates backward, publish, barrier, product, evolve backward
//   gru_reset_before: z and n backward, publish, barrier, product of n, r backward, publish, barrier, product of r and z, ...
//
// Here is what a walk does besides its product: see forward_walk.h.
#pragma once

#include <cstdint>

#include "kernels/recurrence/resident/forward_walk.h"

namespace lacuna {

// T: float, Fp16 or Bf16.
template <class T>
struct ResidentBackward : BackwardView<T> {
  const T* weights = nullptr;    // [G units, units]: W_h, zeros in its padding
  std::int32_t lanes = 0;        // whole tiles
  bool tf32 = false;             // float: products of 11 bits instead of two parts of 11
  std::size_t shared_bytes = 0;  // that a block may have
};

namespace resident {

// Whether BackwardWalk's usual case is this.
template <class Own, class T>
bool is_usual(const ResidentBackward<T>& args) {
  return is_usual_walk(args) && !args.d_cell_out && !args.d_hidden_rows &&
         goes_whole<Own>(args.d_hidden_out, args.hidden);
}

// Product: what multiplies gradients of gates by W_h transposed, and how they get there (BackwardProduct;
// lone::BackwardProduct).
template <class Cell, class T, class Product, class Form>
class BackwardWalk : TileAccess<ResidentBackward<T>, typename Product::Own, Form> {
  using Own = typename Product::Own;
  using Access = TileAccess<ResidentBackward<T>, Own, Form>;
  static constexpr bool usual = Form::usual;
  using Access::args_, Access::own_, Access::pairs, Access::is_present, Access::hidden,
      Access::units, Access::keep, Access::kept, Access::given, Access::give_sequence,
      Access::given_sequence;
  using Given = typename Access::template Given<T>;
  template <class X>
  using Row = typename Access::template Row<X>;
  static constexpr int blocks = weight_blocks<Cell>;

  // What there are no registers for, and few layers read, is fetched when its turn has come.
  static constexpr bool fetches_h = Product::template fetches_h<Cell>;
  static constexpr bool fetches_exponent = Product::template fetches_exponent<Cell>;

  // What is known of the next token before its turn, as it lies in memory.
  struct Token : Meeting<Own, usual> {
    Row<T> gates[Cell::saved_gates] = {};
    Given d_h;                     // dL/d(output) of the token
    Row<float> cells[1] = {};      // c of the tape: evolved
    Row<T> states[1] = {};         // h, where something reads it. fetches_h
    Row<float> exponents[1] = {};  // of decay. fetches_exponent

    SIMT_DEVICE void saved(Number<T> (&to)[Cell::saved_gates], int pair) const {
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g)
        to[g] = Number<T>(Access::template at_pair<T>(gates[g], pair));
    }
    SIMT_DEVICE float c(int pair) const { return Access::template at_pair<float>(cells[0], pair); }
    SIMT_DEVICE float h(int pair) const { return Access::template at_pair<T>(states[0], pair); }
    SIMT_DEVICE float exponent(int pair) const {
      return Access::template at_pair<float>(exponents[0], pair);
    }
  };
  using R = Number<T>;

  // The same once they are there.
  struct Arrived {
    R saved[pairs][Cell::saved_gates];
    float d_h[pairs], c[pairs], h[pairs], exponent[pairs];
  };
  using Gradients = float[Cell::gradient_gates][pairs];

 public:
  // `product`: what a Product is made of besides.
  template <class... A>
  SIMT_DEVICE BackwardWalk(const ResidentBackward<T>& args, const Own& own, UnitNumbers evolve,
                           A&&... product)
      : Access(args, own),  // gcov: what would follow an exception
        cell_(cell_of<Cell>(args.cell)),
        evolve_(evolve),
        lanes_(args.sequences, this->first_lane(), args.lanes),
        product_(args, units(), own_, product...) {}

  SIMT_DEVICE void run() {
    const std::int32_t steps = steps_of_tile<Own, true>(args_.sequences, own_.tile, args_.lanes);
    if constexpr (Product::in_group)
      if (own_.depth > 0) return product_.help(own_, steps);
    prepare();
    if (steps == 0) return;
    Token even, odd;
    look_ahead(even);
    if constexpr (usual) {
      // As in forward_walk.h.
      for (std::int32_t left = steps; left > 0; left -= 2) {
        simt::note_step(steps - left);
        walk(even, odd, 0);
        if (left == 1) break;
        simt::note_step(steps - left + 1);
        walk(odd, even, 1);
      }
    } else {
      for (std::int32_t step = 0; step < steps; ++step) {
        simt::note_step(step);
        walk(even, odd, step % 2);
        even = odd;
      }
    }
  }

 private:
  SIMT_DEVICE void prepare() {
    evolve_.fill(own_, hidden(), [&](int which, int unit) {
      return evolve_number(args_.evolve, which, unit, hidden(), Cell::has_cell);
    });
    this->pass_empty(lanes_, args_.d_initial_hidden, args_.d_final_hidden);
    if constexpr (Cell::has_cell)
      this->pass_empty(lanes_, args_.d_initial_cell, args_.d_final_cell);
    lanes_.begin();
  }

  SIMT_DEVICE void look_ahead(Token& token) {
    if constexpr (!usual) token = {};
    this->advance(lanes_, token, reads_gap(cell_));
    kept(args_.gates, token, token.gates);
    given(args_.d_hidden_out, token, token.d_h);
    if constexpr (Cell::has_cell) kept(args_.tape_c, token, token.cells);
    const lacuna_evolve kind = args_.evolve.kind;
    if constexpr (fetches_h)
      if (Cell::backward_reads_h || does_evolve(kind, 0)) kept(args_.tape_h, token, token.states);
    if constexpr (fetches_exponent) {
      if (kind == LACUNA_EVOLVE_DECAY) kept(args_.evolve.exponent, token, token.exponents);
    }
  }
  // As in forward_walk.h: before numbers of the next token are asked for.
  SIMT_DEVICE void take(const Token& token, Arrived& now) const {
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      token.saved(now.saved[i], i);
      now.d_h[i] = this->number(token.d_h, i);
      now.c[i] = Cell::has_cell ? token.c(i) : 0;
      now.h[i] = fetches_h ? token.h(i) : 0;
      now.exponent[i] = fetches_exponent ? token.exponent(i) : 0;
    }
  }
  SIMT_DEVICE float h_of(const Token& token, int pair) const {
    if constexpr (fetches_h) return token.h(pair);
    return this->kept_one(args_.tape_h, token, pair);
  }
  SIMT_DEVICE float h_of(const Token& token, const Arrived& now, int pair) const {
    return fetches_h ? now.h[pair] : h_of(token, pair);
  }
  SIMT_DEVICE float exponent_of(const Token& token, const Arrived& now, int pair) const {
    if constexpr (fetches_exponent) return now.exponent[pair];
    if (args_.evolve.kind != LACUNA_EVOLVE_DECAY) return 0;
    return this->kept_one(args_.evolve.exponent, token, pair);
  }
  // What a cell's backward reads.
  SIMT_DEVICE static UnitState<R> state_of(const Arrived& now, int pair) {
    static_assert(fetches_h || !Cell::backward_reads_h);
    return {R(now.h[pair]), R(now.c[pair])};
  }

  // step: 0 and 1 in turn.
  SIMT_DEVICE void walk(const Token& now, Token& next, std::int32_t step) {
    if constexpr (Form::units == 0) own_.template forget_addresses<Product::in_group>();
    Arrived numbers;
    take(now, numbers);
    look_ahead(next);
    receive(now, numbers);
    if constexpr (Cell::reset_before)
      update_in_halves(now, numbers, step);
    else
      update(now, numbers, step);
    evolve(now, numbers, next);
  }

  // All of dL/d(state after the token).
  SIMT_DEVICE void receive(const Token& token, const Arrived& now) {
    float d_h[pairs], d_c[pairs];
    Given d_cell_out;
    if constexpr (Cell::has_cell && !usual) given(args_.d_cell_out, token, d_cell_out);
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      d_h[i] = now.d_h[i];
      d_c[i] = usual ? 0 : this->number(d_cell_out, i);
    }
    if (token.any_last()) {
      SIMT_UNROLL
      for (int i = 0; i < pairs; ++i) {
        const Place& place = token.place_of(i);
        if (!place.last()) continue;
        d_h[i] += given_sequence(args_.d_final_hidden, place.sequence, i);
        d_h_[i] = 0;
        if constexpr (Cell::has_cell) {
          d_c[i] += given_sequence(args_.d_final_cell, place.sequence, i);
          d_c_[i] = 0;
        }
      }
    }
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      d_h_[i] = d_h[i] + d_h_[i];
      if constexpr (Cell::has_cell) d_c_[i] = d_c[i] + d_c_[i];
    }
    if constexpr (!usual)
      keep(args_.d_hidden_rows, token, [&](int pair) { return is_present(pair) ? d_h_[pair] : 0; });
  }

  // What the product waits for comes first; what goes to memory, for the sums over all tokens, follows.
  SIMT_DEVICE void update(const Token& token, const Arrived& now, std::int32_t step) {
    Gradients d_gates;
    float d_dt[1][pairs];
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      R d[Cell::gradient_gates], of_dt;
      const UnitState<R> direct =
          cell_.backward(now.saved[i], state_of(now, i), UnitState<R>{R(d_h_[i]), R(d_c_[i])},
                         R(token.dt_of(i)), d, of_dt);
      const bool fires = token.fires(i);
      d_h_[i] = fires ? direct.h.value() : d_h_[i];
      d_c_[i] = fires ? direct.c.value() : d_c_[i];
      d_dt[0][i] = of_dt.value();
      SIMT_UNROLL
      for (int g = 0; g < Cell::gradient_gates; ++g) d_gates[g][i] = d[g].value();
    }
    this->clear_idle(token, d_gates);
    SIMT_UNROLL
    for (int g = 0; g < Cell::product_gates; ++g)
      product_.publish(own_, step, g, d_gates[Cell::product_gradient(g)]);
    product_.meet();
    product_.template add<0, blocks>(own_, step, d_h_, [&] {
      this->template keep<Cell::gradient_gates>(
          args_.d_gates, token, [&](int gate, int pair) { return d_gates[gate][pair]; });
      if constexpr (Cell::reads_gap) {
        this->clear_idle(token, d_dt);
        keep(args_.d_euler, token, [&](int pair) { return d_dt[0][pair]; });
      }
    });
  }

  SIMT_DEVICE void update_in_halves(const Token& token, const Arrived& now, std::int32_t step) {
    float d_reset[pairs] = {}, reset_h[1][pairs];
    Gradients d_gates = {};
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      R d_z, d_n;
      const R direct = Cell::backward_candidate(now.saved[i][1], now.saved[i][2], R(now.h[i]),
                                                R(d_h_[i]), d_z, d_n);
      const bool fires = token.fires(i);
      d_h_[i] = fires ? direct.value() : d_h_[i];
      d_gates[1][i] = d_z.value();
      d_gates[2][i] = d_n.value();
    }
    this->clear_idle(token, d_gates);
    product_.publish(own_, step, 1, d_gates[1]);
    product_.publish(own_, step, 2, d_gates[2]);
    product_.meet();
    product_.template add<2, 3>(own_, step, d_reset, [] {});
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      // Where the token does not fire, r and d_reset are 0, and so is what d_h receives.
      R d_r;
      const R reset = now.saved[i][0], h(now.h[i]);
      d_h_[i] += Cell::backward_reset(reset, h, R(d_reset[i]), d_r).value();
      d_gates[0][i] = d_r.value();
      reset_h[0][i] = (reset * h).value();
    }
    this->clear_idle(token, d_gates);
    this->clear_idle(token, reset_h);
    product_.publish(own_, step, 0, d_gates[0]);
    product_.meet();
    product_.template add<0, 2>(own_, step, d_h_, [&] {
      this->template keep<Cell::gradient_gates>(
          args_.d_gates, token, [&](int gate, int pair) { return d_gates[gate][pair]; });
      keep(args_.reset_operand, token, [&](int pair) { return reset_h[0][pair]; });
    });
  }

  // The h that a token began with, where a rounded tape does not do for it (evolve_units.h): what the token before made of
  // its own, which `before` holds already.
  SIMT_DEVICE float h_before(const Token& token, const Token& before, int pair) const {
    const Place& place = token.place_of(pair);
    if (place.first()) return given_sequence(args_.initial_hidden, place.sequence, pair);
    if (!before.fires(pair)) return h_of(before, pair);
    R s[Cell::saved_gates];
    before.saved(s, pair);
    const UnitState<R> state{R(h_of(before, pair)), R(before.c(pair))};
    return cell_.next_h(s, state, R(before.dt_of(pair))).value();
  }

  // Back through what time did before the token, and out at a sequence's begin.
  SIMT_DEVICE void evolve(const Token& token, const Arrived& now, const Token& before) {
    const bool relaxes = !usual && args_.evolve.kind == LACUNA_EVOLVE_RELAX;
    if (does_evolve(args_.evolve.kind, 0))
      evolve_part<0>(token, now, d_h_, [&](int pair, const Evolution& time) {
        if (sizeof(T) < sizeof(float) && relaxes)
          return relax(time.factor, time.target, h_before(token, before, pair));
        return h_of(token, now, pair);
      });
    if constexpr (Cell::has_cell)
      if (relaxes)
        evolve_part<1>(token, now, d_c_, [&](int pair, const Evolution&) { return now.c[pair]; });
    if (!token.any_first()) return;
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Place& place = token.place_of(i);
      if (!place.first()) continue;
      give_sequence(args_.d_initial_hidden, place.sequence, i, d_h_[i]);
      if constexpr (Cell::has_cell) give_sequence(args_.d_initial_cell, place.sequence, i, d_c_[i]);
    }
  }

  // `d`: in, dL/d(evolved state); out, dL/d(state before). evolved(pair, time): the state's part.
  template <int part, class F>
  SIMT_DEVICE void evolve_part(const Token& token, const Arrived& now, float (&d)[pairs],
                               F&& evolved) const {
    constexpr int parts = Cell::has_cell ? 2 : 1;
    const lacuna_evolve kind = usual ? LACUNA_EVOLVE_DECAY : args_.evolve.kind;
    const bool relaxes = kind == LACUNA_EVOLVE_RELAX;
    float d_exponent[pairs] = {}, d_target[pairs] = {};
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      const Evolution time =
          evolution(kind, evolve_.of(own_, i), exponent_of(token, now, i), token.dt_of(i), part);
      const float state = evolved(i, time);
      if (is_present(i)) {
        d_exponent[i] = relaxes ? relax_d_exponent(time.target, state, d[i])
                                : decay_d_pre(time.exponent, state, d[i]);
        d_target[i] = relax_d_target(time.factor, d[i]);
      }
      d[i] = time.factor * d[i];
    }
    const auto exponents = [&](int, int pair) { return d_exponent[pair]; };
    if (!relaxes) return this->template keep<1>(args_.d_evolve.d_exponent, token, exponents);
    this->template keep<parts, part, part + 1>(args_.d_evolve.d_exponent, token, exponents);
    this->template keep<parts, part, part + 1>(args_.d_evolve.d_target, token,
                                               [&](int, int pair) { return d_target[pair]; });
  }

  Cell cell_;
  UnitNumbers evolve_;
  Lanes<true, Own::lanes> lanes_;
  Product product_;
  float d_h_[pairs] = {}, d_c_[pairs] = {};
};

}  // namespace resident
}  // namespace lacuna
