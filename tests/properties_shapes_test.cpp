// The ends of the range of shapes, against the oracle: nothing at all, one of everything, primes,
// all or nothing missing, one sequence far longer than its company, and weight gradients that are
// summed in one pass over all tokens.
#include "host/plan/layout.h"
#include "support/properties.h"

namespace {

struct Shapes : testing::TestWithParam<const char*> {};

TEST_P(Shapes, AgreeWithTheOracle) { support::expect_agreement(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Nothing, Shapes,
                         testing::Values("grud_f32_n0_len0", "lstm_f64_n0_len0_rev",
                                         "gru_f32_n1_len0_init",
                                         "grud_relax_f64_n5_len0_miss50_init_carry",
                                         "lstm+relax+relax_f32_n9_len0_times_init_carry_rev",
                                         "rnn_euler+mean_f64_n40_len0-1_miss50"),
                         support::test_name);

INSTANTIATE_TEST_SUITE_P(One, Shapes,
                         testing::Values("lstm_f32_n1_d1_h1_len1", "gru_f64_n1_d1_h1_len1_rev",
                                         "grud_f32_n1_d1_h1_len1_miss100",
                                         "grud_f64_n1_d1_h1_len9_miss50_init",
                                         "grud_relax_f32_n1_d1_h1_len9_miss50_carry",
                                         "rnn_euler_f64_n1_d1_h1_len2",
                                         "lstm+decay+decay_f32_n17_d1_h1_len1_miss50_eo_mask_gap",
                                         "gru+forward+decay_step_f64_n40_d1_h1_len0-1_miss50"),
                         support::test_name);

INSTANTIATE_TEST_SUITE_P(Primes, Shapes,
                         testing::Values("lstm_f32_n13_d11_h47_len0-17_seed1",
                                         "gru_f64_n17_d13_h53_len0-11_seed2",
                                         "grud_f32_n19_d29_h71_len0-13_miss80_seed3",
                                         "grud_relax_f64_n23_d31_h61_len0-7_miss80_seed4",
                                         "lstm+relax+decay_f32_n31_d7_h73_len0-5_miss60_rev_seed5",
                                         "rnn_relu+mean+relax_f32_n61_d2_h131_len0-3_miss40_seed6"),
                         support::test_name);

INSTANTIATE_TEST_SUITE_P(
    AllOrNothingMissing, Shapes,
    testing::Values("grud_f32_n7_d5_h19_len0-9_miss100_seed1",
                    "grud_f64_n7_d5_h19_len0-9_miss0_nan_seed2",
                    "grud_relax_f32_n7_d5_h19_len0-9_miss100_init_seed3",
                    "lstm+forward+relax_f64_n7_d5_h19_len0-9_miss100_eo_init_seed4",
                    "gru+mean+none_f32_n7_d5_h19_len0-9_miss100_nan_mask_seed5",
                    "gru_decay_f64_n7_d5_h19_len0-9_miss100_carry_seed6",
                    "rnn_euler+relax+decay_f32_n7_d5_h19_len0-9_miss100_eo_seed7",
                    "lstm+decay+decay_step_f32_n7_d5_h19_len0-9_miss0_eo_seed8"),
    support::test_name);

// The long one fills a lane of its own while the others share the rest.
INSTANTIATE_TEST_SUITE_P(OneFarLongerThanTheRest, Shapes,
                         testing::Values("grud_f32_n1_d3_h8_len70000_miss80_seed1",
                                         "grud_f64_n40_d3_h5_len0-9+70000_miss80_times_seed2",
                                         "lstm_f32_n40_d2_h7_len0-9+70000_seed3",
                                         "lstm_f64_n1_d2_h4_len70000_rev_seed4",
                                         "grud_relax_f32_n9_d2_h5_len0-1+70000_miss90_carry_seed5"),
                         support::test_name);

struct Wide : testing::TestWithParam<const char*> {};

// Room for 512 sequences makes 16 groups, whose own sums of the weight gradients would be too large.
TEST_P(Wide, AgreeWhenWeightGradientsAreSummedInOnePass) {
  const support::Case c = support::parse_case(GetParam());
  for (const std::int64_t room : {std::int64_t{0}, std::int64_t{512}}) {
    const lacuna_capacity capacity{support::make_batch(c).tokens(), std::max(room, c.sequences), 0};
    EXPECT_EQ(lacuna::make_layout(support::library_layer(c), capacity, false, 1).windowed,
              room == 0);
    support::expect_agreement(c, room);
  }
}

INSTANTIATE_TEST_SUITE_P(
    InOnePass, Wide,
    testing::Values("lstm_f32_n9_d7_h260_len0-4_seed1", "gru_f64_n9_d5_h220_len0-4_rev_seed2",
                    "grud_f32_n9_d9_h310_len0-4_miss70_seed3",
                    "grud_relax_f64_n9_d9_h210_len0-4_miss70_seed4",
                    "lstm+decay+decay_step_f64_n9_d3_h180_len0-5_miss70_eo_carry_seed5",
                    "rnn_euler+relax+decay_f64_n9_d3_h380_len0-3_miss50_seed6",
                    "rnn_relu_f32_n9_d3_h520_len0-3_seed7",
                    // More tokens than a window holds.
                    "gru_reset_before+forward+decay_step_f64_n9_d5_h205_len0-9+1100_miss60_seed8"),
    support::test_name);

}  // namespace
