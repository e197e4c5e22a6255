// gru, gru_reset_before: r, z = sigma(..);  h' = (1 - z) n + z h.
//   gru               n = tanh(W_xn x + b_n + r (W_hn h + b_hn))    reset after the product
//   gru_reset_before  n = tanh(W_xn x + b_n + W_hn (r h))           reset before it
#include <cmath>
#include <vector>

#include "reference/cells.h"
#include "reference/linear.h"

namespace reference {

template <class Real>
void gru_update(const Layer& layer, const BasicParameters<Real>& p, CellInput<Real> in,
                Real* new_state, Real* kept) {
  const int H = layer.hidden, K = layer.input_width();
  const bool reset_before = layer.cell == Cell::gru_reset_before;
  const Real* h = in.state;
  const Real* weights_hn = p.weights_h.data() + 2 * H * H;
  Real *r = kept, *z = kept + H, *n = kept + 2 * H, *product = kept + 3 * H;

  std::vector<Real> a = p.bias;
  multiply_add(p.weights_x.data(), 3 * H, K, in.x, a.data());
  multiply_add(p.weights_h.data(), 2 * H, H, in.operand, a.data());
  Real *a_r = a.data(), *a_z = a_r + H, *a_n = a_z + H;
  for (int j = 0; j < H; ++j) {
    r[j] = logistic(a_r[j]);
    z[j] = logistic(a_z[j]);
  }
  if (reset_before) {
    std::vector<Real> reset_h(static_cast<std::size_t>(H));
    for (int j = 0; j < H; ++j) reset_h[static_cast<std::size_t>(j)] = r[j] * in.operand[j];
    multiply_add(weights_hn, H, H, reset_h.data(), a_n);
    for (int j = 0; j < H; ++j) product[j] = 0;  // only gru keeps one
  } else {
    for (int j = 0; j < H; ++j) product[j] = p.bias_hn[static_cast<std::size_t>(j)];
    multiply_add(weights_hn, H, H, in.operand, product);
    for (int j = 0; j < H; ++j) a_n[j] += r[j] * product[j];
  }
  for (int j = 0; j < H; ++j) {
    n[j] = std::tanh(a_n[j]);
    new_state[j] = (1 - z[j]) * n[j] + z[j] * h[j];
  }
}

template <class Real>
void gru_update_backward(const Layer& layer, const BasicParameters<Real>& p, CellInput<Real> in,
                         const Real* kept, const Real* d_new_state, CellGradients<Real> d) {
  const int H = layer.hidden, K = layer.input_width();
  const auto width = static_cast<std::size_t>(H);
  const bool reset_before = layer.cell == Cell::gru_reset_before;
  const Real* h = in.state;
  const Real* weights_hn = p.weights_h.data() + 2 * H * H;
  Real* d_weights_hn = d.parameters.weights_h.data() + 2 * H * H;
  const Real *r = kept, *z = kept + H, *n = kept + 2 * H, *product = kept + 3 * H;

  std::vector<Real> d_a(3 * width), d_r(width);
  Real *d_a_r = d_a.data(), *d_a_z = d_a_r + H, *d_a_n = d_a_z + H;
  for (int j = 0; j < H; ++j) {
    d.state[j] += d_new_state[j] * z[j];
    d_a_z[j] = d_new_state[j] * (h[j] - n[j]) * z[j] * (1 - z[j]);
    d_a_n[j] = d_new_state[j] * (1 - z[j]) * (1 - n[j] * n[j]);
  }
  if (reset_before) {
    std::vector<Real> reset_h(width), d_reset_h(width);
    for (std::size_t j = 0; j < width; ++j) reset_h[j] = r[j] * in.operand[j];
    multiply_add_backward(weights_hn, H, H, reset_h.data(), d_a_n, d_weights_hn, d_reset_h.data());
    for (std::size_t j = 0; j < width; ++j) {
      d_r[j] = d_reset_h[j] * in.operand[j];
      d.operand[j] += d_reset_h[j] * r[j];
    }
  } else {
    std::vector<Real> d_product(width);
    for (std::size_t j = 0; j < width; ++j) {
      d_r[j] = d_a_n[j] * product[j];
      d_product[j] = d_a_n[j] * r[j];
      d.parameters.bias_hn[j] += d_product[j];
    }
    multiply_add_backward(weights_hn, H, H, in.operand, d_product.data(), d_weights_hn, d.operand);
  }
  for (int j = 0; j < H; ++j) d_a_r[j] = d_r[static_cast<std::size_t>(j)] * r[j] * (1 - r[j]);

  for (std::size_t row = 0; row < d_a.size(); ++row) d.parameters.bias[row] += d_a[row];
  multiply_add_backward(p.weights_x.data(), 3 * H, K, in.x, d_a.data(),
                        d.parameters.weights_x.data(), d.x);
  multiply_add_backward(p.weights_h.data(), 2 * H, H, in.operand, d_a.data(),
                        d.parameters.weights_h.data(), d.operand);
}

template void gru_update(const Layer&, const BasicParameters<float>&, CellInput<float>, float*,
                         float*);
template void gru_update(const Layer&, const BasicParameters<double>&, CellInput<double>, double*,
                         double*);
template void gru_update_backward(const Layer&, const BasicParameters<float>&, CellInput<float>,
                                  const float*, const float*, CellGradients<float>);
template void gru_update_backward(const Layer&, const BasicParameters<double>&, CellInput<double>,
                                  const double*, const double*, CellGradients<double>);

}  // namespace reference
