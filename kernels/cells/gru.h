// Gated recurrent unit (Cho et al. 2014): h' = (1-z) n + z h. The two published forms differ in where the reset gate
// acts on the candidate n: on the product W_hn h (gru), or on h before the product (gru_reset_before).
#pragma once

#include "kernels/cells/activations.h"

namespace lacuna {

// n of `gru`, before whose activation the reset gate acts; `n_hidden` is W_hn h + b_hn.
template <class V>
LACUNA_FN V gru_candidate(V r, V input, V n_hidden) {
  return hyperbolic_tangent(input + r * n_hidden);
}

template <class V>
LACUNA_FN V gru_next(V z, V n, V h) {
  return n + z * (h - n);
}

template <class V>
struct GruGradients {
  V r, z, n;   // with respect to the gates before their activation
  V n_hidden;  // with respect to W_hn h + b_hn
  V h;         // the part of dL/dh that passes through no product
};

// `n_hidden` is W_hn h + b_hn.
template <class V>
LACUNA_FN GruGradients<V> gru_backward(V r, V z, V n, V n_hidden, V h, V d_next) {
  const V d_n = d_next * (V(1) - z) * hyperbolic_tangent_slope(n);
  return {d_n * n_hidden * sigmoid_slope(r), d_next * (h - n) * sigmoid_slope(z), d_n, d_n * r,
          d_next * z};
}

template <class V>
struct GruResetBeforeGradients {
  V z, n;  // with respect to the gates before their activation
  V h;     // the part of dL/dh that passes through no product
};

// The first half: dL/d(r h) = W_hn^T n has to be formed before the reset gate's own gradient is known.
template <class V>
LACUNA_FN GruResetBeforeGradients<V> gru_reset_before_backward(V z, V n, V h, V d_next) {
  return {d_next * (h - n) * sigmoid_slope(z), d_next * (V(1) - z) * hyperbolic_tangent_slope(n),
          d_next * z};
}

// The second half: the reset gate's gradient from dL/d(r h); dL/dh receives d_reset_h * r besides.
template <class V>
LACUNA_FN V gru_reset_before_d_reset(V r, V h, V d_reset_h) {
  return d_reset_h * h * sigmoid_slope(r);
}

}  // namespace lacuna
