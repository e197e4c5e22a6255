// What must hold of the oracle whatever its numbers are: properties that follow from the equations.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <span>
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

void expect_equal(const std::string& name, const Doubles& result, const Doubles& expected) {
  const auto compared =
      support::compare_bits(std::span<const double>(result), std::span<const double>(expected));
  EXPECT_TRUE(support::agrees(name, compared));
}

using Check = std::function<void(const std::string&, const Doubles&, const Doubles&)>;

void expect_parameters(const Check& check, const Parameters& result, const Parameters& expected) {
  const auto results = named_tensors(result);
  const auto expectations = named_tensors(expected);
  for (std::size_t t = 0; t < results.size(); ++t) {
    check(results[t].first, *results[t].second, *expectations[t].second);
  }
}

void expect_everything_equal(const Forward& f, const Gradients& g, const Forward& f_expected,
                             const Gradients& g_expected) {
  expect_equal("hidden", f.hidden, f_expected.hidden);
  expect_equal("cell", f.cell, f_expected.cell);
  expect_equal("final_hidden", f.final_hidden, f_expected.final_hidden);
  expect_equal("d_values", g.d_values, g_expected.d_values);
  expect_equal("d_delta_t", g.d_delta_t, g_expected.d_delta_t);
  expect_equal("d_initial_hidden", g.d_initial_hidden, g_expected.d_initial_hidden);
  expect_parameters(expect_equal, g.parameters, g_expected.parameters);
}

// Rows of `width` numbers, in the order in which `rows` names them.
Doubles pick(const Doubles& from, const std::vector<std::int64_t>& rows, std::int64_t width) {
  Doubles picked;
  for (const std::int64_t row : rows) {
    for (std::int64_t k = 0; k < width; ++k) {
      picked.push_back(from[static_cast<std::size_t>(row * width + k)]);
    }
  }
  return picked;
}

const char* const model_space[] = {
    "rnn_f64_n5_len0-9_gap_init_seed1",
    "rnn_relu+decay+relax_f64_n5_d3_h4_len0-9_miss60_mask_seed2",
    "ode_euler_f64_n4_d3_len1-9_miss50_gap_seed3",
    "rnn_euler+relax+decay_f64_n4_d3_len0-9_miss70_eo_carry_seed4",
    "lstm+none+relax_f64_n5_len0-9_init_seed5",
    "lstm_decay_f64_n5_d3_len0-9_miss70_seed6",
    "lstm+decay+decay_f64_n5_d3_len0-9_miss80_eo_init_carry_seed7",
    "lstm+relax+relax_f64_n5_d2_len0-9_miss60_eo_gap_seed8",
    "gru_gap_f64_n5_d3_len0-9_miss50_carry_seed9",
    "gru+mean+decay_step_f64_n5_d3_len0-9_miss50_eo_mask_gap_seed10",
    "gru+none+decay_f64_n5_d3_len0-9_seed11",
    "grud_f64_n7_d5_h11_len0-19_miss80_init_seed12",
    "grud_f64_n3_len1-9_miss100_seed13",
    "grud_f64_n3_len1-9_miss0_eo_seed14",
    "grud_relax_f64_n7_d3_h5_len0-19+61_miss70_carry_seed15",
};

struct ModelSpace : testing::TestWithParam<const char*> {
  Case c = parse_case(GetParam());
};
struct MaskedModels : ModelSpace {};
struct ModelsThatFlow : ModelSpace {};

bool has_mask(const Layer& layer) { return layer.impute != reference::Impute::none; }

// Can have empty rows, and an update that does not use the gap.
bool can_flow(const Layer& layer) {
  return has_mask(layer) && layer.cell != reference::Cell::rnn_euler;
}

std::vector<const char*> models_where(bool (*holds)(const Layer&)) {
  std::vector<const char*> models;
  for (const char* text : model_space) {
    if (holds(parse_case(text).layer)) models.push_back(text);
  }
  return models;
}

TEST_P(ModelSpace, ReadsNoUnmeasuredValue) {
  for (const bool reverse : {false, true}) {
    c.layer.reverse = reverse;
    const Parameters p = make_parameters(c);
    const Batch poisoned = make_batch(c);
    const Upstream upstream = make_upstream(c);
    Batch clean = poisoned;
    for (double& value : clean.values) value = std::isfinite(value) ? value : 7;
    const Forward f = forward(c.layer, p, poisoned), f_clean = forward(c.layer, p, clean);
    expect_everything_equal(f, backward(c.layer, p, poisoned, f, upstream), f_clean,
                            backward(c.layer, p, clean, f_clean, upstream));
    for (const double h : f.hidden) EXPECT_TRUE(std::isfinite(h));
  }
}

