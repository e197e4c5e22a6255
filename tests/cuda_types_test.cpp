// The CUDA backend's types of 16 bits against the oracle: every model, values and states stored in fp16 and bf16,
// everything computed in fp32.
#include <string>
#include <tuple>

#include "support/against_oracle.h"

namespace {

class Halves : public testing::TestWithParam<
                   std::tuple<const char*, const char*, const char*, const char*, lacuna_regime>> {
};

TEST_P(Halves, Agree) {
  const auto [cell, impute, evolve, rest, asked] = GetParam();
  const support::InRegime regime(asked);
  const bool masked = std::string(impute) != "none";
  support::expect_agreement(std::string(cell) + "+" + impute + "+" + evolve + rest +
                            (masked ? "_miss60_mask_gap_carry_init" : "_init"));
}

INSTANTIATE_TEST_SUITE_P(
    All, Halves,
    testing::Combine(
        testing::Values("rnn_tanh", "rnn_relu", "rnn_euler", "lstm", "gru", "gru_reset_before"),
        testing::Values("none", "forward", "decay", "relax"),
        testing::Values("none", "decay", "decay_step", "relax"),
        testing::Values("_f16_n4_d3_h9_len0-11_seed31", "_bf16_n4_d5_h6_len0-11_rev_seed32"),
        testing::Values(LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT, LACUNA_REGIME_LONE)));

INSTANTIATE_TEST_SUITE_P(Projected, Halves,
                         testing::Combine(testing::Values("lstm"),
                                          testing::Values("none", "forward", "decay", "relax"),
                                          testing::Values("none", "decay", "decay_step", "relax"),
                                          testing::Values("_f16_n4_d3_h19_p5_len0-11_seed31",
                                                          "_bf16_n4_d5_h6_p6_len0-11_rev_seed32"),
                                          testing::Values(LACUNA_REGIME_STEPWISE)));

class HalfShapes : public testing::TestWithParam<const char*> {};

TEST_P(HalfShapes, Agree) { support::expect_agreement(GetParam()); }

INSTANTIATE_TEST_SUITE_P(
    Odd, HalfShapes,
    testing::Values("lstm_f16_n1_d1_h1_len1_seed1", "gru_bf16_n1_d1_h1_len0_seed2",
                    "grud_bf16_n3_d37_h64_len1-7_miss85_seed3", "lstm_bf16_n20_d3_h7_len0-5_seed4",
                    "lstm_f16_n20_d3_h33_p1_len0-5_seed9", "gru_f16_n21_d2_h33_len1-9+40_seed5",
                    "grud_f16_n9_d13_h31_len0-9_miss70_nan_times_seed6",
                    "grud_relax_f16_n4_d7_h15_len0-9+90_miss85_seed7",
                    "ode_euler_f16_n5_d3_h9_len0-9_miss50_seed8",
                    "rnn_f16_n5_d7_h17_len0-9_ln_seed9",
                    "lstm_bf16_n20_d3_h37_len0-9_ln_init_seed10",
                    "lstm+decay+relax_f16_n9_d5_h17_len0-9_miss60_eo_ln_seed11",
                    "lstm_f16_n9_d5_h21_p9_len0-9_ln_init_seed15",
                    "lstm+decay+relax_bf16_n9_d5_h17_p6_len0-9_miss60_eo_ln_seed16",
                    "gru_f16_n21_d5_h33_len1-9_ln_seed12",
                    "grud_bf16_n9_d13_h31_len0-9_miss70_ln_seed13",
                    "ode_euler_bf16_n5_d3_h9_len0-9_miss50_ln_seed14"),
    support::test_name);

// Zoneout and recurrent dropout in every cell x evolve.
class NoisyHalvesOf
    : public testing::TestWithParam<std::tuple<const char*, const char*, const char*>> {};

TEST_P(NoisyHalvesOf, Agree) {
  const auto [cell, evolve, rest] = GetParam();
  support::expect_agreement(std::string(cell) + "+forward+" + evolve + rest +
                            "_miss60_mask_eo_init_zone25_rdrop25" +
                            (cell == std::string("lstm") ? "_zonec40" : ""));
}

INSTANTIATE_TEST_SUITE_P(All, NoisyHalvesOf,
                         testing::Combine(testing::Values("rnn_tanh", "rnn_relu", "rnn_euler",
                                                          "lstm", "gru", "gru_reset_before"),
                                          testing::Values("none", "decay", "decay_step", "relax"),
                                          testing::Values("_f16_n4_d3_h9_len0-11_seed31",
                                                          "_bf16_n4_d5_h6_len0-11_rev_seed32")));

// Zoneout as its expectation, nothing dropped: with a plan for training and with one for inference.
TEST(NoisyHalves, InferWhatCanBeExpected) {
  for (const char* text : {"lstm_f16_n4_d3_h9_len0-11_zone30_zonec40_rdrop20_seed31",
                           "lstm_f16_n4_d3_h19_p5_len0-11_zone30_zonec40_rdrop20_seed33",
                           "grud_f16_n4_d3_h9_len0-11_miss60_zone30_rdrop20_seed32"}) {
    const support::Case c = support::parse_case(text);
    const auto parameters = support::make_parameters(c);
    auto batch = support::make_batch(c);
    auto upstream = support::make_upstream(c);
    support::round_to<support::Fp16>(batch, upstream);
    batch.noise.drawn = false;
    const support::Verdict<float> verdict(c, parameters, batch, upstream,
                                          support::rounding_of<support::Fp16>());
    const auto context = support::make_context();
    for (const bool inference : {false, true}) {
      support::LibraryRun<float, support::Fp16> run(c, parameters, batch, upstream);
      const auto plan = support::make_plan(context.get(), run.layer(), run.capacity(), inference);
      run.forward(plan.get(), nullptr);
      for (const auto& [name, buffer] : run.results.entries())
        EXPECT_TRUE(verdict.on(name, buffer->span()));
    }
  }
}

}  // namespace
