// Stacks on the CUDA backend: the CPU's results, in all types; what a run may not ask for; arrays of the host; streams that
// branch and join; and recordings.
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "support/compare.h"
#include "support/cuda.h"
#include "support/half.h"
#include "support/recording.h"
#include "support/refusal.h"
#include "support/stack_expect.h"
#ifndef LACUNA_TEST_ON_DEVICE
#include "emulator/emulator.h"
#endif

namespace {

using support::capacity_of;
using support::draw_stack;
using support::generate;
using support::must;
using support::run_stack;
using support::StackCase;

StackCase small_case(const lacuna::Layer& first, const lacuna::StackShape& shape) {
  StackCase c;
  c.stack = lacuna::stacked(first, shape);
  c.lengths = {23, 0, 7, 40, 1, 12};
  return c;
}

// ---- Against the CPU ----

class CudaStack : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Drawn, CudaStack, testing::Range(200, 216));

// Sums are cut and ordered in other ways; what is dropped is the same.
TEST_P(CudaStack, AgreesWithTheCpu) {
  StackCase c = draw_stack(static_cast<std::uint64_t>(GetParam()));
  c.stack = support::of_type<double>(c.stack);
  c.stack.dropout = 0.3;
  const auto data = generate<double>(c);
  const lacuna::StackParameters<double> weights(c.stack, c.seed);
  const lacuna::Context cpu({.backend = lacuna::Backend::cpu, .threads = 1});
  for (const std::int64_t segment : {std::int64_t{7}, data.longest()}) {
    lacuna::StackPlan here(support::stack_context(), c.stack, capacity_of(data),
                           {.segment = segment});
    lacuna::StackPlan there(cpu, c.stack, capacity_of(data), {.segment = segment});
    support::expect_close(run_stack(here, weights, data, 5), run_stack(there, weights, data, 5),
                          1e-11);
  }
}

// ---- Types of 16 bits ----

// One layer in windows has the bits of its windows run by hand, each from the state and the context that the one before
// handed on; and no budget changes any of them.
template <class Half>
class CudaStackOf : public testing::Test {};
using Halves = testing::Types<support::Fp16, support::Bf16>;
TYPED_TEST_SUITE(CudaStackOf, Halves);

template <class Half>
struct HalfRun {
  using Bits = std::vector<std::uint16_t>;
  static constexpr lacuna_type type =
      std::is_same_v<Half, support::Fp16> ? LACUNA_F16 : LACUNA_BF16;
  static constexpr std::int64_t features = 3, hidden = 9;

  lacuna_layer layer{};
  std::vector<std::int64_t> offsets{0};
  Bits values, d_hidden, d_final;
  std::vector<float> delta_t;
  std::vector<std::vector<float>> weights;
  lacuna_parameters parameters{};

