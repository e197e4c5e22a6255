// rnn_tanh, rnn_relu: h' = phi(W_x x + W_h h + b).
// rnn_euler:          h' = h + delta_t tanh(W_x x + W_h h + b).
// Both products are as product.h has them.
#include <cmath>
#include <vector>

#include "reference/cells.h"
#include "reference/product.h"

namespace reference {

template <class Real>
void rnn_update(const Layer& layer, const BasicParameters<Real>& p, CellInput<Real> in,
                Real* new_state, Real* kept) {
  const int H = layer.hidden;
  std::vector<Real> a = p.bias;
  add_product(product_x(layer, p, 0, 1), in.x, a.data());
  add_product(product_h(layer, p, 0, 1), in.operand, a.data());
  for (int j = 0; j < H; ++j) {
    const Real sum = a[static_cast<std::size_t>(j)];
    kept[j] = layer.cell == Cell::rnn_relu ? clamp(sum) : std::tanh(sum);
    new_state[j] = layer.cell == Cell::rnn_euler ? in.state[j] + in.delta_t * kept[j] : kept[j];
  }
}

template <class Real>
void rnn_update_backward(const Layer& layer, const BasicParameters<Real>& p, CellInput<Real> in,
                         const Real* kept, const Real* d_new_state, CellGradients<Real> d) {
  const int H = layer.hidden;
  std::vector<Real> d_a(static_cast<std::size_t>(H));
  for (int j = 0; j < H; ++j) {
    Real d_kept = d_new_state[j];
    if (layer.cell == Cell::rnn_euler) {
      d.state[j] += d_new_state[j];
      d.gap += d_new_state[j] * kept[j];
      d_kept *= in.delta_t;
    }
    const Real relu_slope = kept[j] > 0 ? Real(1) : Real(0);
    const Real slope = layer.cell == Cell::rnn_relu ? relu_slope : 1 - kept[j] * kept[j];
    d_a[static_cast<std::size_t>(j)] = d_kept * slope;
    d.parameters.bias[static_cast<std::size_t>(j)] += d_kept * slope;
  }
  add_product_backward(product_x(layer, p, 0, 1), in.x, d_a.data(), d.parameters.weights_x,
                       d.parameters.norm_gain_x, d.x);
  add_product_backward(product_h(layer, p, 0, 1), in.operand, d_a.data(), d.parameters.weights_h,
                       d.parameters.norm_gain_h, d.operand);
}

template void rnn_update(const Layer&, const BasicParameters<float>&, CellInput<float>, float*,
                         float*);
template void rnn_update(const Layer&, const BasicParameters<double>&, CellInput<double>, double*,
                         double*);
template void rnn_update_backward(const Layer&, const BasicParameters<float>&, CellInput<float>,
                                  const float*, const float*, CellGradients<float>);
template void rnn_update_backward(const Layer&, const BasicParameters<double>&, CellInput<double>,
                                  const double*, const double*, CellGradients<double>);

}  // namespace reference
