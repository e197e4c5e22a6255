// What elapsed time does to one unit of the state, forward and backward.
#pragma once

#include "kernels/cells/activations.h"

namespace lacuna {

// Decay towards zero (GRU-D, RITS): factor exp(-max(0, p)), where p = W_g delta + b or w dt + b.
template <class V>
LACUNA_FN V decay_factor(V p) {
  return exponential(-maximum(V(0), p));
}

// dL/dp; `decayed` is the factor times what was decayed. Zero where the clamp holds.
template <class V>
LACUNA_FN V decay_d_pre(V p, V decayed, V d_decayed) {
  return select(p > V(0), -d_decayed * decayed, V(0));
}

// Relaxation towards a learned target; `rate` = softplus(lambda). A flow: dt1 then dt2 equals dt1 + dt2.
template <class V>
LACUNA_FN V relax_factor(V rate, V dt) {
  return exponential(-rate * dt);
}

template <class V>
LACUNA_FN V relax(V factor, V target, V state) {
  return target + factor * (state - target);
}

// dL/d(rate dt); dL/dstate is factor * d_relaxed.
template <class V>
LACUNA_FN V relax_d_exponent(V target, V relaxed, V d_relaxed) {
  return -d_relaxed * (relaxed - target);
}

template <class V>
LACUNA_FN V relax_d_target(V factor, V d_relaxed) {
  return (V(1) - factor) * d_relaxed;
}

}  // namespace lacuna
