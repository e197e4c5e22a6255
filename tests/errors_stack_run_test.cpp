// Every argument of the forward and backward run of stacks, spoiled one at a time: the message names it, nothing is written,
// and the plan works as before.
#include <cmath>
#include <functional>
#include <memory>

#include "support/stack_refusals.h"

namespace {

using stack_refusals::Description;
using stack_refusals::expect_refusal;

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
