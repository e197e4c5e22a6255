// lacuna_stack_*: the C ABI of stacks.
#include "lacuna/stack.h"

#include <algorithm>

#include "host/api/batch_check.h"
#include "host/api/guard.h"
#include "host/api/stack_check.h"
#include "host/api/turn.h"
#include "host/stack/run.h"

struct lacuna_stack_plan {
  lacuna_stack_plan(std::shared_ptr<lacuna::api::Context> from, lacuna::stack::StackRecipe decided)
      : context(std::move(from)),
        recipe(std::move(decided)),
        prepared(*context->backend, recipe),
        checks(recipe) {}

  // Members are destroyed from the last to the first: the block goes back before the context that it came from.
  std::shared_ptr<lacuna::api::Context> context;
  lacuna::stack::StackRecipe recipe;
  lacuna::memory::Block memory;
  lacuna::stack::Prepared prepared;
  lacuna::api::StackChecks checks;
  std::atomic_flag running;

  // What the latest forward run left for its backward run.
  struct Kept {
    bool filled = false;
    lacuna::api::BatchIdentity batch;
    std::uint64_t seed = 0;
  } kept;
};

namespace lacuna::api {
namespace {

stack::StackRecipe recipe_for(const Context& context, const lacuna_stack* stack,
                              const lacuna_capacity* given, const lacuna_stack_options& options) {
  const schedule::Stack described = checked(stack, context.backend.get());
  const lacuna_capacity& capacity = checked_capacity(given, *context.backend);
  const stack::Options chosen = checked(options, described, capacity);
  try {
    return stack::make_recipe(*context.backend, described, capacity, chosen);
  } catch (const stack::BudgetTooSmall& small) {
    refuse(LACUNA_INVALID_ARGUMENT, "options.memory_budget: ", options.memory_budget,
           " bytes, expected at least ", small.least, " for ", capacity.tokens, " tokens in ",
           capacity.sequences, " sequences",
           chosen.segment == 0 && !chosen.truncated() && !chosen.inference
               ? "; a smaller options.segment may need less"
               : "");
  } catch (const std::length_error&) {
    refuse(LACUNA_INVALID_ARGUMENT, "capacity: ", capacity.tokens, " tokens in ",
           capacity.sequences, " sequences, too many for any memory with this stack");
  }
}

// Where states are given per layer and direction, whether they are.
BatchIdentity identity_of(const lacuna_stack_plan& plan, const lacuna_batch& batch,
                          const lacuna_state* initial_states) {
  const schedule::Stack& stack = plan.recipe.stack;
  BatchIdentity identity = identify(
      batch, stack.drops() || std::any_of(stack.layers.begin(), stack.layers.end(), draws));
  identity.seed = 0;  // the plan keeps the one it was given
  if (initial_states == nullptr) return identity;
  for (std::size_t i = 0; i < stack.places(); ++i)
    for (const void* array : {initial_states[i].hidden, initial_states[i].cell})
      identity.presence = identity.presence * 31 + (array != nullptr ? 2 : 1);
  return identity;
}

stack::Call call_of(lacuna_stack_plan& plan, const lacuna_parameters* parameters,
                    const lacuna_batch& batch, const lacuna_state* initial_states, void* stream) {
  return {*plan.context->backend, plan.recipe,    plan.prepared,
          plan.memory.data(),     parameters,     batch,
          initial_states,         plan.kept.seed, stream};
}

void forward(lacuna_stack_plan& plan, const lacuna_parameters* parameters,
             const lacuna_batch& batch, const lacuna_state* initial_states, std::uint64_t seed,
             const lacuna_stack_outputs& outputs, void* stream) {
  plan.checks.forward(*plan.context->backend, plan.memory.data(), parameters, batch, initial_states,
                      outputs);
  plan.kept.filled = false;
  plan.kept.seed = seed;
  stack::forward(call_of(plan, parameters, batch, initial_states, stream), outputs);
  if (plan.recipe.options.inference) return;
  plan.kept.batch = identity_of(plan, batch, initial_states);
  plan.kept.filled = true;
}

void backward(lacuna_stack_plan& plan, const lacuna_parameters* parameters,
              const lacuna_batch& batch, const lacuna_state* initial_states,
              const lacuna_stack_output_gradients& d_outputs,
              const lacuna_parameter_gradients* d_parameters,
              const lacuna_stack_input_gradients& d_inputs, void* stream) {
  if (plan.recipe.options.inference)
    refuse(LACUNA_MISMATCH, "plan: made with options.inference = 1, which has no backward run");
  plan.checks.backward(*plan.context->backend, plan.memory.data(), parameters, batch,
                       initial_states, d_outputs, d_parameters, d_inputs);
  if (!plan.kept.filled)
    refuse(LACUNA_MISMATCH,
           "plan: no forward run to go back from; each can be gone back from once");
  if (identity_of(plan, batch, initial_states) != plan.kept.batch)
    refuse(LACUNA_MISMATCH,
           "batch: not that of the forward run: its sizes, offsets or optional arrays differ");
  plan.kept.filled = false;
  stack::backward(call_of(plan, parameters, batch, initial_states, stream), d_outputs, d_parameters,
                  d_inputs);
}

}  // namespace
}  // namespace lacuna::api

