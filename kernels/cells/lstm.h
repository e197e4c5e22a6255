// Long short-term memory (Hochreiter & Schmidhuber 1997, with forget gate): c' = f c + i g, h' = o tanh(c').
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
LACUNA_FN LstmState<V> lstm_next(const LstmGates<V>& gate, V c) {
  const V next = gate.f * c + gate.i * gate.g;
  return {gate.o * hyperbolic_tangent(next), next};
}

// `c` entered the step; d_h and d_c are dL/dh' and the part of dL/dc' that does not pass through h'.
template <class V>
LACUNA_FN LstmGradients<V> lstm_backward(const LstmGates<V>& gate, V c, V d_h, V d_c) {
  const V tanh_c = hyperbolic_tangent(gate.f * c + gate.i * gate.g);
  const V d_next = d_c + d_h * gate.o * hyperbolic_tangent_slope(tanh_c);
  return {
      {d_next * gate.g * sigmoid_slope(gate.i), d_next * c * sigmoid_slope(gate.f),
       d_next * gate.i * hyperbolic_tangent_slope(gate.g), d_h * tanh_c * sigmoid_slope(gate.o)},
      d_next * gate.f,
      gate.o * tanh_c};
}

}  // namespace lacuna
