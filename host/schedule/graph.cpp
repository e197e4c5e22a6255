#include "host/schedule/graph.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <stdexcept>
#include <tuple>

#include "host/memory/memory.h"
#include "host/schedule/arena.h"
#include "host/schedule/checkpoints.h"

namespace lacuna::schedule {
namespace {

std::size_t times(std::int64_t a, std::int64_t b, std::size_t c) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product) ||
      __builtin_mul_overflow(product, static_cast<std::int64_t>(c), &product))
    throw std::length_error("a size does not fit 64 bits");
  return static_cast<std::size_t>(product);
}

// Hands out consecutive aligned byte ranges.
class Parts {
 public:
  std::size_t take(std::size_t bytes) {
    const std::size_t start = at_;
    constexpr std::size_t line = memory::alignment;
    if (__builtin_add_overflow(at_, (bytes + line - 1) / line * line, &at_))
      throw std::length_error("a size does not fit 64 bits");
    return start;
  }
  std::size_t end() const { return at_; }

 private:
  std::size_t at_ = 0;
};

// Buffers of one role that windows take in turn. Two are made before one is used again, so that the next window need not
// wait for this one, and no more than the emitted order needs, so that nothing runs far ahead.
struct Pool {
  std::deque<Id> free;
  int made = 0;
};

// A state of every layer of a stage; `none` where it is the caller's.
using States = std::vector<Id>;

// What a window leaves for its way back, per layer of the stage where it differs.
struct Kept {
  std::int64_t window = 0;
  Id input = none, gaps = none;
  States states;
  std::vector<Id> tapes;
};

class Builder {
 public:
  explicit Builder(const GraphRequest& request)
      : request_(request),
        stack_(request.stack),
        windows_(request.windows),
        stages_(stages_of(request.stack)),
        parameters_(markers(stack_.depth() * stack_.directions())),
        gap_sums_(markers(stack_.directions())) {
    const auto stages = stages_.size();
    graph_.boundary.assign(stages, none);
    graph_.d_boundary.assign(stages, std::vector<Id>(2, none));
    written_.resize(stages + 1);
    d_written_.resize(stages + 1);
    for (std::size_t s = 0; s <= stages; ++s) {
      written_[s] = markers(stack_.directions());
      d_written_[s] = markers(stack_.directions());
    }
    for (std::size_t s = 1; s < stages; ++s)
      graph_.boundary[s] = make(Role::boundary, all_rows(stages_[s].first));
    if (!request.inference) {
      for (std::size_t s = 0; s < stages; ++s)
        for (int d = s == 0 ? 1 : 0; d < stack_.directions(); ++d)
          graph_.d_boundary[s][static_cast<std::size_t>(d)] =
              make(Role::gradient_boundary, all_rows(stages_[s].first));
      if (stack_.bidirectional)
        graph_.d_gaps_reverse =
            make(Role::gradient_gaps, times(request.capacity.tokens, 1, wide_bytes()));
    }
  }

  Graph build() && {
    struct Chain {
      int stage, direction;
      std::vector<States> checkpoints;
      std::vector<Kept> tapes;
    };
    std::vector<Chain> chains;
    for (int stage = 0; stage < static_cast<int>(stages_.size()); ++stage)
      for (int direction = 0; direction < stack_.directions(); ++direction)
        chains.push_back({stage, direction, {}, {}});

    for (Chain& chain : chains) {
      enter(chain.stage, chain.direction);
      if (request_.inference)
        release(sweep_plain(States(layers(), none)));
      else if (request_.truncated)
        sweep_truncated(chain.checkpoints, chain.tapes);
      else
        sweep(0, steps(), slots(), States(layers(), none), chain.checkpoints, chain.tapes);
    }
    graph_.forward_waves = next_wave_;
    if (!request_.inference) {
      least_wave_ = next_wave_;
      again_ = true;
      std::reverse(chains.begin(), chains.end());
      for (Chain& chain : chains) {
        enter(chain.stage, chain.direction);
        if (request_.truncated) {
          back_truncated(chain.checkpoints, chain.tapes);
        } else {
          back(0, steps(), slots(), States(layers(), none), chain.checkpoints, 0, chain.tapes);
        }
      }
      if (stack_.bidirectional) close();
    }
    return finish();
  }

 private:
  // ---- Sizes ----

