// What elapsed time does to a few units of a state, forward and backward. Shared by every regime of the recurrence.
#pragma once

#include <cstdint>

#include "kernels/cells/evolve.h"
#include "kernels/recurrence/units.h"
#include "lacuna/lacuna.h"

namespace lacuna {

// Parameters are the caller's, `hidden` wide; of S = hidden or, for lstm, 2 hidden entries h's come first.
template <class R>
struct EvolveView {
  lacuna_evolve kind = LACUNA_EVOLVE_NONE;
  const R* exponent = nullptr;  // decay: [N, units], W_g delta
  const R* weight = nullptr;    // decay_step: [H]
  const R* bias = nullptr;      // decay, decay_step: [H]
  const R* rate = nullptr;      // relax: [S], softplus of lambda
  const R* target = nullptr;    // relax: [S]
};

// Rows of tokens for later sums; each may be null. "="
template <class R>
struct EvolveGradients {
  // decay, decay_step: [N, units], dL/dp, p the decay's exponent before its clamp
  // relax: [N, S_units], dL/d(rate dt); S_units = units, or for lstm 2 units, h's part first
  R* d_exponent = nullptr;
  R* d_target = nullptr;  // relax: [N, S_units], what the token adds to dL/dtarget
};

template <class R>
SIMT_DEVICE Units<R> decay_exponent(const EvolveView<R>& evolve, const UnitsAt& at, const R* gaps) {
  const int present = at.present<R>();
  const Units<R> bias = load_present(evolve.bias, at.unit, present);
  Units<R> p;
  if (evolve.kind == LACUNA_EVOLVE_DECAY) {
    p = load_units(evolve.exponent, at.token * at.units + at.unit);
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) p[i] += bias[i];
  } else {
    const R dt = gaps[at.token];
    const Units<R> weight = load_present(evolve.weight, at.unit, present);
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) p[i] = weight[i] * dt + bias[i];
  }
  return p;
}

// `from`: where the units' parameters begin among the S of the layer.
template <class R>
SIMT_DEVICE void relax_units(const EvolveView<R>& evolve, const UnitsAt& at, R dt,
                             std::int64_t from, Units<R>& state) {
  const int present = at.present<R>();
  const Units<R> rate = load_present(evolve.rate, from, present);
  const Units<R> target = load_present(evolve.target, from, present);
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i)
    state[i] = relax(relax_factor(rate[i], dt), target[i], state[i]);
}

// From the state before the token to the one its update sees. `gaps` [N] are read by decay_step and relax only.
template <bool has_cell, class R>
SIMT_DEVICE void evolve_units(const EvolveView<R>& evolve, const UnitsAt& at, const R* gaps,
                              Units<R>& h, Units<R>& c) {
  if (evolve.kind == LACUNA_EVOLVE_RELAX) {
    const R dt = gaps[at.token];
    relax_units(evolve, at, dt, at.unit, h);
    if constexpr (has_cell) relax_units(evolve, at, dt, at.hidden + at.unit, c);
  } else if (evolve.kind != LACUNA_EVOLVE_NONE) {
    const Units<R> p = decay_exponent(evolve, at, gaps);
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) h[i] = decay_factor(p[i]) * h[i];
  }
}

// `d`: in, dL/d(relaxed); out, dL/d(state before). `to`: where their gradients' columns begin.
template <class R>
SIMT_DEVICE void relax_units_backward(const EvolveView<R>& evolve,
                                      const EvolveGradients<R>& gradients, const UnitsAt& at, R dt,
                                      std::int64_t from, std::int64_t to, const Units<R>& relaxed,
                                      Units<R>& d) {
  const int present = at.present<R>();
  const Units<R> rate = load_present(evolve.rate, from, present);
  const Units<R> target = load_present(evolve.target, from, present);
  Units<R> d_exponent, d_target;
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) {
    const R factor = relax_factor(rate[i], dt);
    d_exponent[i] = relax_d_exponent(target[i], relaxed[i], d[i]);
    d_target[i] = relax_d_target(factor, d[i]);
    d[i] = factor * d[i];
  }
  store_units(gradients.d_exponent, to, d_exponent, present);
  store_units(gradients.d_target, to, d_target, present);
}

// `d_h`: in, dL/d(decayed); out, dL/d(h before).
template <class T, class R>
SIMT_DEVICE void decay_units_backward(const EvolveView<R>& evolve,
                                      const EvolveGradients<R>& gradients, const UnitsAt& at,
                                      const R* gaps, const T* tape_h, Units<R>& d_h) {
  const std::int64_t taped = at.token * at.units + at.unit;
  const Units<R> h = load_units(tape_h, taped), p = decay_exponent(evolve, at, gaps);
  Units<R> d_exponent;
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) {
    d_exponent[i] = decay_d_pre(p[i], h[i], d_h[i]);
    d_h[i] = decay_factor(p[i]) * d_h[i];
  }
  store_units(gradients.d_exponent, taped, d_exponent, at.present<R>());
}

// The way back. d_h, d_c: in, dL/d(evolved state); out, dL/d(state before the token). The tape holds the evolved state.
//
// A tape of 16 bits will do for a decay, but not for h relaxed: what is left of its distance to the target may be less than
// the rounding, which the gradient of a long gap would multiply. So h is relaxed again, from `before_h()`, the h that the
// token began with.
template <bool has_cell, class T, class R, class Before>
SIMT_DEVICE void evolve_units_backward(const EvolveView<R>& evolve,
                                       const EvolveGradients<R>& gradients, const UnitsAt& at,
                                       const R* gaps, const T* tape_h, const R* tape_c,
                                       Before&& before_h, Units<R>& d_h, Units<R>& d_c) {
  if (evolve.kind == LACUNA_EVOLVE_NONE) return;
  const std::int64_t taped = at.token * at.units + at.unit;
  if (evolve.kind == LACUNA_EVOLVE_RELAX) {
    const R dt = gaps[at.token];
    Units<R> h;
    if constexpr (sizeof(T) == sizeof(R)) {
      h = load_units(tape_h, taped);
    } else {
      h = before_h();
      relax_units(evolve, at, dt, at.unit, h);
    }
    const std::int64_t to = at.token * (has_cell ? 2 : 1) * at.units + at.unit;
    relax_units_backward(evolve, gradients, at, dt, at.unit, to, h, d_h);
    if constexpr (has_cell)
      relax_units_backward(evolve, gradients, at, dt, at.hidden + at.unit, to + at.units,
                           load_units(tape_c, taped), d_c);
    return;
  }
  decay_units_backward(evolve, gradients, at, gaps, tape_h, d_h);
}

}  // namespace lacuna
