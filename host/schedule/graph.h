// What a stack's forward and backward run do, as tasks with explicit dependencies over buffers with known lifetimes. Pure:
// built from sizes alone, before anything runs.
//
// A task takes one layer, in one direction, through one window. Tasks are gathered into waves: those of a wave depend on
// nothing in it and may run side by side; waves follow each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "host/schedule/stack.h"

namespace lacuna::schedule {

using Id = std::int32_t;
inline constexpr Id none = -1;

enum class Role {
  input,           // a window of the batch: values, mask, time since each measurement
  gaps,            // a window's gaps
  rows,            // what one layer hands to the next in a window
  state,           // a state at the border of two windows, with the context of imputation
  tape,            // of one layer in a window
  workspace,       // of one layer while it runs
  boundary,        // what one bidirectional layer hands to the next, all tokens
  gradient_rows,   // dL/d of rows or input
  gradient_state,  // dL/d of a state
  gradient_gaps,   // dL/d of a window's gaps
  gradient_norms,  // of each token of a window
  gradient_boundary,
  marker,  // no memory: stands for an array of the caller's, or part of one, in dependencies
};

struct Buffer {
  Role role = Role::marker;
  std::size_t bytes = 0;
  std::int32_t first = -1, last = -1;  // waves
  std::size_t offset = 0;
};

// Buffers that are `none` stand for the caller's arrays, the boundary between stages, or nothing; graph.cpp says which.
struct Task {
  enum class Kind {
    forward,
    backward,
    close,  // adds what the second direction found about the batch's inputs to what the first did
  };
  Kind kind = Kind::forward;
  int stage = 0, layer = 0, direction = 0;
  std::int64_t window = 0;
  bool again = false;  // a forward run that is repeated within the backward run
  // Backward, truncated: nothing of this window's outputs has a gradient of its own; nothing comes from later windows,
  // and d_next_state is to hold the gradients of the final states of sequences that end here.
  bool silent = false, severed = false;
  std::int32_t wave = 0;

  Id input = none, gaps = none;  // of the window, in windows' own rows
  Id rows_in = none,
     rows_out = none;  // layers within a stage; rows_out also what is to be scattered
  Id state = none, next_state = none;      // entering, leaving
  Id tape = none, workspace = none;        // tape none: nothing is kept
  Id d_rows_out = none, d_rows_in = none;  // gradients of the same
  Id d_next_state = none, d_state = none;
  Id d_norms = none;
  Id d_gaps = none, d_gaps_above = none;  // this layer's; the sum of those above it in the stage
};

// Bytes of one layer's tape and workspace for windows of a size class.
struct LayerSizes {
  std::size_t tape = 0, workspace = 0;
};
using MeasureLayer = std::function<LayerSizes(int layer, int direction, int size_class)>;

struct GraphRequest {
  const Stack& stack;
  const lacuna_capacity& capacity;
  const Windows& windows;
  MeasureLayer measure;
  bool inference = false;
  // Windows whose tapes are kept together, and kept states: the two ways to spend memory.
  std::int64_t tapes = 1, slots = 1;
  // All layers of a stage work in one workspace, one after the other; otherwise each has its own, and neighbouring windows
  // may be in different layers at the same time.
  bool shares_workspace = false;
  bool truncated = false;
  std::int64_t reach =
      0;  // truncated: windows that a gradient flows back through, the one it comes from included
};

struct Graph {
  std::vector<Buffer> buffers;
  std::vector<Task> tasks;               // by wave
  std::vector<std::size_t> wave_begins;  // [waves + 1], in tasks
  std::int32_t forward_waves = 0;        // the rest is the backward run's
  std::size_t bytes = 0, floor = 0;      // of the block that all buffers share
  std::int64_t recomputed = 0;           // windows run again, over all directions and stages
  // Arrays over all tokens, between stages: [stage] (from 1), [stage][direction] of gradients.
  std::vector<Id> boundary;
  std::vector<std::vector<Id>>
      d_boundary;            // of stage 0: the second direction's, to be added at the end
  Id d_gaps_reverse = none;  // the second direction's dL/d gaps, all tokens

  std::int32_t waves() const { return static_cast<std::int32_t>(wave_begins.size()) - 1; }
};

// Throws std::length_error where sizes overflow.
Graph build(const GraphRequest& request);

// Where the parts of composite buffers lie; `bytes` is their end. Parts that a layer does not have are empty.
struct InputParts {
  std::size_t values = 0, mask = 0, delta = 0, bytes = 0;
};
InputParts input_parts(const lacuna_layer& layer, std::int64_t tokens);
struct StateParts {
  std::size_t hidden = 0, cell = 0, last_values = 0, since = 0, bytes = 0;
};
// Gradients have the same parts.
StateParts state_parts(const lacuna_layer& layer, std::int64_t sequences);

}  // namespace lacuna::schedule