TEST_P(MaskedModels, TakesTheMaskFromNaN) {
  const Parameters p = make_parameters(c);
  const Upstream upstream = make_upstream(c);
  const Forward f = forward(c.layer, p, make_batch(c));
  Case from_nan = c;
  from_nan.mask_from_nan = true;
  const Forward g = forward(c.layer, p, make_batch(from_nan));
  expect_everything_equal(f, backward(c.layer, p, make_batch(c), f, upstream), g,
                          backward(c.layer, p, make_batch(from_nan), g, upstream));
}

// The same batch with delta_t in the place of time stamps.
Batch with_gaps(const Layer& layer, const Batch& stamped) {
  Batch gaps = stamped;
  gaps.times.clear();
  gaps.context.last_time.clear();
  gaps.context.first_gap.assign(stamped.offsets.size() - 1, 0);
  gaps.delta_t.assign(stamped.times.size(), 0);
  for (std::int64_t b = 0; b < stamped.sequences(); ++b) {
    const reference::Reading read = reading(layer, stamped, b);
    if (read.length() == 0) continue;
    const auto row = static_cast<std::size_t>(b), begin = static_cast<std::size_t>(read.begin);
    const auto last = static_cast<std::size_t>(read.end) - 1;
    for (std::size_t s = begin + 1; s <= last; ++s) {
      gaps.delta_t[s] = stamped.times[s] - stamped.times[s - 1];
    }
    if (stamped.context.last_time.empty()) continue;
    const double last_time = stamped.context.last_time[row];
    if (layer.reverse) {
      gaps.context.first_gap[row] = last_time - stamped.times[last];
    } else {
      gaps.delta_t[begin] = stamped.times[begin] - last_time;
    }
  }
  return gaps;
}

TEST_P(ModelSpace, TakesGapsFromTimeStamps) {
  for (const bool reverse : {false, true}) {
    c.layer.reverse = reverse;
    c.times = true;
    const Parameters p = make_parameters(c);
    const Upstream upstream = make_upstream(c);
    const Batch stamped = make_batch(c), gaps = with_gaps(c.layer, stamped);
    const Forward f = forward(c.layer, p, stamped), g = forward(c.layer, p, gaps);
    expect_everything_equal(f, backward(c.layer, p, stamped, f, upstream), g,
                            backward(c.layer, p, gaps, g, upstream));
  }
}

// A reversed layer is a forward one that gets every sequence mirrored.
TEST_P(ModelSpace, ReversedIsForwardOnMirroredSequences) {
  c.times = true;
  c.layer.reverse = true;
  const std::int64_t D = c.layer.features, H = c.layer.hidden;
  const Parameters p = make_parameters(c);
  const Batch batch = make_batch(c);
  const Upstream upstream = make_upstream(c);
  std::vector<std::int64_t> mirror;
  for (std::int64_t b = 0; b < batch.sequences(); ++b) {
    const reference::Reading read = reading(c.layer, batch, b);
    for (std::int64_t step = 0; step < read.length(); ++step) mirror.push_back(read.token(step));
  }
  Layer forwards = c.layer;
  forwards.reverse = false;
  Batch mirrored = batch;
  mirrored.values = pick(batch.values, mirror, D);
  mirrored.times = pick(batch.times, mirror, 1);
  for (double& time : mirrored.times) time = -time;
  for (double& time : mirrored.context.last_time) time = -time;
  for (std::size_t at = 0; at < batch.mask.size(); ++at) {
    const auto row = static_cast<std::int64_t>(at) / D;
    mirrored.mask[at] = batch.mask[static_cast<std::size_t>(
        mirror[static_cast<std::size_t>(row)] * D + static_cast<std::int64_t>(at) % D)];
  }
  Upstream mirrored_upstream = upstream;
  mirrored_upstream.d_hidden = pick(upstream.d_hidden, mirror, H);
  if (!upstream.d_cell.empty()) mirrored_upstream.d_cell = pick(upstream.d_cell, mirror, H);

  const Forward f = forward(c.layer, p, batch), f_mirrored = forward(forwards, p, mirrored);
  const Gradients g = backward(c.layer, p, batch, f, upstream);
  const Gradients g_mirrored = backward(forwards, p, mirrored, f_mirrored, mirrored_upstream);
  expect_equal("hidden", pick(f.hidden, mirror, H), f_mirrored.hidden);
  expect_equal("final_hidden", f.final_hidden, f_mirrored.final_hidden);
  expect_close("d_values", pick(g.d_values, mirror, D), g_mirrored.d_values);
  expect_close("weights_x", g.parameters.weights_x, g_mirrored.parameters.weights_x);
  // The gap read at step 1 or later stands before its token in the mirrored sequence, and behind it
  // in the caller's.
  std::vector<std::int64_t> before, behind;
  for (std::int64_t b = 0; b < batch.sequences(); ++b) {
    const reference::Reading read = reading(c.layer, batch, b);
    for (std::int64_t step = 1; step < read.length(); ++step) {
      before.push_back(read.begin + step);
      behind.push_back(read.token(step) + 1);
    }
    if (read.length() == 0) continue;
    EXPECT_EQ(g.d_delta_t[static_cast<std::size_t>(read.begin)], 0);
  }
  expect_close("d_delta_t", pick(g.d_delta_t, behind, 1), pick(g_mirrored.d_delta_t, before, 1));
}

