// The few scalar loops and functions that every stage of the oracle shares.
#pragma once

#include <cmath>

namespace reference {

// out[r] += sum_k w[r,k] * in[k];  w [rows, columns]
template <class Real>
void multiply_add(const Real* w, int rows, int columns, const Real* in, Real* out) {
  for (int r = 0; r < rows; ++r) {
    Real sum = 0;
    for (int k = 0; k < columns; ++k) sum += w[r * columns + k] * in[k];
    out[r] += sum;
  }
}

// Its adjoint: d_w[r,k] += d_out[r] * in[k];  d_in[k] += sum_r w[r,k] * d_out[r]
template <class Real>
void multiply_add_backward(const Real* w, int rows, int columns, const Real* in, const Real* d_out,
                           Real* d_w, Real* d_in) {
  for (int r = 0; r < rows; ++r) {
    for (int k = 0; k < columns; ++k) {
      d_w[r * columns + k] += d_out[r] * in[k];
      d_in[k] += w[r * columns + k] * d_out[r];
    }
  }
}

template <class Real>
Real logistic(Real x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

// log(1 + exp(x)) without overflow; its derivative is logistic(x).
template <class Real>
Real softplus(Real x) {
  return (x > 0 ? x : Real(0)) + std::log1p(std::exp(-std::abs(x)));
}

// max(0, x), and NaN for NaN; at zero itself its slope is taken as zero.
template <class Real>
Real clamp(Real x) {
  return x < 0 ? Real(0) : x;
}

}  // namespace reference
