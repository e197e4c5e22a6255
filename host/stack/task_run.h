// What the forward and the backward run of a task share: where its buffers are, which rows its window holds, and the batch
// that its layer sees.
#pragma once

#include <algorithm>

#include "host/stack/run.h"
#include "kernels/cells/noise.h"

namespace lacuna::stack {

class TaskRun {
 public:
  // `slot`: tells tasks of one wave apart.
  TaskRun(const Call& call, const schedule::Task& task, int slot, void* stream)
      : call_(call),
        recipe_(call.recipe),
        stack_(call.recipe.stack),
        task_(task),
        layer_(stack_.layers[schedule::Stack::at(task.layer)]),
        place_(stack_.place(task.layer, task.direction)),
        stream_(stream) {
    if (whole() && !stack_.drops(task.layer)) return;
    window_.sequences = call.batch.sequences;
    window_.first = task.window * recipe_.windows.segment;
    window_.count = recipe_.windows.segment;
    window_.reverse = stack_.reads_from_end(task.layer, task.direction);
    window_.offsets = call.batch.offsets;
    std::int64_t* const packed =
        call.prepared.offsets.data() + slot * (recipe_.capacity.sequences + 1);
    packed[0] = 0;
    for (std::int64_t b = 0; b < window_.sequences; ++b) {
      const std::int64_t length = window_.offsets[b + 1] - window_.offsets[b];
      packed[b + 1] =
          packed[b] + std::clamp<std::int64_t>(length - window_.first, 0, window_.count);
    }
    window_.packed = packed;
    window_.prepared = buffer(task.workspace) + layer_recipe().workspace_bytes;
    call.backend.prepare_window(window_, stream_);
  }

 protected:
  bool whole() const { return recipe_.windows.whole(); }
  const schedule::Graph& graph() const { return recipe_.graph; }
  bool first_of_stage() const { return stack_.bidirectional || task_.layer == 0; }
  bool last_of_stage() const { return stack_.bidirectional || task_.layer + 1 == stack_.depth(); }
  bool last_stage() const { return !stack_.bidirectional || task_.layer + 1 == stack_.depth(); }
  bool first_window() const { return task_.window == 0; }
  bool last_window() const { return task_.window + 1 == recipe_.windows.count; }
  bool has_gaps() const { return call_.batch.delta_t != nullptr || call_.batch.times != nullptr; }
  std::int64_t rows() const { return whole() ? call_.batch.tokens : window_.rows(); }
  // Of the layer's output in one direction.
  std::int64_t width() const { return lacuna::output_width(layer_); }
  std::int64_t column() const { return task_.direction * width(); }

  std::byte* buffer(schedule::Id id) const {
    return id == schedule::none
               ? nullptr
               : call_.memory + graph().buffers[static_cast<std::size_t>(id)].offset;
  }
  const Recipe& layer_recipe() const {
    return recipe_.recipe(task_.layer, task_.direction, task_.window);
  }
  lacuna::Prepared* layer_prepared() const {
    return call_.prepared.layers[recipe_.place(task_.layer, task_.direction, task_.window)].get();
  }

  // ---- States ----

  schedule::StateParts parts() const {
    return schedule::state_parts(layer_, recipe_.capacity.sequences);
  }
  struct State {
    std::byte *hidden = nullptr, *cell = nullptr, *last_values = nullptr, *since = nullptr;
  };
  State state(schedule::Id id) const {
    std::byte* const at = buffer(id);
    if (at == nullptr) return {};
    const schedule::StateParts in = parts();
    const bool masked = has_mask(layer_);
    return {at + in.hidden, layer_.cell == LACUNA_LSTM ? at + in.cell : nullptr,
            masked ? at + in.last_values : nullptr, masked ? at + in.since : nullptr};
  }

  // ---- The batch that the layer sees ----

  schedule::InputParts input_parts() const {
    return schedule::input_parts(layer_, recipe_.windows.tokens(task_.window));
  }
  // The rows that enter the stage: the caller's, or what the stage below left for all tokens.
  const void* source() const {
    if (task_.layer == 0) return call_.batch.values;
    return buffer(graph().boundary[static_cast<std::size_t>(task_.stage)]);
  }