// A batch with its sequences cut in two: `first` holds the pieces that are read first.
struct Cut {
  std::vector<std::int64_t> first_tokens, second_tokens;  // of the whole, in its order
  Batch first, second;
};

Cut cut(const Layer& layer, const Batch& whole) {
  Cut parts;
  for (Batch* part : {&parts.first, &parts.second}) part->offsets = {0};
  for (std::int64_t b = 0; b < whole.sequences(); ++b) {
    const reference::Reading read = reading(layer, whole, b);
    const std::int64_t middle = read.begin + (b * 5 + 2) % (read.length() + 1);
    for (std::int64_t s = read.begin; s < read.end; ++s) {
      const bool is_first = (s < middle) != layer.reverse;
      (is_first ? parts.first_tokens : parts.second_tokens).push_back(s);
    }
    parts.first.offsets.push_back(static_cast<std::int64_t>(parts.first_tokens.size()));
    parts.second.offsets.push_back(static_cast<std::int64_t>(parts.second_tokens.size()));
  }
  const auto fill = [&](Batch& part, const std::vector<std::int64_t>& tokens) {
    part.values = pick(whole.values, tokens, layer.features);
    if (!whole.times.empty()) part.times = pick(whole.times, tokens, 1);
    if (!whole.delta_t.empty()) part.delta_t = pick(whole.delta_t, tokens, 1);
    if (whole.mask.empty()) return;
    const Doubles mask(whole.mask.begin(), whole.mask.end());
    const Doubles picked = pick(mask, tokens, layer.features);
    part.mask.assign(picked.begin(), picked.end());
  };
  fill(parts.first, parts.first_tokens);
  fill(parts.second, parts.second_tokens);
  parts.first.initial_hidden = whole.initial_hidden;
  parts.first.initial_cell = whole.initial_cell;
  parts.first.context = whole.context;
  return parts;
}

TEST_P(ModelSpace, PiecesEqualTheWhole) {
  const std::int64_t D = c.layer.features, H = c.layer.hidden;
  for (const bool reverse : {false, true}) {
    for (const bool times : {false, true}) {
      c.layer.reverse = reverse;
      c.times = times;
      const Parameters p = make_parameters(c);
      const Batch whole = make_batch(c);
      const Upstream upstream = make_upstream(c);
      Cut parts = cut(c.layer, whole);

      const Forward f = forward(c.layer, p, whole), first = forward(c.layer, p, parts.first);
      parts.second.initial_hidden = first.final_hidden;
      parts.second.initial_cell = first.final_cell;
      parts.second.context = first.observed.context;
      const Forward second = forward(c.layer, p, parts.second);
      expect_equal("first hidden", first.hidden, pick(f.hidden, parts.first_tokens, H));
      expect_equal("second hidden", second.hidden, pick(f.hidden, parts.second_tokens, H));
      expect_equal("final_hidden", second.final_hidden, f.final_hidden);
      const auto &carried = second.observed.context, &expected = f.observed.context;
      expect_equal("last_value", carried.last_value, expected.last_value);
      expect_equal("since", carried.since, expected.since);
      if (times) expect_equal("last_time", carried.last_time, expected.last_time);

      // The context is a value to the backward pass, so only models that look back no further than
      // the state and the gap have the whole's gradient.
      const bool looks_back =
          c.layer.impute > reference::Impute::mean || c.layer.evolve == reference::Evolve::decay;
      if (looks_back) continue;
      Upstream up_first, up_second = upstream;
      up_second.d_hidden = pick(upstream.d_hidden, parts.second_tokens, H);
      up_first.d_hidden = pick(upstream.d_hidden, parts.first_tokens, H);
      if (c.layer.has_cell_state()) {
        up_second.d_cell = pick(upstream.d_cell, parts.second_tokens, H);
        up_first.d_cell = pick(upstream.d_cell, parts.first_tokens, H);
      }
      const Gradients g = backward(c.layer, p, whole, f, upstream);
      Gradients g_second = backward(c.layer, p, parts.second, second, up_second);
      up_first.d_final_hidden = g_second.d_initial_hidden;
      up_first.d_final_cell = g_second.d_initial_cell;
      const Gradients g_first = backward(c.layer, p, parts.first, first, up_first);
      expect_close("d_values", g_first.d_values, pick(g.d_values, parts.first_tokens, D));
      expect_close("d_initial_hidden", g_first.d_initial_hidden, g.d_initial_hidden);
      const auto sums = named_tensors(g_second.parameters);
      const auto terms = named_tensors(g_first.parameters);
      for (std::size_t t = 0; t < sums.size(); ++t) {
        for (std::size_t at = 0; at < sums[t].second->size(); ++at) {
          (*sums[t].second)[at] += (*terms[t].second)[at];
        }
      }
      expect_parameters(expect_close, g_second.parameters, g.parameters);
    }
  }
}

