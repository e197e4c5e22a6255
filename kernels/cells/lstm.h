// Long short-term memory (Hochreiter & Schmidhuber 1997, with forget gate): c' = f c + i g, h' = o tanh(c'). With layer
// normalisation h' = o tanh(shown), shown = gain_c LN(c') + b_c.
#pragma once

#include "kernels/cells/activations.h"

namespace lacuna {

template <class V>
struct LstmGates {
  V i, f, g, o;
};

template <class V>
struct LstmState {
  V h, c;
};

template <class V>
struct LstmGradients {
  LstmGates<V> pre;  // with respect to the gates before their activation
  V c;               // with respect to the cell state that entered
  V h;               // no gradient: h' again, for the gradient of what projects it
};

template <class V>
LACUNA_FN LstmGates<V> lstm_gates(V i, V f, V g, V o) {
  return {sigmoid(i), sigmoid(f), hyperbolic_tangent(g), sigmoid(o)};
}

template <class V>
LACUNA_FN V lstm_next_c(const LstmGates<V>& gate, V c) {
  return gate.f * c + gate.i * gate.g;
}

template <class V>
LACUNA_FN LstmState<V> lstm_next(const LstmGates<V>& gate, V c) {
  const V next = lstm_next_c(gate, c);
  return {gate.o * hyperbolic_tangent(next), next};
}

template <class V>
struct LstmShownGradients {
  V shown, o;  // o: the gate, after its activation
  V h;         // no gradient: h' again
};

template <class V>
LACUNA_FN LstmShownGradients<V> lstm_shown_backward(V o, V shown, V d_h) {
  const V tanh_shown = hyperbolic_tangent(shown);
  return {d_h * o * hyperbolic_tangent_slope(tanh_shown), d_h * tanh_shown, o * tanh_shown};
}

// d_next: all of dL/dc'. `c` entered the step.
template <class V>
LACUNA_FN LstmGradients<V> lstm_gates_backward(const LstmGates<V>& gate, V c, V d_next,
                                               const LstmShownGradients<V>& of_h) {
  return {{d_next * gate.g * sigmoid_slope(gate.i), d_next * c * sigmoid_slope(gate.f),
           d_next * gate.i * hyperbolic_tangent_slope(gate.g), of_h.o * sigmoid_slope(gate.o)},
          d_next * gate.f,
          of_h.h};
}

// `c` entered the step; d_h and d_c are dL/dh' and the part of dL/dc' that does not pass through h'.
template <class V>
LACUNA_FN LstmGradients<V> lstm_backward(const LstmGates<V>& gate, V c, V d_h, V d_c) {
  const LstmShownGradients<V> d = lstm_shown_backward(gate.o, lstm_next_c(gate, c), d_h);
  return lstm_gates_backward(gate, c, d_c + d.shown, d);
}

}  // namespace lacuna
