// See evolve.h.
#include "reference/evolve.h"

#include <cmath>

#include "reference/linear.h"

namespace reference {
namespace {

// W_gamma delta + b or w delta_t + b of h's number j, before it is clamped.
template <class Real>
Real decay_argument(const Layer& layer, const BasicParameters<Real>& p, Elapsed<Real> elapsed,
                    int j) {
  const auto unit = static_cast<std::size_t>(j);
  Real argument = p.evolve_bias[unit];
  if (layer.evolve == Evolve::decay_step) {
    argument += p.evolve_weight[unit] * elapsed.delta_t;
  } else {
    multiply_add(&p.evolve_weight[unit * static_cast<std::size_t>(layer.features)], 1,
                 layer.features, elapsed.delta, &argument);
  }
  return argument;
}

template <class Real>
void decay_backward(const Layer& layer, const BasicParameters<Real>& p, Elapsed<Real> elapsed,
                    const Real* state, const Real* d_evolved, EvolveGradients<Real>& d) {
  for (int j = 0; j < layer.output_width(); ++j) {
    const auto unit = static_cast<std::size_t>(j);
    const Real argument = decay_argument(layer, p, elapsed, j);
    const Real gamma = std::exp(-clamp(argument));
    d.state[j] += gamma * d_evolved[j];
    if (argument <= 0) continue;  // clamped: gamma is the constant 1
    const Real d_argument = -gamma * state[j] * d_evolved[j];
    d.parameters.evolve_bias[unit] += d_argument;
    if (layer.evolve == Evolve::decay_step) {
      d.parameters.evolve_weight[unit] += d_argument * elapsed.delta_t;
      d.gap += d_argument * p.evolve_weight[unit];
    } else {
      const std::size_t row = unit * static_cast<std::size_t>(layer.features);
      multiply_add_backward(&p.evolve_weight[row], 1, layer.features, elapsed.delta, &d_argument,
                            &d.parameters.evolve_weight[row], d.delta);
    }
  }
  for (int j = layer.output_width(); j < layer.state_width(); ++j) d.state[j] += d_evolved[j];
}

template <class Real>
void relax_backward(const Layer& layer, const BasicParameters<Real>& p, Elapsed<Real> elapsed,
                    const Real* state, const Real* d_evolved, EvolveGradients<Real>& d) {
  for (int j = 0; j < layer.state_width(); ++j) {
    const auto unit = static_cast<std::size_t>(j);
    const Real rate = softplus(p.evolve_weight[unit]);
    const Real gamma = std::exp(-rate * elapsed.delta_t);
    d.state[j] += gamma * d_evolved[j];
    d.parameters.s_inf[unit] += (1 - gamma) * d_evolved[j];
    const Real d_exponent = -gamma * (state[j] - p.s_inf[unit]) * d_evolved[j];
    d.parameters.evolve_weight[unit] +=
        d_exponent * elapsed.delta_t * logistic(p.evolve_weight[unit]);
    d.gap += d_exponent * rate;
  }
}

}  // namespace

template <class Real>
void evolve(const Layer& layer, const BasicParameters<Real>& parameters, Elapsed<Real> elapsed,
            const Real* state, Real* evolved) {
  for (int j = 0; j < layer.state_width(); ++j) {
    const auto unit = static_cast<std::size_t>(j);
    evolved[j] = state[j];
    if (layer.evolve == Evolve::relax) {
      const Real gamma = std::exp(-softplus(parameters.evolve_weight[unit]) * elapsed.delta_t);
      evolved[j] = parameters.s_inf[unit] + gamma * (state[j] - parameters.s_inf[unit]);
    } else if (layer.evolve != Evolve::none && j < layer.output_width()) {
      evolved[j] = std::exp(-clamp(decay_argument(layer, parameters, elapsed, j))) * state[j];
    }
  }
}

template <class Real>
void evolve_backward(const Layer& layer, const BasicParameters<Real>& parameters,
                     Elapsed<Real> elapsed, const Real* state, const Real* d_evolved,
                     EvolveGradients<Real> d) {
  if (layer.evolve == Evolve::none) {
    for (int j = 0; j < layer.state_width(); ++j) d.state[j] += d_evolved[j];
  } else if (layer.evolve == Evolve::relax) {
    relax_backward(layer, parameters, elapsed, state, d_evolved, d);
  } else {
    decay_backward(layer, parameters, elapsed, state, d_evolved, d);
  }
}

template void evolve(const Layer&, const BasicParameters<float>&, Elapsed<float>, const float*,
                     float*);
template void evolve(const Layer&, const BasicParameters<double>&, Elapsed<double>, const double*,
                     double*);
template void evolve_backward(const Layer&, const BasicParameters<float>&, Elapsed<float>,
                              const float*, const float*, EvolveGradients<float>);
template void evolve_backward(const Layer&, const BasicParameters<double>&, Elapsed<double>,
                              const double*, const double*, EvolveGradients<double>);

}  // namespace reference
