// A linear map of every row, as the head of a model: y = x W^T + b.
#pragma once

#include <cstddef>
#include <vector>

namespace reference {

// x [rows, in], weights [out, in], bias [out] or empty; returns y [rows, out].
inline std::vector<double> linear(const std::vector<double>& x, const std::vector<double>& weights,
                                  const std::vector<double>& bias, std::size_t rows, std::size_t in,
                                  std::size_t out) {
  std::vector<double> y(rows * out);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t o = 0; o < out; ++o) {
      double sum = bias.empty() ? 0 : bias[o];
      for (std::size_t i = 0; i < in; ++i) sum += weights[o * in + i] * x[r * in + i];
      y[r * out + o] = sum;
    }
  }
  return y;
}

struct LinearGradients {
  std::vector<double> d_x;        // [rows, in]
  std::vector<double> d_weights;  // [out, in]
  std::vector<double> d_bias;     // [out]
};

inline LinearGradients linear_backward(const std::vector<double>& x,
                                       const std::vector<double>& weights,
                                       const std::vector<double>& d_y, std::size_t rows,
                                       std::size_t in, std::size_t out) {
  LinearGradients d{std::vector<double>(rows * in), std::vector<double>(out * in),
                    std::vector<double>(out)};
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t o = 0; o < out; ++o) {
      const double d_out = d_y[r * out + o];
      d.d_bias[o] += d_out;
      for (std::size_t i = 0; i < in; ++i) {
        d.d_weights[o * in + i] += d_out * x[r * in + i];
        d.d_x[r * in + i] += d_out * weights[o * in + i];
      }
    }
  }
  return d;
}

}  // namespace reference
