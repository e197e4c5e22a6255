// The oracle's equations on numbers small enough to work out by hand, and its edges: no tokens, an
// infinite gap, tensors of the wrong size.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference/layer_pass.h"
#include "support/case.h"
#include "support/compare.h"
#include "support/expect.h"
#include "support/generate.h"

namespace {

using reference::Batch;
using reference::Forward;
using reference::Gradients;
using reference::Layer;
using reference::Parameters;
using reference::Upstream;
using support::Case;
using support::parse_case;
using Doubles = std::vector<double>;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void expect_close(const std::string& name, const Doubles& result, const Doubles& expected) {
  const auto compared =
      support::compare(std::span<const double>(result), std::span<const double>(expected), 1e-12);
  EXPECT_TRUE(support::agrees(name, compared));
}

TEST(Oracle, ImputesByHand) {
  Layer layer{.features = 1, .hidden = 1};
  Batch batch;
  batch.offsets = {0, 4, 4, 5};
  batch.values = {nan, 2, nan, nan, nan};
  batch.delta_t = {0, 1, 2, 4, 0};
  const auto input = [&](reference::Impute impute, bool reverse) {
    layer.impute = impute;
    layer.reverse = reverse;
    Parameters p = zero_parameters(layer);
    p.x_mean = {10};
    if (!p.impute_weight.empty()) p.impute_weight = {0.5};
    if (!p.impute_bias.empty()) p.impute_bias = {-1};
    return forward(layer, p, batch).input;
  };
  using reference::Impute;
  expect_close("mean", input(Impute::mean, false), {10, 2, 10, 10, 10});
  expect_close("forward", input(Impute::forward, false), {10, 2, 2, 2, 10});
  expect_close("forward, reversed", input(Impute::forward, true), {2, 2, 10, 10, 10});
  // delta at the missing tokens behind the measurement: 2 and 6, so max(0, w delta + b) = 0 and 2
  expect_close("decay", input(Impute::decay, false), {10, 2, 2, 10 - 8 * std::exp(-2.0), 10});
  const double rate = std::log1p(std::exp(0.5));
  expect_close("relax", input(Impute::relax, false),
               {10, 2, 10 - 8 * std::exp(-2 * rate), 10 - 8 * std::exp(-6 * rate), 10});
}

TEST(Oracle, CountsTimeSinceMeasurement) {
  Layer layer{.impute = reference::Impute::forward, .features = 2};
  Batch batch;
  batch.offsets = {0, 4};
  batch.mask = {1, 0, 0, 0, 0, 1, 1, 1};
  batch.values = Doubles(8, 0);
  batch.delta_t = {3, 1, 2, 4};
  expect_close("delta", observe(layer, batch).delta, {3, 3, 1, 4, 3, 6, 7, 4});
  batch.context.since = {5, 0};
  expect_close("delta after a piece", observe(layer, batch).delta, {8, 3, 1, 4, 3, 6, 7, 4});
  batch.context = {};
  layer.reverse = true;  // gaps as read: 1 2 4 0
  expect_close("delta, reversed", observe(layer, batch).delta, {7, 3, 6, 2, 4, 4, 0, 0});
}

TEST(Oracle, RelaxesToItsRestingState) {
  Case c = parse_case("lstm+forward+relax_f64_n1_d2_h3_len1_miss100_eo_init_seed4");
  Batch batch = make_batch(c);
  batch.delta_t = {1e6};
  const Parameters p = make_parameters(c);
  const Forward f = forward(c.layer, p, batch);
  expect_close("h, c", f.state, p.s_inf);
}

// One step by the equations, H = 2: all eight gates of a product are one group, so that LN of
// (1 .. 8) is (k - 4.5) / sqrt(5.25 + 1e-5), and of c' it is +-u / sqrt(u^2 + 1e-5).
TEST(Oracle, NormalisesAnLstmStepByHand) {
  const Layer layer{.cell = reference::Cell::lstm, .features = 1, .hidden = 2, .layer_norm = true};
  Parameters p = zero_parameters(layer);
  Batch batch;
  batch.offsets = {0, 1};
  batch.values = {2};
  batch.delta_t = {0};
  batch.initial_hidden = {1, 0};
  batch.initial_cell = {0.5, -0.25};
  for (std::size_t row = 0; row < 8; ++row) {
    p.weights_x[row] = static_cast<double>(row + 1) / 2;  // W_x x = 1 .. 8
    p.weights_h[2 * row] = 8 - static_cast<double>(row);  // W_h h = 8 .. 1
    p.weights_h[2 * row + 1] = 100;
  }
  p.norm_gain_x = Doubles(8, 1);
  p.norm_gain_h = Doubles(8, 0.5);
  p.bias = Doubles(8, 0.1);
  p.norm_gain_c = {2, -1};
  p.norm_bias_c = {0.3, 0.4};
  const auto pre = [](int k) { return (k - 4.5) / std::sqrt(5.25 + 1e-5) * (1 - 0.5) + 0.1; };
  const auto logistic = [](double x) { return 1 / (1 + std::exp(-x)); };
  double c[2], o[2];
  for (int j = 0; j < 2; ++j) {
    const double i = logistic(pre(1 + j)), f = logistic(pre(3 + j)), g = std::tanh(pre(5 + j));
    o[j] = logistic(pre(7 + j));
    c[j] = f * batch.initial_cell[static_cast<std::size_t>(j)] + i * g;
  }
  const double u = (c[0] - c[1]) / 2, ln = u / std::sqrt(u * u + 1e-5);
  const Forward result = forward(layer, p, batch);
  expect_close("c", result.cell, {c[0], c[1]});
  expect_close("h", result.hidden,
               {o[0] * std::tanh(2 * ln + 0.3), o[1] * std::tanh(-1 * -ln + 0.4)});
}

TEST(Oracle, LeavesEmptySequencesAtTheirInitialState) {
  const Case c = parse_case("lstm_decay_f64_n3_d2_h3_len0_init_seed1");
  const Parameters p = make_parameters(c);
  const Batch batch = make_batch(c);
  const Forward f = forward(c.layer, p, batch);
  const Upstream upstream = make_upstream(c);
  EXPECT_EQ(batch.tokens(), 0);
  expect_close("final_hidden", f.final_hidden, batch.initial_hidden);
  expect_close("final_cell", f.final_cell, batch.initial_cell);
  const Gradients g = backward(c.layer, p, batch, f, upstream);
  expect_close("d_initial_hidden", g.d_initial_hidden, upstream.d_final_hidden);
  expect_close("d_initial_cell", g.d_initial_cell, upstream.d_final_cell);
  EXPECT_TRUE(forward(c.layer, p, Batch()).hidden.empty());
}

TEST(Oracle, RefusesSizesThatDoNotFit) {
  const Case c = parse_case("grud_f64_seed1");
  Parameters p = make_parameters(c);
  Batch batch = make_batch(c);
  batch.delta_t.pop_back();
  EXPECT_THROW((void)forward(c.layer, p, batch), std::invalid_argument);
  p.x_mean.clear();
  EXPECT_THROW((void)forward(c.layer, p, make_batch(c)), std::invalid_argument);
}

}  // namespace
