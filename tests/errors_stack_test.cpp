// Every argument of the calls on stacks, spoiled one at a time: the message names it, nothing is written, and the plan works
// as before.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>

#include "support/library_run.h"

namespace {

lacuna_layer layer(std::int64_t features, std::int64_t hidden, lacuna_impute impute) {
  lacuna_layer out{};
  out.cell = LACUNA_LSTM;
  out.impute = impute;
  out.evolve = LACUNA_EVOLVE_DECAY_STEP;
  out.features = features;
  out.hidden = hidden;
  return out;
}

void expect_refusal(lacuna_status status, lacuna_status expected, const std::string& message) {
  EXPECT_EQ(status, expected) << lacuna_last_error();
  EXPECT_NE(std::string(lacuna_last_error()).find(message), std::string::npos)
      << "the message is \"" << lacuna_last_error() << "\", expected in it: \"" << message << '"';
}

// ---- Descriptions ----

struct Description {
  std::vector<lacuna_layer> layers{layer(3, 4, LACUNA_IMPUTE_FORWARD),
                                   layer(4, 4, LACUNA_IMPUTE_NONE)};
  lacuna_stack stack{};
  Description() {
    stack.layers = layers.data();
    stack.count = 2;
  }
};

TEST(StackDescription, IsRefusedForWhatMakesNoSense) {
  const auto refused = [](const std::string& message,
                          const std::function<void(Description&)>& spoil) {
    Description d;
    spoil(d);
    expect_refusal(lacuna_stack_check(&d.stack), LACUNA_INVALID_ARGUMENT, message);
  };
  Description right;
  EXPECT_EQ(lacuna_stack_check(&right.stack), LACUNA_OK);
  expect_refusal(lacuna_stack_check(nullptr), LACUNA_INVALID_ARGUMENT, "stack: null");
  refused("stack.layers: null", [](auto& d) { d.stack.layers = nullptr; });
  refused("stack.count: 0, expected 1 to 64", [](auto& d) { d.stack.count = 0; });
  refused("stack.count: 65", [](auto& d) { d.stack.count = 65; });
  refused("stack.bidirectional: 2", [](auto& d) { d.stack.bidirectional = 2; });
  refused("stack.residual: -1", [](auto& d) { d.stack.residual = -1; });
  refused("stack.dropout: 1", [](auto& d) { d.stack.dropout = 1; });
  refused("stack.dropout: -0.5", [](auto& d) { d.stack.dropout = -0.5; });
  refused("stack.dropout: nan", [](auto& d) { d.stack.dropout = NAN; });
  refused("stack.layers[1]: layer.hidden: 0", [](auto& d) { d.layers[1].hidden = 0; });
  refused("stack.layers[0]: layer.impute: 9",
          [](auto& d) { d.layers[0].impute = static_cast<lacuna_impute>(9); });
  refused("stack.layers[1].features: 5, expected 4", [](auto& d) { d.layers[1].features = 5; });
  refused("stack.layers[1].features: 4, expected 3", [](auto& d) {
    d.layers[0].cell = LACUNA_LSTM;
    d.layers[0].projection = 3;
  });
  refused("stack.layers[1].features: 4, expected 8", [](auto& d) { d.stack.bidirectional = 1; });
  refused("stack.layers[1].impute: forward, expected none",
          [](auto& d) { d.layers[1].impute = LACUNA_IMPUTE_FORWARD; });
  refused("stack.layers[1].type", [](auto& d) { d.layers[1].type = LACUNA_F64; });
  refused("stack.layers[1].reverse: 1, expected layers[0].reverse = 0",
          [](auto& d) { d.layers[1].reverse = 1; });
  refused("stack.layers[0].reverse: 1, expected 0, for stack.bidirectional is 1", [](auto& d) {
    d.stack.bidirectional = 1;
    d.layers[0].reverse = 1;
  });
  refused("stack.residual: 1, but the output of stack.layers[1] has 6 columns and its input 4",
          [](auto& d) {
            d.stack.residual = 1;
            d.layers[1].hidden = 6;
          });
}

TEST(StackOptions, AreRefusedForWhatMakesNoSense) {
  const auto context = support::make_context();
  const lacuna_capacity capacity{5000, 4, 3000};
  const auto refused = [&](const std::string& message,
                           const std::function<void(lacuna_stack_options&, Description&)>& spoil) {
    Description d;
    lacuna_stack_options options{};
    spoil(options, d);
    lacuna_stack_plan* plan = nullptr;
    expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, &options, &plan),
                   LACUNA_INVALID_ARGUMENT, message);
    EXPECT_EQ(plan, nullptr);
    lacuna_stack_info info{};
    expect_refusal(lacuna_stack_plan_measure(context.get(), &d.stack, &capacity, &options, &info),
                   LACUNA_INVALID_ARGUMENT, message);
  };
  refused("options.inference: 2", [](auto& o, auto&) { o.inference = 2; });
  refused("options.memory_budget: 1000 bytes, expected at least",
          [](auto& o, auto&) { o.memory_budget = 1000; });
  refused("options.segment: 2, expected at least 3", [](auto& o, auto&) { o.segment = 2; });
  refused("options.segment: -1", [](auto& o, auto&) { o.segment = -1; });
  refused("options.truncate_reach: 10, expected 0", [](auto& o, auto&) { o.truncate_reach = 10; });
  refused("options.truncate_every: -5", [](auto& o, auto&) { o.truncate_every = -5; });
  refused("options.truncate_reach: 15, expected a multiple of options.truncate_every = 10",
          [](auto& o, auto&) {
            o.truncate_every = 10;
            o.truncate_reach = 15;
          });
  refused("options.truncate_reach: 0, expected a multiple",
          [](auto& o, auto&) { o.truncate_every = 10; });
  refused("options.segment: 20, expected 0 or options.truncate_every = 10", [](auto& o, auto&) {
    o.truncate_every = o.truncate_reach = 10;
    o.segment = 20;
  });
  refused("options.truncate_every: 10, expected 0: a bidirectional stack", [](auto& o, auto& d) {
    o.truncate_every = o.truncate_reach = 10;
    d.stack.bidirectional = 1;
    d.layers[1].features = 8;
  });
  Description d;
  lacuna_stack_plan* plan = nullptr;
  expect_refusal(lacuna_stack_plan_create(nullptr, &d.stack, &capacity, nullptr, &plan),
                 LACUNA_INVALID_ARGUMENT, "context: null");
  expect_refusal(lacuna_stack_plan_create(context.get(), nullptr, &capacity, nullptr, &plan),
                 LACUNA_INVALID_ARGUMENT, "stack: null");
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, nullptr, nullptr, &plan),
                 LACUNA_INVALID_ARGUMENT, "capacity: null");
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, nullptr, nullptr),
                 LACUNA_INVALID_ARGUMENT, "plan: null");
  const lacuna_capacity negative{-1, 4, 30}, huge{std::int64_t{1} << 48, std::int64_t{1} << 48, 0};
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &negative, nullptr, &plan),
                 LACUNA_INVALID_ARGUMENT, "capacity.tokens: -1");
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &huge, nullptr, &plan),
                 LACUNA_INVALID_ARGUMENT, "too many for any memory");
  EXPECT_EQ(plan, nullptr);
}

