// Second stage: what elapsed time does to one sequence's state before an observation is read.
#pragma once

#include "reference/layer.h"
#include "reference/parameters.h"

namespace reference {

// The time that drives a token's evolution.
template <class Real>
struct Elapsed {
  const Real* delta;  // [D] since each feature was last measured
  Real delta_t;       // since the token read before
};

// state [h, c] holds R numbers of h and, for an lstm, H of c behind them, so S in all.
//   none        evolved = state
//   decay       h = gamma h,  gamma = exp(-max(0, W_gamma delta + b));       c unchanged
//   decay_step  h = gamma h,  gamma = exp(-max(0, w delta_t + b));           c unchanged
//   relax       s = s_inf + gamma (s - s_inf),  gamma = exp(-softplus(lambda) delta_t);  s = [h, c]
template <class Real>
void evolve(const Layer& layer, const BasicParameters<Real>& parameters, Elapsed<Real> elapsed,
            const Real* state, Real* evolved);

// What evolve's inputs receive; everything is accumulated (+=).
template <class Real>
struct EvolveGradients {
  BasicParameters<Real>& parameters;
  Real* state;  // [S]
  Real* delta;  // [D]
  Real& gap;    // by delta_t
};

template <class Real>
void evolve_backward(const Layer& layer, const BasicParameters<Real>& parameters,
                     Elapsed<Real> elapsed, const Real* state, const Real* d_evolved,
                     EvolveGradients<Real> d);

}  // namespace reference
