// A layer's learned tensors, row-major, and their gradients, which have the same shapes.
#pragma once

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "reference/layer.h"

namespace reference {

// A tensor that the layer has no use for is empty.
template <class Real>
struct BasicParameters {
  std::vector<Real> weights_x;      // W_x [G*H, K], gates stacked: lstm i,f,g,o; gru r,z,n
  std::vector<Real> weights_h;      // W_h [G*H, R]
  std::vector<Real> bias;           // b [G*H]
  std::vector<Real> bias_hn;        // b_hn [H], Cell::gru only
  std::vector<Real> x_mean;         // [D], every impute but none
  std::vector<Real> impute_weight;  // w [D], Impute::decay and relax
  std::vector<Real> impute_bias;    // b [D], Impute::decay
  std::vector<Real> evolve_weight;  // decay: W_gamma [R, D]; decay_step: w [R]; relax: lambda [S]
  std::vector<Real> evolve_bias;    // b [R], Evolve::decay and decay_step
  std::vector<Real> s_inf;          // [S], Evolve::relax
  std::vector<Real> norm_gain_x;    // [G*H], layer_norm
  std::vector<Real> norm_gain_h;    // [G*H], layer_norm
  std::vector<Real> norm_gain_c;    // [H], layer_norm of an lstm
  std::vector<Real> norm_bias_c;    // [H], layer_norm of an lstm
  std::vector<Real> projection;     // W_p [P, H], an lstm with a projection
};

using Parameters = BasicParameters<double>;

// Every tensor with its name, so that tests can walk over all of them. `P` may be const.
template <class P>
auto named_tensors(P& parameters) {
  using Tensor = decltype((parameters.weights_x));
  using Entry = std::pair<const char*, std::remove_reference_t<Tensor>*>;
  return std::array<Entry, 15>{{{"weights_x", &parameters.weights_x},
                                {"weights_h", &parameters.weights_h},
                                {"bias", &parameters.bias},
                                {"bias_hn", &parameters.bias_hn},
                                {"x_mean", &parameters.x_mean},
                                {"impute_weight", &parameters.impute_weight},
                                {"impute_bias", &parameters.impute_bias},
                                {"evolve_weight", &parameters.evolve_weight},
                                {"evolve_bias", &parameters.evolve_bias},
                                {"s_inf", &parameters.s_inf},
                                {"norm_gain_x", &parameters.norm_gain_x},
                                {"norm_gain_h", &parameters.norm_gain_h},
                                {"norm_gain_c", &parameters.norm_gain_c},
                                {"norm_bias_c", &parameters.norm_bias_c},
                                {"projection", &parameters.projection}}};
}

// All tensors the layer needs, filled with zero.
template <class Real = double>
BasicParameters<Real> zero_parameters(const Layer& layer) {
  const auto zeros = [](int size) {
    return std::vector<Real>(static_cast<std::size_t>(size), Real(0));
  };
  const int D = layer.features, H = layer.hidden, K = layer.input_width();
  const int R = layer.output_width();
  const int S = layer.state_width(), rows = layer.gates() * H;
  const bool impute_decays = layer.impute == Impute::decay || layer.impute == Impute::relax;
  const bool step = layer.evolve == Evolve::decay_step, relax = layer.evolve == Evolve::relax;
  const bool decay = layer.evolve == Evolve::decay;
  const bool norm_c = layer.layer_norm && layer.has_cell_state();

  BasicParameters<Real> zero;
  zero.weights_x = zeros(rows * K);
  zero.weights_h = zeros(rows * R);
  zero.bias = zeros(rows);
  zero.bias_hn = zeros(layer.cell == Cell::gru ? H : 0);
  zero.x_mean = zeros(layer.impute == Impute::none ? 0 : D);
  zero.impute_weight = zeros(impute_decays ? D : 0);
  zero.impute_bias = zeros(layer.impute == Impute::decay ? D : 0);
  zero.evolve_weight = zeros(decay ? R * D : step ? R : relax ? S : 0);
  zero.evolve_bias = zeros(decay || step ? R : 0);
  zero.s_inf = zeros(relax ? S : 0);
  zero.norm_gain_x = zeros(layer.layer_norm ? rows : 0);
  zero.norm_gain_h = zeros(layer.layer_norm ? rows : 0);
  zero.norm_gain_c = zeros(norm_c ? H : 0);
  zero.norm_bias_c = zeros(norm_c ? H : 0);
  zero.projection = zeros(layer.projection * H);
  return zero;
}

}  // namespace reference
