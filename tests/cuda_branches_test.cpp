// Branches of the caller's stream within the runs of one layer: that they change no bit, where plans have them, and that
// each fork meets its join. On the PTX machine, whose streams run late and in any order, a wait that is missing shows.
#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "support/cuda.h"
#include "support/properties.h"

namespace {

using support::ContextHandle;
using support::must;

bool branches(const lacuna_plan* plan) {
  return support::explained(plan).find(" branches of the caller's") != std::string::npos;
}

// Where one gradient alone is wanted, there is nothing to branch for, and it has the bits that it has among others. What is
// queued behind, here a run in the same workspace, waits for all of them.
TEST(BranchesOfARun, AreForGradientsThatAreWanted) {
  const support::Case c = support::parse_case("lstm_f32_n3_d8_h8_len4-16_seed1");
  const ContextHandle context = support::make_context();
  support::LibraryRun<float> run(c);
  const lacuna_capacity room{run.batch().tokens, run.batch().sequences, 16};
  const auto plan = support::make_plan(context.get(), run.layer(), room);
  const auto tape = support::make_tape(plan.get());
  EXPECT_TRUE(branches(plan.get()));

  constexpr std::size_t units = 8;
  const std::size_t cells = static_cast<std::size_t>(room.tokens) * units;
  const std::vector<float> ones(cells, 1.0F);
  // Of the values, W_h, W_x and the biases, those of `wanted`.
  using Gradients = std::vector<std::vector<float>>;
  const auto gradients = [&](const std::vector<int>& wanted) {
    support::Mirror mirror;
    lacuna_batch batch = run.batch();
    batch.values = mirror.in(static_cast<const float*>(batch.values), cells);
    lacuna_parameters parameters = run.parameters();
    for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
      lacuna_parameter_info info{};
      must(lacuna_layer_parameter(&run.layer(), static_cast<lacuna_parameter>(kind), &info));
      parameters.tensor[kind] = mirror.in(static_cast<const float*>(parameters.tensor[kind]),
                                          static_cast<std::size_t>(info.rows * info.columns));
    }
    support::GuardedBuffer<float> of_values(cells), of_h(4 * units * units),
        of_x(4 * units * units), of_bias(4 * units);
    support::GuardedBuffer<float>* const buffers[] = {&of_values, &of_h, &of_x, &of_bias};
    for (auto* buffer : buffers) std::fill_n(buffer->data(), buffer->size(), 0.0F);
    lacuna_parameter_gradients d_parameters{};
    lacuna_input_gradients d_inputs{};
    for (const int w : wanted) {
      void* const there = mirror.out(*buffers[w]);
      if (w == 0) d_inputs.d_values = there;
      if (w == 1) d_parameters.tensor[LACUNA_WEIGHTS_H] = there;
      if (w == 2) d_parameters.tensor[LACUNA_WEIGHTS_X] = there;
      if (w == 3) d_parameters.tensor[LACUNA_BIAS] = there;
    }
    lacuna_output_gradients d_outputs{};
    d_outputs.d_hidden = mirror.in(ones.data(), ones.size());
    const lacuna_outputs outputs{};
    must(lacuna_forward(plan.get(), &parameters, &batch, &outputs, tape.get(), nullptr));
#ifndef LACUNA_TEST_ON_DEVICE
    const auto forks = lacuna::emulated_backend::forks.load();
#endif
    must(lacuna_backward(plan.get(), &parameters, &batch, &d_outputs, tape.get(), &d_parameters,
                         &d_inputs, nullptr));
#ifndef LACUNA_TEST_ON_DEVICE
    EXPECT_EQ(lacuna::emulated_backend::forks.load() - forks, wanted.size() > 1 ? 1u : 0u);
#endif
    must(lacuna_forward(plan.get(), &parameters, &batch, &outputs, tape.get(), nullptr));
    mirror.bring_back();
    Gradients results;
    for (auto* buffer : buffers) results.emplace_back(buffer->span().begin(), buffer->span().end());
    return results;
  };
  const Gradients together = gradients({0, 1, 2, 3});
  for (const int w : {0, 1, 2, 3}) {
    const auto at = static_cast<std::size_t>(w);
    const Gradients alone = gradients({w});
    EXPECT_EQ(together[at], alone[at]) << w;
    EXPECT_NE(alone[at], std::vector<float>(alone[at].size())) << w;
  }
  // Streams that run in another order each time.
  for (int round = 0; round < 8; ++round) EXPECT_EQ(gradients({0, 1, 2, 3}), together) << round;
}

class Branches : public testing::TestWithParam<std::tuple<const char*, bool>> {};

