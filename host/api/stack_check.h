// Whether a stack, its options and the arguments of its runs keep every rule of lacuna/stack.h.
#pragma once

#include <string>
#include <vector>

#include "host/api/arrays.h"
#include "host/api/plan.h"
#include "host/stack/recipe.h"

namespace lacuna::api {

// The description as the library keeps it. With a backend, types that it does not compute in are refused, too.
schedule::Stack checked(const lacuna_stack* stack, const Backend* backend);
stack::Options checked(const lacuna_stack_options& options, const schedule::Stack& stack,
                       const lacuna_capacity& capacity);

// What the checks of a plan's runs work in, made once.
class StackChecks {
 public:
  explicit StackChecks(const stack::StackRecipe& recipe);

  // Everything, before anything is written. `memory`: the plan's own.
  void forward(const Backend& backend, std::byte* memory, const lacuna_parameters* parameters,
               const lacuna_batch& batch, const lacuna_state* initial_states,
               const lacuna_stack_outputs& outputs);
  void backward(const Backend& backend, std::byte* memory, const lacuna_parameters* parameters,
                const lacuna_batch& batch, const lacuna_state* initial_states,
                const lacuna_stack_output_gradients& d_outputs,
                const lacuna_parameter_gradients* d_parameters,
                const lacuna_stack_input_gradients& d_inputs);

 private:
  void inputs(const Backend& backend, std::byte* memory, const lacuna_parameters* parameters,
              const lacuna_batch& batch, const lacuna_state* initial_states, Arrays& arrays);
  void batch_of_stack(const lacuna_batch& batch) const;
  template <class State>
  void states(const State* given, const std::vector<std::string>& groups, std::int64_t sequences,
              bool written, Arrays& arrays) const;
  const lacuna_layer& layer(std::size_t place) const {
    return recipe_.stack.layers[place / static_cast<std::size_t>(recipe_.stack.directions())];
  }

  const stack::StackRecipe& recipe_;
  Recipe door_;  // of the first layer with the whole batch, as a plan for it alone would see it
  std::vector<Arrays::Array> room_;
  // Per layer and direction, as messages name them: "parameters[3]." and so on.
  std::vector<std::string> parameters_, d_parameters_, initial_, final_, d_final_, d_initial_,
      d_norms_;
};

}  // namespace lacuna::api
