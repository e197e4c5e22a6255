// Logistic regression with an L2 penalty, by Newton's method: the baseline that any sequence model
// has to beat before its complexity is worth having.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

namespace examples {

class LogisticRegression {
 public:
  // x [rows, features] row-major, y 0 or 1. Minimises the mean log loss + l2/2 |weights|^2; the
  // intercept is not penalised.
  LogisticRegression(const std::vector<double>& x, const std::vector<int>& y, std::size_t features,
                     double l2)
      : weights_(features + 1, 0.0) {
    if (y.empty() || x.size() != y.size() * features)
      throw std::invalid_argument("LogisticRegression: x must hold rows x features values");
    if (!(l2 > 0)) throw std::invalid_argument("LogisticRegression: l2 must be positive");
    const std::size_t n = features + 1;
    const auto rows = static_cast<double>(y.size());
    std::vector<double> row(n, 1.0);  // the last entry is the intercept's
    for (int iteration = 0; iteration < 50; ++iteration) {
      std::vector<double> gradient(n, 0.0), hessian(n * n, 0.0);
      for (std::size_t i = 0; i < features; ++i) {
        gradient[i] = l2 * weights_[i];
        hessian[i * n + i] = l2;
      }
      // Keeps the system solvable when every probability has come close to 0 or 1.
      hessian[n * n - 1] = 1e-9;
      for (std::size_t r = 0; r < y.size(); ++r) {
        for (std::size_t i = 0; i < features; ++i) row[i] = x[r * features + i];
        const double p = 1 / (1 + std::exp(-logit(row.data())));
        for (std::size_t i = 0; i < n; ++i) {
          gradient[i] += (p - y[r]) * row[i] / rows;
          for (std::size_t j = 0; j <= i; ++j)
            hessian[i * n + j] += p * (1 - p) * row[i] * row[j] / rows;
        }
      }
      const auto step = solve(std::move(hessian), std::move(gradient));
      double largest = 0;
      for (std::size_t i = 0; i < n; ++i) {
        weights_[i] -= step[i];
        largest = std::max(largest, std::abs(step[i]));
      }
      if (largest < 1e-8) break;
    }
  }

  // Of one row of features.
  double logit(const double* x) const {
    double sum = weights_.back();
    for (std::size_t i = 0; i + 1 < weights_.size(); ++i) sum += weights_[i] * x[i];
    return sum;
  }

 private:
  // Cholesky; `a` is symmetric and positive definite, its lower triangle is given.
  static std::vector<double> solve(std::vector<double> a, std::vector<double> b) {
    const std::size_t n = b.size();
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = a[i * n + j];
        for (std::size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
        if (i == j && !(sum > 0)) throw std::runtime_error("LogisticRegression: singular system");
        a[i * n + j] = i == j ? std::sqrt(sum) : sum / a[j * n + j];
      }
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
      b[i] /= a[i * n + i];
    }
    for (std::size_t i = n; i-- > 0;) {
      for (std::size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
      b[i] /= a[i * n + i];
    }
    return b;
  }

  std::vector<double> weights_;
};

}  // namespace examples
