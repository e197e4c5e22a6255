// The regimes in which a group of blocks holds W_h: clusters, and groups that exchange through global memory. Each cell and
// type against the oracle, in groups of every size, while threads and blocks run in random order and drift apart.
#include <string>
#include <tuple>

#include "support/against_oracle.h"
#include "support/cuda.h"
#include "support/groups.h"

namespace {

using support::cluster;
using support::grid;
using support::Group;
using support::InGroups;
using support::InPrecision;
using support::InRegime;

// ---- Against the oracle ----

using Model = std::tuple<const char*, const char*, Group>;

class Split : public testing::TestWithParam<Model> {};

TEST_P(Split, Agrees) {
  const auto [model, type, group] = GetParam();
  if (!support::serves(group.regime)) GTEST_SKIP() << "no clusters here";
  // One unit, one warp to a block and less, several, and slices that end in the middle of a warp.
  unsigned seed = 1;
  for (const int hidden : {1, 37, 100}) {
    const InRegime regime(group.regime);
    const InGroups groups(group.blocks, ++seed);
    support::expect_agreement(std::string(model) + "_" + type + "_n5_d3_h" +
                              std::to_string(hidden) + "_len0-4_init_seed" +
                              std::to_string(hidden));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, Split,
    testing::Combine(testing::Values("rnn", "rnn_relu", "lstm", "gru", "gru_reset_before",
                                     "rnn_euler+none+none", "lstm+none+relax", "gru+none+relax",
                                     "gru_reset_before+none+decay", "gru+none+decay_step"),
                     testing::Values("f32", "f16", "bf16"),
                     testing::Values(cluster(2), cluster(4), grid(4))));

using Odd = std::tuple<const char*, Group>;

class SplitOdd : public testing::TestWithParam<Odd> {};

TEST_P(SplitOdd, Agrees) {
  const auto [text, group] = GetParam();
  if (!support::serves(group.regime)) GTEST_SKIP() << "no clusters here";
  const InRegime regime(group.regime);
  const InGroups groups(group.blocks, 7);
  support::expect_agreement(text);
}

// Groups of all sizes.
INSTANTIATE_TEST_SUITE_P(
    Sizes, SplitOdd,
    testing::Values(Odd{"lstm_f32_n9_d3_h129_len0-4_init_seed1", cluster(2)},
                    Odd{"lstm_bf16_n3_d3_h129_len0-3_init_seed2", cluster(8)},
                    Odd{"grud_f32_n5_d7_h200_len0-3_miss60_init_seed3", cluster(4)},
                    Odd{"gru_f16_n4_d5_h200_len0-3_init_seed4", grid(4)},
                    Odd{"lstm_f32_n3_d5_h256_len0-3_init_seed5", cluster(4)},
                    Odd{"gru_reset_before_bf16_n3_d1_h256_len1-2_init_seed6", grid(8)},
                    Odd{"gru_f32_n3_d2_h64_len0-3_init_seed7", cluster(8)},
                    Odd{"lstm_f16_n3_d2_h3_len0-3_init_seed8", cluster(16)},
                    Odd{"gru_reset_before_f32_n2_d2_h250_len2_init_seed9", cluster(16)},
                    Odd{"rnn_bf16_n2_d2_h40_len0-3_init_seed10", grid(32)},
                    Odd{"rnn_euler+none+none_f32_n3_d1_h500_len1-2_seed11", grid(8)},
                    Odd{"lstm_bf16_n2_d2_h40_len0-3_init_seed12", grid(64)},
                    Odd{"gru_reset_before_f32_n2_d1_h33_len1-2_seed13", grid(64)}));

// One lane in use, many sequences to a lane, none at all; rows with nothing measured, both directions, times, contexts.
constexpr const char* odd_batches[] = {
    "lstm_f32_n1_d2_h17_len20_seed1",
    "gru_f32_n3_d2_h9_len0_seed2",
    "lstm_bf16_n70_d2_h33_len0-6_init_seed3",
    "grud_f32_n40_d5_h33_len0-6_miss70_eo_rev_seed4",
    "lstm+none+relax_f16_n30_d3_h20_len0-7_init_seed5",
    "gru+none+relax_f32_n30_d3_h37_len0-9_miss40_eo_seed7",
    "grud_bf16_n20_d3_h40_len0-7_miss70_eo_seed6",
    "grud_relax_f32_n7_h37_len1-9_miss90_carry_rev_init_seed10",
    "lstm_decay_f16_n7_h34_len0-9_miss80_times_seed8",
    "ode_euler_f32_n7_h13_len0-9_miss50_seed12",
};
INSTANTIATE_TEST_SUITE_P(Batches, SplitOdd,
                         testing::Combine(testing::ValuesIn(odd_batches),
                                          testing::Values(cluster(2), cluster(4), grid(2))));

// Many blocks, of which each is behind and ahead of others in its turn.
class SplitInOrder : public testing::TestWithParam<std::tuple<const char*, Group, unsigned>> {};

TEST_P(SplitInOrder, Agrees) {
  const auto [model, group, seed] = GetParam();
  if (!support::serves(group.regime)) GTEST_SKIP() << "no clusters here";
  const InRegime regime(group.regime);
  const InGroups groups(group.blocks, seed);
  support::expect_agreement(std::string(model) + "_n5_d3_h137_len0-9_seed" + std::to_string(seed));
}

INSTANTIATE_TEST_SUITE_P(Seeds, SplitInOrder,
                         testing::Combine(testing::Values("lstm_f32", "gru_reset_before_f32",
                                                          "grud_f32_miss60"),
                                          testing::Values(cluster(8), cluster(16), grid(16)),
                                          testing::Values(11, 12, 13)));

// Each cell x evolve, which are kernels of their own, in each type; tf32 are fp32 layers with products of 11 bits.
using Evolving = std::tuple<const char*, const char*, const char*, Group>;

class SplitEvolving : public testing::TestWithParam<Evolving> {};

TEST_P(SplitEvolving, Agrees) {
  const auto [cell, evolve, type, group] = GetParam();
  if (!support::serves(group.regime)) GTEST_SKIP() << "no clusters here";
  const bool tf32 = type == std::string("tf32");
  const InRegime regime(group.regime);
  const InGroups groups(group.blocks, 21);
  const InPrecision precision(tf32 ? LACUNA_PRECISION_TF32 : LACUNA_PRECISION_DEFAULT);
  support::expect_agreement(std::string(cell) + "+none+" + evolve + "_" + (tf32 ? "f32" : type) +
                            "_n4_d3_h19_len0-5_init_seed31");
}

INSTANTIATE_TEST_SUITE_P(All, SplitEvolving,
                         testing::Combine(testing::Values("rnn_tanh", "rnn_relu", "rnn_euler",
                                                          "lstm", "gru", "gru_reset_before"),
                                          testing::Values("none", "decay", "decay_step", "relax"),
                                          testing::Values("f32", "f16", "bf16", "tf32"),
                                          testing::Values(cluster(2), grid(2))));

class SplitPrecision : public testing::TestWithParam<Group> {};

TEST_P(SplitPrecision, OfElevenBitsAgrees) {
  const Group group = GetParam();
  if (!support::serves(group.regime)) GTEST_SKIP() << "no clusters here";
  const InRegime regime(group.regime);
  const InGroups groups(group.blocks, 3);
  const InPrecision tf32(LACUNA_PRECISION_TF32);
  for (const char* model : {"rnn", "lstm", "gru", "grud"})
    support::expect_agreement(std::string(model) + "_f32_n5_d3_h37_len0-4_init_seed3");
}

INSTANTIATE_TEST_SUITE_P(Groups, SplitPrecision, testing::Values(cluster(4), grid(4)));

}  // namespace
