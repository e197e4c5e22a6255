// The judge is judged first: planted wrong results must fail, and what the oracle's own loops give
// in float and double must pass.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "reference/layer_pass.h"
#include "support/against_oracle.h"
#include "support/case.h"
#include "support/compare.h"
#include "support/convert.h"
#include "support/expect.h"
#include "support/generate.h"
#include "support/guarded_buffer.h"

namespace {

using support::Comparison;
using support::parse_case;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

Comparison compare(const std::vector<double>& result, const std::vector<double>& expected,
                   double tolerance, std::size_t row_width = 0) {
  return support::compare(std::span<const double>(result), std::span<const double>(expected),
                          tolerance, row_width);
}

TEST(Comparer, PassesWithinTheTolerance) {
  EXPECT_TRUE(compare({1, 2, -4}, {1, 2, -4}, 0));
  EXPECT_TRUE(compare({1, 2, -4.003}, {1, 2, -4}, 1e-3));
  EXPECT_TRUE(compare({}, {}, 0));
}

TEST(Comparer, FailsBeyondTheTolerance) {
  const Comparison comparison = compare({1, 2, -4.005}, {1, 2, -4}, 1e-3);
  EXPECT_FALSE(comparison);
  EXPECT_EQ(comparison.worst_index, 2u);
  EXPECT_GT(comparison.worst_ratio, 1);
}

// What is left of a sum whose terms cancelled says nothing of their size.
TEST(Comparer, KnowsOfWhatWasAddedUp) {
  const std::vector<double> left = {0, 1e-3, 0}, found = {0, 1.1e-3, 0};
  const auto judge = [&](double least_scale) {
    return support::compare(std::span<const double>(found), std::span<const double>(left), 1e-3, 0,
                            least_scale);
  };
  EXPECT_FALSE(judge(0));
  EXPECT_FALSE(judge(0.05));
  EXPECT_TRUE(judge(0.2));
}

TEST(Comparer, FailsOnNaNAndInfinity) {
  for (const double poison : {nan, infinity, -infinity}) {
    for (const double tolerance : {0.0, 1e-3, infinity}) {
      EXPECT_FALSE(compare({1, poison, 3}, {1, 2, 3}, tolerance));
      EXPECT_FALSE(compare({1, 2, 3}, {1, poison, 3}, tolerance));
      EXPECT_FALSE(compare({1, poison, 3}, {1, poison, 3}, tolerance));
      EXPECT_FALSE(compare({poison}, {0}, tolerance));
    }
  }
  EXPECT_FALSE(compare({1, 2}, {1, 2}, nan));
  EXPECT_EQ(compare({9, nan, 3}, {1, 2, 3}, 1e-3).worst_index, 1u);
}

TEST(Comparer, FailsOnAnotherSize) {
  EXPECT_FALSE(compare({1}, {1, 2}, 1));
  EXPECT_FALSE(compare({}, {1}, 1));
  EXPECT_EQ(compare({1}, {1, 2}, 1).message, "has 1 elements, expected 2");
}

TEST(Comparer, WantsZeroWhereEverythingIsZero) {
  EXPECT_TRUE(compare({0, -0.0}, {0, 0}, 1e-3));
  EXPECT_FALSE(compare({0, 1e-300}, {0, 0}, 1e-3));
}

// An element far smaller than the array is judged by its own row, not by the largest row.
TEST(Comparer, JudgesARowByItsOwnScale) {
  std::vector<double> expected(64, 0.01), result = expected;
  expected[0] = result[0] = 1;
  result[63] += 1e-3;
  EXPECT_TRUE(compare(result, expected, 2e-3));
  EXPECT_FALSE(compare(result, expected, 2e-3, 2));
}

TEST(Comparer, SaysWhatIsWrong) {
  const std::string message = compare({1, 2, 3, 4.5}, {1, 2, 3, 4}, 0.01, 2).message;
  for (const char* part : {"1 of 4", "[3]", "[1, 1]", "4.5", "expected 4", "error 0.5",
                           "allowed 0.04", "tolerance 0.01"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message << " lacks " << part;
  }
}

// A tolerance under which zeros, or half of what is expected, would pass.
TEST(Comparer, FailsWhereItCanShowNothing) {
  const std::vector<double> right = {1, -2, 0.5};
  EXPECT_TRUE(compare(right, right, 0.49));
  const Comparison blind = compare(right, right, 0.51);
  EXPECT_FALSE(blind);
  EXPECT_EQ(blind.message.find("can show nothing: 0.51 of the largest element is allowed"), 0u)
      << blind.message;
  EXPECT_TRUE(compare({0, 0}, {0, 0}, 0.51));
  // What was added up may be larger than all that is left.
  const auto span = std::span<const double>(right);
  EXPECT_TRUE(support::compare(span, span, 0.01, 0, 50));
  EXPECT_FALSE(support::compare(span, span, 0.01, 0, 200));
}

TEST(Comparer, GrantsTwiceThePlainLoopsError) {
  const auto judge = [](double result, double baseline) {
    const std::vector<float> r = {static_cast<float>(result)}, b = {static_cast<float>(baseline)};
    const std::vector<double> expected = {1};
    return support::compare_with_baseline(std::span<const float>(r), std::span<const float>(b),
                                          std::span<const double>(expected), 1e-4);
  };
  EXPECT_TRUE(judge(1.0019, 1.001));
  EXPECT_FALSE(judge(1.0021, 1.001));
  EXPECT_TRUE(judge(1.00009, 1));
  EXPECT_FALSE(judge(1.00011, 1));
  EXPECT_FALSE(judge(nan, 1.001));
  EXPECT_FALSE(judge(1, nan));
  EXPECT_FALSE(judge(1, infinity));
}

TEST(Comparer, TellsBitsApart) {
  const auto same = [](const std::vector<double>& a, const std::vector<double>& b) {
    return support::compare_bits(std::span<const double>(a), std::span<const double>(b));
  };
  EXPECT_TRUE(same({1, nan}, {1, nan}));
  EXPECT_FALSE(same({0.0}, {-0.0}));
  EXPECT_FALSE(same({1}, {std::nextafter(1, 2)}));
  EXPECT_FALSE(same({1}, {1, 1}));
  EXPECT_EQ(same({1, 2, 4}, {1, 3, 5}).worst_index, 1u);
}

// ---- the tolerance against the oracle's own loops -----------------------------------------------

// Every output of the plain loop in `Real`, against double.
template <class Real>
void expect_plain_loop_passes(const support::Case& c) {
  SCOPED_TRACE(to_string(c));
  const auto p = make_parameters(c);
  const auto batch = make_batch(c);
  const auto upstream = make_upstream(c);
  const auto f = forward(c.layer, p, batch);
  const auto g = backward(c.layer, p, batch, f, upstream);
  const auto p_real = support::convert<Real>(p);
  const auto batch_real = support::convert<Real>(batch);
  const auto f_real = forward(c.layer, p_real, batch_real);
  const auto g_real =
      backward(c.layer, p_real, batch_real, f_real, support::convert<Real>(upstream));

  const std::int64_t mixing = support::mixing_steps(c.max_length());
  const std::int64_t terms = c.layer.hidden + c.layer.input_width();
  const double step = support::rounding_tolerance<Real>(terms, mixing);
  const double sum = support::rounding_tolerance<Real>(batch.tokens() + terms, mixing);
  const auto check = [](const std::string& name, const std::vector<Real>& result,
                        const std::vector<double>& expected, double tolerance) {
    EXPECT_TRUE(
        support::agrees(name, support::compare(std::span<const Real>(result),
                                               std::span<const double>(expected), tolerance)));
  };
  check("hidden", f_real.hidden, f.hidden, step);
  check("cell", f_real.cell, f.cell, step);
  check("d_values", g_real.d_values, g.d_values, step);
  check("d_delta_t", g_real.d_delta_t, g.d_delta_t, step);
  check("d_initial_hidden", g_real.d_initial_hidden, g.d_initial_hidden, step);
  const auto tensors = named_tensors(g_real.parameters);
  const auto expected = named_tensors(g.parameters);
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    check(tensors[t].first, *tensors[t].second, *expected[t].second, sum);
  }
}

struct Tolerance : testing::TestWithParam<const char*> {};

TEST_P(Tolerance, HoldsForAPlainLoop) {
  support::Case c = parse_case(GetParam());
  for (c.seed = 1; c.seed <= 4; ++c.seed) {
    for (const bool reverse : {false, true}) {
      c.layer.reverse = reverse;
      expect_plain_loop_passes<float>(c);
      expect_plain_loop_passes<double>(c);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Comparer, Tolerance,
    testing::Values("rnn_f32_n7_d5_h17_len0-40", "rnn_relu+decay+relax_f32_n5_d3_h7_len0-19_miss60",
                    "ode_euler_f32_n7_d5_h17_len0-40_miss50_gap", "lstm_f32_n7_d5_h34_len0-40_init",
                    "lstm_decay_f32_n7_d5_h17_len0-40_miss80",
                    "lstm+relax+relax_f32_n7_d5_h17_len0-40_miss80_eo",
                    "gru_gap_f32_n7_d5_h17_len0-40_miss50", "gru+none+decay_f32_n3_d5_h17_len0-40",
                    "grud_f32_n7_d5_h34_len0-19_miss80", "grud_f32_n2_d3_h7_len0-19+3000_miss90",
                    "grud_relax_f32_n7_d5_h17_len0-40_miss80_times_carry"),
    support::test_name);

// Mistakes as small as one number that is a little off must not pass for rounding in float.
TEST(Comparer, CatchesPlantedMistakes) {
  const support::Case c = parse_case("grud_f32_n7_d5_h34_len0-19_miss80_seed3");
  const auto p = make_parameters(c);
  const auto batch = make_batch(c);
  const auto right = forward(c.layer, p, batch).hidden;
  const double tolerance = support::rounding_tolerance<float>(
      c.layer.hidden + c.layer.input_width(), support::mixing_steps(c.max_length()));
  const auto judge = [&](const auto& parameters, const auto& tokens) {
    return compare(forward(c.layer, parameters, tokens).hidden, right, tolerance);
  };
  EXPECT_TRUE(judge(p, batch));
  auto wrong = p;
  wrong.weights_h[2 * 34 * 34 + 40] += 0.01;  // of weights up to 0.17
  EXPECT_FALSE(judge(wrong, batch));
  wrong = p;
  wrong.x_mean[2] *= 1.01;
  EXPECT_FALSE(judge(wrong, batch));
  wrong = p;
  wrong.evolve_bias[33] = -wrong.evolve_bias[33];
  EXPECT_FALSE(judge(wrong, batch));
  auto late = batch;
  late.delta_t[late.delta_t.size() / 2] += 1.0 / 64;
  EXPECT_FALSE(judge(p, late));
}

// ---- types of 16 bits and tf32 ------------------------------------------------------------------

// Plain loops with the type's roundings pass; zeros, halves and negatives of every array that is not all zero do not.
struct Rounded : testing::TestWithParam<const char*> {};

TEST_P(Rounded, ArraysAreSeen) {
  const support::Case c = parse_case(GetParam());
  const auto parameters = make_parameters(c);
  auto batch = make_batch(c);
  auto upstream = make_upstream(c);
  support::Rounding rounding = support::rounding_of_tf32();
  if (c.type == support::Type::f16) {
    rounding = support::rounding_of<support::Fp16>();
    support::round_to<support::Fp16>(batch, upstream);
  } else if (c.type == support::Type::bf16) {
    rounding = support::rounding_of<support::Bf16>();
    support::round_to<support::Bf16>(batch, upstream);
  }
  const auto loops = [&](std::span<const float> sides) {
    return support::expect_from_oracle<float>(c, support::convert<float>(parameters),
                                              support::convert<float>(batch),
                                              support::convert<float>(upstream), sides, rounding);
  };
  const auto states = loops({}).values.at("hidden");
  support::Verdict<float> verdict(c, parameters, batch, upstream, rounding);
  verdict.take_sides_of(states);
  int seen = 0;
  for (const auto& [name, right] : loops(states).values) {
    EXPECT_TRUE(verdict.on(name, right));
    if (std::all_of(right.begin(), right.end(), [](float x) { return x == 0; })) continue;
    ++seen;
    for (const float factor : {0.0F, 0.5F, -1.0F}) {
      std::vector<float> wrong = right;
      for (float& x : wrong) x *= factor;
      EXPECT_FALSE(verdict.on(name, wrong)) << name << " times " << factor;
    }
  }
  EXPECT_GE(seen, 8);
}

INSTANTIATE_TEST_SUITE_P(
    Comparer, Rounded,
    testing::Values(
        "lstm_bf16_n20_d3_h37_len0-9_ln_init_seed10",
        "grud_bf16_n9_d13_h31_len0-9_miss70_ln_seed13",
        "gru_reset_before_bf16_n7_h33_len0-9_rev_ln_init_seed19",
        "lstm_decay_f16_n7_h34_len0-19_miss80_times_ln_seed16",
        "rnn_relu+decay+decay_bf16_n4_d5_h6_len0-11_miss60_mask_gap_rev_carry_init_seed32",
        "gru+relax+relax_bf16_n4_d5_h6_len0-11_miss60_mask_gap_rev_carry_init_seed32",
        "lstm_bf16_n70_d2_h33_len0-6_init_seed3", "gru_f16_n70_d2_h9_len0-9_init_seed3",
        "lstm+decay+relax_f32_n4_d5_h17_len0-30_miss90_eo_rev_seed10",
        "gru_decay_f32_n3_d2_h9_len0-3+400_miss30_seed7"),
    support::test_name);

// What a normalisation multiplies, in fp32: by a single unit's gates, of which it divides by next to nothing.
TEST(Comparer, SeesASingleUnitNormalised) {
  const support::Case c =
      parse_case("gru+decay_f32_n4_d3_h1_len0-11_miss60_eo_gap_ln_init_carry_seed33");
  const auto p = make_parameters(c);
  const auto batch = make_batch(c);
  const auto upstream = make_upstream(c);
  const support::Verdict<float> verdict(c, p, batch, upstream);
  const auto states = support::convert<float>(forward(c.layer, p, batch).hidden);
  EXPECT_TRUE(verdict.on("hidden", states));
  EXPECT_FALSE(verdict.on("hidden", std::vector<float>(states.size())));
}

// ---- guarded buffers ----------------------------------------------------------------------------

TEST(GuardedBuffer, StartsAsNaNAndWhole) {
  support::GuardedBuffer<float> buffer(5);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
  for (const float x : buffer.span()) EXPECT_TRUE(std::isnan(x));
  EXPECT_TRUE(support::guards_are_whole("buffer", buffer));
  const std::vector<double> expected(5, 1.0);
  EXPECT_FALSE(support::compare(std::span<const float>(buffer.span()),
                                std::span<const double>(expected), 1));
}

TEST(GuardedBuffer, TellsWhatWasWrittenBeside) {
  support::GuardedBuffer<std::int32_t> behind(std::vector<std::int32_t>{1, 2, 3});
  EXPECT_EQ(behind.vector(), (std::vector<std::int32_t>{1, 2, 3}));
  reinterpret_cast<unsigned char*>(behind.data())[12] = 0;
  EXPECT_EQ(behind.damage(), "byte 1 behind the buffer was overwritten");
  support::GuardedBuffer<double> before(0);
  reinterpret_cast<unsigned char*>(before.data())[-8] = 0;
  EXPECT_EQ(before.damage(), "byte 8 before the buffer was overwritten");
  EXPECT_FALSE(support::guards_are_whole("buffer", before));
}

}  // namespace