TEST(StackMemory, OfTheCallersIsUsedAndChecked) {
  if (!support::on_cpu) GTEST_SKIP() << "the caller's memory would have to be the device's";
  const auto context = support::make_context();
  const lacuna_capacity capacity{100, 4, 50};
  Description d;
  lacuna_stack_info info{};
  ASSERT_EQ(lacuna_stack_plan_measure(context.get(), &d.stack, &capacity, nullptr, &info),
            LACUNA_OK);
  std::vector<std::byte> room(info.memory_bytes + 128);
  const auto address = reinterpret_cast<std::uintptr_t>(room.data());
  std::byte* const aligned = room.data() + (64 - address % 64) % 64;
  lacuna_stack_options options{};
  lacuna_stack_plan* plan = nullptr;
  options.memory = aligned + 8;
  options.memory_bytes = info.memory_bytes;
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, &options, &plan),
                 LACUNA_INVALID_ARGUMENT, "options.memory: address");
  options.memory = aligned;
  options.memory_bytes = info.memory_bytes - 1;
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, &options, &plan),
                 LACUNA_INVALID_ARGUMENT, "options.memory_bytes");
  options.memory = nullptr;
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, &options, &plan),
                 LACUNA_INVALID_ARGUMENT, "options.memory: null");
  options.memory = aligned;
  options.memory_bytes = info.memory_bytes;
  ASSERT_EQ(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, &options, &plan),
            LACUNA_OK);
  lacuna_context_info used{};
  ASSERT_EQ(lacuna_context_query(context.get(), &used), LACUNA_OK);
  EXPECT_EQ(used.bytes_in_use, 0U);
  lacuna_stack_plan_destroy(plan);
  lacuna_stack_plan_destroy(nullptr);
}

