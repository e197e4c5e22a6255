// The cells as the device's recurrences, and the CPU's normalised cells, see them: one adaptor per cell, from numbers of one
// unit to numbers of one unit, and the one place that goes from lacuna_cell to it. The mathematics is that of kernels/cells.
//
// An adaptor has
//   input_gates     of W_x x + b, G
//   product_gates   of the product with h that comes before the gates, Gh
//   saved_gates     what the tape keeps of a token; as many as gradient_gates, which come to lie in their place where they
//                   are computed again
//   gradient_gates  what the weight gradients need of a token: input_gates of them, then the rest
//   product_gradient(g)  which of those belongs to the product's gate g
//   has_cell        there is a c besides h
//   backward_reads_h  its way back needs the evolved h
//   reads_gap       the time before the token is part of its update
//   hidden_bias     the product's last gate has a bias of its own
//   reset_before    there is a second product, so that a step comes in two halves
//   shows           h' is of a c' that was normalised in between: forward_c, show, backward_c
// and forward and backward, by halves where reset_before; and next_h: h' again, from what the tape keeps. Where has_cell,
// layer normalisation goes by forward_c and backward_c, up to c' and from it. One of RnnStep<RnnOf> is made by cell_of; the
// others have no state.
#pragma once

#include <type_traits>

#include "kernels/cells/gru.h"
#include "kernels/cells/lstm.h"
#include "kernels/cells/rnn.h"
#include "lacuna/lacuna.h"

namespace lacuna {

template <class R>
struct UnitState {
  R h, c;  // c: 0 in cells without one
};

// Any of kernels/cells/rnn.h, by what `cell` says when it runs.
struct RnnOf {
  static constexpr bool reads_gap = true;  // some do
  lacuna_cell cell = LACUNA_RNN_TANH;

  // f(the one that it is).
  template <class F>
  LACUNA_FN auto known(F&& f) const {
    switch (cell) {
      case LACUNA_RNN_RELU: return f(RnnRelu{});
      case LACUNA_RNN_EULER: return f(RnnEuler{});
      default: return f(RnnTanh{});
    }
  }
  template <class V>
  LACUNA_FN V activate(V p) const {
    return known([&]<class Form>(Form) { return Form::activate(p); });
  }
  template <class V>
  LACUNA_FN V next(V activation, V h, V dt) const {
    return known([&]<class Form>(Form) { return Form::next(activation, h, dt); });
  }
  template <class V>
  LACUNA_FN V d_pre(V activation, V d_next, V dt) const {
    return known([&]<class Form>(Form) { return Form::d_pre(activation, d_next, dt); });
  }
  template <class V>
  LACUNA_FN V d_direct(V d_next) const {
    return known([&]<class Form>(Form) { return Form::d_direct(d_next); });
  }
  template <class V>
  LACUNA_FN V d_dt(V activation, V d_next) const {
    return known([&]<class Form>(Form) { return Form::d_dt(activation, d_next); });
  }
};

// Form: of kernels/cells/rnn.h, or RnnOf.
template <class Form>
struct RnnStep {
  Form form = {};
  static constexpr bool shows = false;
  static constexpr int input_gates = 1, product_gates = 1, saved_gates = 1, gradient_gates = 1;
  static constexpr bool has_cell = false, reads_gap = Form::reads_gap;
  static constexpr bool backward_reads_h = false, hidden_bias = false, reset_before = false;
  LACUNA_FN static constexpr int product_gradient(int g) { return g; }

  // input: W_x x + b; product: W_h h.
  template <class R>
  LACUNA_FN UnitState<R> forward(const R (&input)[1], const R (&product)[1], UnitState<R> state,
                                 R dt, R (&saved)[1]) const {
    saved[0] = form.activate(input[0] + product[0]);
    return {form.next(saved[0], state.h, dt), R(0)};
  }
  template <class R>
  LACUNA_FN R next_h(const R (&saved)[1], UnitState<R> state, R dt) const {
    return form.next(saved[0], state.h, dt);
  }
  // Returns the part of dL/d(state) that passes through no product; d_dt: what the unit adds to dL/ddt.
  template <class R>
  LACUNA_FN UnitState<R> backward(const R (&saved)[1], UnitState<R> /*state*/, UnitState<R> d_next,
                                  R dt, R (&d_gates)[1], R& d_dt) const {
    d_gates[0] = form.d_pre(saved[0], d_next.h, dt);
    d_dt = form.d_dt(saved[0], d_next.h);
    return {form.d_direct(d_next.h), R(0)};
  }
};

struct LstmStep {
  static constexpr bool shows = false;
  static constexpr int input_gates = 4, product_gates = 4, saved_gates = 4, gradient_gates = 4;
  static constexpr bool has_cell = true, reads_gap = false;
  static constexpr bool backward_reads_h = false, hidden_bias = false, reset_before = false;
  LACUNA_FN static constexpr int product_gradient(int g) { return g; }

