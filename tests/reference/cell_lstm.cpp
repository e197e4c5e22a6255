// lstm: i, f, o = sigma(..), g = tanh(..) of W_x x + W_h h + b;  c' = f c + i g,  h' = o tanh(c'), or W_p of that.
#include <cmath>
#include <vector>

#include "reference/cells.h"
#include "reference/linear.h"

namespace reference {

template <class Real>
void lstm_update(const Layer& layer, const BasicParameters<Real>& p, CellInput<Real> in,
                 Real* new_state, Real* kept) {
  const int H = layer.hidden, K = layer.input_width(), R = layer.output_width();
  const Real* c = in.state + R;
  std::vector<Real> memory(static_cast<std::size_t>(H));  // o tanh(c')
  std::vector<Real> a = p.bias;
  multiply_add(p.weights_x.data(), 4 * H, K, in.x, a.data());
  multiply_add(p.weights_h.data(), 4 * H, R, in.operand, a.data());
  for (int j = 0; j < H; ++j) {
    const Real* a_j = a.data() + j;
    const Real i = logistic(a_j[0]), f = logistic(a_j[H]);
    const Real g = std::tanh(a_j[2 * H]), o = logistic(a_j[3 * H]);
    const Real new_c = f * c[j] + i * g;
    memory[static_cast<std::size_t>(j)] = o * std::tanh(new_c);
    new_state[R + j] = new_c;
    kept[j] = i;
    kept[H + j] = f;
    kept[2 * H + j] = g;
    kept[3 * H + j] = o;
  }
  for (int r = 0; r < R; ++r)
    new_state[r] = layer.projection > 0 ? Real(0) : memory[static_cast<std::size_t>(r)];
  if (layer.projection > 0) multiply_add(p.projection.data(), R, H, memory.data(), new_state);
}

template <class Real>
void lstm_update_backward(const Layer& layer, const BasicParameters<Real>& p, CellInput<Real> in,
                          const Real* new_state, const Real* kept, const Real* d_new_state,
                          CellGradients<Real> d) {
  const int H = layer.hidden, K = layer.input_width(), R = layer.output_width();
  const Real* c = in.state + R;
  std::vector<Real> memory(static_cast<std::size_t>(H)), d_memory(static_cast<std::size_t>(H));
  for (std::size_t j = 0; j < memory.size(); ++j) {
    memory[j] = kept[3 * memory.size() + j] * std::tanh(new_state[static_cast<std::size_t>(R) + j]);
    if (layer.projection == 0) d_memory[j] = d_new_state[j];
  }
  if (layer.projection > 0)
    multiply_add_backward(p.projection.data(), R, H, memory.data(), d_new_state,
                          d.parameters.projection.data(), d_memory.data());
  std::vector<Real> d_a(static_cast<std::size_t>(4 * H));
  for (int j = 0; j < H; ++j) {
    const Real i = kept[j], f = kept[H + j], g = kept[2 * H + j], o = kept[3 * H + j];
    const Real tanh_c = std::tanh(new_state[R + j]);
    const Real d_h = d_memory[static_cast<std::size_t>(j)];
    const Real d_c = d_new_state[R + j] + d_h * o * (1 - tanh_c * tanh_c);
    d.state[R + j] += d_c * f;
    Real* d_a_j = d_a.data() + j;
    d_a_j[0] = d_c * g * i * (1 - i);
    d_a_j[H] = d_c * c[j] * f * (1 - f);
    d_a_j[2 * H] = d_c * i * (1 - g * g);
    d_a_j[3 * H] = d_h * tanh_c * o * (1 - o);
  }
  for (std::size_t row = 0; row < d_a.size(); ++row) d.parameters.bias[row] += d_a[row];
  multiply_add_backward(p.weights_x.data(), 4 * H, K, in.x, d_a.data(),
                        d.parameters.weights_x.data(), d.x);
  multiply_add_backward(p.weights_h.data(), 4 * H, R, in.operand, d_a.data(),
                        d.parameters.weights_h.data(), d.operand);
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