// Fails the calls it is told to.
struct FaultyAllocator {
  int calls = 0, fails_at = -1, alive = 0;
  lacuna_allocator table() {
    return {[](void* user, std::size_t bytes, std::size_t alignment, void*) -> void* {
              auto& self = *static_cast<FaultyAllocator*>(user);
              if (self.calls++ == self.fails_at) return nullptr;
              ++self.alive;
              return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
            },
            [](void* user, void* block, std::size_t, std::size_t, void*) {
              --static_cast<FaultyAllocator*>(user)->alive;
              std::free(block);
            },
            this};
  }
};

TEST(StackMemory, ThatCannotBeHadLeavesTheContextUsable) {
  if (!support::on_cpu) GTEST_SKIP() << "the allocator's memory would have to be the device's";
  FaultyAllocator allocator;
  lacuna_context_options options{};
  options.backend = LACUNA_BACKEND_CPU;
  options.allocator = allocator.table();
  lacuna_context* made = nullptr;
  ASSERT_EQ(lacuna_context_create(&options, &made), LACUNA_OK);
  const support::ContextHandle context(made);
  const lacuna_capacity capacity{100, 4, 50};
  Description d;
  lacuna_stack_plan* plan = nullptr;
  // Each call of the allocator fails once.
  int failures = 0;
  for (int fails_at = 0; plan == nullptr; ++fails_at, ++failures) {
    allocator.calls = 0;
    allocator.fails_at = fails_at;
    const lacuna_status status =
        lacuna_stack_plan_create(context.get(), &d.stack, &capacity, nullptr, &plan);
    if (status == LACUNA_OK) break;
    expect_refusal(status, LACUNA_OUT_OF_MEMORY, "has no block of");
    EXPECT_EQ(plan, nullptr);
    EXPECT_EQ(allocator.alive, 0);
  }
  EXPECT_GT(failures, 0);
  lacuna_stack_plan_destroy(plan);
  EXPECT_EQ(allocator.alive, 0);
}

TEST(StackMemory, StaysWithinTheContextsLimit) {
  lacuna_context_options options{};
  options.backend = support::tested_backend;
  options.memory_limit = 1 << 20;
  lacuna_context* made = nullptr;
  ASSERT_EQ(lacuna_context_create(&options, &made), LACUNA_OK);
  const support::ContextHandle context(made);
  Description d;
  lacuna_stack_plan* plan = nullptr;
  const lacuna_capacity large{100000, 4, 30000};
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &large, nullptr, &plan),
                 LACUNA_OUT_OF_MEMORY, "its limit is 1048576, and 0 are in use");
  EXPECT_EQ(plan, nullptr);
  lacuna_stack_options tight{};
  tight.inference = 1;
  const lacuna_capacity small{20, 2, 10};
  ASSERT_EQ(lacuna_stack_plan_create(context.get(), &d.stack, &small, &tight, &plan), LACUNA_OK)
      << lacuna_last_error();
  lacuna_context_info info{};
  ASSERT_EQ(lacuna_context_query(context.get(), &info), LACUNA_OK);
  EXPECT_LE(info.bytes_peak, options.memory_limit);
  lacuna_stack_plan_destroy(plan);
}

// ---- Runs ----

struct PlanDeleter {
  void operator()(lacuna_stack_plan* plan) const { lacuna_stack_plan_destroy(plan); }
};
using StackPlanHandle = std::unique_ptr<lacuna_stack_plan, PlanDeleter>;

// A right call of both runs, to be spoiled. Two layers, three sequences of 7, 0 and 12 tokens, in windows of 5.
struct Call {
  static constexpr std::int64_t D = 3, H = 4, N = 19, B = 3;

