// The oracle judges everything else, so it is judged by what it cannot share a mistake with: finite
// differences and properties that follow from the equations.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "reference/layer_pass.h"
#include "support/generate.h"
#include "support/random.h"

namespace {

using reference::Batch;
using reference::Cell;
using reference::EmptyRows;
using reference::Evolve;
using reference::Forward;
using reference::Gradients;
using reference::Impute;
using reference::Layer;
using reference::Parameters;
using reference::Upstream;
using support::Case;
using support::Random;

constexpr Impute all_imputes[] = {Impute::none, Impute::mean, Impute::forward, Impute::decay,
                                  Impute::relax};
constexpr Evolve all_evolves[] = {Evolve::none, Evolve::decay, Evolve::decay_step, Evolve::relax};
constexpr Cell all_cells[] = {Cell::rnn_tanh, Cell::rnn_relu, Cell::rnn_euler,
                              Cell::lstm,     Cell::gru,      Cell::gru_reset_before};

// Tiny, with every kind of length and, where there is a mask, half of the values missing.
Case tiny_case(Cell cell, Impute impute, Evolve evolve, std::uint64_t seed) {
  Case c;
  c.type = support::Type::f64;
  c.layer = {cell, impute, evolve, EmptyRows::update, 2, 2, impute != Impute::none, true};
  c.sequences = 4;
  c.shortest = 0;
  c.longest = 3;
  c.first_length = 5;
  c.missing_percent = impute == Impute::none ? 0 : 50;
  c.initial_state = true;
  c.seed = seed;
  return c;
}

// Parameters whose functions are smooth in a wide neighbourhood, so that finite differences see no
// kink: decays that are clamped never or always, and relu units that are always on or always off.
Parameters smooth_parameters(const Case& c) {
  Parameters p = make_parameters(c);
  const auto keep_clear = [](std::vector<double>& weight, std::vector<double>& bias) {
    const std::size_t columns = bias.empty() ? 0 : weight.size() / bias.size();
    for (std::size_t row = 0; row < bias.size(); ++row) {
      const double sign = row % 2 == 0 ? 1 : -1;
      bias[row] = sign * (0.1 + std::abs(bias[row]));
      for (std::size_t k = 0; k < columns; ++k) {
        weight[row * columns + k] = sign * std::abs(weight[row * columns + k]);
      }
    }
  };
  keep_clear(p.impute_weight, p.impute_bias);
  if (c.layer.evolve != Evolve::relax) keep_clear(p.evolve_weight, p.evolve_bias);
  if (c.layer.cell == Cell::rnn_relu) {
    for (double& w : p.weights_x) w *= 0.15;
    for (double& w : p.weights_h) w *= 0.3;
    for (std::size_t j = 0; j < p.bias.size(); ++j) p.bias[j] = j % 2 == 0 ? 2 : -2;
  }
  return p;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t at = 0; at < a.size(); ++at) sum += a[at] * b[at];
  return sum;
}

// A scalar whose gradient with respect to the outputs is `d`.
double loss(const Layer& layer, const Parameters& p, const Batch& batch, const Upstream& d) {
  const Forward f = forward(layer, p, batch);
  return dot(f.hidden, d.d_hidden) + dot(f.cell, d.d_cell) + dot(f.final_hidden, d.d_final_hidden) +
         dot(f.final_cell, d.d_final_cell);
}

// d(value)/dx by a central difference of fourth order.
double difference(double& x, const std::function<double()>& value) {
  const double step = 1e-3, middle = x;
  const auto at = [&](double offset) {
    x = middle + offset;
    return value();
  };
  const double slope = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
  x = middle;
  return slope;
}

// Every element of x against its gradient; an element that is NaN or infinite has none.
void expect_gradient(const std::string& name, std::vector<double>& x,
                     const std::vector<double>& gradient, const std::function<double()>& value) {
  ASSERT_EQ(x.size(), gradient.size()) << name;
  for (std::size_t at = 0; at < x.size(); ++at) {
    if (!std::isfinite(x[at])) {
      EXPECT_EQ(gradient[at], 0) << name << "[" << at << "] is unmeasured";
      continue;
    }
    const double expected = difference(x[at], value);
    const double error = std::abs(gradient[at] - expected);
    const double allowed = 1e-6 * std::max(1e-2, std::abs(expected));
    EXPECT_TRUE(error <= allowed) << name << "[" << at << "]: " << gradient[at]
                                  << ", by differences " << expected;
  }
}

void expect_all_gradients(const Case& c, const Parameters& parameters) {
  Parameters p = parameters;
  Batch batch = make_batch(c);
  const Upstream upstream = make_upstream(c);
  const auto value = [&] { return loss(c.layer, p, batch, upstream); };
  Gradients gradients = backward(c.layer, p, batch, forward(c.layer, p, batch), upstream);

  const auto tensors = named_tensors(p);
  const auto gradient_tensors = named_tensors(gradients.parameters);
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    expect_gradient(tensors[t].first, *tensors[t].second, *gradient_tensors[t].second, value);
  }
  expect_gradient("values", batch.values, gradients.d_values, value);
  expect_gradient("initial_hidden", batch.initial_hidden, gradients.d_initial_hidden, value);
  expect_gradient("initial_cell", batch.initial_cell, gradients.d_initial_cell, value);
  if (!c.times) expect_gradient("delta_t", batch.delta_t, gradients.d_delta_t, value);
}

struct CellOf : testing::TestWithParam<Cell> {};

TEST_P(CellOf, GradientsAreFiniteDifferences) {
  std::uint64_t seed = 0;
  for (const Impute impute : all_imputes) {
    for (const Evolve evolve : all_evolves) {
      for (const bool reverse : {false, true}) {
        Case c = tiny_case(GetParam(), impute, evolve, ++seed);
        c.layer.reverse = reverse;
        c.layer.empty_rows = seed % 4 < 2 ? EmptyRows::update : EmptyRows::evolve_only;
        c.layer.mask_input = impute != Impute::none && seed % 3 != 0;
        c.layer.gap_input = seed % 5 != 0;
        c.mask_from_nan = impute != Impute::none && seed % 3 == 1;
        c.carry = seed % 7 < 4;
        SCOPED_TRACE(to_string(c));
        expect_all_gradients(c, smooth_parameters(c));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Oracle, CellOf, testing::ValuesIn(all_cells));

}  // namespace