// A plan for sequences of 15 tokens has one stream, one for 16 has branches.
TEST_P(Branches, ChangeNoBit) {
  const auto [text, on_device] = GetParam();
  const support::Case c = support::parse_case(text);
  ASSERT_LE(c.max_length(), 15);
  const ContextHandle context = support::make_context();
  support::in_type(c, [&]<class Real>(Real) {
    support::LibraryRun<Real> alone(c), beside(c);
    lacuna_capacity room = alone.capacity();
    room.tokens = std::max<std::int64_t>(room.tokens, 16);
    room.max_length = 15;
    EXPECT_FALSE(branches(support::make_plan(context.get(), alone.layer(), room).get()));
    alone.offsets_on_device = beside.offsets_on_device = on_device;
    alone.run(context.get(), room);
    room.max_length = 16;
    EXPECT_TRUE(branches(support::make_plan(context.get(), alone.layer(), room).get()));
#ifndef LACUNA_TEST_ON_DEVICE
    const auto forks = lacuna::emulated_backend::forks.load();
#endif
    beside.run(context.get(), room);
#ifndef LACUNA_TEST_ON_DEVICE
    EXPECT_GT(lacuna::emulated_backend::forks.load(), forks);
    EXPECT_EQ(lacuna::emulated_backend::joins.load(), lacuna::emulated_backend::forks.load());
#endif
    for (const auto& [name, buffer] : alone.results.entries())
      EXPECT_TRUE(support::agrees(
          name, support::compare_bits<Real>(beside.results.find(name)->span(), buffer->span())));
  });
}

INSTANTIATE_TEST_SUITE_P(
    Models, Branches,
    testing::Combine(testing::Values("lstm_f32_n5_d8_h16_len1-15_seed3",
                                     "lstm_f16_n5_d5_h13_len1-15_seed3",
                                     "gru_bf16_n5_d3_h9_len0-15_seed4",
                                     "grud_f32_n6_d5_h17_len0-15_miss80_seed4",
                                     "grud_f64_n6_d5_h17_len0-15_miss80_rev_zone20_rdrop40_seed4",
                                     "lstm+decay+relax_f32_n7_h12_p5_len0-15_miss80_eo_seed7",
                                     "ode_euler_f64_n5_d3_h7_len0-9_miss50_gap_seed6",
                                     "grud_f32_n6_d5_h17_len0-15_miss80_ln_seed8"),
                     testing::Bool()));

// More sequences than are ranked, so that they are sorted while their inputs are multiplied.
INSTANTIATE_TEST_SUITE_P(ManySequences, Branches,
                         testing::Combine(testing::Values("rnn_tanh_f32_n4200_d1_h1_len0-3_seed3"),
                                          testing::Values(true)));

TEST(BranchesOfAPlan, AreThereWhereTheyHelp) {
  const ContextHandle context = support::make_context();
  const lacuna_layer lstm =
      support::library_layer(support::parse_case("lstm_f32_n1_h8_len1_seed1"));
  const auto explain = [&](lacuna_layer layer, bool inference) {
    lacuna_plan_options options{};
    options.inference = inference ? 1 : 0;
    const lacuna_capacity room{64, 2, 32};
    lacuna_plan* plan = nullptr;
    must(lacuna_plan_create(context.get(), &layer, &room, &options, &plan));
    const support::PlanHandle made(plan);
    return support::explained(plan);
  };
  const auto expect = [](const std::string& text, const char* line) {
    EXPECT_NE(text.find(std::string("streams    ") + line), std::string::npos) << text;
  };
  expect(explain(lstm, false), "4 branches of the caller's");
  expect(explain(lstm, true), "the caller's alone: nothing to run beside W_x x");
  lacuna_layer decays = lstm;
  decays.impute = LACUNA_IMPUTE_DECAY;
  decays.evolve = LACUNA_EVOLVE_DECAY;
  expect(explain(decays, true), "2 branches of the caller's");
  lacuna_layer wide = lstm;
  wide.hidden = 1024;
  expect(explain(wide, false), "the caller's alone: the gradient of W_h alone fills the device");
}

// One more place for each gradient that is brought from padded rows at the same time as another.
TEST(BranchesOfAPlan, TakeLittleMemory) {
  const ContextHandle context = support::make_context();
  const support::InRegime regime(LACUNA_REGIME_STEPWISE);
  lacuna_layer layer =
      support::library_layer(support::parse_case("lstm_f32_n1_d41_h64_len1_seed1"));
  const auto bytes = [&](std::int64_t longest) {
    lacuna_plan_info info{};
    must(lacuna_plan_query(support::make_plan(context.get(), layer, {640, 64, longest}).get(),
                           &info));
    return info.workspace_bytes;
  };
  constexpr std::size_t of_x = 4 * 64 * 48 * sizeof(float), of_decay = 64 * 48 * sizeof(float);
  EXPECT_EQ(bytes(16) - bytes(15), of_x);
  layer.impute = LACUNA_IMPUTE_DECAY;
  layer.evolve = LACUNA_EVOLVE_DECAY;
  EXPECT_EQ(bytes(16) - bytes(15), of_x + of_decay);
}

}  // namespace