  explicit Call(bool bidirectional = false) : directions(bidirectional ? 2 : 1) {
    if (bidirectional) {
      description.layers[1].features = 2 * H;
      description.stack.bidirectional = 1;
    }
    // Tests put them where larger arrays are expected, behind which nothing of anybody's may lie.
    for (auto* array : {&values, &delta_t, &d_values, &d_delta_t})
      array->reserve(static_cast<std::size_t>(N * H * directions));
    const int places = 2 * directions;
    for (int place = 0; place < places; ++place) {
      const lacuna_layer& of = description.layers[static_cast<std::size_t>(place / directions)];
      std::int64_t count = 0;
      support::must(lacuna_layer_parameter_count(&of, &count));
      weights.emplace_back(static_cast<std::size_t>(count));
      d_weights.emplace_back(static_cast<std::size_t>(count));
      support::must(lacuna_layer_initialize(&of, 7, weights.back().data()));
      for (auto* all : {&state, &final_state, &d_final, &d_initial})
        all->push_back(std::vector<float>(2 * B * H, 0.25F));
    }
    for (int place = 0; place < places; ++place) {
      const auto at = static_cast<std::size_t>(place);
      const lacuna_layer& of = description.layers[static_cast<std::size_t>(place / directions)];
      lacuna_parameters p{};
      lacuna_parameter_gradients g{};
      for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
        lacuna_parameter_info info{};
        support::must(lacuna_layer_parameter(&of, static_cast<lacuna_parameter>(kind), &info));
        if (info.rows == 0) continue;
        p.tensor[kind] = weights[at].data() + info.offset;
        g.tensor[kind] = d_weights[at].data() + info.offset;
      }
      parameters.push_back(p);
      d_parameters.push_back(g);
      const auto both = [&](std::vector<std::vector<float>>& all) {
        return lacuna_state{all[at].data(), all[at].data() + B * H};
      };
      initial_states.push_back(both(state));
      final_states.push_back(both(final_state));
      d_final_states.push_back(both(d_final));
      d_initial_states.push_back(both(d_initial));
    }
    batch.sequences = B;
    batch.tokens = N;
    batch.offsets = offsets.data();
    batch.values = values.data();
    batch.delta_t = delta_t.data();
    hidden.assign(static_cast<std::size_t>(N * H * directions), -7);
    d_hidden.assign(hidden.size(), 0.5F);
    outputs.hidden = hidden.data();
    outputs.final_states = final_states.data();
    d_outputs.d_hidden = d_hidden.data();
    d_outputs.d_final_states = d_final_states.data();
    d_inputs.d_values = d_values.data();
    d_inputs.d_delta_t = d_delta_t.data();
    d_inputs.d_initial_states = d_initial_states.data();
  }

  lacuna_status forward(lacuna_stack_plan* plan) {
    return lacuna_stack_forward(plan, parameters_given, batch_given, initial_states.data(), 0,
                                outputs_given, stream);
  }
  lacuna_status backward(lacuna_stack_plan* plan) {
    return lacuna_stack_backward(plan, parameters_given, batch_given, initial_states.data(),
                                 d_outputs_given, d_parameters.data(), &d_inputs, stream);
  }
  // All that the runs write.
  std::vector<float> written() const {
    std::vector<float> all;
    const auto add = [&](const auto& from) { all.insert(all.end(), from.begin(), from.end()); };
    add(hidden);
    add(d_values);
    add(d_delta_t);
    for (const auto* arrays : {&final_state, &d_initial, &d_weights})
      for (const auto& array : *arrays) add(array);
    return all;
  }

  int directions;
  Description description;
  std::vector<std::vector<float>> weights, d_weights, state, final_state, d_final, d_initial;
  std::vector<std::int64_t> offsets{0, 7, 7, 19};
  std::vector<float> values = std::vector<float>(N * D, 0.5F);
  std::vector<std::uint8_t> fires = std::vector<std::uint8_t>(N, 1);
  std::vector<float> delta_t = std::vector<float>(N, 1.0F);
  std::vector<double> times = std::vector<double>(N, 0.0);
  std::vector<float> delta = std::vector<float>(N * D, 1.0F);
  std::vector<float> carried = std::vector<float>(B * D, 1.0F);
  std::vector<float> hidden, d_hidden;
  std::vector<float> d_values = std::vector<float>(N * D, -7),
                     d_delta_t = std::vector<float>(N, -7);
  std::vector<lacuna_parameters> parameters;
  std::vector<lacuna_parameter_gradients> d_parameters;
  std::vector<lacuna_state> initial_states, final_states, d_final_states, d_initial_states;
  lacuna_batch batch{};
  lacuna_stack_outputs outputs{};
  lacuna_stack_output_gradients d_outputs{};
  lacuna_stack_input_gradients d_inputs{};
  const lacuna_parameters* parameters_given = parameters.data();
  const lacuna_batch* batch_given = &batch;
  const lacuna_stack_outputs* outputs_given = &outputs;
  const lacuna_stack_output_gradients* d_outputs_given = &d_outputs;
  void* stream = nullptr;
};

