// What products of the CUDA backend round: the precision that a plan is asked for, in either regime against the oracle,
// and numbers that are not finite.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "support/against_oracle.h"
#include "support/cuda.h"

namespace {

using support::InPrecision;
using support::InRegime;
using support::must;
using support::refused;

lacuna_layer layer_of(const char* text) {
  return support::library_layer(support::parse_case(text));
}

// ---- The choice ----

lacuna_status create(const lacuna_layer& layer, lacuna_precision precision,
                     lacuna_regime regime = LACUNA_REGIME_BEST,
                     std::string* explanation = nullptr) {
  const auto context = support::make_context();
  const lacuna_capacity capacity{100, 10, 0};
  lacuna_plan_options options{};
  options.precision = precision;
  options.regime = regime;
  lacuna_plan* plan = nullptr;
  const lacuna_status status =
      lacuna_plan_create(context.get(), &layer, &capacity, &options, &plan);
  const support::PlanHandle made(plan);
  if (explanation != nullptr && plan != nullptr) *explanation = support::explained(plan);
  return status;
}

TEST(Precision, IsRefusedWhereThereIsNothingToRound) {
  for (const auto& [text, type] : {std::pair{"lstm_f64_n1_h8_len1_seed1", "fp64"},
                                   std::pair{"lstm_f16_n1_h8_len1_seed1", "fp16"},
                                   std::pair{"lstm_bf16_n1_h8_len1_seed1", "bf16"}})
    EXPECT_TRUE(refused(create(layer_of(text), LACUNA_PRECISION_TF32), LACUNA_UNSUPPORTED,
                        std::string("options.precision: 1, tf32, which is for fp32 layers; this "
                                    "one's type is ") +
                            type));
  lacuna_precision wrong{};
  const int no_precision = 2;
  std::memcpy(&wrong, &no_precision, sizeof wrong);
  EXPECT_TRUE(refused(create(layer_of("lstm_f32_n1_h8_len1_seed1"), wrong), LACUNA_INVALID_ARGUMENT,
                      "options.precision: 2, expected a lacuna_precision, 0 to 1"));
}

TEST(Precision, IsExplained) {
  for (const lacuna_regime regime :
       {LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT, LACUNA_REGIME_LONE, LACUNA_REGIME_GRID}) {
    std::string text;
    ASSERT_EQ(create(layer_of("gru_f32_n1_h8_len1_seed1"), LACUNA_PRECISION_TF32, regime, &text),
              LACUNA_OK);
    EXPECT_NE(text.find("in tf32: operands of 11 bits"), std::string::npos) << text;
    ASSERT_EQ(create(layer_of("gru_f32_n1_h8_len1_seed1"), LACUNA_PRECISION_DEFAULT, regime, &text),
              LACUNA_OK);
    EXPECT_EQ(text.find("in tf32"), std::string::npos) << text;
  }
}

// ---- Against the oracle ----

class InTf32 : public testing::TestWithParam<std::tuple<const char*, lacuna_regime>> {};

TEST_P(InTf32, Agrees) {
  const auto [text, asked] = GetParam();
  const InRegime regime(asked);
  const InPrecision precision(LACUNA_PRECISION_TF32);
  support::expect_agreement(text);
}

INSTANTIATE_TEST_SUITE_P(
    Models, InTf32,
    testing::Combine(testing::Values("rnn_f32_n7_h34_len0-19_seed1",
                                     "rnn_relu_f32_n5_d3_h17_len0-9_seed2",
                                     "lstm_f32_n9_h31_len0-23_init_seed3",
                                     "gru_f32_n6_d7_h16_len1-12_seed4",
                                     "gru_reset_before_f32_n7_h33_len0-9_init_seed5",
                                     "lstm_f32_n11_d3_h128_len0-5_init_seed128",
                                     "gru_f32_n11_d3_h100_len0-5_init_seed9",
                                     "gru_reset_before_f32_n11_d3_h127_len0-5_init_seed9",
                                     "lstm_decay_f32_n7_h34_len0-19_miss80_times_seed8",
                                     "grud_f32_n7_d41_h64_len0-19_miss80_eo_nan_times_seed3",
                                     "grud_relax_f32_n4_h5_len1-30_miss90_carry_rev_init_seed10",
                                     "lstm+none+relax_f32_n5_d3_h20_len0-7_init_seed5",
                                     "ode_euler_f32_n7_h13_len0-19_miss50_seed12",
                                     "gru_decay_f32_n3_d2_h9_len0-3+400_miss30_seed7"),
                     testing::Values(LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT)));

INSTANTIATE_TEST_SUITE_P(
    Projected, InTf32,
    testing::Combine(testing::Values("lstm_f32_n9_h31_p12_len0-23_init_seed3",
                                     "lstm+decay+relax_f32_n4_h17_p9_len1-30_miss90_eo_rev_seed10"),
                     testing::Values(LACUNA_REGIME_STEPWISE)));

std::vector<float> hidden(const support::Case& c, const reference::Batch& batch,
                          lacuna_regime asked) {
  const InRegime regime(asked);
  support::LibraryRun<float> run(c, support::make_parameters(c), batch, support::make_upstream(c));
  const auto context = support::make_context();
  run.run(context.get());
  const auto& values = *run.results.find("hidden");
  return {values.data(), values.data() + values.size()};
}

TEST(Precision, DecidesTheBits) {
  const support::Case c = support::parse_case("lstm_f32_n3_d3_h20_len5_seed1");
  const reference::Batch batch = support::make_batch(c);
  // cuBLASLt may round operands, and need not.
#ifdef LACUNA_TEST_ON_DEVICE
  const std::vector<lacuna_regime> regimes{LACUNA_REGIME_RESIDENT};
#else
  const std::vector<lacuna_regime> regimes{LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT};
#endif
  for (const lacuna_regime regime : regimes) {
    const std::vector<float> whole = hidden(c, batch, regime);
    const InPrecision precision(LACUNA_PRECISION_TF32);
    EXPECT_NE(hidden(c, batch, regime), whole);
  }
}

// ---- How much is lost over long sequences ----

struct Error {
  double hidden = 0;     // largest, of states, which lie between -1 and 1
  double gradients = 0;  // largest of dL/dW_h, relative to its largest element
};

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

// Of a loss that is so many times as large.
template <class Stored>
Error error_of(const support::Case& c, double scale = 1) {
  const auto parameters = support::make_parameters(c);
  auto batch = support::make_batch(c);
  auto upstream = support::make_upstream(c);
  for (auto* gradients :
       {&upstream.d_hidden, &upstream.d_cell, &upstream.d_final_hidden, &upstream.d_final_cell})
    for (double& value : *gradients) value *= scale;
  if constexpr (!std::is_same_v<Stored, float>) support::round_to<Stored>(batch, upstream);
  const auto forward = reference::forward(c.layer, parameters, batch);
  const auto backward = reference::backward(c.layer, parameters, batch, forward, upstream);
  support::LibraryRun<float, Stored> run(c, parameters, batch, upstream);
  run.wanted = [](const std::string& name) { return name == "hidden" || name == "d_weights_h"; };
  const auto context = support::make_context();
  run.run(context.get());
  const auto worst = [&](const char* name, const std::vector<double>& expected) {
    const auto& found = *run.results.find(name);
    std::vector<double> errors(expected.size());
    for (std::size_t i = 0; i < errors.size(); ++i) errors[i] = found.data()[i] - expected[i];
    return largest(errors);
  };
  return {worst("hidden", forward.hidden), worst("d_weights_h", backward.parameters.weights_h) /
                                               largest(backward.parameters.weights_h)};
}

// The table of docs/numerics.md, which takes an emulator minutes:
//   cuda_precision_emulated_test --gtest_also_run_disabled_tests --gtest_filter='*ErrorTable'
TEST(Precision, DISABLED_ErrorTable) {
  struct Mode {
    const char* name;
    const char* type;
    lacuna_precision precision;
    lacuna_regime regime;
  };
  const Mode modes[] = {
      {"fp32", "f32", LACUNA_PRECISION_DEFAULT, LACUNA_REGIME_RESIDENT},
      {"fp32, stepwise", "f32", LACUNA_PRECISION_DEFAULT, LACUNA_REGIME_STEPWISE},
      {"fp32, lone", "f32", LACUNA_PRECISION_DEFAULT, LACUNA_REGIME_LONE},
      {"tf32", "f32", LACUNA_PRECISION_TF32, LACUNA_REGIME_RESIDENT},
      {"fp16", "f16", LACUNA_PRECISION_DEFAULT, LACUNA_REGIME_RESIDENT},
      {"fp16, lone", "f16", LACUNA_PRECISION_DEFAULT, LACUNA_REGIME_LONE},
      {"bf16", "bf16", LACUNA_PRECISION_DEFAULT, LACUNA_REGIME_RESIDENT},
      {"bf16, lone", "bf16", LACUNA_PRECISION_DEFAULT, LACUNA_REGIME_LONE},
  };
  for (const auto& [model, rest] : {std::pair{"lstm", ""}, {"gru", ""}, {"grud", "_miss70"}})
    for (const Mode& mode : modes) {
      const InRegime regime(mode.regime);
      const InPrecision precision(mode.precision);
      std::printf("| %s | %s |", model, mode.name);
      for (const int length : {50, 200, 1000, 5000}) {
        const support::Case c =
            support::parse_case(std::string(model) + "_" + mode.type + "_n4_d8_h64_len" +
                                std::to_string(length) + rest + "_seed1");
        const Error error = c.type == support::Type::f16    ? error_of<support::Fp16>(c)
                            : c.type == support::Type::bf16 ? error_of<support::Bf16>(c)
                                                            : error_of<float>(c);
        std::printf(" %.1e / %.1e |", error.hidden, error.gradients);
        std::fflush(stdout);
      }
      std::printf("\n");
    }
}

// ---- How small a loss may be ----

// Gates' gradients of an fp16 layer are stored in fp16, which has fewer digits below 6e-5 and none below 6e-8: bounds of
// dL/dW_h for a loss 2^exponent times as large, docs/numerics.md.
class SmallLoss : public testing::TestWithParam<std::tuple<const char*, lacuna_regime>> {};

TEST_P(SmallLoss, LosesDigitsInFp16) {
  const auto [model, asked] = GetParam();
  const InRegime regime(asked);
  const support::Case c = support::parse_case(std::string(model) + "_f16_n4_d8_h32_len20_seed1");
  for (const auto& [exponent, bound] :
       {std::pair{4, 1e-3}, {0, 1e-3}, {-8, 1e-3}, {-12, 2e-3}, {-16, 2e-2}, {-20, 0.2}}) {
    const double error = error_of<support::Fp16>(c, std::ldexp(1.0, exponent)).gradients;
    std::printf("%s, loss times 2^%d: %.1e\n", model, exponent, error);
    EXPECT_LT(error, bound) << "loss times 2^" << exponent;
  }
}

// Of a mean: a loss of slopes of size 1, 2^exponent times. What lacuna_loss_evaluate makes of it in fp16 is the layer's
// upstream gradient; what Adam reads of dL/dW_h is its first moment where beta1 is 0.
struct OfMean {
  double error;
  lacuna_loss_scale after;
};

OfMean error_of_mean(const support::Case& c, int exponent, double loss_scale) {
  const auto parameters = support::make_parameters(c);
  auto batch = support::make_batch(c);
  auto upstream = support::make_upstream(c);
  support::round_to<support::Fp16>(batch, upstream);
  const double mean = std::ldexp(1.0, exponent);
  const auto context = support::make_context();
  const std::vector<lacuna_loss_scale> start{{loss_scale, 0, 0}};

  auto handed = upstream;
  std::vector<double>* const arrays[] = {&upstream.d_hidden, &upstream.d_cell,
                                         &upstream.d_final_hidden, &upstream.d_final_cell};
  std::vector<double>* const stored[] = {&handed.d_hidden, &handed.d_cell, &handed.d_final_hidden,
                                         &handed.d_final_cell};
  for (int k = 0; k < 4; ++k) {
    const std::size_t count = arrays[k]->size();
    // (0 - t)^2 has the slope -2 t.
    std::vector<std::uint16_t> predictions(count), targets(count);
    for (std::size_t i = 0; i < count; ++i) targets[i] = support::Fp16::round((*arrays[k])[i] / -2);
    support::GuardedBuffer<std::uint16_t> slopes(count);
    support::GuardedBuffer<double> loss(1);
    support::GuardedBuffer<std::int64_t> measured(1);
    support::Mirror mirror;
    must(lacuna_loss_evaluate(
        context.get(), LACUNA_LOSS_SQUARED_ERROR, LACUNA_F16, static_cast<std::int64_t>(count), 1,
        mirror.in(predictions.data(), count), mirror.in(targets.data(), count), nullptr, mean,
        mirror.in(start.data(), 1), mirror.out(loss), mirror.out(measured), mirror.out(slopes),
        nullptr));
    mirror.bring_back();
    for (std::size_t i = 0; i < count; ++i) {
      (*stored[k])[i] = support::Fp16::widen(slopes.data()[i]);
      (*arrays[k])[i] *= mean;
    }
  }
  const auto forward = reference::forward(c.layer, parameters, batch);
  const auto backward = reference::backward(c.layer, parameters, batch, forward, upstream);
  const std::vector<double>& expected = backward.parameters.weights_h;

  support::LibraryRun<float, support::Fp16> run(c, parameters, batch, handed);
  run.wanted = [](const std::string& name) { return name == "d_weights_h"; };
  run.run(context.get());
  const auto& gradients = *run.results.find("d_weights_h");
  const std::size_t count = expected.size();
  const std::vector<float> zeros(count);
  support::GuardedBuffer<float> weights(zeros), first(zeros), second(zeros);
  support::GuardedBuffer<lacuna_loss_scale> state(start);
  support::Mirror mirror;
  const lacuna_adam adam{1e-3, 0, 0.999, 1e-8, 0, 0};
  const lacuna_loss_scaling scaling{2, 0.5, 2000};
  const lacuna_adam_array array{static_cast<std::int64_t>(count),
                                mirror.in(gradients.data(), count), mirror.out(weights),
                                mirror.out(first), mirror.out(second)};
  must(lacuna_adam_step_clipped(context.get(), &adam, LACUNA_F16, 1, &array,
                                std::numeric_limits<double>::infinity(), &scaling,
                                mirror.out(state), nullptr, nullptr));
  mirror.bring_back();
  std::vector<double> errors(count);
  for (std::size_t i = 0; i < count; ++i)
    errors[i] = static_cast<double>(first.data()[i]) - expected[i];
  return {largest(errors) / largest(expected), *state.data()};
}

TEST_P(SmallLoss, KeepsDigitsInFp16WhenScaled) {
  const auto [model, asked] = GetParam();
  const InRegime regime(asked);
  const support::Case c = support::parse_case(std::string(model) + "_f16_n4_d8_h32_len20_seed1");
  for (const int exponent : {-12, -16, -20}) {
    const OfMean plain = error_of_mean(c, exponent, 1), scaled = error_of_mean(c, exponent, 65536);
    std::printf("%s, loss times 2^%d: %.1e, with a scale of 2^16: %.1e\n", model, exponent,
                plain.error, scaled.error);
    EXPECT_LT(scaled.error, 1e-3) << "loss times 2^" << exponent;
    EXPECT_EQ(scaled.after.steps, 1);
    if (exponent == -20) {
      EXPECT_GT(plain.error, 2e-2);
    }
  }
}

// Beyond fp16's numbers gradients are infinite, not the largest number, and the step shows it.
TEST_P(SmallLoss, LowersAScaleThatIsTooLarge) {
  const auto [model, asked] = GetParam();
  const InRegime regime(asked);
  const support::Case c = support::parse_case(std::string(model) + "_f16_n4_d8_h32_len20_seed1");
  const OfMean skipped = error_of_mean(c, 0, 0x1p30);
  EXPECT_EQ(skipped.error, 1);  // the moment is still 0
  EXPECT_EQ(skipped.after.scale, 0x1p29);
  EXPECT_EQ(skipped.after.steps, 0);
}

INSTANTIATE_TEST_SUITE_P(Models, SmallLoss,
                         testing::Combine(testing::Values("lstm", "gru"),
                                          testing::Values(LACUNA_REGIME_STEPWISE,
                                                          LACUNA_REGIME_RESIDENT,
                                                          LACUNA_REGIME_LONE)));

// ---- What is not finite ----

// States that are infinite in the caller's hands make the same gates in both regimes: saturated ones, infinite ones, or
// NaN where infinities of both signs meet.
class Infinite : public testing::TestWithParam<std::tuple<const char*, lacuna_precision>> {};

TEST_P(Infinite, StatesAreAlikeInBothRegimes) {
  const auto [text, asked] = GetParam();
  const InPrecision precision(asked);
  const support::Case c = support::parse_case(text);
  reference::Batch batch = support::make_batch(c);
  const auto h = static_cast<std::size_t>(c.layer.hidden);
  ASSERT_GE(batch.initial_hidden.size(), 3 * h);
  batch.initial_hidden[2] = std::numeric_limits<double>::infinity();
  batch.initial_hidden[h + 5] = -std::numeric_limits<double>::infinity();
  const std::vector<float> stepwise = hidden(c, batch, LACUNA_REGIME_STEPWISE);
  const std::vector<float> resident = hidden(c, batch, LACUNA_REGIME_RESIDENT);
  ASSERT_EQ(stepwise.size(), resident.size());
  std::size_t finite = 0;
  for (std::size_t i = 0; i < resident.size(); ++i) {
    finite += std::isfinite(stepwise[i]);
    if (std::isfinite(stepwise[i]))
      EXPECT_NEAR(resident[i], stepwise[i], 1e-2f * std::max(1.0f, std::abs(stepwise[i]))) << i;
    else if (std::isnan(stepwise[i]))
      EXPECT_TRUE(std::isnan(resident[i])) << i << ": " << resident[i];
    else
      EXPECT_EQ(resident[i], stepwise[i]) << i;
  }
  EXPECT_GT(finite, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Cells, Infinite,
    testing::Combine(testing::Values("rnn_f32_n3_d2_h20_len3_init_seed1",
                                     "rnn_relu_f32_n3_d2_h20_len1_init_seed2",
                                     "rnn_euler+none+none_f32_n3_d2_h20_len3_init_seed3",
                                     "lstm_f32_n3_d2_h20_len3_init_seed4",
                                     "gru_f32_n3_d2_h20_len1_init_seed5",
                                     "gru_reset_before_f32_n3_d2_h20_len1_init_seed6"),
                     testing::Values(LACUNA_PRECISION_DEFAULT, LACUNA_PRECISION_TF32)));

}  // namespace
