#include "host/schedule/window_tasks.h"

#include "host/schedule/sizes.h"

namespace lacuna::schedule {

WindowTasks::WindowTasks(const GraphRequest& request, Emitter& emitter)
    : request_(request),
      stack_(request.stack),
      windows_(request.windows),
      emitter_(emitter),
      stages_(stages_of(request.stack)),
      parameters_(emitter.markers(stack_.depth() * stack_.directions())),
      gap_sums_(emitter.markers(stack_.directions())) {
  Graph& graph = emitter_.graph();
  graph.boundary.assign(stages_.size(), none);
  graph.d_boundary.assign(stages_.size(), std::vector<Id>(2, none));
  for (std::size_t s = 0; s <= stages_.size(); ++s) {
    written_.push_back(emitter_.markers(stack_.directions()));
    d_written_.push_back(emitter_.markers(stack_.directions()));
  }
  for (std::size_t s = 1; s < stages_.size(); ++s)
    graph.boundary[s] = emitter_.make(Role::boundary, all_rows(stages_[s].first));
  if (request.inference) return;
  // The first direction's gradients of what the caller gave go into the caller's arrays.
  for (std::size_t s = 0; s < stages_.size(); ++s)
    for (int d = s == 0 ? 1 : 0; d < stack_.directions(); ++d)
      graph.d_boundary[s][at(d)] =
          emitter_.make(Role::gradient_boundary, all_rows(stages_[s].first));
  if (stack_.bidirectional)
    graph.d_gaps_reverse =
        emitter_.make(Role::gradient_gaps, product(request.capacity.tokens, 1, wide_bytes()));
}

std::size_t WindowTasks::rows(std::int64_t window, std::int64_t width) const {
  return product(windows_.tokens(window), width, size_of(stack_.type()));
}
std::size_t WindowTasks::gaps(std::int64_t window) const {
  return product(windows_.tokens(window), 1, wide_bytes());
}
std::size_t WindowTasks::all_rows(int layer) const {
  return product(request_.capacity.tokens, stack_.input_width(layer), size_of(stack_.type()));
}
std::size_t WindowTasks::state(int layer) const {
  return state_parts(layer_at(layer), request_.capacity.sequences).bytes;
}
LayerSizes WindowTasks::sizes(int layer, std::int64_t window) const {
  return request_.measure(layer, direction_, windows_.size_class[at(window)]);
}

States WindowTasks::forward(std::int64_t window, const States& states, Kept* kept) {
  const bool again = emitter_.in_backward();
  Graph& graph = emitter_.graph();
  Task task;
  task.kind = Task::Kind::forward;
  task.stage = stage_;
  task.direction = direction_;
  task.window = window;
  task.again = again;
  const int first = stage().first;
  if (again) ++graph.recomputed;
  if (!windows_.whole()) {
    task.input =
        acquire(Role::input, first, input_parts(layer_at(first), windows_.tokens(window)).bytes);
    task.gaps = acquire(Role::gaps, first, gaps(window));
  }
  States next(layers(), none);
  Id below = none;
  for (int layer = first; layer < stage().last; ++layer) {
    const std::size_t l = at(layer - first);
    const bool last = is_last_of_stage(layer), enters = layer == first;
    const LayerSizes needed = sizes(layer, window);
    task.layer = layer;
    task.rows_in = below;
    task.rows_out = none;
    if (!last || moves_rows())
      task.rows_out = acquire(Role::rows, layer, rows(window, output_width(layer_at(layer))));
    task.state = states[l];
    task.next_state = none;
    if (window + 1 < windows_.count) task.next_state = acquire(Role::state, layer, state(layer));
    task.tape = kept ? acquire(Role::tape, layer, needed.tape) : none;
    task.workspace = acquire(Role::workspace, layer, needed.workspace);
    const std::vector<Id>& source = written_[at(stage_)];
    // The first layer fills the window's input and gaps, the others read them.
    emitter_.add(task,
                 {task.state, task.rows_in, enters ? none : task.gaps, enters ? none : task.input,
                  enters ? source.front() : none, enters ? source.back() : none,
                  enters ? graph.boundary[at(stage_)] : none},
                 {task.next_state, task.rows_out, task.tape, task.workspace,
                  enters ? task.gaps : none, enters ? task.input : none,
                  last && !again ? written_[at(stage_) + 1][at(direction_)] : none});
    if (last && !again && !is_last_stage()) emitter_.touch(graph.boundary[at(stage_) + 1]);
    emitter_.release(task.workspace);
    emitter_.release(below);
    below = task.rows_out;
    next[l] = task.next_state;
    if (kept) kept->tapes.push_back(task.tape);
  }
  emitter_.release(below);
  if (kept) {
    kept->window = window;
    kept->states = states;
    emitter_.hold(states);
    kept->gaps = task.gaps;
    kept->input = task.input;
  } else {
    emitter_.release(task.gaps);
    emitter_.release(task.input);
  }
  return next;
}

States WindowTasks::backward(const Kept& kept, const Later& later) {
  Graph& graph = emitter_.graph();
  Task task;
  task.kind = Task::Kind::backward;
  task.stage = stage_;
  task.direction = direction_;
  task.window = kept.window;
  task.severed = later.severed;
  task.silent = later.silent;
  task.input = kept.input;
  task.gaps = kept.gaps;
  const int first = stage().first;
  States before(layers(), none);
  Id above = none, gaps_above = none;
  for (int layer = stage().last - 1; layer >= first; --layer) {
    const std::size_t l = at(layer - first);
    const lacuna_layer& shape = layer_at(layer);
    const bool last = is_last_of_stage(layer), enters = layer == first;
    task.layer = layer;
    task.tape = kept.tapes[l];
    task.state = kept.states[l];
    task.d_rows_out = above;
    if (last && moves_rows())
      task.d_rows_out = acquire(Role::gradient_rows, layer, rows(kept.window, output_width(shape)));
    task.d_rows_in = none;
    if (!enters || !windows_.whole())
      task.d_rows_in = acquire(Role::gradient_rows, layer - 1, rows(kept.window, shape.features));
    task.d_next_state =
        later.severed ? acquire(Role::gradient_state, layer, state(layer)) : later.d_states[l];
    task.d_state = none;
    if (kept.window > 0 || request_.truncated)
      task.d_state = acquire(Role::gradient_state, layer, state(layer));
    // The lowest layer adds those above, and writes the caller's array where rows are the batch's.
    task.d_gaps_above = gaps_above;
    task.d_gaps = none;
    if (!enters || moves_rows())
      task.d_gaps = acquire(Role::gradient_gaps, layer, gaps(kept.window));
    task.d_norms = none;
    if (!windows_.whole() && !later.silent)
      task.d_norms = acquire(Role::gradient_norms, layer, gaps(kept.window));
    task.workspace = acquire(Role::workspace, layer, sizes(layer, kept.window).workspace);

    const bool from_stage = last && !is_last_stage();
    const auto above_stage = [&](const std::vector<std::vector<Id>>& of, bool second) {
      if (!from_stage) return none;
      const std::vector<Id>& both = of[at(stage_) + 1];
      return second ? both.back() : both.front();
    };
    const Id parameters = parameters_[at(layer * stack_.directions() + direction_)];
    emitter_.add(task,
                 {task.tape, task.state, task.gaps, task.input,
                  later.severed ? none : task.d_next_state, task.d_gaps_above,
                  above_stage(graph.d_boundary, false), above_stage(graph.d_boundary, true),
                  above_stage(d_written_, false), above_stage(d_written_, true)},
                 {task.d_rows_out, task.d_rows_in, task.d_state, task.d_gaps, task.d_norms,
                  task.workspace, later.severed ? task.d_next_state : none, parameters,
                  enters ? gap_sums_[at(direction_)] : none,
                  enters ? d_written_[at(stage_)][at(direction_)] : none});
    if (enters) emitter_.touch(graph.d_boundary[at(stage_)][at(direction_)]);
    if (enters && direction_ == 1) emitter_.touch(graph.d_gaps_reverse);
    emitter_.release(task.workspace);
    emitter_.release(task.d_norms);
    emitter_.release(gaps_above);
    gaps_above = task.d_gaps;
    emitter_.release(task.d_rows_out);
    if (later.severed) emitter_.release(task.d_next_state);
    above = task.d_rows_in;
    before[l] = task.d_state;
  }
  emitter_.release(above);
  emitter_.release(gaps_above);
  return before;
}

void WindowTasks::give_up(const Kept& kept) {
  emitter_.release(kept.input);
  emitter_.release(kept.gaps);
  emitter_.release(kept.states);
  emitter_.release(kept.tapes);
}

void WindowTasks::close() {
  const Graph& graph = emitter_.graph();
  Task task;
  task.kind = Task::Kind::close;
  emitter_.add(task, {graph.d_gaps_reverse, graph.d_boundary[0][1]},
               {gap_sums_[0], gap_sums_[1], d_written_[0][0], d_written_[0][1]});
}

}  // namespace lacuna::schedule
