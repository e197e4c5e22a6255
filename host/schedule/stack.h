// A stack of layers, and how its time is cut into windows. Plain facts that graph, plan and run share.
#pragma once

#include <cstdint>
#include <vector>

#include "host/plan/shape.h"
#include "lacuna/lacuna.h"

namespace lacuna::schedule {

struct Stack {
  std::vector<lacuna_layer> layers;
  bool bidirectional = false;
  bool residual = false;
  double dropout = 0;

  int depth() const { return static_cast<int>(layers.size()); }
  int directions() const { return bidirectional ? 2 : 1; }
  lacuna_type type() const { return layers.front().type; }
  // Columns of what a layer hands on, and of what it reads.
  std::int64_t output_width(int layer) const {
    return directions() * lacuna::output_width(layers[at(layer)]);
  }
  std::int64_t input_width(int layer) const { return layers[at(layer)].features; }
  bool reads_from_end(int layer, int direction) const {
    return direction == 1 || layers[at(layer)].reverse != 0;
  }
  // What a layer's output goes through on its way to the next one.
  bool drops() const { return dropout > 0 && depth() > 1; }
  bool drops(int layer) const { return dropout > 0 && layer + 1 < depth(); }
  bool adds_input(int layer) const { return residual && layer > 0; }
  // What there is one of per layer and direction: how many, and which is whose.
  std::size_t places() const { return layers.size() * (bidirectional ? 2 : 1); }
  std::size_t place(int layer, int direction) const {
    return at(layer) * (bidirectional ? 2 : 1) + at(direction);
  }

  static std::size_t at(int layer) { return static_cast<std::size_t>(layer); }
};

// Layers that one window passes through before the next one starts: all of them, or, where a reverse direction needs
// the whole of the layer below, each for itself.
struct Stage {
  int first, last;  // layers first .. last-1
};

inline std::vector<Stage> stages_of(const Stack& stack) {
  if (!stack.bidirectional) return {{0, stack.depth()}};
  std::vector<Stage> stages;
  stages.reserve(stack.layers.size());
  for (int layer = 0; layer < stack.depth(); ++layer) stages.push_back({layer, layer + 1});
  return stages;
}

// Window w holds the tokens w * segment .. (w+1) * segment - 1 of every sequence, counted in the order of reading.
struct Windows {
  std::int64_t segment = 0, count = 0;
  // The most tokens that window w of a batch can have. Sizes are rounded up to a few classes, each with plans of its own.
  std::vector<int> size_class;             // [count]
  std::vector<std::int64_t> class_tokens;  // falling

  bool whole() const { return count == 1; }
  std::int64_t tokens(std::int64_t window) const {
    return class_tokens[static_cast<std::size_t>(size_class[static_cast<std::size_t>(window)])];
  }
};

inline constexpr std::int64_t most_windows = 1024;

// From the longest sequence alone, so that a budget never changes how gradients are summed.
std::int64_t customary_segment(std::int64_t longest);
// segment >= 1, at most most_windows of them.
Windows cut(const lacuna_capacity& capacity, std::int64_t segment);

}  // namespace lacuna::schedule