class StackRun : public testing::Test {
 protected:
  StackPlanHandle plan_for(Call& call, bool inference = false) {
    const lacuna_capacity capacity{Call::N, Call::B, 12};
    lacuna_stack_options options{};
    options.segment = 5;
    options.inference = inference;
    lacuna_stack_plan* made = nullptr;
    support::must(lacuna_stack_plan_create(context_.get(), &call.description.stack, &capacity,
                                           &options, &made));
    return StackPlanHandle(made);
  }
  using Spoil = std::function<void(Call&)>;

  // The forward run, the backward run, or both refuse what was spoiled, write nothing, and go on as before.
  void refused(const std::string& message, const Spoil& spoil, bool forward = true,
               bool backward = true, bool bidirectional = false,
               lacuna_status status = LACUNA_INVALID_ARGUMENT) {
    Call right(bidirectional);
    right.parameters_given = right.parameters.data();
    const auto plan = plan_for(right);
    Call spoiled(bidirectional);
    spoiled.parameters_given = spoiled.parameters.data();
    spoil(spoiled);
    const std::vector<float> before = spoiled.written();
    if (forward) {
      expect_refusal(spoiled.forward(plan.get()), status, message);
      EXPECT_EQ(spoiled.written(), before) << message;
    }
    ASSERT_EQ(right.forward(plan.get()), LACUNA_OK) << lacuna_last_error();
    if (backward) {
      expect_refusal(spoiled.backward(plan.get()), status, message);
      EXPECT_EQ(spoiled.written(), before) << message;
    }
    ASSERT_EQ(right.backward(plan.get()), LACUNA_OK) << lacuna_last_error();
    EXPECT_EQ(right.written(), expected(bidirectional)) << message;
  }
  const std::vector<float>& expected(bool bidirectional) {
    auto& known = expected_[bidirectional ? 1 : 0];
    if (known.empty()) {
      Call call(bidirectional);
      call.parameters_given = call.parameters.data();
      const auto plan = plan_for(call);
      EXPECT_EQ(call.forward(plan.get()), LACUNA_OK) << lacuna_last_error();
      EXPECT_EQ(call.backward(plan.get()), LACUNA_OK) << lacuna_last_error();
      known = call.written();
    }
    return known;
  }

  support::ContextHandle context_ = support::make_context();
  std::vector<float> expected_[2];
};

TEST_F(StackRun, RefusesWrongInputs) {
  refused("parameters: null", [](Call& c) { c.parameters_given = nullptr; });
  refused("batch: null", [](Call& c) { c.batch_given = nullptr; });
  refused("parameters[1].weights_h: null",
          [](Call& c) { c.parameters[1].tensor[LACUNA_WEIGHTS_H] = nullptr; });
  refused("parameters[1].x_mean: given, but the layer",
          [](Call& c) { c.parameters[1].tensor[LACUNA_X_MEAN] = c.weights[0].data(); });
  refused("batch.sequences: -1", [](Call& c) { c.batch.sequences = -1; });
  refused(
      "batch.tokens: 20, but the plan was made for at most 19",
      [](Call& c) { c.batch.tokens = 20; }, true, true, false, LACUNA_CAPACITY_EXCEEDED);
  refused("batch.values: null", [](Call& c) { c.batch.values = nullptr; });
  refused("batch.offsets[2]: 6", [](Call& c) { c.offsets[2] = 6; });
  refused(
      "batch.offsets[3]: sequence 2 has 13 tokens",
      [](Call& c) {
        c.offsets = {0, 3, 6, 19};
      },
      true, true, false, LACUNA_CAPACITY_EXCEEDED);
  refused("batch.delta_t[4]: -1", [](Call& c) { c.delta_t[4] = -1; });
  refused("batch.delta_t[18]: nan", [](Call& c) { c.delta_t[18] = NAN; });
  refused("batch.delta_t: null, and batch.times too", [](Call& c) {
    c.batch.delta_t = nullptr;
    c.d_inputs.d_delta_t = nullptr;
  });
  refused("batch.initial_hidden: given, expected null",
          [](Call& c) { c.batch.initial_hidden = c.state[0].data(); });
  const std::vector<std::int64_t> negative{0, -1, 0};
  refused("batch.noise.sequence[1]: -1",
          [&](Call& c) { c.batch.noise.sequence = negative.data(); });
  refused("batch.noise.position[1]: -1",
          [&](Call& c) { c.batch.noise.position = negative.data(); });
  refused("batch.times: given, and batch.delta_t too",
          [](Call& c) { c.batch.times = c.times.data(); });
  refused("initial_states[1].hidden: address", [](Call& c) {
    c.initial_states[1].hidden = reinterpret_cast<std::byte*>(c.state[1].data()) + 1;
  });
  refused(
      "batch.offsets_on_device: 1", [](Call& c) { c.batch.offsets_on_device = 1; }, true, true,
      false, support::on_cpu ? LACUNA_INVALID_ARGUMENT : LACUNA_UNSUPPORTED);
  if (support::on_cpu) refused("stream: address", [](Call& c) { c.stream = c.values.data(); });
}