  HalfRun() {
    layer = lacuna::gru_d(features, hidden).c();
    layer.type = type;
    for (const std::int64_t length : {23, 0, 7, 40, 1, 12})
      offsets.push_back(offsets.back() + length);
    support::Random random(3);
    const auto half = [&](std::int64_t count, double missing) {
      Bits bits;
      for (std::int64_t i = 0; i < count; ++i)
        bits.push_back(Half::round(random.chance(missing) ? NAN : random.uniform(-1, 1)));
      return bits;
    };
    values = half(tokens() * features, 0.6);
    d_hidden = half(tokens() * hidden, 0);
    d_final = half(sequences() * hidden, 0);
    for (std::int64_t s = 0; s < tokens(); ++s)
      delta_t.push_back(static_cast<float>(random.below(64)) / 32);
    for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
      lacuna_parameter_info info{};
      must(lacuna_layer_parameter(&layer, static_cast<lacuna_parameter>(kind), &info));
      weights.emplace_back();
      for (std::int64_t i = 0; i < info.rows * info.columns; ++i)
        weights.back().push_back(static_cast<float>(random.uniform(-0.5, 0.5)));
      parameters.tensor[kind] = weights.back().empty() ? nullptr : weights.back().data();
    }
  }
  std::int64_t tokens() const { return offsets.back(); }
  std::int64_t sequences() const { return static_cast<std::int64_t>(offsets.size()) - 1; }

  struct Results {
    Bits hidden, final_hidden, d_values;
    std::vector<float> d_delta_t;
    std::vector<std::vector<float>> d_weights;
  };

  lacuna_stack_plan* plan(const lacuna::Context& context, const lacuna_stack_options& options) {
    const lacuna_stack stack{.layers = &layer, .count = 1};
    const lacuna_capacity capacity{tokens(), sequences(), 40};
    lacuna_stack_plan* made = nullptr;
    must(lacuna_stack_plan_create(context.get(), &stack, &capacity, &options, &made));
    return made;
  }
  Results run(const lacuna::Context& context, const lacuna_stack_options& options) {
    const std::unique_ptr<lacuna_stack_plan, decltype(&lacuna_stack_plan_destroy)> made(
        plan(context, options), lacuna_stack_plan_destroy);
    Results results;
    results.hidden.resize(d_hidden.size());
    results.final_hidden.resize(d_final.size());
    results.d_values.resize(values.size());
    results.d_delta_t.resize(delta_t.size());
    lacuna_batch batch{};
    batch.sequences = sequences();
    batch.tokens = tokens();
    batch.offsets = offsets.data();
    batch.values = values.data();
    batch.delta_t = delta_t.data();
    lacuna_state final_state{results.final_hidden.data(), nullptr};
    lacuna_stack_outputs outputs{};
    outputs.hidden = results.hidden.data();
    outputs.final_states = &final_state;
    must(lacuna_stack_forward(made.get(), &parameters, &batch, nullptr, 0, &outputs, nullptr));
    lacuna_parameter_gradients wanted{};
    for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
      results.d_weights.emplace_back(weights[static_cast<std::size_t>(kind)].size());
      if (parameters.tensor[kind] != nullptr) wanted.tensor[kind] = results.d_weights.back().data();
    }
    const lacuna_state d_final_state{d_final.data(), nullptr};
    lacuna_stack_output_gradients d_outputs{};
    d_outputs.d_hidden = d_hidden.data();
    d_outputs.d_final_states = &d_final_state;
    lacuna_stack_input_gradients d_inputs{};
    d_inputs.d_values = results.d_values.data();
    d_inputs.d_delta_t = results.d_delta_t.data();
    must(lacuna_stack_backward(made.get(), &parameters, &batch, nullptr, &d_outputs, &wanted,
                               &d_inputs, nullptr));
    return results;
  }

  // The outputs of windows of `segment` tokens, each a run of its own.
  Results by_hand(const lacuna::Context& context, std::int64_t segment) {
    Results results;
    results.hidden.resize(d_hidden.size());
    results.final_hidden.assign(d_final.size(), 0);
    Bits last(static_cast<std::size_t>(sequences() * features), Half::nan_bits);
    std::vector<float> since(last.size());
    const lacuna_capacity capacity{tokens(), sequences(), segment};
    const auto made = support::make_plan(context.get(), layer, capacity);
    for (std::int64_t first = 0; first < 40; first += segment) {
      std::vector<std::int64_t> rows, own{0};
      for (std::size_t b = 0; b + 1 < offsets.size(); ++b) {
        for (std::int64_t s = offsets[b] + first;
             s < std::min(offsets[b] + first + segment, offsets[b + 1]); ++s)
          rows.push_back(s);
        own.push_back(static_cast<std::int64_t>(rows.size()));
      }
      Bits x, out(rows.size() * hidden), initial = results.final_hidden, last_in = last;
      std::vector<float> gaps, since_in = since;
      for (const std::int64_t row : rows) {
        x.insert(x.end(), values.begin() + row * features, values.begin() + (row + 1) * features);
        gaps.push_back(delta_t[static_cast<std::size_t>(row)]);
      }
      lacuna_batch batch{};
      batch.sequences = sequences();
      batch.tokens = own.back();
      batch.offsets = own.data();
      batch.values = x.data();
      batch.delta_t = gaps.data();
      batch.initial_hidden = initial.data();
      batch.carry_in.last_values = last_in.data();
      batch.carry_in.since = since_in.data();
      lacuna_outputs outputs{};
      outputs.hidden = out.data();
      outputs.final_hidden = results.final_hidden.data();
      outputs.carry_out.last_values = last.data();
      outputs.carry_out.since = since.data();
      must(lacuna_forward(made.get(), &parameters, &batch, &outputs, nullptr, nullptr));
      for (std::size_t i = 0; i < rows.size(); ++i)
        std::copy_n(out.begin() + static_cast<std::ptrdiff_t>(i) * hidden, hidden,
                    results.hidden.begin() + rows[i] * hidden);
    }
    return results;
  }
};

