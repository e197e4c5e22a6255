// See impute.h.
#include "reference/impute.h"

#include <cmath>

#include "reference/linear.h"
#include "reference/rounding.h"

namespace reference {
namespace {

// e in gamma = exp(-e), and what it depends on.
template <class Real>
struct Exponent {
  Real value = 0, d_weight = 0, d_bias = 0, d_delta = 0;
};

template <class Real>
Exponent<Real> exponent(const Layer& layer, const BasicParameters<Real>& p, std::size_t d,
                        Real delta) {
  const Real w = p.impute_weight[d];
  if (layer.impute == Impute::relax) {
    return {softplus(w) * delta, logistic(w) * delta, 0, softplus(w)};
  }
  const Real argument = w * delta + p.impute_bias[d];
  if (argument <= 0) return {};
  return {argument, delta, 1, w};
}

template <class Real>
Real missing_value(const Layer& layer, const BasicParameters<Real>& p,
                   const BasicObserved<Real>& observed, std::size_t at, std::size_t d) {
  const Real mean = p.x_mean[d];
  if (layer.impute == Impute::mean || observed.last_token[at] == never_measured) return mean;
  const Real last = observed.last_value[at];
  if (layer.impute == Impute::forward) return last;
  const Real gamma = std::exp(-exponent(layer, p, d, observed.delta[at]).value);
  return gamma * last + (1 - gamma) * mean;
}

// The adjoint of missing_value, from d_x, the derivative by its result.
template <class Real>
void missing_value_backward(const Layer& layer, const BasicParameters<Real>& p,
                            const BasicObserved<Real>& observed, std::size_t at, std::size_t d,
                            Real d_x, ImputeGradients<Real>& g) {
  const std::int64_t source = observed.last_token[at];
  // Never measured: every impute reads as x_mean, whatever gamma is.
  if (layer.impute == Impute::mean || source == never_measured) {
    g.parameters.x_mean[d] += d_x;
    return;
  }
  Real gamma = 1;
  if (layer.impute != Impute::forward) {
    const Exponent<Real> e = exponent(layer, p, d, observed.delta[at]);
    gamma = std::exp(-e.value);
    const Real d_exponent = -d_x * decayed(gamma, observed.last_value[at], p.x_mean[d]);
    g.parameters.impute_weight[d] += d_exponent * e.d_weight;
    if (layer.impute == Impute::decay) g.parameters.impute_bias[d] += d_exponent * e.d_bias;
    g.delta[at] += d_exponent * e.d_delta;
    g.parameters.x_mean[d] += (1 - gamma) * d_x;
  }
  if (source >= 0) {
    const auto features = static_cast<std::size_t>(layer.features);
    g.values[static_cast<std::size_t>(source) * features + d] += gamma * d_x;
  }
}

}  // namespace

template <class Real>
std::vector<Real> impute(const Layer& layer, const BasicParameters<Real>& parameters,
                         const BasicBatch<Real>& batch, const BasicObserved<Real>& observed) {
  const auto N = static_cast<std::size_t>(batch.tokens());
  const auto D = static_cast<std::size_t>(layer.features);
  const auto K = static_cast<std::size_t>(layer.input_width());
  std::vector<Real> input(N * K);
  for (std::size_t s = 0; s < N; ++s) {
    Real* row = input.data() + s * K;
    for (std::size_t d = 0; d < D; ++d) {
      const std::size_t at = s * D + d;
      const bool measured = observed.measured[at];
      row[d] = measured ? batch.values[at] : missing_value(layer, parameters, observed, at, d);
      if (layer.mask_input) row[D + d] = measured ? 1 : 0;
    }
    if (layer.gap_input) row[K - 1] = std::log1p(observed.delta_t[s]);
  }
  return input;
}

template <class Real>
void impute_backward(const Layer& layer, const BasicParameters<Real>& parameters,
                     const BasicBatch<Real>& batch, const BasicObserved<Real>& observed,
                     const std::vector<Real>& d_input, ImputeGradients<Real> d) {
  const auto N = static_cast<std::size_t>(batch.tokens());
  const auto D = static_cast<std::size_t>(layer.features);
  const auto K = static_cast<std::size_t>(layer.input_width());
  for (std::size_t s = 0; s < N; ++s) {
    const Real* d_row = d_input.data() + s * K;
    for (std::size_t f = 0; f < D; ++f) {
      const std::size_t at = s * D + f;
      if (observed.measured[at]) {
        d.values[at] += d_row[f];
      } else {
        missing_value_backward(layer, parameters, observed, at, f, d_row[f], d);
      }
    }
    if (layer.gap_input) d.gap[s] += d_row[K - 1] / (1 + observed.delta_t[s]);
  }
}

template std::vector<float> impute(const Layer&, const BasicParameters<float>&,
                                   const BasicBatch<float>&, const BasicObserved<float>&);
template std::vector<double> impute(const Layer&, const BasicParameters<double>&,
                                    const BasicBatch<double>&, const BasicObserved<double>&);
template void impute_backward(const Layer&, const BasicParameters<float>&, const BasicBatch<float>&,
                              const BasicObserved<float>&, const std::vector<float>&,
                              ImputeGradients<float>);
template void impute_backward(const Layer&, const BasicParameters<double>&,
                              const BasicBatch<double>&, const BasicObserved<double>&,
                              const std::vector<double>&, ImputeGradients<double>);

}  // namespace reference