// Which rows are empty the mask tells; without one, the caller, if any layer wants to know.
TEST_F(StackRun, RefusesWrongFires) {
  refused("batch.fires: given, but the layer's mask tells which rows are empty",
          [](Call& c) { c.batch.fires = c.fires.data(); });
  Call call;
  call.parameters_given = call.parameters.data();
  call.description.layers[0].impute = LACUNA_IMPUTE_NONE;
  call.parameters[0].tensor[LACUNA_X_MEAN] = call.d_parameters[0].tensor[LACUNA_X_MEAN] = nullptr;
  const auto all_fire = plan_for(call);
  call.batch.fires = call.fires.data();
  expect_refusal(call.forward(all_fire.get()), LACUNA_INVALID_ARGUMENT,
                 "batch.fires: given, but empty_rows is LACUNA_EMPTY_ROWS_UPDATE");
  call.description.layers[1].empty_rows = LACUNA_EMPTY_ROWS_EVOLVE_ONLY;
  const auto plan = plan_for(call);
  ASSERT_EQ(call.forward(plan.get()), LACUNA_OK) << lacuna_last_error();
  call.batch.fires = nullptr;
  expect_refusal(call.backward(plan.get()), LACUNA_INVALID_ARGUMENT, "batch.fires: null");
  call.batch.fires = call.fires.data();
  call.fires[3] = 2;
  expect_refusal(call.backward(plan.get()), LACUNA_INVALID_ARGUMENT,
                 "batch.fires[3]: 2, expected 0 or 1");
  call.fires[3] = 1;
  EXPECT_EQ(call.backward(plan.get()), LACUNA_OK) << lacuna_last_error();
}

TEST_F(StackRun, RefusesWrongOutputs) {
  refused(
      "outputs: null", [](Call& c) { c.outputs_given = nullptr; }, true, false);
  refused(
      "outputs.hidden: overlaps batch.values", [](Call& c) { c.outputs.hidden = c.values.data(); },
      true, false);
  refused(
      "outputs.final_states[0].hidden: overlaps outputs.final_states[0].cell",
      [](Call& c) { c.final_states[0].cell = c.final_states[0].hidden; }, true, false);
  refused(
      "outputs.carry_out.last_time: given, but batch.times is null",
      [](Call& c) { c.outputs.carry_out.last_time = c.times.data(); }, true, false);
  refused(
      "outputs.carry_out.first_gap: given, but layer.reverse is 0",
      [](Call& c) { c.outputs.carry_out.first_gap = c.carried.data(); }, true, false);
  refused(
      "d_outputs: null", [](Call& c) { c.d_outputs_given = nullptr; }, false, true);
  refused(
      "d_inputs.d_values: overlaps d_inputs.d_delta_t",
      [](Call& c) { c.d_inputs.d_values = c.d_delta_t.data(); }, false, true);
  refused(
      "d_parameters[0].x_mean: overlaps parameters[0].x_mean",
      [](Call& c) {
        c.d_parameters[0].tensor[LACUNA_X_MEAN] =
            const_cast<void*>(c.parameters[0].tensor[LACUNA_X_MEAN]);
      },
      false, true);
  refused(
      "d_outputs.d_hidden: address",
      [](Call& c) { c.d_outputs.d_hidden = reinterpret_cast<std::byte*>(c.d_hidden.data()) + 2; },
      false, true);
}

