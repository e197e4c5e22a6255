// Carries out a stack's task graph, wave by wave, on any backend. Arguments have been checked; nothing is allocated.
#pragma once

#include <memory>
#include <vector>

#include "host/stack/recipe.h"

namespace lacuna::stack {

// Room for what a call's arrays are while they are staged: per layer and direction.
struct StagedArrays {
  std::vector<lacuna_parameters> parameters;
  std::vector<lacuna_parameter_gradients> d_parameters;
  std::vector<lacuna_state> initial_states, final_states, d_initial_states;
  std::vector<void*> d_hidden_norms;
};

// What a plan keeps besides the recipe and its block.
struct Prepared {
  Prepared(Backend& backend, const StackRecipe& recipe);

  std::vector<std::unique_ptr<lacuna::Prepared>> layers;  // as StackRecipe::recipes
  // A window's offsets, for each of the tasks that may run at the same time.
  std::vector<std::int64_t> offsets;
  std::unique_ptr<lacuna::Prepared> side_by_side;
  StagedArrays staged;
};

// What both runs of a batch are given.
struct Call {
  Backend& backend;
  const StackRecipe& recipe;
  Prepared& prepared;
  std::byte* memory;
  const lacuna_parameters* parameters;  // per layer and direction, as all states
  const lacuna_batch& batch;
  const lacuna_state* initial_states;  // may be null
  std::uint64_t seed;
  void* stream;
};

void forward(const Call& call, const lacuna_stack_outputs& outputs);
// `d_parameters` may be null.
void backward(const Call& call, const lacuna_stack_output_gradients& d_outputs,
              const lacuna_parameter_gradients* d_parameters,
              const lacuna_stack_input_gradients& d_inputs);

}  // namespace lacuna::stack