  template <class R>
  LACUNA_FN static UnitState<R> forward(const R (&input)[4], const R (&product)[4],
                                        UnitState<R> state, R /*dt*/, R (&saved)[4]) {
    const LstmGates<R> gate = lstm_gates(input[0] + product[0], input[1] + product[1],
                                         input[2] + product[2], input[3] + product[3]);
    saved[0] = gate.i;
    saved[1] = gate.f;
    saved[2] = gate.g;
    saved[3] = gate.o;
    const LstmState<R> next = lstm_next(gate, state.c);
    return {next.h, next.c};
  }
  template <class R>
  LACUNA_FN static R next_h(const R (&saved)[4], UnitState<R> state, R /*dt*/) {
    return lstm_next(LstmGates<R>{saved[0], saved[1], saved[2], saved[3]}, state.c).h;
  }
  // Returns c'.
  template <class R>
  LACUNA_FN static R forward_c(const R (&input)[4], const R (&product)[4], R c, R (&saved)[4]) {
    const LstmGates<R> gate = lstm_gates(input[0] + product[0], input[1] + product[1],
                                         input[2] + product[2], input[3] + product[3]);
    saved[0] = gate.i;
    saved[1] = gate.f;
    saved[2] = gate.g;
    saved[3] = gate.o;
    return lstm_next_c(gate, c);
  }
  template <class R>
  LACUNA_FN static R next_c(const R (&saved)[4], R c) {
    return lstm_next_c(LstmGates<R>{saved[0], saved[1], saved[2], saved[3]}, c);
  }
  // d_next: all of dL/dc'; d_o: dL/do. Returns dL/dc.
  template <class R>
  LACUNA_FN static R backward_c(const R (&saved)[4], R c, R d_next, R d_o, R (&d_gates)[4]) {
    const LstmGates<R> gate{saved[0], saved[1], saved[2], saved[3]};
    const LstmShownGradients<R> of_h{R(0), d_o, R(0)};
    const LstmGradients<R> d = lstm_gates_backward(gate, c, d_next, of_h);
    d_gates[0] = d.pre.i;
    d_gates[1] = d.pre.f;
    d_gates[2] = d.pre.g;
    d_gates[3] = d.pre.o;
    return d.c;
  }
  template <class R>
  LACUNA_FN static UnitState<R> backward(const R (&saved)[4], UnitState<R> state,
                                         UnitState<R> d_next, R /*dt*/, R (&d_gates)[4], R& d_dt) {
    const LstmGates<R> gate{saved[0], saved[1], saved[2], saved[3]};
    const LstmGradients<R> d = lstm_backward(gate, state.c, d_next.h, d_next.c);
    d_gates[0] = d.pre.i;
    d_gates[1] = d.pre.f;
    d_gates[2] = d.pre.g;
    d_gates[3] = d.pre.o;
    d_dt = R(0);
    return {R(0), d.c};
  }
};

// With layer normalisation. `shown`: what stands in the place of c' in h' = o tanh(c').
struct NormLstmStep : LstmStep {
  static constexpr bool shows = true;

  template <class R>
  LACUNA_FN static R show(R o, R shown) {
    return o * hyperbolic_tangent(shown);
  }
};

// Saved: r, z, n and W_hn h + b_hn. Gradients: r, z, n and that of W_hn h + b_hn.
struct GruStep {
  static constexpr bool shows = false;
  static constexpr int input_gates = 3, product_gates = 3, saved_gates = 4, gradient_gates = 4;
  static constexpr bool has_cell = false, reads_gap = false;
  static constexpr bool backward_reads_h = true, hidden_bias = true, reset_before = false;
  LACUNA_FN static constexpr int product_gradient(int g) { return g < 2 ? g : 3; }

  template <class R>
  LACUNA_FN static UnitState<R> forward(const R (&input)[3], const R (&product)[3],
                                        UnitState<R> state, R /*dt*/, R (&saved)[4]) {
    saved[0] = sigmoid(input[0] + product[0]);
    saved[1] = sigmoid(input[1] + product[1]);
    saved[2] = gru_candidate(saved[0], input[2], product[2]);
    saved[3] = product[2];
    return {gru_next(saved[1], saved[2], state.h), R(0)};
  }
  template <class R>
  LACUNA_FN static R next_h(const R (&saved)[4], UnitState<R> state, R /*dt*/) {
    return gru_next(saved[1], saved[2], state.h);
  }
  template <class R>
  LACUNA_FN static UnitState<R> backward(const R (&saved)[4], UnitState<R> state,
                                         UnitState<R> d_next, R /*dt*/, R (&d_gates)[4], R& d_dt) {
    const GruGradients<R> d =
        gru_backward(saved[0], saved[1], saved[2], saved[3], state.h, d_next.h);
    d_gates[0] = d.r;
    d_gates[1] = d.z;
    d_gates[2] = d.n;
    d_gates[3] = d.n_hidden;
    d_dt = R(0);
    return {d.h, R(0)};
  }
};

// Saved: r, z, n. The candidate's product W_hn (r h) comes between the halves.
struct GruResetBeforeStep {
  static constexpr bool shows = false;
  static constexpr int input_gates = 3, product_gates = 2, saved_gates = 3, gradient_gates = 3;
  static constexpr bool has_cell = false, reads_gap = false;
  static constexpr bool backward_reads_h = true, hidden_bias = false, reset_before = true;
  LACUNA_FN static constexpr int product_gradient(int g) { return g; }