  std::size_t real_bytes() const { return size_of(stack_.type()); }
  std::size_t wide_bytes() const { return wide_size_of(stack_.type()); }
  std::size_t rows(std::int64_t window, std::int64_t width) const {
    return times(windows_.tokens(window), width, real_bytes());
  }
  std::size_t all_rows(int layer) const {
    return times(request_.capacity.tokens, stack_.input_width(layer), real_bytes());
  }
  LayerSizes sizes(int layer, std::int64_t window) const {
    return request_.measure(layer, direction_,
                            windows_.size_class[static_cast<std::size_t>(window)]);
  }

  // ---- Buffers ----

  Id make(Role role, std::size_t bytes) {
    graph_.buffers.push_back({role, bytes});
    holds_.push_back(0);
    written_by_.push_back(none);
    readers_.emplace_back();
    pool_of_.push_back(nullptr);
    return static_cast<Id>(graph_.buffers.size()) - 1;
  }
  std::vector<Id> markers(int count) {
    std::vector<Id> made;
    for (int i = 0; i < count; ++i) made.push_back(make(Role::marker, 0));
    return made;
  }

  // A buffer of the current direction that is the holder's until it is released.
  Id acquire(Role role, int layer, std::size_t bytes) {
    const bool large = role == Role::tape || role == Role::workspace;
    Pool& pool = pools_[{role, stage_, layer, direction_}];
    Id id = none;
    if (!pool.free.empty() && (large || pool.made >= 2)) {
      id = pool.free.front();
      pool.free.pop_front();
    } else {
      id = make(role, bytes);
      pool_of_[at(id)] = &pool;
      ++pool.made;
    }
    graph_.buffers[at(id)].bytes = std::max(graph_.buffers[at(id)].bytes, bytes);
    holds_[at(id)] = 1;
    return id;
  }
  void hold(Id id) {
    if (id != none) ++holds_[at(id)];
  }
  void release(Id id) {
    if (id != none && --holds_[at(id)] == 0) pool_of_[at(id)]->free.push_back(id);
  }
  void hold(const States& states) {
    for (const Id id : states) hold(id);
  }
  void release(const States& states) {
    for (const Id id : states) release(id);
  }
  static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

  // ---- Tasks ----

  // The earliest wave after all that the task must wait for.
  void add(Task task, std::initializer_list<Id> reads, std::initializer_list<Id> writes) {
    std::int32_t wave = least_wave_;
    const auto after = [&](Id earlier) {
      if (earlier != none) wave = std::max(wave, tasks_[at(earlier)].wave + 1);
    };
    for (const Id id : reads)
      if (id != none) after(written_by_[at(id)]);
    for (const Id id : writes) {
      if (id == none) continue;
      after(written_by_[at(id)]);
      for (const Id reader : readers_[at(id)]) after(reader);
    }
    task.wave = wave;
    next_wave_ = std::max(next_wave_, wave + 1);
    const auto self = static_cast<Id>(tasks_.size());
    for (const Id id : reads)
      if (id != none) {
        readers_[at(id)].push_back(self);
        touch(id, wave);
      }
    for (const Id id : writes)
      if (id != none) {
        written_by_[at(id)] = self;
        readers_[at(id)].clear();
        touch(id, wave);
      }
    tasks_.push_back(task);
  }
  void touch(Id id, std::int32_t wave) {
    if (id == none) return;
    Buffer& buffer = graph_.buffers[at(id)];
    buffer.first = buffer.first < 0 ? wave : std::min(buffer.first, wave);
    buffer.last = std::max(buffer.last, wave);
  }

  // ---- One chain: the windows of a stage, in one direction ----

  void enter(int stage, int direction) {
    stage_ = stage;
    direction_ = direction;
  }
  const Stage& stage() const { return stages_[at(stage_)]; }
  std::size_t layers() const { return at(stage().last - stage().first); }
  std::int64_t steps() const { return (windows_.count + request_.tapes - 1) / request_.tapes; }
  std::int64_t slots() const { return std::min(request_.slots, steps()); }
  // Windows of a step of checkpointing; the first one may be short, so that what a sweep leaves last is whole.
  std::int64_t first_window(std::int64_t step) const {
    return std::max<std::int64_t>(windows_.count - (steps() - step) * request_.tapes, 0);
  }
  bool is_last_of_stage(int layer) const { return layer + 1 == stage().last; }
  // Whether the last layer's output, and the gradient it gets, are in windows' own rows.
  bool moves_rows() const { return !windows_.whole() || stack_.bidirectional; }

