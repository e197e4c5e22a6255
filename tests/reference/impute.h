// First stage: the cell's input row, [x_hat], [x_hat, m] and then log(1 + delta_t), for every token.
#pragma once

#include <vector>

#include "reference/batch.h"
#include "reference/observe.h"
#include "reference/parameters.h"

namespace reference {

// Returns the cell's inputs [N, K]. Where m = 1, x_hat = x; where m = 0:
//   mean     x_mean
//   forward  x_last
//   decay    gamma x_last + (1 - gamma) x_mean,  gamma = exp(-max(0, w delta + b))
//   relax    the same with                       gamma = exp(-softplus(w) delta)
// x_last is x_mean where the feature was never measured before.
template <class Real>
std::vector<Real> impute(const Layer& layer, const BasicParameters<Real>& parameters,
                         const BasicBatch<Real>& batch, const BasicObserved<Real>& observed);

// What impute's inputs receive; everything is accumulated (+=).
template <class Real>
struct ImputeGradients {
  BasicParameters<Real>& parameters;
  std::vector<Real>& values;  // [N, D] the token itself, or the one that x_last was measured at
  std::vector<Real>& delta;   // [N, D]
  std::vector<Real>& gap;     // [N] by the gap as read, from the gap_input column
};

template <class Real>
void impute_backward(const Layer& layer, const BasicParameters<Real>& parameters,
                     const BasicBatch<Real>& batch, const BasicObserved<Real>& observed,
                     const std::vector<Real>& d_input, ImputeGradients<Real> d);

}  // namespace reference
