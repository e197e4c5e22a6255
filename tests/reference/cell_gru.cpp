// gru, gru_reset_before: r, z = sigma(..);  h' = (1 - z) n + z h.
//   gru               n = tanh(W_xn x + b_n + r (W_hn h + b_hn))    reset after the product
//   gru_reset_before  n = tanh(W_xn x + b_n + W_hn (r h))           reset before it
// The products are as product.h has them, of r and z in one group and of n in another.
#include <cmath>
#include <vector>

#include "reference/cells.h"
#include "reference/product.h"

namespace reference {

template <class Real>
void gru_update(const Layer& layer, const BasicParameters<Real>& p, CellInput<Real> in,
                Real* new_state, Real* kept) {
  const int H = layer.hidden;
  const bool reset_before = layer.cell == Cell::gru_reset_before;
  const Real* h = in.state;
  Real *r = kept, *z = kept + H, *n = kept + 2 * H, *product = kept + 3 * H;

  std::vector<Real> a = p.bias;
  Real *a_r = a.data(), *a_z = a_r + H, *a_n = a_z + H;
  add_product(product_x(layer, p, 0, 2), in.x, a_r);
  add_product(product_x(layer, p, 2, 1), in.x, a_n);
  add_product(product_h(layer, p, 0, 2), in.operand, a_r);
  for (int j = 0; j < H; ++j) {
    r[j] = logistic(a_r[j]);
    z[j] = logistic(a_z[j]);
  }
  if (reset_before) {
    std::vector<Real> reset_h(static_cast<std::size_t>(H));
    for (int j = 0; j < H; ++j) reset_h[static_cast<std::size_t>(j)] = r[j] * in.operand[j];
    add_product(product_h(layer, p, 2, 1), reset_h.data(), a_n);
    for (int j = 0; j < H; ++j) product[j] = 0;  // only gru keeps one
  } else {
    for (int j = 0; j < H; ++j) product[j] = p.bias_hn[static_cast<std::size_t>(j)];
    add_product(product_h(layer, p, 2, 1), in.operand, product);
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
  const int H = layer.hidden;
  const auto width = static_cast<std::size_t>(H);
  const bool reset_before = layer.cell == Cell::gru_reset_before;
  const Real* h = in.state;
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
    add_product_backward(product_h(layer, p, 2, 1), reset_h.data(), d_a_n, d.parameters.weights_h,
                         d.parameters.norm_gain_h, d_reset_h.data());
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
    add_product_backward(product_h(layer, p, 2, 1), in.operand, d_product.data(),
                         d.parameters.weights_h, d.parameters.norm_gain_h, d.operand);
  }
  for (int j = 0; j < H; ++j) d_a_r[j] = d_r[static_cast<std::size_t>(j)] * r[j] * (1 - r[j]);

  for (std::size_t row = 0; row < d_a.size(); ++row) d.parameters.bias[row] += d_a[row];
  add_product_backward(product_x(layer, p, 0, 2), in.x, d_a_r, d.parameters.weights_x,
                       d.parameters.norm_gain_x, d.x);
  add_product_backward(product_x(layer, p, 2, 1), in.x, d_a_n, d.parameters.weights_x,
                       d.parameters.norm_gain_x, d.x);
  add_product_backward(product_h(layer, p, 0, 2), in.operand, d_a_r, d.parameters.weights_h,
                       d.parameters.norm_gain_h, d.operand);
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