TYPED_TEST(CudaStackOf, WindowsHaveTheBitsOfRunsByHand) {
  const auto context = support::stack_context();
  HalfRun<TypeParam> run;
  const auto by_hand = run.by_hand(context, 8);
  const auto windows = run.run(context, {.segment = 8});
  EXPECT_EQ(windows.hidden, by_hand.hidden);
  EXPECT_EQ(windows.final_hidden, by_hand.final_hidden);
}

TYPED_TEST(CudaStackOf, ABudgetChangesNoBit) {
  const auto context = support::stack_context();
  HalfRun<TypeParam> run;
  const auto expected = run.run(context, {.segment = 4});
  const std::unique_ptr<lacuna_stack_plan, decltype(&lacuna_stack_plan_destroy)> most(
      run.plan(context, {.segment = 4}), lacuna_stack_plan_destroy);
  lacuna_stack_info info{};
  must(lacuna_stack_plan_query(most.get(), &info));
  for (const std::size_t budget :
       {info.memory_least, (info.memory_least + info.memory_bytes) / 2}) {
    const auto got = run.run(context, {.memory_budget = budget, .segment = 4});
    EXPECT_EQ(got.hidden, expected.hidden);
    EXPECT_EQ(got.final_hidden, expected.final_hidden);
    EXPECT_EQ(got.d_values, expected.d_values);
    EXPECT_EQ(got.d_delta_t, expected.d_delta_t);
    EXPECT_EQ(got.d_weights, expected.d_weights);
  }
  for (const float gradient : expected.d_delta_t) ASSERT_TRUE(std::isfinite(gradient));
}

// ---- Memory and streams ----

#ifndef LACUNA_TEST_ON_DEVICE

struct Asked {
  std::uint64_t allocations, waits, forks;
};

// What a forward and a backward run ask of the device.
Asked asked(std::int64_t segment) {
  const StackCase c = small_case(lacuna::gru_d(3, 8), {.depth = 3});
  const auto data = generate<float>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<float> weights(c.stack, 1);
  lacuna::StackPlan plan(context, c.stack, capacity_of(data), {.segment = segment});
  const auto now = [] {
    return Asked{lacuna::emulator::counters().allocations.load(),
                 lacuna::emulator::counters().synchronisations.load(),
                 lacuna::emulated_backend::forks.load()};
  };
  const Asked before = now();
  run_stack(plan, weights, data);
  const Asked after = now();
  return {after.allocations - before.allocations, after.waits - before.waits,
          after.forks - before.forks};
}

TEST(CudaStackRun, AsksForNoMemory) {
  const Asked run = asked(8);
  EXPECT_EQ(run.allocations, 0);
  EXPECT_EQ(run.waits, 0);
}

TEST(CudaStackRun, BranchesWhereTasksDoNotWaitForEachOther) {
  // Five windows of three layers: of seven waves, the first and the last have one task, forward and backward. What runs
  // beside others does not branch once more.
  EXPECT_EQ(asked(8).forks, 2 * 5);
  // One window: a layer waits for the one below, and each branches by itself; forward the first alone, which decays.
  EXPECT_EQ(asked(40).forks, 1 + 3);
}

// Each array is copied once, and each call waits once, however many tasks there are.
TEST(CudaStackRun, StagesArraysOfTheHostOnce) {
  const support::HostArrays host;
  const Asked cut = asked(8), whole = asked(40);
  EXPECT_GT(cut.allocations, 0);
  EXPECT_EQ(cut.allocations, whole.allocations);
  EXPECT_EQ(cut.waits, 2);
}

// Also where streams have branched: the two directions of a layer do at once.
TEST(CudaStackErrors, AFailedLaunchNamesItselfAndLeavesAllUsable) {
  for (const bool bidirectional : {false, true}) {
    const StackCase c =
        small_case(lacuna::lstm(3, 8), {.depth = 2, .bidirectional = bidirectional});
    const auto data = generate<float>(c);
    const auto context = support::stack_context();
    const lacuna::StackParameters<float> weights(c.stack, 1);
    lacuna::StackPlan plan(context, c.stack, capacity_of(data), {.segment = 8});
    const auto expected = run_stack(plan, weights, data);
    lacuna::emulator::Settings& settings = lacuna::emulator::settings();
    const auto whole = settings.device;
    settings.device.threads_per_block = 16;
    const std::string message =
        support::refusal([&] { run_stack(plan, weights, data); }, lacuna::Status::device_error);
    for (const char* part : {"stack: ", "launch of lacuna::", "refused: "})
      EXPECT_NE(message.find(part), std::string::npos) << message;
    settings.device = whole;
    support::expect_same_bits(run_stack(plan, weights, data), expected, "afterwards");
  }
}

