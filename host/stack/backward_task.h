// One layer back through one window.
#pragma once

#include "host/stack/task_run.h"

namespace lacuna::stack {

class BackwardTask : TaskRun {
 public:
  BackwardTask(const Call& call, const schedule::Task& task, int slot, void* stream,
               const lacuna_stack_output_gradients& d_outputs,
               const lacuna_parameter_gradients* d_parameters,
               const lacuna_stack_input_gradients& d_inputs)
      : TaskRun(call, task, slot, stream),
        d_outputs_(d_outputs),
        d_parameters_(d_parameters),
        d_inputs_(d_inputs) {}

  void run() {
    lacuna_output_gradients d_out{};
    d_out.d_hidden = output_gradient();
    enter(d_out);
    lacuna_input_gradients d_in{};
    d_in.d_values = input_gradient();
    d_in.d_delta_t = wants_gaps() ? gap_gradient() : nullptr;
    leave(d_in);
    const State d_leaving = state(task_.d_next_state), d_entering = state(task_.d_state);
    const bool carries = has_mask(layer_) && (wants_values() || wants_gaps());
    const lacuna_parameter_gradients nothing{};
    const lacuna_batch batch = layer_batch(has_mask(layer_) ? input_rows() : nullptr);
    BackwardRun run{layer_recipe(),
                    layer_prepared(),
                    call_.parameters[place_],
                    batch,
                    d_out,
                    buffer(task_.tape),
                    d_parameters_ != nullptr ? d_parameters_[place_] : nothing,
                    d_in,
                    buffer(task_.workspace),
                    stream_};
    if (carries) {
      if (!task_.severed) run.d_carry_out = {d_leaving.last_values, d_leaving.since};
      run.d_carry_in = {d_entering.last_values, d_entering.since};
    }
    void* const norms = norms_wanted();
    if (norms != nullptr) run.d_hidden_norms = whole() ? norms : buffer(task_.d_norms);
    run.staged = true;
    run.first_position = window_.first;
    call_.backend.backward(run);
    hand_back(d_out.d_hidden, d_in);
    if (norms != nullptr && !whole()) hand_back_norms(norms);
  }

 private:
  bool wants_values() const { return d_inputs_.d_values != nullptr; }
  bool wants_gaps() const { return d_inputs_.d_delta_t != nullptr; }
  void* norms_wanted() const {
    return task_.silent || d_inputs_.d_hidden_norms == nullptr ? nullptr
                                                               : d_inputs_.d_hidden_norms[place_];
  }
  const void* input_rows() const { return whole() ? source() : buffer(task_.input); }

  // dL/d of the layer's output before what was dropped and added on its way.
  const void* output_gradient() const {
    if (task_.silent && last_of_stage()) return nullptr;
    const std::int64_t stride = stack_.output_width(task_.layer);
    std::byte* const own = buffer(task_.d_rows_out);
    RowsRun run = rows_run(width());
    drop(run);
    if (!last_of_stage()) {
      run.from = run.to = of_window(own, width());
      if (run.dropout.active()) call_.backend.rows(run);
      return own;
    }
    if (own == nullptr) return d_outputs_.d_hidden;
    if (last_stage()) {
      if (d_outputs_.d_hidden == nullptr) return nullptr;
      run.from = of_batch(d_outputs_.d_hidden, stride, column());
    } else {
      const auto& above = graph().d_boundary[static_cast<std::size_t>(task_.stage) + 1];
      run.from = of_batch(buffer(above[0]), stride, column());
      run.add = of_batch(buffer(above[1]), stride, column());
    }
    run.to = of_window(own, width());
    call_.backend.rows(run);
    return own;
  }

  // Where dL/d of the layer's input rows goes first; null: not wanted.
  void* input_gradient() const {
    if (!first_of_stage()) return buffer(task_.d_rows_in);
    if (task_.layer == 0 && !wants_values()) return nullptr;
    return task_.d_rows_in != schedule::none ? buffer(task_.d_rows_in) : stage_gradient();
  }
  // For all tokens.
  void* stage_gradient() const {
    if (task_.layer == 0 && task_.direction == 0) return d_inputs_.d_values;
    return buffer(graph().d_boundary[static_cast<std::size_t>(task_.stage)]
                                    [static_cast<std::size_t>(task_.direction)]);
  }
  void* gap_gradient() const {
    return task_.d_gaps != schedule::none ? buffer(task_.d_gaps) : d_inputs_.d_delta_t;
  }

  // What comes from later tokens, and from final states.
  void enter(lacuna_output_gradients& d_out) const {
    const lacuna_state* const d_final =
        d_outputs_.d_final_states != nullptr ? &d_outputs_.d_final_states[place_] : nullptr;
    if (task_.severed && !whole()) {
      if (d_final == nullptr) return;
      const State d_ending = state(task_.d_next_state);
      d_out.d_final_hidden = endings(d_final->hidden, d_ending.hidden, width());
      d_out.d_final_cell = endings(d_final->cell, d_ending.cell, layer_.hidden);
    } else if (task_.d_next_state != schedule::none && !task_.severed) {
      const State d_leaving = state(task_.d_next_state);
      d_out.d_final_hidden = d_leaving.hidden;
      d_out.d_final_cell = d_leaving.cell;
    } else if (d_final != nullptr) {
      d_out.d_final_hidden = d_final->hidden;
      d_out.d_final_cell = d_final->cell;
    }
  }
  const void* endings(const void* from, std::byte* to, std::int64_t columns) const {
    if (from == nullptr) return nullptr;
    RowsRun run = rows_run(columns);
    run.over = RowsRun::Over::endings;
    run.from = of_window(from, columns);
    run.to = of_window(to, columns);
    call_.backend.rows(run);
    return to;
  }
  // What goes to earlier ones.
  void leave(lacuna_input_gradients& d_in) const {
    if (task_.d_state != schedule::none) {
      const State d_entering = state(task_.d_state);
      d_in.d_initial_hidden = d_entering.hidden;
      d_in.d_initial_cell = d_entering.cell;
    } else if (d_inputs_.d_initial_states != nullptr) {
      d_in.d_initial_hidden = d_inputs_.d_initial_states[place_].hidden;
      d_in.d_initial_cell = d_inputs_.d_initial_states[place_].cell;
    }
  }

