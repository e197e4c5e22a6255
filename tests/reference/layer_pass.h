// One layer over one batch, forward and backward: the oracle that judges every kernel.
//
// Everything is a plain loop in double. The same loops in float are the "plain loop in the same
// type" that a tested result's rounding error may be measured against.
#pragma once

#include <vector>

#include "reference/batch.h"
#include "reference/layer.h"
#include "reference/observe.h"
#include "reference/parameters.h"

namespace reference {

template <class Real>
struct BasicForward {
  std::vector<Real> hidden;          // [N, R] h after each token
  std::vector<Real> cell;            // [N, H] c after each token; lstm only
  std::vector<Real> evolved_hidden;  // [N, R] h after evolve, before update
  std::vector<Real> evolved_cell;    // [N, H] the same of c; lstm only
  std::vector<Real> final_hidden;    // [B, R] after the last token read; an empty sequence: initial
  std::vector<Real> final_cell;      // [B, H] lstm only
  std::vector<Real> input;           // [N, K] what the cell read
  BasicObserved<Real> observed;      // its .context goes into the next piece's batch

  std::vector<Real> state;    // [N, S] h, then c, as above: what backward reads
  std::vector<Real> evolved;  // [N, S]
  std::vector<Real> updated;  // [N, S] what the cell made of it, before zoneout
  std::vector<Real> kept;     // [N, kept_width] see cell.h
};

// dL/d of a forward's outputs; an empty member is zero.
template <class Real>
struct BasicUpstream {
  std::vector<Real> d_hidden;        // [N, R]
  std::vector<Real> d_cell;          // [N, H]
  std::vector<Real> d_final_hidden;  // [B, R]
  std::vector<Real> d_final_cell;    // [B, H]
};

template <class Real>
struct BasicGradients {
  BasicParameters<Real> parameters;
  std::vector<Real> d_values;          // [N, D] exactly 0 where unmeasured
  std::vector<Real> d_delta_t;         // [N] by the caller's delta_t: see observe_backward
  std::vector<Real> d_initial_hidden;  // [B, R]
  std::vector<Real> d_initial_cell;    // [B, H] lstm only
  std::vector<Real> d_state_hidden;    // [N, R] all that reaches h of a token: dL/dh_s
};

using Forward = BasicForward<double>;
using Upstream = BasicUpstream<double>;
using Gradients = BasicGradients<double>;

// Both throw std::invalid_argument where a tensor's size does not fit the layer and the batch.
template <class Real>
BasicForward<Real> forward(const Layer& layer, const BasicParameters<Real>& parameters,
                           const BasicBatch<Real>& batch);

template <class Real>
BasicGradients<Real> backward(const Layer& layer, const BasicParameters<Real>& parameters,
                              const BasicBatch<Real>& batch, const BasicForward<Real>& forward,
                              const BasicUpstream<Real>& upstream);

}  // namespace reference
