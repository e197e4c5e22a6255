// One layer forward through one window.
#pragma once

#include "host/stack/task_run.h"

namespace lacuna::stack {

class ForwardTask : TaskRun {
 public:
  // `outputs` null: the window is run again, and has given the caller what is wanted.
  ForwardTask(const Call& call, const schedule::Task& task, int slot, void* stream,
              const lacuna_stack_outputs* outputs)
      : TaskRun(call, task, slot, stream), outputs_(outputs) {}

  void run() {
    if (!whole() && first_of_stage()) take_window();
    void* const hidden = output_rows();
    lacuna_outputs out{};
    out.hidden = hidden;
    leave(out);
    const lacuna_batch batch = layer_batch(input_rows());
    call_.backend.forward({layer_recipe(), layer_prepared(), call_.parameters[place_], batch, out,
                           buffer(task_.tape), buffer(task_.workspace), stream_, /*staged*/ true,
                           /*drawn*/ !recipe_.options.inference, window_.first});
    hand_on(hidden);
  }

 private:
  const void* input_rows() const {
    if (!first_of_stage()) return buffer(task_.rows_in);
    return whole() ? source() : buffer(task_.input);
  }

  // Where the layer writes its output; null where nobody reads it.
  void* output_rows() const {
    if (last_of_stage()) {
      if (task_.again) return nullptr;
      if (last_stage() && outputs_->hidden == nullptr) return nullptr;
    }
    return task_.rows_out != schedule::none ? buffer(task_.rows_out) : outputs_->hidden;
  }

  // The window's part of what enters the stage, and its gaps.
  void take_window() const {
    const lacuna_batch& from = call_.batch;
    const schedule::InputParts in = input_parts();
    std::byte* const at = buffer(task_.input);
    const auto take = [&](const void* array, std::byte* to, RowsRun::Element element) {
      RowsRun run = rows_run(layer_.features);
      run.element = element;
      run.from = of_batch(array, layer_.features, 0, element);
      run.to = of_window(to, layer_.features, 0, element);
      call_.backend.rows(run);
    };
    take(source(), at + in.values, RowsRun::Element::real);
    if (task_.layer == 0 && from.mask != nullptr)
      take(from.mask, at + in.mask, RowsRun::Element::byte);
    if (task_.layer == 0 && from.delta != nullptr && uses_delta(layer_))
      take(from.delta, at + in.delta, RowsRun::Element::wide);

    lacuna_carry* const carry_out =
        outputs_ != nullptr && (outputs_->carry_out.last_time || outputs_->carry_out.first_gap)
            ? const_cast<lacuna_carry*>(&outputs_->carry_out)
            : nullptr;
    if (!has_gaps() && carry_out == nullptr) return;
    GapsRun run{};
    run.type = layer_.type;
    run.window = &window_;
    run.delta_t = from.delta_t;
    run.times = from.times;
    run.carry_in = &from.carry_in;
    run.gaps = has_gaps() ? buffer(task_.gaps) : nullptr;
    run.carry_out = carry_out;
    run.stream = stream_;
    call_.backend.gaps(run);
  }

  // Where the states go that leave.
  void leave(lacuna_outputs& out) const {
    if (task_.next_state != schedule::none) {
      const State leaving = state(task_.next_state);
      out.final_hidden = leaving.hidden;
      out.final_cell = leaving.cell;
      out.carry_out.last_values = leaving.last_values;
      out.carry_out.since = leaving.since;
      return;
    }
    if (outputs_ == nullptr) return;
    if (outputs_->final_states != nullptr) {
      out.final_hidden = outputs_->final_states[place_].hidden;
      out.final_cell = outputs_->final_states[place_].cell;
    }
    if (task_.layer > 0) return;
    if (whole()) {
      out.carry_out = outputs_->carry_out;
    } else {
      out.carry_out.last_values = outputs_->carry_out.last_values;
      out.carry_out.since = outputs_->carry_out.since;
    }
  }

  // From the layer's output to what the next layer, the next stage or the caller gets.
  void hand_on(void* hidden) const {
    if (hidden == nullptr) return;
    RowsRun run = rows_run(width());
    run.from = of_window(hidden, width());
    if (stack_.adds_input(task_.layer))
      run.add = of_window(input_rows(), layer_.features, column());
    drop(run);
    if (last_of_stage() && task_.rows_out != schedule::none) {
      void* const sink = last_stage()
                             ? outputs_->hidden
                             : buffer(graph().boundary[static_cast<std::size_t>(task_.stage) + 1]);
      run.to = of_batch(sink, stack_.output_width(task_.layer), column());
    } else {
      if (run.add.data == nullptr && !run.dropout.active()) return;
      run.to = run.from;
    }
    call_.backend.rows(run);
  }

  const lacuna_stack_outputs* outputs_;
};

}  // namespace lacuna::stack
