// Losses over measured targets only. Each is a sum; who wants a mean divides by the count.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "reference/linear.h"

namespace reference {

struct Loss {
  double sum = 0;                // over the measured targets
  std::int64_t count = 0;        // how many there were
  std::vector<double> gradient;  // d(sum)/d(prediction), 0 where unmeasured
};

// Sums term(prediction, target, slope) where mask is nonzero; an empty mask measures everything.
// The other targets and predictions are not read.
template <class Term>
Loss elementwise_loss(const std::vector<double>& predictions, const std::vector<double>& targets,
                      const std::vector<std::uint8_t>& mask, Term term) {
  Loss loss;
  loss.gradient.assign(predictions.size(), 0);
  for (std::size_t at = 0; at < predictions.size(); ++at) {
    if (!mask.empty() && !mask[at]) continue;
    loss.sum += term(predictions[at], targets[at], loss.gradient[at]);
    ++loss.count;
  }
  return loss;
}

// (p - t)^2
inline Loss squared_error(const std::vector<double>& predictions,
                          const std::vector<double>& targets,
                          const std::vector<std::uint8_t>& mask) {
  return elementwise_loss(predictions, targets, mask, [](double p, double t, double& slope) {
    slope = 2 * (p - t);
    return (p - t) * (p - t);
  });
}

// |p - t|, with slope 0 where they are equal.
inline Loss absolute_error(const std::vector<double>& predictions,
                           const std::vector<double>& targets,
                           const std::vector<std::uint8_t>& mask) {
  return elementwise_loss(predictions, targets, mask, [](double p, double t, double& slope) {
    slope = p > t ? 1 : p < t ? -1 : 0;
    return std::abs(p - t);
  });
}

// -t log(sigma(z)) - (1-t) log(1 - sigma(z)) = log(1 + e^z) - t z, for targets in [0, 1]; with
// log(1 + e^z) = max(0, z) + log(1 + e^-|z|), whose large terms cancel before the small one is added.
inline Loss binary_cross_entropy(const std::vector<double>& logits,
                                 const std::vector<double>& targets,
                                 const std::vector<std::uint8_t>& mask) {
  return elementwise_loss(logits, targets, mask, [](double z, double t, double& slope) {
    slope = logistic(z) - t;
    return (clamp(z) - t * z) + std::log1p(std::exp(-std::abs(z)));
  });
}

// log(sum_k e^z_k) - z_target per row; logits [rows, classes], targets [rows], mask [rows].
inline Loss cross_entropy(const std::vector<double>& logits,
                          const std::vector<std::int32_t>& targets,
                          const std::vector<std::uint8_t>& mask, std::size_t classes) {
  Loss loss;
  loss.gradient.assign(logits.size(), 0);
  for (std::size_t row = 0; row < targets.size(); ++row) {
    if (!mask.empty() && !mask[row]) continue;
    const double* z = logits.data() + row * classes;
    double* slope = loss.gradient.data() + row * classes;
    const double largest = *std::max_element(z, z + classes);
    double sum = 0;
    for (std::size_t k = 0; k < classes; ++k) sum += std::exp(z[k] - largest);
    for (std::size_t k = 0; k < classes; ++k) slope[k] = std::exp(z[k] - largest) / sum;
    const auto target = static_cast<std::size_t>(targets[row]);
    slope[target] -= 1;
    loss.sum += std::log(sum) + largest - z[target];
    ++loss.count;
  }
  return loss;
}

}  // namespace reference
