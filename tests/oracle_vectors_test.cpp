// The oracle against PyTorch's own nn.LSTM, nn.GRU and nn.RNN: outputs and gradients, dense, ragged
// and in both directions, from vectors that tests/vectors/make_vectors.py stored.
#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

#include "reference/layer_pass.h"
#include "support/compare.h"
#include "support/expect.h"
#include "support/vectors.h"

namespace {

using reference::Batch;
using reference::Cell;
using reference::Forward;
using reference::Gradients;
using reference::Layer;
using reference::Parameters;
using reference::Upstream;
using support::StoredCase;

constexpr double agreement = 1e-11;

Cell cell_of(const StoredCase& c) {
  if (c.module == "lstm") return Cell::lstm;
  if (c.module == "gru") return Cell::gru;
  return c.module == "rnn_relu" ? Cell::rnn_relu : Cell::rnn_tanh;
}

Layer layer_of(const StoredCase& c, std::int64_t direction) {
  Layer layer{.cell = cell_of(c)};
  layer.features = static_cast<int>(c.features);
  layer.hidden = static_cast<int>(c.hidden);
  layer.reverse = direction == 1;
  layer.projection = static_cast<int>(c.projection);
  return layer;
}

std::string suffix(std::int64_t direction) { return direction == 1 ? "_l0_reverse" : "_l0"; }

// PyTorch adds two biases, b_ih and b_hh; only the reset gate keeps the last of gru's apart.
Parameters parameters_of(const StoredCase& c, const Layer& layer, std::int64_t direction) {
  Parameters p = zero_parameters(layer);
  p.weights_x = c["weight_ih" + suffix(direction)];
  p.weights_h = c["weight_hh" + suffix(direction)];
  p.bias = c["bias_ih" + suffix(direction)];
  if (c.projection > 0) p.projection = c["weight_hr" + suffix(direction)];
  const std::vector<double>& bias_hh = c["bias_hh" + suffix(direction)];
  const std::size_t summed = layer.cell == Cell::gru ? 2 * p.bias_hn.size() : p.bias.size();
  for (std::size_t j = 0; j < summed; ++j) p.bias[j] += bias_hh[j];
  for (std::size_t j = summed; j < bias_hh.size(); ++j) p.bias_hn[j - summed] = bias_hh[j];
  return p;
}

// Columns of one direction from rows of all directions.
std::vector<double> columns(const StoredCase& c, const std::vector<double>& rows,
                            std::int64_t direction) {
  const auto R = static_cast<std::size_t>(c.projection > 0 ? c.projection : c.hidden);
  const auto width = R * static_cast<std::size_t>(c.directions);
  std::vector<double> part;
  for (std::size_t at = 0; at < rows.size(); ++at) {
    if (at % width / R == static_cast<std::size_t>(direction)) part.push_back(rows[at]);
  }
  return part;
}

// [B, ..] of one direction from [directions, B, ..].
std::vector<double> block(const StoredCase& c, const std::string& name, std::int64_t direction) {
  const std::vector<double>& all = c[name];
  const auto size = static_cast<std::int64_t>(all.size()) / c.directions;
  return {all.begin() + direction * size, all.begin() + (direction + 1) * size};
}

void expect_same(const std::string& name, const std::vector<double>& result,
                 const std::vector<double>& expected) {
  EXPECT_TRUE(
      support::agrees(name, support::compare(std::span<const double>(result),
                                             std::span<const double>(expected), agreement)));
}

// Runs one direction, compares all that is its own, and returns its d_x.
std::vector<double> check_direction(const StoredCase& c, std::int64_t direction) {
  const Layer layer = layer_of(c, direction);
  const Parameters p = parameters_of(c, layer, direction);
  Batch batch;
  batch.offsets = c.offsets;
  batch.values = c["x"];
  batch.initial_hidden = block(c, "h0", direction);
  Upstream upstream;
  upstream.d_hidden = columns(c, c["weight_y"], direction);
  upstream.d_final_hidden = block(c, "weight_h_n", direction);
  if (layer.has_cell_state()) {
    batch.initial_cell = block(c, "c0", direction);
    upstream.d_final_cell = block(c, "weight_c_n", direction);
  }
  const Forward f = forward(layer, p, batch);
  const Gradients g = backward(layer, p, batch, f, upstream);

  expect_same("y", f.hidden, columns(c, c["y"], direction));
  expect_same("h_n", f.final_hidden, block(c, "h_n", direction));
  expect_same("d_h0", g.d_initial_hidden, block(c, "d_h0", direction));
  expect_same("d_weight_ih", g.parameters.weights_x, c["d_weight_ih" + suffix(direction)]);
  expect_same("d_weight_hh", g.parameters.weights_h, c["d_weight_hh" + suffix(direction)]);
  expect_same("d_bias_ih", g.parameters.bias, c["d_bias_ih" + suffix(direction)]);
  if (c.projection > 0)
    expect_same("d_weight_hr", g.parameters.projection, c["d_weight_hr" + suffix(direction)]);
  if (layer.has_cell_state()) {
    expect_same("c_n", f.final_cell, block(c, "c_n", direction));
    expect_same("d_c0", g.d_initial_cell, block(c, "d_c0", direction));
  }
  if (layer.cell == Cell::gru) {
    const std::vector<double>& d_bias_hh = c["d_bias_hh" + suffix(direction)];
    expect_same("d_b_hn", g.parameters.bias_hn,
                {d_bias_hh.begin() + 2 * c.hidden, d_bias_hh.end()});
  }
  return g.d_values;
}

void expect_agreement(const char* path, std::size_t cases) {
  const support::StoredVectors vectors = support::read_vectors(path);
  EXPECT_EQ(vectors.made_with.rfind("torch-", 0), 0u) << vectors.made_with;
  ASSERT_EQ(vectors.cases.size(), cases);
  for (const StoredCase& c : vectors.cases) {
    SCOPED_TRACE(c.name);
    std::vector<double> d_x(c["x"].size(), 0.0);
    for (std::int64_t direction = 0; direction < c.directions; ++direction) {
      const std::vector<double> part = check_direction(c, direction);
      for (std::size_t at = 0; at < d_x.size(); ++at) d_x[at] += part[at];
    }
    expect_same("d_x", d_x, c["d_x"]);
  }
}

TEST(OracleVectors, AgreeWithPyTorch) { expect_agreement(support::pytorch_vectors, 16); }

TEST(OracleVectors, ProjectedAgreeWithPyTorch) { expect_agreement(support::projected_vectors, 4); }

TEST(OracleVectors, SayWhatCannotBeRead) {
  EXPECT_THROW((void)support::read_vectors("tests/vectors/none.txt"), std::runtime_error);
  StoredCase empty;
  EXPECT_THROW((void)empty["x"], std::out_of_range);
}

}  // namespace