  void hand_back(const void* d_hidden, const lacuna_input_gradients& d_in) const {
    if (stack_.adds_input(task_.layer) && d_hidden != nullptr) {
      RowsRun run = rows_run(width());
      run.from = of_window(d_hidden, width());
      run.to = of_window(d_in.d_values, layer_.features, column());
      run.accumulate = true;
      call_.backend.rows(run);
    }
    if (!whole() && first_of_stage() && d_in.d_values != nullptr) {
      RowsRun run = rows_run(layer_.features);
      run.from = of_window(d_in.d_values, layer_.features);
      run.to = of_batch(stage_gradient(), layer_.features);
      run.accumulate = task_.silent;  // a later window's gradient has been here
      call_.backend.rows(run);
    }
    if (wants_gaps()) hand_back_gaps();
    if (first_window() && task_.d_state != schedule::none) hand_back_states();
  }

  // Each layer adds to what those above it found; the lowest of the stage hands the sum on.
  void hand_back_gaps() const {
    constexpr auto wide = RowsRun::Element::wide;
    RowsRun run = rows_run(1);
    run.element = wide;
    if (task_.d_gaps_above != schedule::none) {
      run.from = of_window(buffer(task_.d_gaps_above), 1, 0, wide);
      run.to = of_window(gap_gradient(), 1, 0, wide);
      run.accumulate = true;
      call_.backend.rows(run);
    }
    if (!first_of_stage() || task_.d_gaps == schedule::none) return;
    void* const sum = task_.direction == 0 ? d_inputs_.d_delta_t : buffer(graph().d_gaps_reverse);
    const bool accumulate = !last_stage() || task_.silent;
    if (whole()) {
      run.from = of_window(buffer(task_.d_gaps), 1, 0, wide);
      run.to = of_batch(sum, 1, 0, wide);
      run.accumulate = accumulate;
      return call_.backend.rows(run);
    }
    GapGradientsRun gaps{};
    gaps.type = layer_.type;
    gaps.window = &window_;
    gaps.d_gaps = buffer(task_.d_gaps);
    gaps.d_delta_t = sum;
    gaps.accumulate = accumulate;
    gaps.stream = stream_;
    call_.backend.gap_gradients(gaps);
  }

  void hand_back_norms(void* norms) const {
    constexpr auto wide = RowsRun::Element::wide;
    RowsRun run = rows_run(1);
    run.element = wide;
    run.from = of_window(buffer(task_.d_norms), 1, 0, wide);
    run.to = of_batch(norms, 1, 0, wide);
    call_.backend.rows(run);
  }

  // Truncated: each window's gradient that reaches the beginning adds to the caller's.
  void hand_back_states() const {
    if (d_inputs_.d_initial_states == nullptr) return;
    const State d_entering = state(task_.d_state);
    const lacuna_state& wanted = d_inputs_.d_initial_states[place_];
    const auto add = [&](const std::byte* from, void* to, std::int64_t columns) {
      if (from == nullptr || to == nullptr) return;
      RowsRun run{};
      run.type = layer_.type;
      run.rows = call_.batch.sequences;
      run.width = columns;
      run.from = of_window(from, columns);
      run.to = of_window(to, columns);
      run.accumulate = task_.silent;
      run.stream = stream_;
      call_.backend.rows(run);
    };
    add(d_entering.hidden, wanted.hidden, width());
    add(d_entering.cell, wanted.cell, layer_.hidden);
  }

  const lacuna_stack_output_gradients& d_outputs_;
  const lacuna_parameter_gradients* d_parameters_;
  const lacuna_stack_input_gradients& d_inputs_;
};

// What the second direction found about the batch's inputs is added to what the first did.
inline void close(const Call& call, const lacuna_stack_input_gradients& d_inputs, void* stream) {
  const StackRecipe& recipe = call.recipe;
  const auto add = [&](schedule::Id from, void* to, std::int64_t width, RowsRun::Element element) {
    if (to == nullptr) return;
    RowsRun run{};
    run.type = recipe.stack.type();
    run.element = element;
    run.rows = call.batch.tokens;
    run.width = width;
    run.from = {call.memory + recipe.graph.buffers[static_cast<std::size_t>(from)].offset, width,
                true};
    run.to = {to, width, true};
    run.accumulate = true;
    run.stream = stream;
    call.backend.rows(run);
  };
  add(recipe.graph.d_boundary[0][1], d_inputs.d_values, recipe.stack.input_width(0),
      RowsRun::Element::real);
  add(recipe.graph.d_gaps_reverse, d_inputs.d_delta_t, 1, RowsRun::Element::wide);
}

}  // namespace lacuna::stack
