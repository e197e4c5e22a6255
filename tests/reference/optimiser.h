// What follows the gradients in a training step: clipping by their global norm, and Adam.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace reference {

// Scales all gradients together to Euclidean norm max_norm where theirs is larger, and returns the
// norm before. A norm that is not finite changes nothing.
inline double clip_gradient_norm(const std::vector<std::vector<double>*>& gradients,
                                 double max_norm) {
  double squares = 0;
  for (const auto* gradient : gradients) {
    for (const double g : *gradient) squares += g * g;
  }
  const double norm = std::sqrt(squares);
  if (std::isfinite(norm) && norm > max_norm) {
    for (auto* gradient : gradients) {
      for (double& g : *gradient) g *= max_norm / norm;
    }
  }
  return norm;
}

// Kingma and Ba 2015, algorithm 1. weight_decay is decoupled (Loshchilov and Hutter 2019): it
// shrinks the parameter and does not enter the moments.
struct Adam {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  std::int64_t step = 1;  // t, 1 for the first step
};

// All four [n]; the last three are updated in place, and the moments start at zero.
inline void adam_step(const Adam& adam, const std::vector<double>& gradient,
                      std::vector<double>& parameter, std::vector<double>& first_moment,
                      std::vector<double>& second_moment) {
  const double step = static_cast<double>(adam.step);
  for (std::size_t at = 0; at < gradient.size(); ++at) {
    const double g = gradient[at];
    double &m = first_moment[at], &v = second_moment[at];
    m = adam.beta1 * m + (1 - adam.beta1) * g;
    v = adam.beta2 * v + (1 - adam.beta2) * g * g;
    const double m_unbiased = m / (1 - std::pow(adam.beta1, step));
    const double v_unbiased = v / (1 - std::pow(adam.beta2, step));
    const double decay = adam.weight_decay * parameter[at];
    parameter[at] -=
        adam.learning_rate * (m_unbiased / (std::sqrt(v_unbiased) + adam.epsilon) + decay);
  }
}

}  // namespace reference