  // input: of r and z. Returns r h.
  template <class R>
  LACUNA_FN static R forward_reset(const R (&input)[2], const R (&product)[2], R h, R& r, R& z) {
    r = sigmoid(input[0] + product[0]);
    z = sigmoid(input[1] + product[1]);
    return r * h;
  }
  // input: of n. Returns h'.
  template <class R>
  LACUNA_FN static R forward_candidate(R input, R product, R z, R h, R& n) {
    n = hyperbolic_tangent(input + product);
    return gru_next(z, n, h);
  }
  template <class R>
  LACUNA_FN static R next_h(const R (&saved)[3], UnitState<R> state, R /*dt*/) {
    return gru_next(saved[1], saved[2], state.h);
  }
  // Returns the part of dL/dh that passes through no product.
  template <class R>
  LACUNA_FN static R backward_candidate(R z, R n, R h, R d_next, R& d_z, R& d_n) {
    const GruResetBeforeGradients<R> d = gru_reset_before_backward(z, n, h, d_next);
    d_z = d.z;
    d_n = d.n;
    return d.h;
  }
  // d_reset_h: dL/d(r h). Returns what dL/dh receives from it.
  template <class R>
  LACUNA_FN static R backward_reset(R r, R h, R d_reset_h, R& d_r) {
    d_r = gru_reset_before_d_reset(r, h, d_reset_h);
    return d_reset_h * r;
  }
};

// f(adaptor).
template <class F>
auto with_cell(lacuna_cell cell, F&& f) {
  switch (cell) {
    case LACUNA_RNN_RELU: return f(RnnStep<RnnRelu>{});
    case LACUNA_RNN_EULER: return f(RnnStep<RnnEuler>{});
    case LACUNA_LSTM: return f(LstmStep{});
    case LACUNA_GRU: return f(GruStep{});
    case LACUNA_GRU_RESET_BEFORE: return f(GruResetBeforeStep{});
    default: return f(RnnStep<RnnTanh>{});
  }
}

// An adaptor for code to which a branch is nothing: one for every RnnStep, the others as they are.
template <class Cell>
struct SomeCell {
  using type = Cell;
};
template <class Form>
struct SomeCell<RnnStep<Form>> {
  using type = RnnStep<RnnOf>;
};
template <class F>
auto with_some_cell(lacuna_cell cell, F&& f) {
  return with_cell(cell, [&]<class Cell>(Cell) { return f(typename SomeCell<Cell>::type{}); });
}
// Of type Cell, the adaptor that `cell` has.
template <class Cell>
LACUNA_FN Cell cell_of([[maybe_unused]] lacuna_cell cell) {
  if constexpr (std::is_same_v<Cell, RnnStep<RnnOf>>)
    return {{cell}};
  else
    return {};
}
template <class Cell>
LACUNA_FN bool reads_gap([[maybe_unused]] const Cell& cell) {
  if constexpr (std::is_same_v<Cell, RnnStep<RnnOf>>)
    return cell.form.known([]<class Form>(Form) { return Form::reads_gap; });
  else
    return Cell::reads_gap;
}

template <class F>
auto with_lstm_step(bool layer_norm, F&& f) {
  return layer_norm ? f(NormLstmStep{}) : f(LstmStep{});
}

// As with_some_cell, and NormLstmStep where the recurrence is normalised: products that are change no other adaptor.
template <class F>
auto with_step(lacuna_cell cell, bool layer_norm, F&& f) {
  return cell == LACUNA_LSTM ? with_lstm_step(layer_norm, f) : with_some_cell(cell, f);
}

// The same numbers for code that lays out memory.
struct CellShape {
  int input_gates, product_gates, saved_gates, gradient_gates;
  bool has_cell, reset_before;
};

inline CellShape cell_shape(lacuna_cell cell) {
  return with_cell(cell, []<class Cell>(Cell) {
    return CellShape{Cell::input_gates,    Cell::product_gates, Cell::saved_gates,
                     Cell::gradient_gates, Cell::has_cell,      Cell::reset_before};
  });
}

}  // namespace lacuna