#endif

TEST(CudaStackRun, ArraysOfTheHostGiveTheSameBits) {
  const StackCase c = small_case(lacuna::gru_d(3, 8), {.depth = 2, .bidirectional = true});
  const auto data = generate<float>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<float> weights(c.stack, 1);
  lacuna::StackPlan plan(context, c.stack, capacity_of(data), {.segment = 8});
  const auto direct = run_stack(plan, weights, data);
  const support::HostArrays host;
  support::expect_same_bits(run_stack(plan, weights, data), direct, "arrays of the host");
}

TEST(CudaStackErrors, LengthsOfTheDeviceAreRefused) {
  const StackCase c = small_case(lacuna::lstm(3, 8), {.depth = 1});
  const auto data = generate<float>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<float> weights(c.stack, 1);
  lacuna::StackPlan plan(context, c.stack, capacity_of(data));
  lacuna_batch batch{};
  batch.sequences = data.sequences();
  batch.tokens = data.tokens();
  batch.offsets = data.offsets.data();
  batch.offsets_on_device = 1;
  batch.values = data.values.data();
  const auto parameters = weights.c();
  const lacuna_stack_outputs outputs{};
  EXPECT_TRUE(support::refused(
      lacuna_stack_forward(plan.get(), parameters.data(), &batch, nullptr, 0, &outputs, nullptr),
      LACUNA_UNSUPPORTED, "batch.offsets_on_device: 1"));
}

// ---- Gradient flow ----

// Norms per token, in every regime that leaves them: on chip (one block, groups of blocks), step by step, projected,
// normalised, drawn.
template <class Real>
void expect_norms_of_the_cpu(const lacuna::Layer& layer, const char* regime) {
  SCOPED_TRACE(regime);
  StackCase c = small_case(layer, {.depth = 2});
  c.lengths = {7, 0, 12, 1, 9};
  const auto data = generate<Real>(c);
  const lacuna::StackParameters<Real> weights(c.stack, 1);
  const auto norms = [&](const lacuna::Context& context) {
    lacuna::StackPlan plan(context, c.stack, capacity_of(data), {.segment = 5});
    std::vector<std::vector<Real>> all(c.stack.places(),
                                       std::vector<Real>(static_cast<std::size_t>(data.tokens())));
    lacuna::StackGradients<Real> gradients(weights);
    plan.template forward<Real>(weights, data.batch(), {}, 7, data.initial());
    plan.template backward<Real>(weights, data.batch(), {.d_hidden = data.d_hidden}, gradients,
                                 {.d_hidden_norms = {all.begin(), all.end()}}, data.initial());
    return all;
  };
  const auto found = norms(support::stack_context());
  const auto expected = norms(lacuna::Context::cpu({.threads = 1}));
  // A token's gradient is a sum over the units and tokens behind it.
  const double tolerance =
      support::rounding_tolerance<Real>(static_cast<int>(layer.hidden), 12 * 2);
  for (std::size_t place = 0; place < found.size(); ++place)
    for (std::size_t t = 0; t < found[place].size(); ++t) {
      EXPECT_GT(expected[place][t], 0);
      EXPECT_NEAR(found[place][t] / expected[place][t], 1, tolerance) << place << " " << t;
    }
}

TEST(CudaStackRun, NormsOfGradientsAreThoseOfTheCpu) {
#ifndef LACUNA_TEST_ON_DEVICE
  const lacuna::Plan wide(support::stack_context(), lacuna::gru(3, 131), {29, 5, 12});
  EXPECT_TRUE(wide.info().regime == lacuna::Regime::cluster ||
              wide.info().regime == lacuna::Regime::grid)
      << wide.explain();
#endif
  expect_norms_of_the_cpu<float>(lacuna::gru_d(3, 24), "resident");
  expect_norms_of_the_cpu<float>(lacuna::lstm(3, 37), "resident");
  expect_norms_of_the_cpu<float>(lacuna::gru(3, 131), "groups of blocks");
  expect_norms_of_the_cpu<double>(lacuna::gru_d(3, 24, lacuna::Type::f64), "stepwise");
  lacuna::Layer layer = lacuna::lstm(3, 17);
  layer.projection = 9;
  expect_norms_of_the_cpu<float>(layer, "projected");
  layer.projection = 0;
  layer.layer_norm = true;
  expect_norms_of_the_cpu<float>(layer, "normalised");
  layer.layer_norm = false;
  layer.zoneout_hidden = layer.recurrent_dropout = 0.25;
  expect_norms_of_the_cpu<float>(layer, "drawn");
}