  // Takes the states that enter, and returns those that leave. `kept`: gets the tape; null: nothing is kept.
  States forward_window(std::int64_t window, const States& states, Kept* kept) {
    Task task;
    task.kind = Task::Kind::forward;
    task.stage = stage_;
    task.direction = direction_;
    task.window = window;
    task.again = again_;
    const int first = stage().first;
    if (!windows_.whole()) {
      const lacuna_layer& layer = stack_.layers[at(first)];
      task.input = acquire(Role::input, first, input_parts(layer, windows_.tokens(window)).bytes);
      task.gaps = acquire(Role::gaps, first, times(windows_.tokens(window), 1, wide_bytes()));
    }
    States next(layers(), none);
    Id below = none;
    for (int layer = first; layer < stage().last; ++layer) {
      const std::size_t l = at(layer - first);
      const bool last = is_last_of_stage(layer);
      const LayerSizes needed = sizes(layer, window);
      task.layer = layer;
      task.rows_in = below;
      task.rows_out = none;
      if (!last || moves_rows())
        task.rows_out = acquire(Role::rows, layer, rows(window, stack_.layers[at(layer)].hidden));
      task.state = states[l];
      task.next_state = none;
      if (window + 1 < windows_.count)
        task.next_state =
            acquire(Role::state, layer,
                    state_parts(stack_.layers[at(layer)], request_.capacity.sequences).bytes);
      task.tape = kept ? acquire(Role::tape, layer, needed.tape) : none;
      task.workspace = acquire(Role::workspace, layer, needed.workspace);
      const bool enters = layer == first;
      const Id source_0 = enters ? written_[at(stage_)].front() : none;
      const Id source_1 = enters ? written_[at(stage_)].back() : none;
      const Id source = enters ? graph_.boundary[at(stage_)] : none;
      const Id sink = last && !again_ ? written_[at(stage_) + 1][at(direction_)] : none;
      add(task,
          {task.state, task.rows_in, enters ? none : task.gaps, enters ? none : task.input,
           source_0, source_1, source},
          {task.next_state, task.rows_out, task.tape, task.workspace, enters ? task.gaps : none,
           enters ? task.input : none, sink});
      if (last && !again_ && at(stage_) + 1 < stages_.size())
        touch(graph_.boundary[at(stage_) + 1], tasks_.back().wave);
      release(task.workspace);
      release(below);
      below = task.rows_out;
      next[l] = task.next_state;
      if (kept) kept->tapes.push_back(task.tape);
      if (again_ && enters) ++graph_.recomputed;
    }
    release(below);
    if (kept) {
      kept->window = window;
      kept->states = states;
      hold(states);
      kept->gaps = task.gaps;
      kept->input = task.input;
    } else {
      release(task.gaps);
      release(task.input);
    }
    return next;
  }

  struct Later {
    States d_states;                       // of the states that leave; `none`: the caller's
    bool severed = false, silent = false;  // as in Task
  };

