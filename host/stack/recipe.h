// What a stack's plan has decided: windows, what is kept, the task graph, and a recipe for every layer of it. Pure, like
// host/plan: no device is touched and nothing of it is allocated.
#pragma once

#include <string>
#include <vector>

#include "host/backend.h"
#include "host/schedule/graph.h"

namespace lacuna::stack {

struct Options {
  bool inference = false;
  std::size_t budget = 0;                               // bytes; 0: no limit
  std::int64_t segment = 0;                             // tokens; 0: the customary one
  std::int64_t truncate_every = 0, truncate_reach = 0;  // tokens; 0: all the way
  std::vector<lacuna_plan_options> layers;              // of each; none: of zeros

  bool truncated() const { return truncate_every > 0; }
};

struct StackRecipe {
  schedule::Stack stack;
  lacuna_capacity capacity{};
  Options options;
  schedule::Windows windows;
  std::int64_t tapes = 1, slots = 1;
  bool shares_workspace = false;
  schedule::Graph graph;
  std::size_t unlimited_bytes = 0;  // of the block without a budget
  std::size_t least_bytes = 0;      // of the block under the tightest one
  std::vector<Recipe> recipes;      // [layer][direction][size class]
  std::size_t window_bytes = 0;     // of a task's window, behind its workspace

  // Dropout knows tokens by sequence and number, even where the one window is the whole batch.
  bool needs_windows() const { return !windows.whole() || stack.drops(); }
  std::size_t place(int layer, int direction, std::int64_t window) const {
    return stack.place(layer, direction) * windows.class_tokens.size() +
           static_cast<std::size_t>(windows.size_class[static_cast<std::size_t>(window)]);
  }
  const Recipe& recipe(int layer, int direction, std::int64_t window) const {
    return recipes[place(layer, direction, window)];
  }
  // Which of a task's tokens fire, behind its window: where the layer reads that, and it is not the caller's array as it is.
  std::size_t fires_bytes(const lacuna_layer& layer, std::int64_t tokens) const {
    const bool found = !windows.whole() || has_mask(stack.layers.front());
    return reads_fires(layer) && found ? static_cast<std::size_t>(tokens) : 0;
  }
  lacuna_stack_info info() const;
};

// However tight the budget, no window is run again more often than this on average.
inline constexpr std::int64_t most_repetitions = 10;

// No way to walk back fits the budget.
struct BudgetTooSmall {
  std::size_t least;  // bytes
};

// The stack, capacity and options have been checked. Throws std::length_error where sizes overflow, BackendError where the
// backend refuses a layer's options, BudgetTooSmall.
StackRecipe make_recipe(const Backend& backend, const schedule::Stack& stack,
                        const lacuna_capacity& capacity, const Options& options);

// For people: what was chosen and why; and the schedule, drawn as SVG.
std::string explain(const StackRecipe& recipe, const Backend& backend);
std::string timeline(const StackRecipe& recipe);

}  // namespace lacuna::stack
