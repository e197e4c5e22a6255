#include "host/schedule/graph.h"

#include <algorithm>
#include <deque>

#include "host/memory/memory.h"
#include "host/schedule/checkpoints.h"
#include "host/schedule/sizes.h"
#include "host/schedule/window_tasks.h"

namespace lacuna::schedule {
namespace {

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

// In which order windows are walked, forward and back.
class Walk {
 public:
  explicit Walk(const GraphRequest& request) : request_(request) {}

  Graph run() {
    struct Chain {
      int stage, direction;
      std::vector<States> checkpoints;
      std::vector<Kept> tapes;
    };
    std::vector<Chain> chains;
    for (int stage = 0; stage < tasks_.stages(); ++stage)
      for (int direction = 0; direction < request_.stack.directions(); ++direction)
        chains.push_back({stage, direction, {}, {}});

    for (Chain& chain : chains) {
      tasks_.enter(chain.stage, chain.direction);
      if (request_.inference)
        sweep_plain();
      else if (request_.truncated)
        sweep_truncated(chain.checkpoints, chain.tapes);
      else
        sweep(0, steps(), slots(), tasks_.callers_states(), chain.checkpoints, chain.tapes);
    }
    if (request_.inference) return emitter_.finish();

    emitter_.end_forward();
    std::reverse(chains.begin(), chains.end());
    for (Chain& chain : chains) {
      tasks_.enter(chain.stage, chain.direction);
      if (request_.truncated)
        back_truncated(chain.checkpoints, chain.tapes);
      else
        back(0, steps(), slots(), tasks_.callers_states(), chain.checkpoints, 0, chain.tapes);
    }
    if (request_.stack.bidirectional) tasks_.close();
    return emitter_.finish();
  }

 private:
  std::int64_t windows() const { return request_.windows.count; }
  std::int64_t steps() const { return (windows() + request_.tapes - 1) / request_.tapes; }
  std::int64_t slots() const { return std::min(request_.slots, steps()); }
  // Windows of a step of checkpointing; the first one may be short, so that what a sweep leaves last is whole.
  std::int64_t first_window(std::int64_t step) const {
    return std::max<std::int64_t>(windows() - (steps() - step) * request_.tapes, 0);
  }
  static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

  // One window on: the states that leave take the place of those that entered.
  void advance(std::int64_t window, States& states, Kept* kept) {
    States next = tasks_.forward(window, states, kept);
    emitter_.release(states);
    states = std::move(next);
  }

  // ---- All the way forward and back ----

  void sweep_plain() {
    States states = tasks_.callers_states();
    for (std::int64_t w = 0; w < windows(); ++w) advance(w, states, nullptr);
    emitter_.release(states);
  }

  // Steps first .. first+count-1 from `states`, which stay the caller's. Leaves states where `back` will look for them,
  // and the tapes of the last step.
  void sweep(std::int64_t first, std::int64_t count, std::int64_t slots, States states,
             std::vector<States>& checkpoints, std::vector<Kept>& tapes) {
    emitter_.hold(states);
    std::int64_t step = first;
    while (count > 1) {
      const std::int64_t on = plan_.advance(count, slots);
      for (std::int64_t w = first_window(step); w < first_window(step + on); ++w)
        advance(w, states, nullptr);
      step += on;
      count -= on;
      if (slots > 1) {
        emitter_.hold(states);
        checkpoints.push_back(states);
        --slots;
      }
    }
    for (std::int64_t w = first_window(step); w < first_window(step + 1); ++w)
      advance(w, states, &tapes.emplace_back());
    emitter_.release(states);
  }

  // The same steps, which have been swept, from the last to the first.
  void back(std::int64_t first, std::int64_t count, std::int64_t slots, const States& states,
            const std::vector<States>& checkpoints, std::size_t used, std::vector<Kept>& tapes) {
    if (count == 1) return back_step(tapes);
    const std::int64_t on = plan_.advance(count, slots);
    if (slots > 1) {
      const States& middle = checkpoints[used];
      back(first + on, count - on, slots - 1, middle, checkpoints, used + 1, tapes);
      emitter_.release(middle);
    } else {
      back_step(tapes);
    }
    std::vector<States> further;
    sweep(first, on, slots, states, further, tapes);
    back(first, on, slots, states, further, 0, tapes);
  }