namespace api = lacuna::api;
using api::guarded;
using api::not_null;

extern "C" {

lacuna_status lacuna_stack_check(const lacuna_stack* stack) {
  return guarded([&] { api::checked(stack, nullptr); });
}

lacuna_status lacuna_stack_plan_create(lacuna_context* context, const lacuna_stack* stack,
                                       const lacuna_capacity* capacity,
                                       const lacuna_stack_options* options,
                                       lacuna_stack_plan** plan) {
  return guarded([&] {
    not_null(plan, "plan") = nullptr;
    auto& shared = not_null(context, "context").shared;
    const lacuna_stack_options chosen = options ? *options : lacuna_stack_options{};
    auto made = std::make_unique<lacuna_stack_plan>(
        shared, api::recipe_for(*shared, stack, capacity, chosen));
    made->memory =
        api::take_block(*shared, chosen.memory, chosen.memory_bytes, made->recipe.graph.bytes,
                        "options.memory", "options.memory_bytes");
    *plan = made.release();
  });
}

lacuna_status lacuna_stack_plan_measure(lacuna_context* context, const lacuna_stack* stack,
                                        const lacuna_capacity* capacity,
                                        const lacuna_stack_options* options,
                                        lacuna_stack_info* info) {
  return guarded([&] {
    const auto& shared = *not_null(context, "context").shared;
    const lacuna_stack_options chosen = options ? *options : lacuna_stack_options{};
    const lacuna_stack_info answer = api::recipe_for(shared, stack, capacity, chosen).info();
    not_null(info, "info") = answer;
  });
}

lacuna_status lacuna_stack_plan_query(const lacuna_stack_plan* plan, lacuna_stack_info* info) {
  return guarded([&] {
    const lacuna_stack_info answer = not_null(plan, "plan").recipe.info();
    not_null(info, "info") = answer;
  });
}

lacuna_status lacuna_stack_plan_explain(const lacuna_stack_plan* plan, char* text, size_t* length) {
  return guarded([&] {
    const lacuna_stack_plan& of = not_null(plan, "plan");
    api::write_text(lacuna::stack::explain(of.recipe, *of.context->backend), text, length);
  });
}

lacuna_status lacuna_stack_plan_timeline(const lacuna_stack_plan* plan, char* svg, size_t* length) {
  return guarded([&] {
    api::write_text(lacuna::stack::timeline(not_null(plan, "plan").recipe), svg, length);
  });
}

void lacuna_stack_plan_destroy(lacuna_stack_plan* plan) { delete plan; }

lacuna_status lacuna_stack_forward(lacuna_stack_plan* plan, const lacuna_parameters* parameters,
                                   const lacuna_batch* batch, const lacuna_state* initial_states,
                                   uint64_t seed, const lacuna_stack_outputs* outputs,
                                   void* stream) {
  return guarded([&] {
    not_null(plan, "plan");
    not_null(batch, "batch");
    not_null(outputs, "outputs");
    api::check_stream(*plan->context->backend, stream);
    const api::Turn turn(plan->running);
    api::forward(*plan, parameters, *batch, initial_states, seed, *outputs, stream);
  });
}

lacuna_status lacuna_stack_backward(lacuna_stack_plan* plan, const lacuna_parameters* parameters,
                                    const lacuna_batch* batch, const lacuna_state* initial_states,
                                    const lacuna_stack_output_gradients* d_outputs,
                                    const lacuna_parameter_gradients* d_parameters,
                                    const lacuna_stack_input_gradients* d_inputs, void* stream) {
  return guarded([&] {
    not_null(plan, "plan");
    not_null(batch, "batch");
    not_null(d_outputs, "d_outputs");
    api::check_stream(*plan->context->backend, stream);
    const api::Turn turn(plan->running);
    api::backward(*plan, parameters, *batch, initial_states, *d_outputs, d_parameters,
                  d_inputs ? *d_inputs : lacuna_stack_input_gradients{}, stream);
  });
}
}
