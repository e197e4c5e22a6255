// Vanilla recurrent cells: h' = f(p), and the Euler step h' = h + dt tanh(p), where p = W_x x + W_h h + b.
#pragma once

#include "kernels/cells/activations.h"

namespace lacuna {

struct RnnTanh {
  static constexpr bool reads_gap = false;  // `dt`
  template <class V>
  LACUNA_FN static V activate(V p) {
    return hyperbolic_tangent(p);
  }
  template <class V>
  LACUNA_FN static V next(V activation, V /*h*/, V /*dt*/) {
    return activation;
  }
  // dL/dp from dL/dh'.
  template <class V>
  LACUNA_FN static V d_pre(V activation, V d_next, V /*dt*/) {
    return d_next * hyperbolic_tangent_slope(activation);
  }
  // The part of dL/dh that does not pass through p.
  template <class V>
  LACUNA_FN static V d_direct(V /*d_next*/) {
    return V(0);
  }
  // What the token adds to dL/ddt, per unit.
  template <class V>
  LACUNA_FN static V d_dt(V /*activation*/, V /*d_next*/) {
    return V(0);
  }
};

struct RnnRelu : RnnTanh {
  template <class V>
  LACUNA_FN static V activate(V p) {
    return maximum(V(0), p);
  }
  template <class V>
  LACUNA_FN static V d_pre(V activation, V d_next, V /*dt*/) {
    return select(activation > V(0), d_next, V(0));
  }
};

struct RnnEuler : RnnTanh {
  static constexpr bool reads_gap = true;
  template <class V>
  LACUNA_FN static V next(V activation, V h, V dt) {
    return h + dt * activation;
  }
  template <class V>
  LACUNA_FN static V d_pre(V activation, V d_next, V dt) {
    return dt * d_next * hyperbolic_tangent_slope(activation);
  }
  template <class V>
  LACUNA_FN static V d_direct(V d_next) {
    return d_next;
  }
  template <class V>
  LACUNA_FN static V d_dt(V activation, V d_next) {
    return d_next * activation;
  }
};

}  // namespace lacuna
