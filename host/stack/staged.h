// The arrays of a stack's call where every task finds them: staged once, not once for each task.
#pragma once

#include "host/stack/run.h"

namespace lacuna::stack {

class StagedCall {
 public:
  StagedCall(Staging& stage, const Call& from)
      : stage_(stage),
        recipe_(from.recipe),
        room_(from.prepared.staged),
        batch_(staged(stage, recipe_.stack.layers.front(), from.batch)),
        call_{from.backend,
              from.recipe,
              from.prepared,
              from.memory,
              parameters(from.parameters),
              batch_,
              states(from.initial_states, room_.initial_states, false),
              from.seed,
              from.stream} {}
  StagedCall(const StagedCall&) = delete;
  StagedCall& operator=(const StagedCall&) = delete;

  const Call& call() const { return call_; }

  lacuna_stack_outputs outputs(const lacuna_stack_outputs& from) const {
    lacuna_stack_outputs to{};
    to.hidden = stage_.out(from.hidden, output_count(), real());
    to.final_states = states(from.final_states, room_.final_states, true);
    to.carry_out =
        staged_carry_out(stage_, recipe_.stack.layers.front(), batch_.sequences, from.carry_out);
    return to;
  }
  lacuna_stack_output_gradients output_gradients(const lacuna_stack_output_gradients& from) const {
    return {.d_hidden = stage_.in(from.d_hidden, output_count(), real()),
            .d_final_states = states(from.d_final_states, room_.final_states, false)};
  }
  const lacuna_parameter_gradients* parameter_gradients(
      const lacuna_parameter_gradients* from) const {
    if (from == nullptr) return nullptr;
    for (std::size_t place = 0; place < places(); ++place)
      room_.d_parameters[place] = staged(stage_, layer(place), from[place]);
    return room_.d_parameters.data();
  }
  lacuna_stack_input_gradients input_gradients(const lacuna_stack_input_gradients& from) const {
    const std::int64_t tokens = batch_.tokens;
    const lacuna_layer& first = recipe_.stack.layers.front();
    lacuna_stack_input_gradients to{};
    to.d_values = stage_.out(from.d_values, tokens * first.features, real());
    to.d_delta_t = stage_.out(from.d_delta_t, tokens, wide_size_of(first.type));
    to.d_initial_states = states(from.d_initial_states, room_.d_initial_states, true);
    if (from.d_hidden_norms != nullptr) {
      for (std::size_t place = 0; place < places(); ++place)
        room_.d_hidden_norms[place] =
            stage_.out(from.d_hidden_norms[place], tokens, wide_size_of(first.type));
      to.d_hidden_norms = room_.d_hidden_norms.data();
    }
    return to;
  }

 private:
  std::size_t places() const { return room_.parameters.size(); }
  const lacuna_layer& layer(std::size_t place) const {
    return recipe_.stack.layers[place / static_cast<std::size_t>(recipe_.stack.directions())];
  }
  std::size_t real() const { return size_of(recipe_.stack.type()); }
  std::int64_t output_count() const {
    return batch_.tokens * recipe_.stack.output_width(recipe_.stack.depth() - 1);
  }

  const lacuna_parameters* parameters(const lacuna_parameters* from) const {
    for (std::size_t place = 0; place < places(); ++place)
      room_.parameters[place] = staged(stage_, layer(place), from[place]);
    return room_.parameters.data();
  }
  lacuna_state* states(const lacuna_state* from, std::vector<lacuna_state>& room,
                       bool written) const {
    if (from == nullptr) return nullptr;
    for (std::size_t place = 0; place < places(); ++place) {
      const auto stage = [&](void* array, std::int64_t columns) {
        const std::int64_t count = batch_.sequences * columns;
        return written
                   ? stage_.out(array, count, real())
                   : const_cast<void*>(stage_.in(static_cast<const void*>(array), count, real()));
      };
      room[place] = {stage(from[place].hidden, lacuna::output_width(layer(place))),
                     stage(from[place].cell, layer(place).hidden)};
    }
    return room.data();
  }

  Staging& stage_;
  const StackRecipe& recipe_;
  StagedArrays& room_;
  lacuna_batch batch_;
  Call call_;
};

}  // namespace lacuna::stack
