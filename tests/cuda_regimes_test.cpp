// The regimes of the CUDA backend: which one a plan takes, and each of them against the oracle.
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "support/against_oracle.h"
#include "support/cuda.h"
#ifndef LACUNA_TEST_ON_DEVICE
#include "emulator/backend/backend.h"
#include "emulator/emulator.h"
#include "host/cuda/explain.h"
#include "host/cuda/lanes.h"
#include "kernels/recurrence/resident/lanes.h"
#include "support/block_bytes.h"
#include "support/stack_run.h"
#endif

namespace {

using support::InRegime;
using support::must;
using support::refused;

// ---- The choice ----

lacuna_layer layer_of(const char* text) {
  return support::library_layer(support::parse_case(text));
}

lacuna_regime chosen(const lacuna_layer& layer, const lacuna_capacity& capacity = {100, 10, 0}) {
  const auto context = support::make_context();
  const auto plan = support::make_plan(context.get(), layer, capacity);
  lacuna_plan_info info{};
  must(lacuna_plan_query(plan.get(), &info));
  return info.regime;
}

std::string explained(const lacuna_layer& layer, const lacuna_capacity& capacity = {100, 10, 0}) {
  const auto context = support::make_context();
  const auto plan = support::make_plan(context.get(), layer, capacity);
  return support::explained(plan.get());
}

TEST(Regime, IsOfOneBlockWhereThatServes) {
  for (const char* serves : {"lstm_f32_n1_h1_len1_seed1", "grud_f32_n1_h128_len1_seed1",
                             "gru_f16_n1_h37_len1_seed1", "rnn_bf16_n1_h64_len1_seed1"}) {
    // By constants that were measured on this GPU another may be quicker.
    if (explained(layer_of(serves)).find("constants of the prediction: measured") ==
        std::string::npos) {
      const lacuna_regime taken = chosen(layer_of(serves));
      EXPECT_TRUE(taken == LACUNA_REGIME_RESIDENT || taken == LACUNA_REGIME_LONE) << serves;
    }
  }
  for (const char* not_so : {"lstm_f64_n1_h1_len1_seed1", "gru_f32_n1_h8_len1_zone5_seed1",
                             "lstm_f32_n1_h8_len1_zonec5_seed1", "rnn_f32_n1_h8_len1_rdrop5_seed1",
                             "lstm_f32_n1_h8_p8_len1_seed1"})
    EXPECT_EQ(chosen(layer_of(not_so)), LACUNA_REGIME_STEPWISE) << not_so;
  EXPECT_NE(chosen(layer_of("grud_f32_n1_h129_len1_seed1")), LACUNA_REGIME_RESIDENT);
}

TEST(Regime, OfNormalisedLayersIsStepwise) {
  const lacuna_layer layer = layer_of("lstm_f32_n1_h8_len1_ln_seed1");
  EXPECT_EQ(chosen(layer), LACUNA_REGIME_STEPWISE);
  EXPECT_NE(explained(layer).find("not resident, for layer normalisation is stepwise"),
            std::string::npos)
      << explained(layer);
  const auto context = support::make_context();
  const lacuna_capacity capacity{100, 10, 0};
  lacuna_plan_options options{};
  options.regime = LACUNA_REGIME_RESIDENT;
  lacuna_plan* plan = nullptr;
  EXPECT_TRUE(refused(lacuna_plan_create(context.get(), &layer, &capacity, &options, &plan),
                      LACUNA_UNSUPPORTED, "layer normalisation is stepwise"));
}

TEST(Regime, IsTheOneAskedFor) {
  const lacuna_layer small = layer_of("grud_f32_n1_h8_len1_seed1");
  for (const lacuna_regime regime :
       {LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT, LACUNA_REGIME_LONE, LACUNA_REGIME_CLUSTER,
        LACUNA_REGIME_GRID}) {
    if (!support::serves(regime)) continue;
    const InRegime asked(regime);
    EXPECT_EQ(chosen(small), regime);
  }
}

TEST(Regime, SaysWhy) {
  EXPECT_NE(
      explained(layer_of("grud_f64_n1_h8_len1_seed1")).find("not resident, for the type is fp64"),
      std::string::npos);
  EXPECT_NE(explained(layer_of("grud_f32_n1_h300_len1_seed1")).find("hidden is 300"),
            std::string::npos);
  EXPECT_NE(
      explained(layer_of("lstm_f32_n1_h30_p9_len1_seed1"))
          .find("a product [sequences, 16] x [16, 128], another that projects, and kernels over"),
      std::string::npos)
      << explained(layer_of("lstm_f32_n1_h30_p9_len1_seed1"));
  EXPECT_NE(explained(layer_of("lstm_f32_n1_h30_p9_len1_seed1"))
                .find("not resident, for a projection is stepwise"),
            std::string::npos);
  const InRegime stepwise(LACUNA_REGIME_STEPWISE);
  EXPECT_NE(explained(layer_of("grud_f32_n1_h8_len1_seed1")).find("options.regime says so"),
            std::string::npos);
}

TEST(Regime, RefusesWhatItCannotServe) {
  const auto context = support::make_context();
  const auto create = [&](const lacuna_layer& layer, lacuna_regime regime,
                          lacuna_capacity capacity = {100, 10, 0}) {
    return support::plan_status(context.get(), layer, regime, capacity);
  };
  const lacuna_layer small = layer_of("grud_f32_n1_h8_len1_seed1");
  for (const auto& [whole, name] : {std::pair{LACUNA_REGIME_RESIDENT, "the resident regime"},
                                    std::pair{LACUNA_REGIME_LONE, "the lone regime"}}) {
    EXPECT_TRUE(refused(create(layer_of("grud_f64_n1_h8_len1_seed1"), whole), LACUNA_UNSUPPORTED,
                        std::string("options.regime: ") + name + " does not serve: the type is"));
    EXPECT_TRUE(refused(create(layer_of("lstm_f16_n1_h9_p3_len1_seed1"), whole), LACUNA_UNSUPPORTED,
                        "a projection is stepwise"));
    EXPECT_TRUE(refused(create(layer_of("lstm_f16_n1_h129_len1_seed1"), whole), LACUNA_UNSUPPORTED,
                        "hidden is 129"));
    EXPECT_TRUE(refused(create(layer_of("gru_f32_n1_h8_len1_zone5_seed1"), whole),
                        LACUNA_UNSUPPORTED, "zoneout and recurrent dropout are stepwise"));
  }
  for (const int wrong : {-1, 6})
    EXPECT_TRUE(refused(create(small, static_cast<lacuna_regime>(wrong)), LACUNA_INVALID_ARGUMENT,
                        "options.regime: " + std::to_string(wrong)));
  EXPECT_EQ(create(small, LACUNA_REGIME_RESIDENT), LACUNA_OK);
}

#ifndef LACUNA_TEST_ON_DEVICE
TEST(Regime, SaysWhatResidentDoes) {
  const InRegime resident(LACUNA_REGIME_RESIDENT);
  EXPECT_NE(
      explained(layer_of("grud_f32_n1_h8_len1_seed1")).find("resident: one kernel of at most 2"),
      std::string::npos)
      << explained(layer_of("grud_f32_n1_h8_len1_seed1"));
  EXPECT_EQ(explained(layer_of("grud_f32_n1_h8_len1_seed1")).find("idle"), std::string::npos);
  // 16 lanes: 2 multiprocessors. A fair share of 100 tokens is 6.25, the longest may be 5 more.
  EXPECT_NE(explained(layer_of("grud_f32_n1_h8_len1_seed1"), {100, 50, 5})
                .find("16 in all; a lane takes its next sequence"),
            std::string::npos);
  EXPECT_NE(explained(layer_of("grud_f32_n1_h8_len1_seed1"), {100, 50, 5})
                .find("lanes are idle for at most 44 % of their steps"),
            std::string::npos)
      << explained(layer_of("grud_f32_n1_h8_len1_seed1"), {100, 50, 5});
}

TEST(Regime, SaysWhatABlockTakes) {
  for (const lacuna_regime regime :
       {LACUNA_REGIME_RESIDENT, LACUNA_REGIME_CLUSTER, LACUNA_REGIME_GRID, LACUNA_REGIME_LONE})
    for (const char* cell : {"rnn", "lstm", "gru", "gru_reset_before"})
      for (const char* type : {"f32", "f16", "bf16"}) {
        const std::string text = std::string(cell) + "_" + type + "_n1_h40_len3";
        SCOPED_TRACE(text + " in regime " + std::to_string(regime));
        const InRegime in(regime);
        auto& most = lacuna::emulator::counters().most_shared;
        most = 0;
        support::expect_agreement(text);
        const auto bytes = support::block_bytes(explained(layer_of(text.c_str())));
        EXPECT_EQ(std::max(bytes.forward, bytes.backward), most);
      }
  const InRegime stepwise(LACUNA_REGIME_STEPWISE);
  EXPECT_EQ(explained(layer_of("lstm_f32_n1_h40_len3")).find("a block takes at most "),
            std::string::npos);
}

TEST(Regime, IsAnotherWhereABlockHasTooLittleSharedMemory) {
  auto& device = lacuna::emulator::settings().device;
  const auto whole = device;
  device.shared_per_block = 163 * 1024;  // sm_80
  // Lanes of eight do not fit; single ones have no products in parts.
  const lacuna_layer layer = layer_of("lstm_f32_n1_h128_len1_seed1");
  EXPECT_EQ(chosen(layer, {100, 2, 0}), LACUNA_REGIME_LONE);  // a multiprocessor for each
  EXPECT_NE(explained(layer).find("not resident, for W_h and a step take"), std::string::npos);
  device.shared_per_block = 99 * 1024;  // sm_86
  EXPECT_EQ(chosen(layer), LACUNA_REGIME_CLUSTER);
  EXPECT_NE(explained(layer).find("not lone, for W_h and a step take"), std::string::npos);
  device.cluster = 1;
  EXPECT_EQ(chosen(layer), LACUNA_REGIME_GRID);
  device.shared_per_block = 163 * 1024;
  EXPECT_EQ(chosen(layer_of("lstm_f32_n1_h300_len1_seed1")), LACUNA_REGIME_STEPWISE);
  EXPECT_EQ(chosen(layer_of("lstm_f32_n1_h96_len1_seed1")), LACUNA_REGIME_RESIDENT);
  EXPECT_EQ(chosen(layer_of("lstm_bf16_n1_h128_len1_seed1")), LACUNA_REGIME_RESIDENT);
  device = whole;
}

// An H100, and the same without clusters.
class OnLargeDevice : public testing::Test {
 protected:
  OnLargeDevice() { lacuna::emulated_backend::multiprocessors = 132; }
  ~OnLargeDevice() override { lacuna::emulated_backend::multiprocessors = 2; }
  lacuna::emulator::WithSettings settings_{lacuna::emulator::settings()};
};

TEST_F(OnLargeDevice, LargerStatesGoToClustersAndThenToGroups) {
  const lacuna_capacity batch{10'000, 64, 0};
  for (const char* text : {"lstm_bf16_n1_h129_len1_seed1", "lstm_bf16_n1_h512_len1_seed1",
                           "grud_f32_n1_h256_len1_seed1", "lstm_f32_n1_h512_len1_seed1"})
    EXPECT_EQ(chosen(layer_of(text), batch), LACUNA_REGIME_CLUSTER) << text;
  // Of few sequences: a chip holds one or two copies of W_h, and lanes would have to take turns.
  for (const char* text : {"lstm_bf16_n1_h1024_len1_seed1", "gru_f32_n1_h700_len1_seed1"})
    EXPECT_EQ(chosen(layer_of(text), {10'000, 16, 0}), LACUNA_REGIME_GRID) << text;
  EXPECT_EQ(chosen(layer_of("lstm_bf16_n1_h4000_len1_seed1"), batch), LACUNA_REGIME_STEPWISE);
  for (const char* text : {"lstm_f32_n1_h1024_len1_seed1", "lstm_f16_n1_h1024_len1_seed1",
                           "lstm_bf16_n1_h2048_len1_seed1"}) {
    const InRegime asked(LACUNA_REGIME_GRID);
    EXPECT_EQ(chosen(layer_of(text), batch), LACUNA_REGIME_GRID) << text;
  }
  lacuna::emulator::settings().device.cluster = 1;
  EXPECT_EQ(chosen(layer_of("lstm_bf16_n1_h256_len1_seed1"), batch), LACUNA_REGIME_GRID);
}

// While each sequence has a multiprocessor, or half of one, to itself; then eight of them share a block.
TEST_F(OnLargeDevice, FewSequencesWalkAlone) {
  for (const char* text :
       {"lstm_f32_n1_h64_len1_seed1", "lstm_bf16_n1_h64_len1_seed1", "grud_f32_n1_h64_len1_seed1",
        "gru_reset_before_f32_n1_h64_len1_seed1", "lstm_f32_n1_h128_len1_seed1"}) {
    EXPECT_EQ(chosen(layer_of(text), {10'000, 64, 0}), LACUNA_REGIME_LONE) << text;
    EXPECT_EQ(chosen(layer_of(text), {100'000, 2'000, 0}), LACUNA_REGIME_RESIDENT) << text;
  }
  EXPECT_NE(chosen(layer_of("lstm_f32_n1_h129_len1_seed1"), {10'000, 64, 0}), LACUNA_REGIME_LONE);
  EXPECT_EQ(chosen(layer_of("lstm_f64_n1_h64_len1_seed1"), {10'000, 64, 0}),
            LACUNA_REGIME_STEPWISE);
}

TEST_F(OnLargeDevice, ALoneLaneIsABlock) {
  const InRegime lone(LACUNA_REGIME_LONE);
  // 132 multiprocessors, each of which takes two blocks of 64 units or eight of 16.
  for (const auto& [hidden, lanes] : {std::pair{64, 264}, {100, 132}, {16, 1056}}) {
    const std::string layer = "lstm_f32_n1_h" + std::to_string(hidden) + "_len1_seed1";
    const std::string text = explained(layer_of(layer.c_str()), {100'000, 5'000, 0});
    EXPECT_NE(text.find("lone: one kernel of at most " + std::to_string(lanes) + " blocks"),
              std::string::npos)
        << text;
  }
}

TEST_F(OnLargeDevice, ThePlanSaysWhatAStepTakes) {
  const std::string text = explained(layer_of("lstm_bf16_n1_h256_len1_seed1"), {10'000, 64, 0});
  for (const char* words :
       {"cluster: one kernel of at most 8 clusters (tiles) of ", "64 in all",
        "a step forward of all sequences is expected to take 0.",
        "constants of the prediction: defaults, published for an H100 or guessed",
        "not resident, for hidden is 256, and", "not grid, for a step would take ",
        "not stepwise, for a step would take "})
    EXPECT_NE(text.find(words), std::string::npos) << words << " in\n" << text;
}

// Both directions of a layer, or layers that follow each other through windows.
TEST_F(OnLargeDevice, PlansOfAStackShareIt) {
  const auto context = support::stack_context();
  const lacuna::Capacity capacity{.tokens = 600, .sequences = 3, .max_length = 200};
  const auto said = [&](const lacuna::StackShape& shape, std::int64_t segment) {
    const lacuna::Stack stack = lacuna::stacked(lacuna::lstm(4, 8), shape);
    return lacuna::StackPlan(context, stack, capacity, {.segment = segment}).explain();
  };
  const auto sharing = [](int plans) {
    return "chosen as one of " + std::to_string(plans) + " plans that share the device";
  };
  EXPECT_NE(said({.bidirectional = true}, 200).find(sharing(2)), std::string::npos);
  EXPECT_NE(said({.depth = 3}, 50).find(sharing(3)), std::string::npos);
  EXPECT_NE(said({.depth = 3}, 100).find(sharing(2)), std::string::npos);  // two windows
  EXPECT_EQ(said({.depth = 3}, 200).find("share the device"), std::string::npos);
}

TEST_F(OnLargeDevice, GroupsHaveTheBlocksAskedFor) {
  const auto context = support::make_context();
  const lacuna_layer layer = layer_of("lstm_bf16_n1_h256_len1_seed1");
  const lacuna_capacity capacity{100, 10, 0};
  const auto create = [&](lacuna_regime regime, std::int32_t blocks, lacuna_plan** plan) {
    lacuna_plan_options options{};
    options.regime = regime;
    options.blocks = blocks;
    return lacuna_plan_create(context.get(), &layer, &capacity, &options, plan);
  };
  for (const auto& [regime, blocks, words] :
       {std::tuple{LACUNA_REGIME_CLUSTER, 16, "clusters (tiles) of 16 blocks"},
        std::tuple{LACUNA_REGIME_CLUSTER, 2, "clusters (tiles) of 2 blocks"},
        std::tuple{LACUNA_REGIME_GRID, 32, "groups (tiles) of 32 blocks"}}) {
    lacuna_plan* made = nullptr;
    must(create(regime, blocks, &made));
    const std::string text = support::explained(made);
    EXPECT_NE(text.find(words), std::string::npos) << words << " in\n" << text;
    lacuna_plan_destroy(made);
  }
  lacuna_plan* none = nullptr;
  EXPECT_TRUE(refused(create(LACUNA_REGIME_CLUSTER, 32, &none), LACUNA_UNSUPPORTED,
                      "options.blocks is 32, and 2 to 16 run at once"));
  EXPECT_TRUE(refused(create(LACUNA_REGIME_GRID, 3, &none), LACUNA_INVALID_ARGUMENT,
                      "options.blocks: 3, expected 0 or a power of 2 from 2 to 128"));
  EXPECT_TRUE(refused(create(LACUNA_REGIME_BEST, 4, &none), LACUNA_INVALID_ARGUMENT,
                      "options.blocks: 4, expected 0 where options.regime is neither"));
}

TEST_F(OnLargeDevice, GroupsAreRefusedWhereTheyCannotBe) {
  const auto why_not = [](const char* text, lacuna_regime regime, const std::string& words) {
    const auto context = support::make_context();
    const lacuna_layer layer = layer_of(text);
    const lacuna_capacity capacity{100, 10, 0};
    lacuna_plan_options options{};
    options.regime = regime;
    lacuna_plan* plan = nullptr;
    return refused(lacuna_plan_create(context.get(), &layer, &capacity, &options, &plan),
                   LACUNA_UNSUPPORTED, words);
  };
  EXPECT_TRUE(why_not("lstm_f64_n1_h200_len1_seed1", LACUNA_REGIME_CLUSTER,
                      "the cluster regime does not serve: the type is fp64"));
  EXPECT_TRUE(why_not("lstm_bf16_n1_h2500_len1_seed1", LACUNA_REGIME_CLUSTER,
                      "of 16 blocks each would have 160 units, and one takes at most 128"));
  EXPECT_TRUE(why_not("lstm_f32_n1_h600_len1_seed1", LACUNA_REGIME_CLUSTER,
                      "a block's part of W_h and a step take "));
  EXPECT_TRUE(why_not("lstm_f32_n1_h4000_len1_seed1", LACUNA_REGIME_GRID,
                      "the grid regime does not serve: a block's part of W_h"));
  lacuna::emulator::settings().device.cluster = 1;
  EXPECT_TRUE(
      why_not("lstm_f32_n1_h200_len1_seed1", LACUNA_REGIME_CLUSTER, "this GPU has no clusters"));
  lacuna::emulated_backend::multiprocessors = 1;
  EXPECT_TRUE(why_not("lstm_f32_n1_h200_len1_seed1", LACUNA_REGIME_GRID,
                      "a group has at least 2 blocks, and 1 run at once"));
}

// ---- What becomes of a batch ----

std::string lanes_of(lacuna_regime regime, std::int32_t most_lanes,
                     const std::vector<std::int64_t>& lengths) {
  lacuna::DeviceLayout lay;
  lay.regime = regime;
  lay.most_lanes = most_lanes;
  return lacuna::cuda::explain_lanes(lay, lengths);
}

TEST(Batch, IsToldWithItsIdleLanes) {
  // One tile, for no more lanes end earlier: 8 lanes of 20 steps, 160, of which 28 have a token.
  EXPECT_EQ(lanes_of(LACUNA_REGIME_RESIDENT, 16, {20, 5, 3}),
            "lanes      8 in 1 tile(s) of 1 block(s); idle are 83 % of 160 steps of lanes\n");
  EXPECT_EQ(lanes_of(LACUNA_REGIME_RESIDENT, 16, std::vector<std::int64_t>(32, 10)),
            "lanes      16 in 2 tile(s) of 1 block(s); idle are 0 % of 320 steps of lanes\n");
  // Of 3 sequences all are covered until the longest ends: 60 rows.
  EXPECT_EQ(lanes_of(LACUNA_REGIME_STEPWISE, 0, {20, 5, 3}),
            "rows       idle are 53 % of 60 that 20 products cover\n");
  EXPECT_EQ(lanes_of(LACUNA_REGIME_STEPWISE, 0, {}),
            "rows       idle are 0 % of 0 that 0 products cover\n");
}

// ---- Lanes ----

TEST(Lanes, TakeEverySequenceOnce) {
  for (const std::int64_t count : {0, 1, 7, 8, 9, 100})
    for (const std::int64_t lanes : {8, 16, 128}) {
      std::multiset<std::int64_t> rows;
      for (std::int64_t lane = 0; lane < lanes; ++lane)
        for (std::int64_t round = 0; round <= count / lanes; ++round) {
          const std::int64_t row = lacuna::resident::dealt_row(round, lane, lanes);
          if (row < count) rows.insert(row);
        }
      ASSERT_EQ(rows.size(), static_cast<std::size_t>(count));
      for (std::int64_t row = 0; row < count; ++row) EXPECT_EQ(rows.count(row), 1u);
    }
}

// Of the steps of all lanes, the share in which a lane has no token.
double idle_share(const std::vector<std::int64_t>& lengths, std::int64_t lanes) {
  std::int64_t latest = 0, tokens = 0;
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    std::int64_t steps = 0;
    for (std::int64_t round = 0;; ++round) {
      const std::int64_t row = lacuna::resident::dealt_row(round, lane, lanes);
      if (row >= static_cast<std::int64_t>(lengths.size())) break;
      steps += lengths[static_cast<std::size_t>(row)];
    }
    latest = std::max(latest, steps);
    tokens += steps;
  }
  return 1 - static_cast<double>(tokens) / static_cast<double>(lanes * latest);
}

TEST(Lanes, AreAsManyAsTheLengthsNeed) {
  const auto resident_lanes = [](const std::vector<std::int64_t>& lengths, std::int32_t most) {
    lacuna::DeviceLayout lay;
    lay.regime = LACUNA_REGIME_RESIDENT;
    lay.most_lanes = most;
    return lacuna::cuda::lanes_for(lay, lengths);
  };
  EXPECT_EQ(resident_lanes({}, 64), 8);
  EXPECT_EQ(resident_lanes(std::vector<std::int64_t>{0, 0}, 64), 8);
  EXPECT_EQ(resident_lanes(std::vector<std::int64_t>(64, 10), 1056), 64);  // all alike: one each
  EXPECT_EQ(resident_lanes(std::vector<std::int64_t>(64, 10), 16), 16);    // no more than there are
  std::vector<std::int64_t> one_long(501, 2);
  one_long[0] = 20'000;
  EXPECT_EQ(resident_lanes(one_long, 1056), 8);  // the short ones fit beside the long one
  // Lengths between T/4 and T: two lanes of every three are enough, and few steps are idle.
  std::vector<std::int64_t> lengths(256);
  for (std::size_t i = 0; i < lengths.size(); ++i)
    lengths[i] = 200 - 150 * static_cast<std::int64_t>(i) / 255;
  lacuna::DeviceLayout lone;
  lone.regime = LACUNA_REGIME_LONE;
  lone.most_lanes = 132;
  EXPECT_EQ(lacuna::cuda::lanes_for(lone, {}), 1);
  EXPECT_EQ(lacuna::cuda::lanes_for(lone, one_long), 3);
  EXPECT_EQ(lacuna::cuda::lanes_for(lone, std::vector<std::int64_t>(33, 10)), 33);
  const std::int32_t lanes = resident_lanes(lengths, 1056);
  EXPECT_LT(lanes, 256);
  EXPECT_LT(idle_share(lengths, lanes), idle_share(lengths, 256));
}

TEST(Lanes, AreNoMoreIdleThanThePlanSays) {
  for (const std::int64_t count : {1, 7, 40, 501})
    for (const std::int64_t longest : {1, 30, 1000})
      for (const std::int64_t lanes : {8, 64, 256}) {
        std::vector<std::int64_t> lengths(static_cast<std::size_t>(count));
        for (std::size_t i = 0; i < lengths.size(); ++i)  // steep: few are long
          lengths[i] = std::max<std::int64_t>(1, longest / static_cast<std::int64_t>(1 + i * i));
        const std::int64_t tokens =
            std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
        const double bound = lacuna::cuda::most_idle(tokens, longest, lanes);
        for (std::int64_t taken = 8; taken <= lanes; taken *= 2)
          EXPECT_LE(idle_share(lengths, taken), bound + 1e-12)
              << count << " of " << longest << " on " << taken << " of " << lanes;
      }
}

#endif

// ---- Against the oracle ----

// One block with all of W_h, for eight lanes or for one. tf32 are fp32 layers with products of 11 bits.
using Size = std::tuple<const char*, const char*, int, lacuna_regime>;

class Whole : public testing::TestWithParam<Size> {};

TEST_P(Whole, Agrees) {
  const auto [model, type, hidden, walked] = GetParam();
  const bool tf32 = type == std::string("tf32");
  const InRegime regime(walked);
  const support::InPrecision precision(tf32 ? LACUNA_PRECISION_TF32 : LACUNA_PRECISION_DEFAULT);
  const std::string text = std::string(model) + "_" + (tf32 ? "f32" : type) + "_n11_d3_h" +
                           std::to_string(hidden) + "_len0-5_init_seed" + std::to_string(hidden);
  if (support::is_too_large(layer_of(text.c_str()), walked))
    GTEST_SKIP() << "too little shared memory here";
  support::expect_agreement(text);
}

constexpr int sizes[] = {1, 3, 16, 37, 41, 64, 72, 100, 127, 128};
INSTANTIATE_TEST_SUITE_P(
    Sizes, Whole,
    testing::Combine(testing::Values("rnn", "rnn_relu", "lstm", "gru", "gru_reset_before",
                                     "rnn_euler+none+none", "lstm+none+relax", "gru+none+relax",
                                     "gru_reset_before+none+decay", "gru+none+decay_step"),
                     testing::Values("f32", "f16", "bf16"), testing::ValuesIn(sizes),
                     testing::Values(LACUNA_REGIME_RESIDENT, LACUNA_REGIME_LONE)));

// Without rnn_relu, of which some unit lies so close to zero (3e-5 of 37) that products of 11 bits take it to the other side,
// and its gradient with it.
INSTANTIATE_TEST_SUITE_P(
    SizesOfElevenBits, Whole,
    testing::Combine(testing::Values("rnn", "lstm", "gru", "gru_reset_before",
                                     "rnn_euler+none+none", "lstm+none+relax", "gru+none+relax",
                                     "gru_reset_before+none+decay", "gru+none+decay_step"),
                     testing::Values("tf32"), testing::ValuesIn(sizes),
                     testing::Values(LACUNA_REGIME_RESIDENT, LACUNA_REGIME_LONE)));

class WholeLanes : public testing::TestWithParam<std::tuple<const char*, lacuna_regime>> {};

TEST_P(WholeLanes, Agree) {
  const auto [text, walked] = GetParam();
  const InRegime regime(walked);
  support::expect_agreement(text);
}

INSTANTIATE_TEST_SUITE_P(
    Odd, WholeLanes,
    testing::Combine(testing::Values("lstm_f32_n1_d2_h17_len40_seed1",
                                     "gru_f32_n3_d2_h9_len0_seed2",
                                     "lstm_f32_n130_d2_h9_len0-6_init_seed3",
                                     "grud_f32_n90_d5_h33_len0-12_miss70_eo_rev_seed4",
                                     "lstm+none+relax_f16_n50_d3_h20_len0-7_init_seed5",
                                     "lstm+none+relax_f32_n50_d3_h20_len0-9_miss40_eo_rev_seed7",
                                     "rnn_tanh+none+relax_f32_n20_d3_h20_len0-5_init_seed8",
                                     "grud_bf16_n40_d3_h20_len0-7_miss70_eo_seed6"),
                     testing::Values(LACUNA_REGIME_RESIDENT, LACUNA_REGIME_LONE)));

// A sequence of 20,000 tokens beside 500 short ones.
class OneIsLong : public testing::TestWithParam<lacuna_regime> {};

TEST_P(OneIsLong, Agrees) {
  const InRegime regime(GetParam());
  support::expect_agreement("gru_decay_f32_n501_d1_h3_len0-3+20000_miss30_seed7");
}
INSTANTIATE_TEST_SUITE_P(Whole, OneIsLong,
                         testing::Values(LACUNA_REGIME_RESIDENT, LACUNA_REGIME_LONE));

class Stepwise : public testing::TestWithParam<const char*> {};

TEST_P(Stepwise, Agrees) {
  const InRegime regime(LACUNA_REGIME_STEPWISE);
  support::expect_agreement(GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    Small, Stepwise,
    testing::Values("rnn_f32_n7_h34_len0-19_seed1", "rnn_relu_f16_n5_d3_h17_len0-9_seed2",
                    "lstm_f32_n9_h31_len0-23_init_seed3", "gru_bf16_n6_d7_h16_len1-12_seed4",
                    "gru_reset_before_f32_n7_h33_len0-9_init_seed5",
                    "lstm_decay_f16_n7_h34_len0-19_miss80_times_seed8",
                    "grud_f32_n7_d41_h64_len0-19_miss80_eo_nan_times_seed3",
                    "grud_relax_bf16_n4_h5_len1-30_miss90_carry_rev_init_seed10",
                    "lstm+none+relax_f16_n5_d3_h20_len0-7_init_seed5",
                    "gru+none+relax_bf16_n5_d3_h20_len0-9_miss40_eo_seed6",
                    "ode_euler_f32_n7_h13_len0-19_miss50_seed12"),
    support::test_name);

// Of few sequences and many units, so that sums of products are cut.
class StepwiseInParts : public testing::TestWithParam<const char*> {
#ifndef LACUNA_TEST_ON_DEVICE
 protected:
  StepwiseInParts() { lacuna::emulated_backend::multiprocessors = 132; }
  ~StepwiseInParts() override { lacuna::emulated_backend::multiprocessors = 2; }
#endif
};

TEST_P(StepwiseInParts, Agrees) {
  const InRegime regime(LACUNA_REGIME_STEPWISE);
  EXPECT_NE(explained(layer_of(GetParam())).find("sums of a step's products are made in parts"),
            std::string::npos);
  support::expect_agreement(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Large, StepwiseInParts,
                         testing::Values("rnn_f32_n9_d3_h300_len0-3_init_seed1",
                                         "lstm_f64_n5_d3_h130_len0-4_rev_seed2",
                                         "lstm_f16_n6_d3_h64_len1-5_init_seed3",
                                         "gru_bf16_n7_d3_h134_len0-4_seed4",
                                         "gru_reset_before_f32_n5_d3_h256_len0-3_init_seed5",
                                         "gru_reset_before_f16_n4_d3_h255_len1-3_rdrop20_seed6",
                                         "grud_f32_n5_d5_h130_len0-5_miss70_eo_zone20_seed7",
                                         "lstm_f32_n6_d3_h130_p41_len0-4_init_seed8",
                                         "lstm_f32_n6_d3_h130_len0-4_ln_seed9"),
                         support::test_name);

}  // namespace