TEST_F(StackRun, BidirectionalTakesWholeSequences) {
  refused(
      "batch.carry_in.last_values: given, expected null: a bidirectional stack",
      [](Call& c) { c.batch.carry_in.last_values = c.carried.data(); }, true, true, true);
  refused(
      "batch.delta: given, expected null: the two directions",
      [](Call& c) { c.batch.delta = c.delta.data(); }, true, true, true);
  refused(
      "outputs.carry_out: given, expected null",
      [](Call& c) { c.outputs.carry_out.last_values = c.carried.data(); }, true, false, true);
}

TEST_F(StackRun, GoesBackOnceFromItsOwnForwardRun) {
  Call call;
  call.parameters_given = call.parameters.data();
  const auto plan = plan_for(call);
  expect_refusal(call.backward(plan.get()), LACUNA_MISMATCH, "plan: no forward run");
  ASSERT_EQ(call.forward(plan.get()), LACUNA_OK);
  call.offsets = {0, 8, 8, 19};
  expect_refusal(call.backward(plan.get()), LACUNA_MISMATCH, "batch: not that of the forward run");
  call.offsets = {0, 7, 7, 19};
  const lacuna_state kept = call.initial_states[1];
  call.initial_states[1].cell = nullptr;
  expect_refusal(call.backward(plan.get()), LACUNA_MISMATCH, "batch: not that of the forward run");
  call.initial_states[1] = kept;
  EXPECT_EQ(call.backward(plan.get()), LACUNA_OK);
  expect_refusal(call.backward(plan.get()), LACUNA_MISMATCH, "each can be gone back from once");
  // What is dropped between layers goes by them.
  call.description.stack.dropout = 0.5;
  const auto dropping = plan_for(call);
  ASSERT_EQ(call.forward(dropping.get()), LACUNA_OK);
  const std::vector<std::int64_t> positions{0, 1, 2};
  call.batch.noise.position = positions.data();
  expect_refusal(call.backward(dropping.get()), LACUNA_MISMATCH,
                 "batch: not that of the forward run");
  call.batch.noise.position = nullptr;
  EXPECT_EQ(call.backward(dropping.get()), LACUNA_OK) << lacuna_last_error();
  const auto inference = plan_for(call, true);
  ASSERT_EQ(call.forward(inference.get()), LACUNA_OK);
  expect_refusal(call.backward(inference.get()), LACUNA_MISMATCH, "options.inference = 1");
}

TEST_F(StackRun, PlansAreAskedWithCare) {
  Call call;
  const auto plan = plan_for(call);
  lacuna_stack_info info{};
  expect_refusal(lacuna_stack_plan_query(nullptr, &info), LACUNA_INVALID_ARGUMENT, "plan: null");
  expect_refusal(lacuna_stack_plan_query(plan.get(), nullptr), LACUNA_INVALID_ARGUMENT,
                 "info: null");
  std::size_t length = 0;
  ASSERT_EQ(lacuna_stack_plan_timeline(plan.get(), nullptr, &length), LACUNA_OK);
  std::string text(length, ' ');
  expect_refusal(lacuna_stack_plan_timeline(plan.get(), text.data(), &length),
                 LACUNA_INVALID_ARGUMENT, "length: ");
  expect_refusal(lacuna_stack_plan_explain(plan.get(), nullptr, nullptr), LACUNA_INVALID_ARGUMENT,
                 "length: null");
}

TEST_F(StackRun, NothingToDoIsDone) {
  Call call;
  call.parameters_given = call.parameters.data();
  const auto plan = plan_for(call);
  call.batch.sequences = call.batch.tokens = 0;
  call.batch.offsets = nullptr;
  EXPECT_EQ(call.forward(plan.get()), LACUNA_OK) << lacuna_last_error();
  EXPECT_EQ(call.backward(plan.get()), LACUNA_OK) << lacuna_last_error();
  // Sequences without tokens hand their states through, both ways.
  call.batch.sequences = Call::B;
  call.batch.offsets = call.offsets.data();
  call.offsets = {0, 0, 0, 0};
  EXPECT_EQ(call.forward(plan.get()), LACUNA_OK) << lacuna_last_error();
  EXPECT_EQ(call.final_state, call.state);
  EXPECT_EQ(call.backward(plan.get()), LACUNA_OK) << lacuna_last_error();
  EXPECT_EQ(call.d_initial, call.d_final);
}

}  // namespace