  void back_step(std::vector<Kept>& tapes) {
    while (!tapes.empty()) {
      const Kept kept = std::move(tapes.back());
      tapes.pop_back();
      if (kept.window == windows() - 1) d_states_ = tasks_.callers_states();
      const States before = tasks_.backward(kept, {d_states_});
      emitter_.release(d_states_);
      d_states_ = before;
      tasks_.give_up(kept);
    }
  }

  // ---- Truncated: windows in the order of time, each gradient through `reach` of them ----

  bool keeps_all() const { return request_.tapes >= windows(); }

  void sweep_truncated(std::vector<States>& checkpoints, std::vector<Kept>& tapes) {
    States states = tasks_.callers_states();
    for (std::int64_t w = 0; w < windows(); ++w) {
      emitter_.hold(states);
      checkpoints.push_back(states);
      advance(w, states, keeps_all() ? &tapes.emplace_back() : nullptr);
    }
    emitter_.release(states);
  }

  void back_truncated(const std::vector<States>& checkpoints, std::vector<Kept>& tapes) {
    std::deque<Kept> ring(tapes.begin(), tapes.end());
    std::int64_t ring_first = 0;
    for (std::int64_t w = 0; w < windows(); ++w) {
      if (!keeps_all()) {
        ring.emplace_back();
        emitter_.release(tasks_.forward(w, checkpoints[at(w)], &ring.back()));
      }
      States d_states = tasks_.callers_states();
      const std::int64_t least = std::max<std::int64_t>(w - request_.reach + 1, 0);
      for (std::int64_t v = w; v >= least; --v) {
        const States before = tasks_.backward(ring[at(v - ring_first)], {d_states, v == w, v < w});
        emitter_.release(d_states);
        d_states = before;
      }
      emitter_.release(d_states);
      for (; ring_first <= w - request_.reach + 1; ++ring_first) {
        tasks_.give_up(ring.front());
        ring.pop_front();
        emitter_.release(checkpoints[at(ring_first)]);
      }
    }
    for (; !ring.empty(); ++ring_first) {
      tasks_.give_up(ring.front());
      ring.pop_front();
      emitter_.release(checkpoints[at(ring_first)]);
    }
  }

  const GraphRequest& request_;
  Emitter emitter_;
  WindowTasks tasks_{request_, emitter_};
  Checkpoints plan_{steps(), request_.slots};
  States d_states_;
};

}  // namespace

InputParts input_parts(const lacuna_layer& layer, std::int64_t tokens) {
  Parts parts;
  InputParts out;
  out.values = parts.take(product(tokens, layer.features, size_of(layer.type)));
  out.mask = parts.take(has_mask(layer) ? product(tokens, layer.features, 1) : 0);
  out.delta =
      parts.take(uses_delta(layer) ? product(tokens, layer.features, wide_size_of(layer.type)) : 0);
  out.bytes = parts.end();
  return out;
}

StateParts state_parts(const lacuna_layer& layer, std::int64_t sequences) {
  const std::size_t real = size_of(layer.type), wide = wide_size_of(layer.type);
  Parts parts;
  StateParts out;
  out.hidden = parts.take(product(sequences, output_width(layer), real));
  out.cell = parts.take(layer.cell == LACUNA_LSTM ? product(sequences, layer.hidden, real) : 0);
  const bool masked = has_mask(layer);
  out.last_values = parts.take(masked ? product(sequences, layer.features, wide) : 0);
  out.since = parts.take(masked ? product(sequences, layer.features, wide) : 0);
  out.bytes = parts.end();
  return out;
}

Graph build(const GraphRequest& request) { return Walk(request).run(); }

}  // namespace lacuna::schedule