// ---- Recordings ----

// A training step, recorded with branches and all, gives what a plain one does, for the data it was recorded with and for
// other data at the same lengths.
TEST(CudaStackRecorded, GivesTheBitsOfAPlainRun) {
  StackCase c = small_case(lacuna::lstm(3, 8), {.depth = 3, .dropout = 0.2});
  c.initial = false;
  auto data = generate<float>(c);
  const auto context = support::stack_context();
  const lacuna::StackParameters<float> weights(c.stack, 1);
  lacuna::StackPlan plain(context, c.stack, capacity_of(data), {.segment = 8}),
      plan(context, c.stack, capacity_of(data), {.segment = 8});

  std::vector<std::unique_ptr<support::Array<float>>> arrays;
  const auto put = [&](const float* from, std::size_t count) {
    arrays.push_back(std::make_unique<support::Array<float>>(count));
    const std::vector<float> zeros(count);
    arrays.back()->set(from != nullptr ? from : zeros.data(), count);
    return arrays.back()->data();
  };
  std::vector<lacuna_parameters> parameters = weights.c();
  std::vector<lacuna_parameter_gradients> wanted(parameters.size());
  std::vector<std::size_t> gradients;  // their arrays, in the order of parameters
  for (std::size_t place = 0; place < parameters.size(); ++place)
    for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
      const lacuna_layer layer = c.stack.at(place).c();
      lacuna_parameter_info info{};
      must(lacuna_layer_parameter(&layer, static_cast<lacuna_parameter>(kind), &info));
      const auto count = static_cast<std::size_t>(info.rows * info.columns);
      if (count == 0) continue;
      parameters[place].tensor[kind] =
          put(static_cast<const float*>(parameters[place].tensor[kind]), count);
      wanted[place].tensor[kind] = put(nullptr, count);
      gradients.push_back(arrays.size() - 1);
    }
  lacuna_batch batch{};
  batch.sequences = data.sequences();
  batch.tokens = data.tokens();
  batch.offsets = data.offsets.data();
  batch.values = put(data.values.data(), data.values.size());
  support::Array<float>& values = *arrays.back();
  lacuna_stack_outputs outputs{};
  outputs.hidden = put(nullptr, data.d_hidden.size());
  support::Array<float>& hidden = *arrays.back();
  lacuna_stack_output_gradients d_outputs{};
  d_outputs.d_hidden = put(data.d_hidden.data(), data.d_hidden.size());
  lacuna_stack_input_gradients d_inputs{};
  d_inputs.d_values = put(nullptr, data.values.size());
  support::Array<float>& d_values = *arrays.back();

  support::Recording recording([&](void* stream) {
    must(lacuna_stack_forward(plan.get(), parameters.data(), &batch, nullptr, 9, &outputs, stream));
    must(lacuna_stack_backward(plan.get(), parameters.data(), &batch, nullptr, &d_outputs,
                               wanted.data(), &d_inputs, stream));
  });
  for (int round = 0; round < 2; ++round) {
    std::vector<float> plain_hidden(data.d_hidden.size()), plain_d_values(data.values.size());
    lacuna::StackGradients<float> plain_gradients(weights);
    plain.forward<float>(weights, {.offsets = data.offsets, .values = data.values},
                         {.hidden = plain_hidden}, 9);
    plain.backward<float>(weights, {.offsets = data.offsets, .values = data.values},
                          {.d_hidden = data.d_hidden}, plain_gradients,
                          {.d_values = plain_d_values});
    values.set(data.values.data(), data.values.size());
    for (const std::size_t array : gradients) {
      const std::vector<float> zeros(arrays[array]->get().size());
      arrays[array]->set(zeros.data(), zeros.size());
    }
    recording.play();
    EXPECT_EQ(hidden.get(), plain_hidden) << round;
    EXPECT_EQ(d_values.get(), plain_d_values) << round;
    std::vector<float> got, expected;
    for (const std::size_t array : gradients) {
      const std::vector<float> one = arrays[array]->get();
      got.insert(got.end(), one.begin(), one.end());
    }
    for (std::size_t place = 0; place < plain_gradients.size(); ++place) {
      const auto flat = plain_gradients[place].flat();
      expected.insert(expected.end(), flat.begin(), flat.end());
    }
    EXPECT_EQ(got, expected) << round;
    for (float& value : data.values) value = 0.5F - value;
  }
}

}  // namespace
