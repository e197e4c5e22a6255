// The oracle judges everything else, so it is judged by what it cannot share a mistake with: finite
// differences and properties that follow from the equations.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "reference/head.h"
#include "reference/layer_pass.h"
#include "reference/losses.h"
#include "reference/optimiser.h"
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
    for (double& gain : p.norm_gain_x) gain *= 0.3;
    for (double& gain : p.norm_gain_h) gain *= 0.3;
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
  const double step = 2e-4, middle = x;
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

void expect_all_gradients(const Case& c, const Parameters& parameters, bool drawn = true) {
  Parameters p = parameters;
  Batch batch = make_batch(c);
  batch.noise.drawn = drawn;
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

void expect_gradients_of_all_models(Cell cell, int hidden, int projection) {
  std::uint64_t seed = 0;
  for (const Impute impute : all_imputes) {
    for (const Evolve evolve : all_evolves) {
      for (const bool reverse : {false, true}) {
        Case c = tiny_case(cell, impute, evolve, ++seed);
        c.layer.hidden = hidden;
        c.layer.projection = projection;
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

// With what is drawn held fixed, as it is from run to run.
void expect_gradients_of_noisy_states(Cell cell, int projection) {
  std::uint64_t seed = 500;
  for (const Evolve evolve : all_evolves) {
    for (const bool drawn : {false, true}) {
      Case c = tiny_case(cell, Impute::decay, evolve, ++seed);
      c.layer.hidden = 5;
      c.layer.projection = projection;
      c.layer.zoneout_hidden_percent = 40;
      c.layer.zoneout_cell_percent = c.layer.has_cell_state() ? 30 : 0;
      c.layer.recurrent_dropout_percent = 50;
      c.layer.empty_rows = seed % 4 < 2 ? EmptyRows::update : EmptyRows::evolve_only;
      c.layer.reverse = seed % 3 == 0;
      SCOPED_TRACE(to_string(c) + (drawn ? " drawn" : " not drawn"));
      expect_all_gradients(c, smooth_parameters(c), drawn);
    }
  }
}

struct CellOf : testing::TestWithParam<Cell> {};

TEST_P(CellOf, GradientsAreFiniteDifferences) { expect_gradients_of_all_models(GetParam(), 2, 0); }

TEST_P(CellOf, GradientsOfNoisyStatesAreFiniteDifferences) {
  expect_gradients_of_noisy_states(GetParam(), 0);
}

// Five units, because what is normalised of one or two bends too sharply for differences: of two
// it is a sign, smooth within sqrt(1e-5) alone.
TEST_P(CellOf, NormalisedGradientsAreFiniteDifferences) {
  std::uint64_t seed = 100;
  for (const Impute impute : {Impute::none, Impute::decay}) {
    for (const Evolve evolve : all_evolves) {
      Case c = tiny_case(GetParam(), impute, evolve, ++seed);
      c.layer.hidden = 5;
      c.layer.features = 3;
      c.layer.layer_norm = true;
      c.layer.reverse = seed % 3 == 0;
      c.layer.empty_rows =
          impute != Impute::none && seed % 2 == 0 ? EmptyRows::evolve_only : EmptyRows::update;
      SCOPED_TRACE(to_string(c));
      expect_all_gradients(c, smooth_parameters(c));
    }
  }
}

TEST(Oracle, ProjectedGradientsAreFiniteDifferences) {
  expect_gradients_of_all_models(Cell::lstm, 3, 2);
  expect_gradients_of_all_models(Cell::lstm, 2, 2);
  expect_gradients_of_noisy_states(Cell::lstm, 3);
}

INSTANTIATE_TEST_SUITE_P(Oracle, CellOf, testing::ValuesIn(all_cells));

// Of one unit nothing is left: the products reach neither the state nor a gradient.
TEST(Oracle, OneNormalisedUnitIsItsBias) {
  Case c = tiny_case(Cell::rnn_tanh, Impute::none, Evolve::none, 79);
  c.layer.hidden = 1;
  c.layer.layer_norm = true;
  const Parameters p = make_parameters(c);
  const Batch batch = make_batch(c);
  const Forward f = forward(c.layer, p, batch);
  for (const double h : f.hidden) EXPECT_EQ(h, std::tanh(p.bias[0]));
  const Gradients g = backward(c.layer, p, batch, f, make_upstream(c));
  for (const std::vector<double>* none :
       {&g.parameters.weights_x, &g.parameters.weights_h, &g.parameters.norm_gain_x,
        &g.parameters.norm_gain_h, &g.d_values})
    for (const double d : *none) EXPECT_EQ(d, 0);
}

// A ready-made delta is a constant: no gradient passes from it to the gaps.
TEST(Oracle, ReadyMadeDeltaIsConstant) {
  Case c = tiny_case(Cell::lstm, Impute::decay, Evolve::decay, 77);
  c.delta = true;
  for (const bool reverse : {false, true}) {
    c.layer.reverse = reverse;
    expect_all_gradients(c, smooth_parameters(c));
  }
}

// d_state_hidden is what reaches h of a token, so a push of h there moves the loss by it.
TEST(Oracle, StateGradientIsWhatReachesTheState) {
  Case c = tiny_case(Cell::gru_reset_before, Impute::decay, Evolve::decay, 78);
  c.sequences = 1;
  const Parameters p = smooth_parameters(c);
  const Batch batch = make_batch(c);
  Upstream upstream = make_upstream(c);
  const Forward f = forward(c.layer, p, batch);
  const Gradients whole = backward(c.layer, p, batch, f, upstream);
  // What reaches the state of the token before last: its own share, and through the last token.
  const auto last = static_cast<std::size_t>(batch.tokens()) - 1;
  const auto H = static_cast<std::size_t>(c.layer.hidden);
  for (std::size_t at = 0; at < H; ++at) {
    EXPECT_DOUBLE_EQ(whole.d_state_hidden[last * H + at],
                     upstream.d_hidden[last * H + at] + upstream.d_final_hidden[at]);
  }
  std::fill(upstream.d_hidden.begin(), upstream.d_hidden.end(), 0.0);
  const Gradients end_only = backward(c.layer, p, batch, f, upstream);
  EXPECT_NE(end_only.d_state_hidden[0], 0);
  EXPECT_NE(end_only.d_state_hidden[0], whole.d_state_hidden[0]);
}

// ---- the last mile ------------------------------------------------------------------------------

std::vector<double> random_numbers(std::size_t size, Random& random) {
  std::vector<double> x(size);
  for (double& value : x) value = random.uniform(-2, 2);
  return x;
}

TEST(Oracle, LinearGradientsAreFiniteDifferences) {
  Random random(5);
  const std::size_t rows = 3, in = 4, out = 2;
  std::vector<double> x = random_numbers(rows * in, random);
  std::vector<double> weights = random_numbers(out * in, random);
  std::vector<double> bias = random_numbers(out, random);
  const std::vector<double> d_y = random_numbers(rows * out, random);
  const auto value = [&] { return dot(reference::linear(x, weights, bias, rows, in, out), d_y); };
  const auto d = reference::linear_backward(x, weights, d_y, rows, in, out);
  expect_gradient("x", x, d.d_x, value);
  expect_gradient("weights", weights, d.d_weights, value);
  expect_gradient("bias", bias, d.d_bias, value);
}

TEST(Oracle, LossGradientsAreFiniteDifferences) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> z = {0.3, -1.5, 40, -40, 2, nan};
  const std::vector<double> targets = {1, 0.25, 0, 1, nan, nan};
  const std::vector<std::uint8_t> mask = {1, 1, 1, 1, 0, 0};
  using Function = reference::Loss (*)(const std::vector<double>&, const std::vector<double>&,
                                       const std::vector<std::uint8_t>&);
  for (const Function function :
       {reference::squared_error, reference::absolute_error, reference::binary_cross_entropy}) {
    const reference::Loss loss = function(z, targets, mask);
    EXPECT_EQ(loss.count, 4);
    EXPECT_EQ(loss.gradient[4], 0);
    expect_gradient("z", z, loss.gradient, [&] { return function(z, targets, mask).sum; });
  }
  EXPECT_EQ(reference::absolute_error({1}, {1}, {}).gradient[0], 0);
  // log(1 + e^40) = 40 + e^-40: neither overflows nor loses the tail.
  EXPECT_DOUBLE_EQ(reference::binary_cross_entropy({40}, {0}, {}).sum, 40 + std::exp(-40.0));
  EXPECT_DOUBLE_EQ(reference::binary_cross_entropy({40}, {1}, {}).sum, std::exp(-40.0));
  EXPECT_DOUBLE_EQ(reference::binary_cross_entropy({1000}, {0}, {}).sum, 1000);
}

TEST(Oracle, CrossEntropyGradientIsAFiniteDifference) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> z = {0.3, -1.5, 2, 700, 699, 1, nan, nan, nan};
  const std::vector<std::int32_t> targets = {2, 1, -7};
  const std::vector<std::uint8_t> mask = {1, 1, 0};
  const auto loss = reference::cross_entropy(z, targets, mask, 3);
  EXPECT_EQ(loss.count, 2);
  expect_gradient("z", z, loss.gradient,
                  [&] { return reference::cross_entropy(z, targets, mask, 3).sum; });
  const double third = reference::cross_entropy({5, 5, 5}, {1}, {}, 3).sum;
  EXPECT_DOUBLE_EQ(third, std::log(3.0));
}

TEST(Oracle, ClipsToTheNorm) {
  std::vector<double> a = {3, 0}, b = {-4};
  EXPECT_DOUBLE_EQ(reference::clip_gradient_norm({&a, &b}, 10), 5);
  EXPECT_EQ(a[0], 3);
  EXPECT_DOUBLE_EQ(reference::clip_gradient_norm({&a, &b}, 2.5), 5);
  EXPECT_DOUBLE_EQ(a[0], 1.5);
  EXPECT_DOUBLE_EQ(b[0], -2);
  a[1] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(reference::clip_gradient_norm({&a, &b}, 1)));
  EXPECT_DOUBLE_EQ(a[0], 1.5);
}

// Under a constant gradient, bias correction makes every step of Adam learning_rate long.
TEST(Oracle, AdamStepsByHand) {
  reference::Adam adam{.learning_rate = 0.1, .epsilon = 0};
  std::vector<double> x = {1, -1}, m = {0, 0}, v = {0, 0};
  for (adam.step = 1; adam.step <= 3; ++adam.step) {
    reference::adam_step(adam, {0.02, -5}, x, m, v);
    EXPECT_NEAR(x[0], 1 - 0.1 * static_cast<double>(adam.step), 1e-12);
    EXPECT_NEAR(x[1], -1 + 0.1 * static_cast<double>(adam.step), 1e-12);
  }
  adam = {.learning_rate = 0.1, .beta1 = 0, .beta2 = 0, .epsilon = 1, .weight_decay = 0.5};
  x = {2}, m = {0}, v = {0};
  reference::adam_step(adam, {3}, x, m, v);
  EXPECT_DOUBLE_EQ(x[0], 2 - 0.1 * (3.0 / (3 + 1) + 0.5 * 2));
}

}  // namespace