  // Where the layer's cell fires, if it has to be told: as the caller says, or where the first layer measures anything.
  // Each task finds that anew: reading it again costs less than keeping it for all layers and the way back.
  const std::uint8_t* fires() const {
    if (!reads_fires(layer_)) return nullptr;
    const lacuna_batch& from = call_.batch;
    const lacuna_layer& first = stack_.layers.front();
    if (whole() && !has_mask(first)) return from.fires;
    auto* const own = reinterpret_cast<std::uint8_t*>(
        buffer(task_.workspace) + layer_recipe().workspace_bytes + recipe_.window_bytes);
    if (has_mask(first)) {
      call_.backend.measured({layer_.type, whole() ? nullptr : &window_, rows(), first.features,
                              from.values, from.mask, own, stream_});
    } else {
      constexpr auto byte = RowsRun::Element::byte;
      RowsRun run = rows_run(1);
      run.element = byte;
      run.from = of_batch(from.fires, 1, 0, byte);
      run.to = of_window(own, 1, 0, byte);
      call_.backend.rows(run);
    }
    return own;
  }

  // `values`: the layer's input rows; null where it reads none of them.
  lacuna_batch layer_batch(const void* values) const {
    const lacuna_batch& from = call_.batch;
    lacuna_batch to{};
    to.sequences = from.sequences;
    to.values = values;
    to.fires = fires();
    to.noise = from.noise;
    to.noise.seed = seed_of_place(call_.seed, static_cast<std::uint32_t>(place_));
    if (whole()) {
      to.tokens = from.tokens;
      to.offsets = from.offsets;
      to.delta_t = from.delta_t;
      to.times = from.times;
      if (task_.layer == 0) {
        to.mask = from.mask;
        to.delta = from.delta;
        to.carry_in = from.carry_in;
      } else {
        to.carry_in.last_time = from.carry_in.last_time;
        to.carry_in.first_gap = from.carry_in.first_gap;
      }
    } else {
      to.tokens = window_.rows();
      to.offsets = window_.packed;
      if (has_gaps()) to.delta_t = buffer(task_.gaps);
      if (task_.layer == 0) {
        const schedule::InputParts in = input_parts();
        std::byte* const at = buffer(task_.input);
        if (from.mask != nullptr) to.mask = reinterpret_cast<std::uint8_t*>(at + in.mask);
        if (from.delta != nullptr && uses_delta(layer_)) to.delta = at + in.delta;
        if (first_window()) {
          to.carry_in.last_values = from.carry_in.last_values;
          to.carry_in.since = from.carry_in.since;
        }
      }
    }
    if (task_.state != schedule::none) {
      const State entering = state(task_.state);
      to.initial_hidden = entering.hidden;
      to.initial_cell = entering.cell;
      to.carry_in.last_values = entering.last_values;
      to.carry_in.since = entering.since;
    } else if (call_.initial_states != nullptr) {
      to.initial_hidden = call_.initial_states[place_].hidden;
      to.initial_cell = call_.initial_states[place_].cell;
    }
    return to;
  }

  // ---- Rows ----

  RowArray of_batch(const void* data, std::int64_t stride, std::int64_t first_column = 0,
                    RowsRun::Element element = RowsRun::Element::real) const {
    const std::size_t bytes = element == RowsRun::Element::byte   ? 1
                              : element == RowsRun::Element::wide ? wide_size_of(layer_.type)
                                                                  : size_of(layer_.type);
    auto* const at = static_cast<std::byte*>(const_cast<void*>(data));
    if (at == nullptr) return {};
    return {at + static_cast<std::size_t>(first_column) * bytes, stride, true};
  }
  // Where the window is the whole batch, no rows are moved to it.
  RowArray of_window(const void* data, std::int64_t stride, std::int64_t first_column = 0,
                     RowsRun::Element element = RowsRun::Element::real) const {
    RowArray array = of_batch(data, stride, first_column, element);
    array.of_batch = whole();
    return array;
  }
  RowsRun rows_run(std::int64_t width) const {
    RowsRun run{};
    run.type = layer_.type;
    run.window = whole() ? nullptr : &window_;
    run.rows = rows();
    run.width = width;
    run.stream = stream_;
    return run;
  }
  // Drops of this layer's output, on the way that `run` takes, or of its gradient.
  void drop(RowsRun& run) const {
    if (!stack_.drops(task_.layer)) return;
    run.window = &window_;
    run.dropout = {stack_.dropout, call_.seed, static_cast<std::uint32_t>(task_.layer)};
    run.names = {call_.batch.noise.sequence, call_.batch.noise.position};
    run.column = column();
  }

  const Call& call_;
  const StackRecipe& recipe_;
  const schedule::Stack& stack_;
  const schedule::Task& task_;
  const lacuna_layer& layer_;
  std::size_t place_;
  void* stream_;
  WindowRows window_;
};

}  // namespace lacuna::stack