// A batch with two empty rows put between any two tokens, and where its own rows went.
struct Filled {
  Batch batch;
  std::vector<std::int64_t> rows;
};

Filled with_empty_rows(const Layer& layer, const Batch& batch) {
  const auto D = static_cast<std::size_t>(layer.features);
  Filled filled{batch, {}};
  Batch& to = filled.batch;
  to.offsets = {0};
  to.values.clear();
  to.mask.clear();
  to.times.clear();
  const auto add_empty_row = [&](double time) {
    to.times.push_back(time);
    to.values.insert(to.values.end(), D, nan);
    to.mask.insert(to.mask.end(), D, 0);
  };
  for (std::size_t b = 0; b + 1 < batch.offsets.size(); ++b) {
    const auto begin = static_cast<std::size_t>(batch.offsets[b]);
    for (std::size_t s = begin; s < static_cast<std::size_t>(batch.offsets[b + 1]); ++s) {
      const double before = batch.times[s > begin ? s - 1 : s];
      if (s > begin) add_empty_row(0.75 * before + 0.25 * batch.times[s]);
      if (s > begin) add_empty_row(0.25 * before + 0.75 * batch.times[s]);
      filled.rows.push_back(static_cast<std::int64_t>(to.times.size()));
      add_empty_row(batch.times[s]);
      for (std::size_t d = 0; d < D; ++d) {
        to.values[to.values.size() - D + d] = batch.values[s * D + d];
        to.mask[to.mask.size() - D + d] = batch.mask[s * D + d];
      }
    }
    to.offsets.push_back(static_cast<std::int64_t>(to.times.size()));
  }
  return filled;
}

// The rows of `from` at their new places, and zero elsewhere.
Doubles spread(const Doubles& from, const Filled& filled, std::int64_t width) {
  if (from.empty()) return {};
  Doubles to(static_cast<std::size_t>(filled.batch.tokens() * width), 0);
  for (std::size_t at = 0; at < from.size(); ++at) {
    const auto row = static_cast<std::int64_t>(at) / width;
    const auto column = static_cast<std::int64_t>(at) % width;
    to[static_cast<std::size_t>(filled.rows[static_cast<std::size_t>(row)] * width + column)] =
        from[at];
  }
  return to;
}

// The exact semigroup: with relax and evolve_only, rows that measure nothing are no events.
TEST_P(ModelsThatFlow, EmptyRowsChangeNothing) {
  c.times = true;
  c.layer.gap_input = false;
  c.layer.evolve = reference::Evolve::relax;
  c.layer.empty_rows = reference::EmptyRows::evolve_only;
  const std::int64_t D = c.layer.features, H = c.layer.hidden;
  for (const bool reverse : {false, true}) {
    c.layer.reverse = reverse;
    const Parameters p = make_parameters(c);
    const Batch batch = make_batch(c);
    const Filled filled = with_empty_rows(c.layer, batch);
    const Upstream upstream = make_upstream(c);
    Upstream filled_upstream = upstream;
    filled_upstream.d_hidden = spread(upstream.d_hidden, filled, H);
    filled_upstream.d_cell = spread(upstream.d_cell, filled, H);

    const Forward f = forward(c.layer, p, batch), f_filled = forward(c.layer, p, filled.batch);
    expect_close("hidden", pick(f_filled.hidden, filled.rows, H), f.hidden);
    expect_close("final_hidden", f_filled.final_hidden, f.final_hidden);
    const Gradients g = backward(c.layer, p, batch, f, upstream);
    const Gradients g_filled = backward(c.layer, p, filled.batch, f_filled, filled_upstream);
    expect_close("d_values", pick(g_filled.d_values, filled.rows, D), g.d_values);
    expect_parameters(expect_close, g_filled.parameters, g.parameters);
  }
}

INSTANTIATE_TEST_SUITE_P(Oracle, ModelSpace, testing::ValuesIn(model_space), support::test_name);
INSTANTIATE_TEST_SUITE_P(Oracle, MaskedModels, testing::ValuesIn(models_where(has_mask)),
                         support::test_name);
INSTANTIATE_TEST_SUITE_P(Oracle, ModelsThatFlow, testing::ValuesIn(models_where(can_flow)),
                         support::test_name);

}  // namespace
