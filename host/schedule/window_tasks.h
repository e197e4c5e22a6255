// The tasks of one window of a stage in one direction: forward through its layers, and back.
#pragma once

#include "host/schedule/emitter.h"

namespace lacuna::schedule {

// What a window leaves for its way back.
struct Kept {
  std::int64_t window = 0;
  Id input = none, gaps = none;
  States states;          // that entered
  std::vector<Id> tapes;  // per layer of the stage
};

// What a window's way back starts from.
struct Later {
  States d_states;                       // of the states that leave; `none`: the caller's
  bool severed = false, silent = false;  // as in Task
};

class WindowTasks {
 public:
  WindowTasks(const GraphRequest& request, Emitter& emitter);

  // What follows is of this stage and direction.
  void enter(int stage, int direction) {
    stage_ = stage;
    direction_ = direction;
  }
  int stages() const { return static_cast<int>(stages_.size()); }
  States callers_states() const { return States(layers(), none); }

  // Takes the states that enter, and returns those that leave, to be released. `kept` gets what the way back needs; null:
  // nothing is kept.
  States forward(std::int64_t window, const States& states, Kept* kept);
  // Returns the gradients of the states that entered, to be released.
  States backward(const Kept& kept, const Later& later);
  // The window has been walked back.
  void give_up(const Kept& kept);
  // After all else: adds what the second direction found to what the first did.
  void close();

 private:
  std::size_t wide_bytes() const { return wide_size_of(stack_.type()); }
  // Bytes of a window's rows, and of those of all tokens that enter a layer.
  std::size_t rows(std::int64_t window, std::int64_t width) const;
  std::size_t gaps(std::int64_t window) const;
  std::size_t all_rows(int layer) const;
  std::size_t state(int layer) const;
  LayerSizes sizes(int layer, std::int64_t window) const;
  Id acquire(Role role, int layer, std::size_t bytes) {
    const bool shared = role == Role::workspace && request_.shares_workspace;
    return emitter_.acquire({role, stage_, shared ? stage().first : layer, direction_}, bytes);
  }

  static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }
  const Stage& stage() const { return stages_[at(stage_)]; }
  std::size_t layers() const { return at(stage().last - stage().first); }
  const lacuna_layer& layer_at(int layer) const { return stack_.layers[at(layer)]; }
  bool is_last_of_stage(int layer) const { return layer + 1 == stage().last; }
  // Whether the last layer's output, and the gradient it gets, are in windows' own rows.
  bool moves_rows() const { return !windows_.whole() || stack_.bidirectional; }
  // Whether what leaves the stage enters another one.
  bool is_last_stage() const { return at(stage_) + 1 == stages_.size(); }

  const GraphRequest& request_;
  const Stack& stack_;
  const Windows& windows_;
  Emitter& emitter_;
  std::vector<Stage> stages_;
  int stage_ = 0, direction_ = 0;

  // Markers: gradients of the parameters of each layer and direction; sums of gradients of gaps, per direction; what each
  // direction of each stage, [stage][direction], has written of the rows that enter it, and of their gradients.
  std::vector<Id> parameters_, gap_sums_;
  std::vector<std::vector<Id>> written_, d_written_;
};

}  // namespace lacuna::schedule
