// The CPU backend against the oracle: every model, type and instruction set, forward and backward, over ragged batches
// with poisoned missing values.
#include <string>

#include "host/plan/layout.h"
#include "support/against_oracle.h"
#include "support/library_run.h"

namespace {

class Oracle : public testing::TestWithParam<const char*> {};

TEST_P(Oracle, Agrees) { support::expect_agreement(GetParam()); }

INSTANTIATE_TEST_SUITE_P(
    Models, Oracle,
    testing::Values("rnn_f32_n7_h34_len0-19_seed1", "rnn_relu_f64_n5_d3_h17_len0-9_seed2",
                    "lstm_f32_n9_h31_len0-23_init_seed3", "gru_f64_n6_d7_h16_len1-12_seed4",
                    "gru_reset_before_f32_n7_h33_len0-9_init_seed5",
                    "rnn_decay_f32_n7_h34_len0-19_miss50_seed6",
                    "gru_decay_f64_n7_h20_len0-19_miss80_rev_seed7",
                    "lstm_decay_f32_n7_h34_len0-19_miss80_times_seed8",
                    "grud_f32_n7_h34_len0-19_miss80_seed3",
                    "grud_f64_n7_d41_h64_len0-19_miss80_nan_times_seed3",
                    "grud_relax_f32_n7_h34_len0-19_miss80_seed9",
                    "grud_relax_f64_n4_h5_len1-30_miss90_carry_rev_init_seed10",
                    "gru_gap_f32_n7_h34_len0-19_miss50_seed11",
                    "ode_euler_f32_n7_h13_len0-19_miss50_seed12",
                    "ode_euler_f64_n3_h7_len0-9_miss50_rev_seed13"),
    support::test_name);

INSTANTIATE_TEST_SUITE_P(
    Shapes, Oracle,
    testing::Values("lstm_f32_n1_d1_h1_len1_seed1", "gru_f32_n1_d1_h1_len0_seed2",
                    "grud_f32_n3_d37_h127_len1-7_miss85_seed3", "lstm_f64_n40_d3_h7_len0-5_seed4",
                    "gru_f32_n70_d2_h100_len1-9+40_seed5", "lstm_f32_n33_d100_h128_len3_seed6",
                    "grud_f64_n2_d13_h3_len60_miss100_seed7",
                    "grud_f32_n5_d41_h64_len0-11_miss0_seed8", "rnn_f32_n8_d5_h257_len2-4_seed9",
                    "grud_relax_f32_n20_d37_h64_len0-40+200_miss85_nan_times_seed10"),
    support::test_name);

// As wide as products want rows to be: the CUDA backend reads and writes some of the caller's arrays where they are.
INSTANTIATE_TEST_SUITE_P(WholeRows, Oracle,
                         testing::Values("lstm_f32_n7_d8_h16_len0-9_seed31",
                                         "gru_f64_n5_d16_h24_len0-9_rev_seed32",
                                         "gru_reset_before_f32_n5_d8_h24_len0-9_seed33",
                                         "lstm_f32_n7_d16_h24_p8_len0-9_seed34",
                                         "lstm+none+decay_f32_n6_d8_h16_len0-9_seed35",
                                         "grud_f64_n5_d8_h16_len0-9_miss60_seed36",
                                         "lstm_f32_n7_d8_h16_len0-9_ln_seed37"),
                         support::test_name);

// So large that the groups' sums would take too much memory: weight gradients come from one pass over all tokens.
class OnePass : public Oracle {};

TEST_P(OnePass, AgreesWithTheOracle) {
  const support::Case c = support::parse_case(GetParam());
  // On the emulator for normalised layers alone: of the other kernels their own tests have states as wide.
  if (support::on_emulator && !c.layer.layer_norm) GTEST_SKIP() << "one pass is the CPU's way";
  const lacuna_capacity capacity{c.sequences * c.longest, c.sequences, 0};
  ASSERT_FALSE(lacuna::make_layout(support::library_layer(c), capacity, false, 1).windowed);
  support::expect_agreement(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Large, OnePass,
                         testing::Values("lstm_f32_n130_d40_h520_len0-2_seed11",
                                         "lstm+none+decay_f32_n130_d30_h560_p333_len0-2_seed15",
                                         "gru_reset_before_f32_n130_d30_h600_len0-2_seed12",
                                         "gru_f64_n130_d30_h440_len0-2_seed13",
                                         "grud_f32_n130_d37_h600_len0-2_miss80_eo_seed14"),
                         support::test_name);

INSTANTIATE_TEST_SUITE_P(
    LargeAndNoisy, OnePass,
    testing::Values("lstm_f32_n130_d40_h520_len0-2_zone20_zonec30_seed15",
                    "gru_reset_before_f32_n130_d30_h600_len0-2_rdrop30_seed16"),
    support::test_name);

INSTANTIATE_TEST_SUITE_P(
    NoisyShapes, Oracle,
    testing::Values(
        "gru_f32_n1_d1_h1_len1_zone50_rdrop50_seed1",
        "lstm_f32_n37_d5_h29_len0-9_init_zone10_zonec50_rdrop99_seed2",
        "lstm+decay+decay_f32_n9_d5_h37_p21_len0-9_miss60_eo_zone20_zonec30_rdrop40_seed6",
        "lstm+none+relax_f64_n7_d3_h13_p13_len0-9_init_rev_zone30_zonec5_rdrop20_seed7",
        "grud_f32_n3_d37_h127_len1-7_miss85_zone5_rdrop20_rev_seed3",
        "lstm_decay_f64_n9_d3_h67_len0-9_miss70_times_zonec40_seed4",
        "grud_relax_f64_n20_d7_h13_len0-19+61_miss70_carry_zone33_rdrop25_seed5"),
    support::test_name);

INSTANTIATE_TEST_SUITE_P(
    Options, Oracle,
    testing::Values(
        "lstm+decay+relax_f64_n5_d3_h17_len1-30_miss50_eo_mask_gap_rev_init_carry_seed9",
        "gru+relax+decay_f32_n5_d3_h17_len1-30_miss70_eo_mask_gap_delta_seed10",
        "gru_reset_before+mean+decay_step_f32_n5_d9_h17_len0-30_miss70_eo_gap_carry_times_seed11",
        "lstm+mean+decay_f64_n5_d9_h8_len0-30_miss70_nan_delta_seed12",
        "rnn_relu+relax+relax_f32_n5_d9_h8_len0-30_miss70_eo_nan_carry_times_rev_seed13",
        "gru+none+decay_f32_n5_d9_h8_len0-30_seed14",
        "lstm+none+decay_f64_n5_d9_h8_len0-12_gap_delta_seed15",
        "gru+none+relax_f64_n5_d4_h8_len0-12_gap_times_seed16"),
    support::test_name);

INSTANTIATE_TEST_SUITE_P(
    Projections, Oracle,
    testing::Values("lstm_f32_n4_d3_h1_p1_len0-9_seed31", "lstm_f64_n7_d5_h3_p2_len0-9_init_seed32",
                    "lstm_f32_n9_d2_h17_p5_len0-19_init_rev_seed33",
                    "lstm_f32_n5_d7_h37_p37_len1-9_seed34",
                    "lstm_f64_n37_d5_h100_p64_len0-9_seed35",
                    "lstm_decay_f32_n7_h100_p64_len0-19_miss80_times_seed36",
                    "lstm+decay+relax_f64_n5_d3_h17_p5_len1-30_miss50_eo_mask_gap_rev_init_carry_"
                    "seed37",
                    "lstm+none+decay_f64_n5_d9_h37_p8_len0-12_gap_delta_seed38",
                    "lstm+relax+relax_f32_n20_d13_h70_p33_len0-40+200_miss85_nan_times_seed39"),
    support::test_name);

// Every impute x evolve x cell x empty-row policy.
class ModelSpace : public testing::TestWithParam<
                       std::tuple<const char*, const char*, const char*, const char*>> {};

TEST_P(ModelSpace, Agrees) {
  const auto [cell, impute, evolve, rest] = GetParam();
  const bool masked = std::string(impute) != "none";
  const std::string model = std::string(cell) + "+" + impute + "+" + evolve + rest;
  const std::string whole = model + (masked ? "_miss60_mask" : "");
  const std::string parted = model + "_miss60_eo_gap_init" + (masked ? "_carry" : "");
  support::expect_agreement(whole);
  support::expect_agreement(parted);
  // The regime that a plan of the CUDA backend takes for so few sequences is one of three that have the models' own code: the
  // others by turns.
  const support::Case c = support::parse_case(whole);
  if (support::on_cpu || c.type == support::Type::f64 || c.layer.projection > 0) return;
  const bool turn = std::string(evolve).starts_with("decay");
  for (const lacuna_regime regime : {LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT}) {
    const support::InRegime asked(regime);
    support::expect_agreement(turn == (regime == LACUNA_REGIME_STEPWISE) ? whole : parted);
  }
}

INSTANTIATE_TEST_SUITE_P(Projected, ModelSpace,
                         testing::Combine(testing::Values("lstm"),
                                          testing::Values("none", "mean", "forward", "decay",
                                                          "relax"),
                                          testing::Values("none", "decay", "decay_step", "relax"),
                                          testing::Values("_f32_n4_d3_h9_p5_len0-11_seed21",
                                                          "_f64_n4_d5_h19_p3_len0-11_rev_seed22")));

INSTANTIATE_TEST_SUITE_P(All, ModelSpace,
                         testing::Combine(testing::Values("rnn_tanh", "rnn_relu", "rnn_euler",
                                                          "lstm", "gru", "gru_reset_before"),
                                          testing::Values("none", "mean", "forward", "decay",
                                                          "relax"),
                                          testing::Values("none", "decay", "decay_step", "relax"),
                                          testing::Values("_f32_n4_d3_h9_len0-11_seed21",
                                                          "_f64_n4_d5_h6_len0-11_rev_seed22")));

// Zoneout and recurrent dropout in every cell x evolve x empty-row policy.
class Noise : public testing::TestWithParam<std::tuple<const char*, const char*, const char*>> {};

TEST_P(Noise, Agrees) {
  const auto [cell, evolve, rest] = GetParam();
  const std::string model = std::string(cell) + "+forward+" + evolve + rest + "_miss60";
  const std::string of_cell = cell == std::string("lstm") ? "_zonec40" : "";
  support::expect_agreement(model + "_zone30" + of_cell);
  support::expect_agreement(model + "_rdrop40");
  support::expect_agreement(model + "_eo_mask_gap_init_carry_zone25_rdrop25" + of_cell);
  support::expect_agreement(model + "_eo_init_ln_zone25_rdrop25" + of_cell);
}

INSTANTIATE_TEST_SUITE_P(All, Noise,
                         testing::Combine(testing::Values("rnn_tanh", "rnn_relu", "rnn_euler",
                                                          "lstm", "gru", "gru_reset_before"),
                                          testing::Values("none", "decay", "decay_step", "relax"),
                                          testing::Values("_f32_n4_d3_h9_len0-11_seed22",
                                                          "_f64_n4_d5_h6_len0-11_rev_seed24")));

// The same with layer normalisation: every cell x evolve x empty-row policy, in sizes that fill no register.
class NormalisedSpace : public testing::TestWithParam<std::tuple<const char*, const char*, int>> {};

TEST_P(NormalisedSpace, Agrees) {
  const auto [cell, evolve, hidden] = GetParam();
  const std::string sizes = "_n4_d3_h" + std::to_string(hidden) + "_len0-11_ln";
  const std::string model = std::string(cell) + "+decay+" + evolve;
  support::expect_agreement(std::string(cell) + "+none+" + evolve + "_f32" + sizes + "_seed31");
  support::expect_agreement(std::string(cell) + "+none+" + evolve + "_f64" + sizes +
                            "_miss40_eo_init_seed36");
  support::expect_agreement(model + "_f64" + sizes + "_miss60_mask_rev_seed32");
  support::expect_agreement(model + "_f32" + sizes + "_miss60_eo_gap_carry_init_seed33");
  support::expect_agreement(model + "_f64" + sizes + "_miss80_eo_gap_times_init_seed34");
  support::expect_agreement(model + "_f32" + sizes + "_miss60_eo_zone25_rdrop25_seed35" +
                            (cell == std::string("lstm") ? "_zonec30" : ""));
}

INSTANTIATE_TEST_SUITE_P(All, NormalisedSpace,
                         testing::Combine(testing::Values("rnn_tanh", "rnn_relu", "rnn_euler",
                                                          "lstm", "gru", "gru_reset_before"),
                                          testing::Values("none", "decay", "decay_step", "relax"),
                                          testing::Values(1, 3, 17, 37, 100)));

// And projected: (H, P), evolve.
class NormalisedProjections
    : public testing::TestWithParam<std::tuple<std::pair<int, int>, const char*>> {};

TEST_P(NormalisedProjections, Agree) {
  const auto& [size, evolve] = GetParam();
  const std::string sizes =
      "_n4_d3_h" + std::to_string(size.first) + "_p" + std::to_string(size.second) + "_len0-11_ln";
  const std::string model = std::string("lstm+decay+") + evolve;
  support::expect_agreement(std::string("lstm+none+") + evolve + "_f32" + sizes + "_seed41");
  support::expect_agreement(model + "_f64" + sizes + "_miss60_mask_rev_seed42");
  support::expect_agreement(model + "_f32" + sizes + "_miss60_eo_gap_carry_init_seed43");
  support::expect_agreement(model + "_f64" + sizes +
                            "_miss60_eo_times_zone25_zonec30_rdrop25_seed44");
}

INSTANTIATE_TEST_SUITE_P(All, NormalisedProjections,
                         testing::Combine(testing::Values(std::pair{1, 1}, std::pair{3, 2},
                                                          std::pair{17, 5}, std::pair{37, 37},
                                                          std::pair{100, 64}),
                                          testing::Values("none", "decay", "decay_step", "relax")));

INSTANTIATE_TEST_SUITE_P(Normalised, Oracle,
                         testing::Values("lstm_f32_n40_d37_h64_len0-40_ln_seed1",
                                         "gru_f64_n40_d5_h20_len0-30_ln_seed2",
                                         "grud_f32_n33_d41_h64_len0-19_miss80_ln_seed3",
                                         "grud_f64_n7_d4_h24_len0-19+60_miss80_nan_times_ln_seed4",
                                         "lstm_decay_f32_n7_h34_len0-19_miss80_rev_ln_seed5",
                                         "ode_euler_f32_n7_h13_len0-19_miss50_ln_seed6",
                                         "grud_relax_f32_n7_h34_len0-19_miss80_ln_seed7"),
                         support::test_name);

INSTANTIATE_TEST_SUITE_P(LargeNormalised, OnePass,
                         testing::Values("lstm_f32_n130_d40_h400_len0-2_ln_seed21",
                                         "lstm_f32_n130_d40_h400_p130_len0-2_ln_seed24",
                                         "gru_reset_before_f32_n130_d30_h500_len0-2_ln_seed22",
                                         "gru_f64_n130_d30_h340_len0-2_ln_seed23"),
                         support::test_name);

}  // namespace
