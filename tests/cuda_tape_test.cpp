// What a tape of the CUDA backend keeps: gates, or states from which the backward run computes them again. Either kind
// against the oracle, in either regime.
#include <cstring>
#include <string>
#include <tuple>

#include "support/against_oracle.h"
#include "support/cuda.h"
#include "support/properties.h"

namespace {

using support::InRegime;
using support::InTape;
using support::must;
using support::refused;

lacuna_layer layer_of(const char* text) {
  return support::library_layer(support::parse_case(text));
}

// ---- The choice ----

class TapeKind : public testing::Test {
 protected:
  lacuna_status measure(lacuna_tape_kind kind, std::size_t budget = 0, bool inference = false) {
    lacuna_plan_options options{};
    options.tape = kind;
    options.tape_budget = budget;
    options.inference = inference;
    return lacuna_plan_measure(context.get(), &layer, &capacity, &options, &info);
  }

  support::ContextHandle context = support::make_context();
  lacuna_layer layer = layer_of("lstm_f32_n1_h32_len1_seed1");
  lacuna_capacity capacity{1000, 10, 0};
  lacuna_plan_info info{};
};

TEST_F(TapeKind, IsTheOneAskedFor) {
  must(measure(LACUNA_TAPE_GATES));
  EXPECT_EQ(info.tape, LACUNA_TAPE_GATES);
  const std::size_t with_gates = info.tape_bytes;
  must(measure(LACUNA_TAPE_STATES));
  EXPECT_EQ(info.tape, LACUNA_TAPE_STATES);
  // Four gates of 32 units in fp32, of 1,000 tokens.
  EXPECT_EQ(with_gates - info.tape_bytes, 4u * 32 * 4 * 1000);
}

TEST_F(TapeKind, FollowsTheBudget) {
  must(measure(LACUNA_TAPE_BEST));
  EXPECT_EQ(info.tape, LACUNA_TAPE_GATES);
  const std::size_t with_gates = info.tape_bytes;
  must(measure(LACUNA_TAPE_BEST, with_gates));
  EXPECT_EQ(info.tape, LACUNA_TAPE_GATES);
  must(measure(LACUNA_TAPE_BEST, with_gates - 1));
  EXPECT_EQ(info.tape, LACUNA_TAPE_STATES);
  must(measure(LACUNA_TAPE_GATES, with_gates - 1));  // what was asked for is not weighed
  EXPECT_EQ(info.tape, LACUNA_TAPE_GATES);
  must(measure(LACUNA_TAPE_STATES, with_gates));
  EXPECT_EQ(info.tape, LACUNA_TAPE_STATES);
}

// A plan and a tape that the limit leaves room for are made and run, whatever gates would have taken.
TEST_F(TapeKind, FollowsTheContextsLimit) {
  capacity.tokens = 50'000;  // of few, what computing gates again takes is more than they are
  must(measure(LACUNA_TAPE_GATES));
  const std::size_t with_gates = info.workspace_bytes + info.tape_bytes;
  must(measure(LACUNA_TAPE_STATES));
  const std::size_t without = info.workspace_bytes + info.tape_bytes;
  ASSERT_LT(without, with_gates);
  const auto limited_to = [&](std::size_t bytes) {
    lacuna_context_options options{};
    options.backend = LACUNA_BACKEND_CUDA;
    options.memory_limit = bytes;
    lacuna_context* limited = nullptr;
    must(lacuna_context_create(&options, &limited));
    context.reset(limited);
  };
  limited_to(with_gates);
  must(measure(LACUNA_TAPE_BEST));
  EXPECT_EQ(info.tape, LACUNA_TAPE_GATES);
  limited_to(with_gates - 1);
  must(measure(LACUNA_TAPE_GATES));  // what was asked for is not weighed
  EXPECT_EQ(info.tape, LACUNA_TAPE_GATES);
  must(measure(LACUNA_TAPE_BEST, with_gates));
  EXPECT_EQ(info.tape, LACUNA_TAPE_STATES);
  limited_to(without);
  must(measure(LACUNA_TAPE_BEST));
  EXPECT_EQ(info.tape, LACUNA_TAPE_STATES);
  const auto plan = support::make_plan(context.get(), layer, capacity);
  const auto tape = support::make_tape(plan.get());
  const std::string text = support::explained(plan.get());
  EXPECT_NE(text.find("not taped, for the context's memory_limit of " + std::to_string(without)),
            std::string::npos)
      << text;
}

TEST_F(TapeKind, IsNoneInInference) {
  must(measure(LACUNA_TAPE_STATES, 0, true));
  EXPECT_EQ(info.tape, LACUNA_TAPE_BEST);
  EXPECT_EQ(info.tape_bytes, 0u);
}

TEST_F(TapeKind, RefusesOneThatThereIsNot) {
  lacuna_tape_kind wrong{};
  const int no_kind = 3;
  std::memcpy(&wrong, &no_kind, sizeof wrong);
  EXPECT_TRUE(refused(measure(wrong), LACUNA_INVALID_ARGUMENT,
                      "options.tape: 3, expected a lacuna_tape_kind, 0 to 2"));
}

TEST_F(TapeKind, IsExplained) {
  for (const auto& [kind, words] :
       {std::pair{LACUNA_TAPE_GATES, "gates      taped"},
        std::pair{LACUNA_TAPE_STATES,
                  "computed again from states and inputs, 1000 tokens at once"}}) {
    const InTape kept(kind);
    const auto plan = support::make_plan(context.get(), layer, capacity);
    const std::string text = support::explained(plan.get());
    EXPECT_NE(text.find(words), std::string::npos) << text;
  }
}

TEST_F(TapeKind, IsThatOfThePlanThatUsesIt) {
  const support::Case c = support::parse_case("gru_f32_n3_d2_h9_len1-5_seed1");
  support::LibraryRun<float> run(c);
  const auto made = [&](lacuna_tape_kind kind) {
    const InTape kept(kind);
    return support::make_plan(context.get(), run.layer(), run.capacity());
  };
  const auto gates = made(LACUNA_TAPE_GATES), states = made(LACUNA_TAPE_STATES);
  const auto tape = support::make_tape(gates.get());
  run.forward(gates.get(), tape.get());
  const lacuna_parameters parameters = run.parameters();
  const lacuna_batch batch = run.batch();
  const lacuna_output_gradients given{};
  const lacuna_parameter_gradients d_parameters{};
  const lacuna_input_gradients d_inputs{};
  EXPECT_TRUE(refused(lacuna_backward(states.get(), &parameters, &batch, &given, tape.get(),
                                      &d_parameters, &d_inputs, nullptr),
                      LACUNA_MISMATCH, "tape: made for a plan of another layer, capacity or kind"));
}

// ---- Against the oracle ----

class TapeOfStates : public testing::TestWithParam<std::tuple<const char*, lacuna_regime>> {};

TEST_P(TapeOfStates, Agrees) {
  const auto [text, asked] = GetParam();
  const support::Case c = support::parse_case(text);
  if (asked != LACUNA_REGIME_STEPWISE &&
      (c.type == support::Type::f64 || c.layer.projection > 0 || c.layer.layer_norm))
    return;  // which are stepwise alone
  if (!support::serves(asked)) GTEST_SKIP() << "no clusters here";
  const InRegime regime(asked);
  const InTape kept(LACUNA_TAPE_STATES);
  support::expect_agreement(text);
}

// The last is of more tokens than are computed again at once.
INSTANTIATE_TEST_SUITE_P(
    Models, TapeOfStates,
    testing::Combine(
        testing::Values("rnn_f32_n7_h34_len0-19_seed1", "rnn_relu_f16_n5_d3_h17_len0-9_seed2",
                        "rnn_f64_n5_d3_h17_len0-9_init_seed2", "lstm_f32_n9_h31_len0-23_init_seed3",
                        "lstm_f64_n4_h9_len0-23_init_seed3", "lstm_bf16_n9_h31_len0-23_init_seed3",
                        "gru_f32_n7_h33_len0-9_init_seed4", "gru_bf16_n6_d7_h16_len1-12_seed4",
                        "gru_f64_n6_d7_h16_len1-12_rev_seed4", "gru_f16_n6_d7_h16_len1-12_seed4",
                        "rnn_bf16_n7_h34_len0-19_seed1",
                        "gru_reset_before_f32_n7_h33_len0-9_init_seed5",
                        "gru_reset_before_f16_n7_h33_len0-9_rev_init_seed5",
                        "gru_reset_before_f64_n7_h10_len0-9_init_seed5",
                        "lstm_decay_f16_n7_h34_len0-19_miss80_times_seed8",
                        "lstm_decay_f32_n7_h34_len0-19_miss80_times_seed8",
                        "grud_f32_n7_d41_h64_len0-19_miss80_eo_nan_times_seed3",
                        "grud_bf16_n7_d4_h64_len0-19_miss80_eo_nan_times_seed3",
                        "grud_relax_f32_n4_h5_len1-30_miss90_carry_rev_init_seed10",
                        "grud_relax_bf16_n4_h5_len1-30_miss90_carry_rev_init_seed10",
                        "lstm+none+relax_f16_n5_d3_h20_len0-7_init_seed5",
                        "lstm+none+relax_f32_n5_d3_h20_len0-7_init_seed5",
                        "gru+none+relax_f32_n5_d3_h20_len0-9_miss40_eo_seed6",
                        "lstm_f32_n9_h31_p12_len0-23_init_seed3",
                        "lstm+forward+decay_f16_n7_h34_p9_len0-19_miss80_eo_times_seed8",
                        "lstm+none+relax_bf16_n5_d3_h20_p7_len0-7_init_seed5",
                        "lstm+relax+relax_f64_n5_d3_h20_p20_len0-7_miss50_eo_rev_seed5",
                        "ode_euler_f32_n7_h13_len0-19_miss50_seed12",
                        "ode_euler_f16_n7_h13_len0-19_miss50_seed12",
                        "gru_f32_n1_d1_h1_len0_seed13", "rnn_f32_n7_h34_len0-19_ln_seed14",
                        "lstm_f64_n4_h17_len0-23_ln_init_seed15",
                        "lstm_f32_n4_h17_p6_len0-23_ln_init_seed20",
                        "lstm_decay_f16_n7_h34_len0-19_miss80_times_ln_seed16",
                        "gru_f32_n7_h33_len0-9_ln_init_seed17",
                        "grud_f64_n7_d4_h20_len0-19_miss80_eo_nan_times_ln_seed18",
                        "gru_reset_before_bf16_n7_h33_len0-9_rev_ln_init_seed19",
                        "gru_decay_f32_n501_d1_h3_len0-3+20000_miss30_seed7"),
        testing::Values(LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT)));

// Gates that are computed again read what W_h read the first time.
INSTANTIATE_TEST_SUITE_P(
    Noisy, TapeOfStates,
    testing::Combine(
        testing::Values("lstm_f32_n9_h31_len0-23_init_zone20_zonec30_rdrop40_seed3",
                        "lstm+none+relax_f16_n5_d3_h20_p7_len0-7_init_zone20_zonec30_rdrop40_seed6",
                        "lstm+mean+decay_f32_n5_d3_h20_p20_len0-9_miss60_eo_zone20_rdrop40_seed7",
                        "gru_f64_n6_d7_h16_len1-12_rev_zone20_rdrop40_seed4",
                        "gru_reset_before_f16_n7_h33_len0-9_rev_init_zone20_rdrop40_seed5",
                        "grud_relax_bf16_n4_h5_len1-30_miss90_carry_rev_init_zone20_seed10"),
        testing::Values(LACUNA_REGIME_STEPWISE)));

INSTANTIATE_TEST_SUITE_P(
    Groups, TapeOfStates,
    testing::Combine(testing::Values("lstm_bf16_n9_h31_len0-9_init_seed3",
                                     "gru_reset_before_f32_n7_h33_len0-9_init_seed5",
                                     "lstm+none+relax_f16_n5_d3_h20_len0-7_init_seed5",
                                     "grud_f32_n7_d4_h40_len0-9_miss80_eo_nan_times_seed3"),
                     testing::Values(LACUNA_REGIME_CLUSTER, LACUNA_REGIME_GRID)));

class TapeOfStatesIn : public testing::TestWithParam<lacuna_regime> {};
INSTANTIATE_TEST_SUITE_P(Regimes, TapeOfStatesIn,
                         testing::Values(LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT,
                                         LACUNA_REGIME_LONE, LACUNA_REGIME_CLUSTER,
                                         LACUNA_REGIME_GRID));

TEST_P(TapeOfStatesIn, RepeatsItsBits) {
  if (!support::serves(GetParam())) GTEST_SKIP() << "no clusters here";
  const InRegime regime(GetParam());
  const InTape kept(LACUNA_TAPE_STATES);
  const support::Case c = support::parse_case("grud_f32_n7_d5_h20_len0-19_miss80_eo_seed3");
  const auto context = support::make_context();
  const auto layer = support::library_layer(c);
  support::LibraryRun<float> once(c), again(c), unknown(c);
  const auto plan = support::make_plan(context.get(), layer, {once.capacity().tokens, 7, 30});
  const auto tape = support::make_tape(plan.get());
  unknown.offsets_on_device = true;
  for (auto* run : {&once, &again, &unknown}) {
    run->forward(plan.get(), tape.get());
    run->backward(plan.get(), tape.get());
  }
  for (const auto& [name, buffer] : once.results.entries())
    for (auto* run : {&again, &unknown})
      EXPECT_TRUE(support::agrees(
          name, support::compare_bits<float>(run->results.find(name)->span(), buffer->span())));
}

}  // namespace
