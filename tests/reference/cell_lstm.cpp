// lstm: i, f, o = sigma(..), g = tanh(..) of W_x x + W_h h + b;  c' = f c + i g,  h' = o tanh(c'), or W_p of that.
// layer_norm: the products are as product.h has them, all gates one group, and o tanh(gain_c LN(c') + b_c) is in
// the place of o tanh(c').
#include <cmath>
#include <vector>

#include "reference/cells.h"
#include "reference/product.h"

namespace reference {
namespace {

// [H]
template <class Real>
Normalised<Real> normalised_cell(const Layer& layer, const Real* new_c) {
  return normalise(std::vector<Real>(new_c, new_c + layer.hidden));
}

// What h' = o tanh(..) is made of.
template <class Real>
std::vector<Real> shown_cell(const Layer& layer, const BasicParameters<Real>& p,
                             const Real* new_c) {
  std::vector<Real> shown(new_c, new_c + layer.hidden);
  if (!layer.layer_norm) return shown;
  const Normalised<Real> c = normalised_cell(layer, new_c);
  for (std::size_t j = 0; j < shown.size(); ++j)
    shown[j] = p.norm_gain_c[j] * c.value[j] + p.norm_bias_c[j];
  return shown;
}

// dL/dc' from dL/d(shown).
template <class Real>
std::vector<Real> shown_cell_backward(const Layer& layer, const BasicParameters<Real>& p,
                                      const Real* new_c, std::vector<Real> d_shown,
                                      BasicParameters<Real>& d_p) {
  if (!layer.layer_norm) return d_shown;
  const Normalised<Real> c = normalised_cell(layer, new_c);
  for (std::size_t j = 0; j < d_shown.size(); ++j) {
    d_p.norm_gain_c[j] += d_shown[j] * c.value[j];
    d_p.norm_bias_c[j] += d_shown[j];
    d_shown[j] *= p.norm_gain_c[j];
  }
  return normalise_backward(c, d_shown);
}

}  // namespace

template <class Real>
void lstm_update(const Layer& layer, const BasicParameters<Real>& p, CellInput<Real> in,
                 Real* new_state, Real* kept) {
  const int H = layer.hidden, R = layer.output_width();
  const Real* c = in.state + R;
  std::vector<Real> a = p.bias;
  add_product(product_x(layer, p, 0, 4), in.x, a.data());
  add_product(product_h(layer, p, 0, 4), in.operand, a.data());
  for (int j = 0; j < H; ++j) {
    const Real* a_j = a.data() + j;
    const Real i = logistic(a_j[0]), f = logistic(a_j[H]);
    const Real g = std::tanh(a_j[2 * H]), o = logistic(a_j[3 * H]);
    new_state[R + j] = f * c[j] + i * g;
    kept[j] = i;
    kept[H + j] = f;
    kept[2 * H + j] = g;
    kept[3 * H + j] = o;
  }
  std::vector<Real> memory = shown_cell(layer, p, new_state + R);  // o tanh(..)
  for (std::size_t j = 0; j < memory.size(); ++j)
    memory[j] = kept[3 * memory.size() + j] * std::tanh(memory[j]);
  for (int r = 0; r < R; ++r)
    new_state[r] = layer.projection > 0 ? Real(0) : memory[static_cast<std::size_t>(r)];
  if (layer.projection > 0)
    multiply_add(p.projection.data(), R, H, operands(memory.data(), H).data(), new_state);
}

template <class Real>
void lstm_update_backward(const Layer& layer, const BasicParameters<Real>& p, CellInput<Real> in,
                          const Real* new_state, const Real* kept, const Real* d_new_state,
                          CellGradients<Real> d) {
  const int H = layer.hidden, R = layer.output_width();
  const auto width = static_cast<std::size_t>(H);
  const Real* c = in.state + R;
  const std::vector<Real> shown = shown_cell(layer, p, new_state + R);
  std::vector<Real> tanh_c(width), memory(width), d_memory(width), d_shown(width);
  for (std::size_t j = 0; j < width; ++j) {
    tanh_c[j] = std::tanh(shown[j]);
    memory[j] = kept[3 * width + j] * tanh_c[j];
    if (layer.projection == 0) d_memory[j] = d_new_state[j];
  }
  if (layer.projection > 0)
    multiply_add_backward(p.projection.data(), R, H, operands(memory.data(), H).data(),
                          operands(d_new_state, R).data(), d.parameters.projection.data(),
                          d_memory.data());
  for (std::size_t j = 0; j < width; ++j)
    d_shown[j] = d_memory[j] * kept[3 * width + j] * (1 - tanh_c[j] * tanh_c[j]);
  const std::vector<Real> d_new_c =
      shown_cell_backward(layer, p, new_state + R, d_shown, d.parameters);
  std::vector<Real> d_a(4 * width);
  for (int j = 0; j < H; ++j) {
    const Real i = kept[j], f = kept[H + j], g = kept[2 * H + j], o = kept[3 * H + j];
    const Real d_c = d_new_state[R + j] + d_new_c[static_cast<std::size_t>(j)];
    d.state[R + j] += d_c * f;
    Real* d_a_j = d_a.data() + j;
    d_a_j[0] = d_c * g * i * (1 - i);
    d_a_j[H] = d_c * c[j] * f * (1 - f);
    d_a_j[2 * H] = d_c * i * (1 - g * g);
    d_a_j[3 * H] =
        d_memory[static_cast<std::size_t>(j)] * tanh_c[static_cast<std::size_t>(j)] * o * (1 - o);
  }
  for (std::size_t row = 0; row < d_a.size(); ++row) d.parameters.bias[row] += d_a[row];
  add_product_backward(product_x(layer, p, 0, 4), in.x, d_a.data(), d.parameters.weights_x,
                       d.parameters.norm_gain_x, d.x);
  add_product_backward(product_h(layer, p, 0, 4), in.operand, d_a.data(), d.parameters.weights_h,
                       d.parameters.norm_gain_h, d.operand);
}

template void lstm_update(const Layer&, const BasicParameters<float>&, CellInput<float>, float*,
                          float*);
template void lstm_update(const Layer&, const BasicParameters<double>&, CellInput<double>, double*,
                          double*);
template void lstm_update_backward(const Layer&, const BasicParameters<float>&, CellInput<float>,
                                   const float*, const float*, const float*, CellGradients<float>);
template void lstm_update_backward(const Layer&, const BasicParameters<double>&, CellInput<double>,
                                   const double*, const double*, const double*,
                                   CellGradients<double>);

}  // namespace reference