  // Returns the gradients of the states that entered.
  States backward_window(const Kept& kept, const Later& later) {
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
      const lacuna_layer& shape = stack_.layers[at(layer)];
      const bool last = is_last_of_stage(layer), enters = layer == first;
      task.layer = layer;
      task.tape = kept.tapes[l];
      task.state = kept.states[l];
      task.d_rows_out = above;
      if (last && moves_rows())
        task.d_rows_out = acquire(Role::gradient_rows, layer, rows(kept.window, shape.hidden));
      task.d_rows_in = none;
      if (!enters || !windows_.whole())
        task.d_rows_in = acquire(Role::gradient_rows, layer - 1, rows(kept.window, shape.features));
      task.d_next_state = later.d_states[l];
      if (later.severed)
        task.d_next_state = acquire(Role::gradient_state, layer,
                                    state_parts(shape, request_.capacity.sequences).bytes);
      task.d_state = none;
      if (kept.window > 0 || request_.truncated)
        task.d_state = acquire(Role::gradient_state, layer,
                               state_parts(shape, request_.capacity.sequences).bytes);
      // The lowest layer adds those above, and writes the caller's array where rows are the batch's.
      task.d_gaps_above = gaps_above;
      task.d_gaps = none;
      if (!enters || moves_rows())
        task.d_gaps = acquire(Role::gradient_gaps, layer,
                              times(windows_.tokens(kept.window), 1, wide_bytes()));
      task.d_norms = none;
      if (!windows_.whole() && !later.silent)
        task.d_norms = acquire(Role::gradient_norms, layer,
                               times(windows_.tokens(kept.window), 1, wide_bytes()));
      task.workspace = acquire(Role::workspace, layer, sizes(layer, kept.window).workspace);

      const auto d_source = graph_.d_boundary[at(stage_)][at(direction_)];
      const bool from_stage = last && at(stage_) + 1 < stages_.size();
      const Id from_0 = from_stage ? graph_.d_boundary[at(stage_) + 1].front() : none;
      const Id from_1 = from_stage ? graph_.d_boundary[at(stage_) + 1].back() : none;
      add(task,
          {task.tape, task.state, task.gaps, task.input, later.severed ? none : task.d_next_state,
           task.d_gaps_above, from_0, from_1,
           from_stage ? d_written_[at(stage_) + 1].front() : none,
           from_stage ? d_written_[at(stage_) + 1].back() : none},
          {task.d_rows_out, task.d_rows_in, task.d_state, task.d_gaps, task.d_norms, task.workspace,
           later.severed ? task.d_next_state : none,
           parameters_[at(layer * stack_.directions() + direction_)],
           enters ? gap_sums_[at(direction_)] : none,
           enters ? d_written_[at(stage_)][at(direction_)] : none});
      if (enters) touch(d_source, tasks_.back().wave);
      if (enters && direction_ == 1) touch(graph_.d_gaps_reverse, tasks_.back().wave);
      release(task.workspace);
      release(task.d_norms);
      release(gaps_above);
      gaps_above = task.d_gaps;
      release(task.d_rows_out);
      if (later.severed) release(task.d_next_state);
      above = task.d_rows_in;
      before[l] = task.d_state;
    }
    release(above);
    release(gaps_above);
    return before;
  }

  void give_up(const Kept& kept) {
    release(kept.input);
    release(kept.gaps);
    release(kept.states);
    for (const Id tape : kept.tapes) release(tape);
  }

  // ---- All the way forward and back ----

  States sweep_plain(States states) {
    for (std::int64_t w = 0; w < windows_.count; ++w) {
      States next = forward_window(w, states, nullptr);
      release(states);
      states = std::move(next);
    }
    return states;
  }

  // Steps first .. first+count-1 from `states`, which stay the caller's. Leaves states where `back` will look for them,
  // and the tapes of the last step.
  void sweep(std::int64_t first, std::int64_t count, std::int64_t slots, States states,
             std::vector<States>& checkpoints, std::vector<Kept>& tapes) {
    hold(states);
    std::int64_t step = first;
    while (count > 1) {
      const std::int64_t advance = plan_.advance(count, slots);
      for (std::int64_t w = first_window(step); w < first_window(step + advance); ++w) {
        States next = forward_window(w, states, nullptr);
        release(states);
        states = std::move(next);
      }
      step += advance;
      count -= advance;
      if (slots > 1) {
        hold(states);
        checkpoints.push_back(states);
        --slots;
      }
    }
    for (std::int64_t w = first_window(step); w < first_window(step + 1); ++w) {
      tapes.emplace_back();
      States next = forward_window(w, states, &tapes.back());
      release(states);
      states = std::move(next);
    }
    release(states);
  }

  // The same steps, which have been swept, from the last to the first.
  void back(std::int64_t first, std::int64_t count, std::int64_t slots, const States& states,
            const std::vector<States>& checkpoints, std::size_t used, std::vector<Kept>& tapes) {
    if (count == 1) return back_step(tapes);
    const std::int64_t advance = plan_.advance(count, slots);
    if (slots > 1) {
      const States& middle = checkpoints[used];
      back(first + advance, count - advance, slots - 1, middle, checkpoints, used + 1, tapes);
      release(middle);
    } else {
      back_step(tapes);
    }
    std::vector<States> further;
    sweep(first, advance, slots, states, further, tapes);
    back(first, advance, slots, states, further, 0, tapes);
  }

  void back_step(std::vector<Kept>& tapes) {
    while (!tapes.empty()) {
      const Kept kept = std::move(tapes.back());
      tapes.pop_back();
      if (kept.window == windows_.count - 1) d_states_ = States(layers(), none);
      const States before = backward_window(kept, {d_states_});
      release(d_states_);
      d_states_ = before;
      give_up(kept);
    }
  }

  // ---- Truncated: windows in the order of time, each gradient through `reach` of them ----

  bool keeps_all() const { return request_.tapes >= windows_.count; }

  void sweep_truncated(std::vector<States>& checkpoints, std::vector<Kept>& tapes) {
    States states(layers(), none);
    for (std::int64_t w = 0; w < windows_.count; ++w) {
      hold(states);
      checkpoints.push_back(states);
      if (keeps_all()) tapes.emplace_back();
      States next = forward_window(w, states, keeps_all() ? &tapes.back() : nullptr);
      release(states);
      states = std::move(next);
    }
    release(states);
  }

  void back_truncated(const std::vector<States>& checkpoints, std::vector<Kept>& tapes) {
    std::deque<Kept> ring(tapes.begin(), tapes.end());
    std::int64_t ring_first = 0;
    for (std::int64_t w = 0; w < windows_.count; ++w) {
      if (!keeps_all()) {
        ring.emplace_back();
        release(forward_window(w, checkpoints[at(w)], &ring.back()));
      }
      States d_states(layers(), none);
      const std::int64_t least = std::max<std::int64_t>(w - request_.reach + 1, 0);
      for (std::int64_t v = w; v >= least; --v) {
        const States before = backward_window(ring[at(v - ring_first)], {d_states, v == w, v < w});
        release(d_states);
        d_states = before;
      }
      release(d_states);
      for (; ring_first <= w - request_.reach + 1; ++ring_first) {
        give_up(ring.front());
        ring.pop_front();
        release(checkpoints[at(ring_first)]);
      }
    }
    for (; !ring.empty(); ++ring_first) {
      give_up(ring.front());
      ring.pop_front();
      release(checkpoints[at(ring_first)]);
    }
  }

  void close() {
    Task task;
    task.kind = Task::Kind::close;
    add(task, {graph_.d_gaps_reverse, graph_.d_boundary[0][1]},
        {gap_sums_[0], gap_sums_[1], d_written_[0][0], d_written_[0][1]});
  }

  Graph finish() {
    std::vector<std::size_t> order(tasks_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return tasks_[a].wave < tasks_[b].wave; });
    for (const std::size_t i : order) {
      while (graph_.wave_begins.size() <= at(tasks_[i].wave))
        graph_.wave_begins.push_back(graph_.tasks.size());
      graph_.tasks.push_back(tasks_[i]);
    }
    graph_.wave_begins.push_back(graph_.tasks.size());

    std::vector<Lifetime> lifetimes;
    for (const Buffer& buffer : graph_.buffers)
      lifetimes.push_back({buffer.first < 0 ? 0 : buffer.bytes, std::max(buffer.first, 0),
                           std::max(buffer.last, 0)});
    const Arena arena = lay_out(lifetimes, memory::alignment);
    for (std::size_t i = 0; i < graph_.buffers.size(); ++i)
      graph_.buffers[i].offset = arena.offsets[i];
    graph_.bytes = arena.bytes;
    graph_.floor = arena.floor;
    return std::move(graph_);
  }

  const GraphRequest& request_;
  const Stack& stack_;
  const Windows& windows_;
  std::vector<Stage> stages_;
  Graph graph_;
  Checkpoints plan_{(request_.windows.count + request_.tapes - 1) / request_.tapes, request_.slots};

  std::vector<int> holds_;
  std::vector<Id> written_by_;            // the last task that wrote each buffer
  std::vector<std::vector<Id>> readers_;  // the tasks that have read it since
  std::vector<Pool*> pool_of_;
  std::map<std::tuple<Role, int, int, int>, Pool> pools_;
  std::vector<Task> tasks_;  // as they were emitted: a valid order
  std::int32_t next_wave_ = 0, least_wave_ = 0;
  bool again_ = false;

  int stage_ = 0, direction_ = 0;
  States d_states_;

  std::vector<Id> parameters_, gap_sums_;
  std::vector<std::vector<Id>> written_, d_written_;  // [stage][direction]
};

}  // namespace

InputParts input_parts(const lacuna_layer& layer, std::int64_t tokens) {
  Parts parts;
  InputParts out;
  out.values = parts.take(times(tokens, layer.features, size_of(layer.type)));
  out.mask = parts.take(has_mask(layer) ? times(tokens, layer.features, 1) : 0);
  out.delta =
      parts.take(uses_delta(layer) ? times(tokens, layer.features, wide_size_of(layer.type)) : 0);
  out.bytes = parts.end();
  return out;
}

StateParts state_parts(const lacuna_layer& layer, std::int64_t sequences) {
  const std::size_t real = size_of(layer.type), wide = wide_size_of(layer.type);
  Parts parts;
  StateParts out;
  out.hidden = parts.take(times(sequences, layer.hidden, real));
  out.cell = parts.take(layer.cell == LACUNA_LSTM ? times(sequences, layer.hidden, real) : 0);
  const bool masked = has_mask(layer);
  out.last_values = parts.take(masked ? times(sequences, layer.features, wide) : 0);
  out.since = parts.take(masked ? times(sequences, layer.features, wide) : 0);
  out.bytes = parts.end();
  return out;
}

Graph build(const GraphRequest& request) { return Builder(request).build(); }

}  // namespace lacuna::schedule
