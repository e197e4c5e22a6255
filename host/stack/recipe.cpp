#include "host/stack/recipe.h"

#include <algorithm>
#include <optional>

#include "host/schedule/checkpoints.h"

namespace lacuna::stack {
namespace {

using schedule::Graph;
using schedule::Stack;
using schedule::Windows;

// Windows hold their rows in the order of reading, so that within them every direction reads forward.
lacuna_layer layer_of(const StackRecipe& recipe, int layer, int direction) {
  lacuna_layer one = recipe.stack.layers[Stack::at(layer)];
  one.reverse = recipe.windows.whole() && recipe.stack.reads_from_end(layer, direction) ? 1 : 0;
  return one;
}

lacuna_plan_options options_of(const StackRecipe& recipe, int layer) {
  lacuna_plan_options options{};
  if (!recipe.options.layers.empty()) options = recipe.options.layers[Stack::at(layer)];
  options.inference = recipe.options.inference;
  return options;
}

Recipe layer_recipe(const Backend& backend, const StackRecipe& recipe, int layer, int direction,
                    std::int64_t tokens) {
  // Tasks of a wave: both directions of a layer, or layers that follow each other through the windows. A budget changes
  // neither, so it changes no plan.
  const std::int64_t sharers =
      recipe.stack.bidirectional
          ? recipe.stack.directions()
          : std::min<std::int64_t>(recipe.stack.depth(), recipe.windows.count);
  const std::int64_t longest =
      recipe.windows.whole() ? recipe.capacity.max_length : recipe.windows.segment;
  try {
    return backend.plan(
        layer_of(recipe, layer, direction),
        {.tokens = tokens, .sequences = recipe.capacity.sequences, .max_length = longest},
        options_of(recipe, layer), static_cast<int>(sharers));
  } catch (const BackendError& error) {
    // A backend speaks of "options."; whose they are stands before. Of options of zeros it supports all.
    if (error.status != LACUNA_UNSUPPORTED) throw;
    throw BackendError(error.status,
                       "options.layer_options[" + std::to_string(layer) + "]: " + error.what());
  }
}

std::vector<Recipe> layer_recipes(const Backend& backend, const StackRecipe& recipe) {
  std::vector<Recipe> made;
  for (int layer = 0; layer < recipe.stack.depth(); ++layer)
    for (int direction = 0; direction < recipe.stack.directions(); ++direction)
      for (const std::int64_t tokens : recipe.windows.class_tokens)
        made.push_back(layer_recipe(backend, recipe, layer, direction, tokens));
  return made;
}

struct Choice {
  std::int64_t tapes = 1, slots = 1;
  bool shares_workspace = false;
};

// Tries what memory can be spent on. Two ways: tapes of more windows at once, so that fewer are run again, and more states.
class Search {
 public:
  explicit Search(StackRecipe& recipe) : recipe_(recipe), count_(recipe.windows.count) {}

  schedule::LayerSizes sizes_of(int layer, int direction, int size_class) const {
    const std::size_t classes = recipe_.windows.class_tokens.size();
    const Recipe& one = recipe_.recipes[recipe_.stack.place(layer, direction) * classes +
                                        static_cast<std::size_t>(size_class)];
    return {one.tape_bytes, one.workspace_bytes + recipe_.window_bytes +
                                recipe_.fires_bytes(one.layer, one.capacity.tokens)};
  }

  Graph graph(const Choice& choice) const {
    return schedule::build({.stack = recipe_.stack,
                            .capacity = recipe_.capacity,
                            .windows = recipe_.windows,
                            .measure = [this](auto... at) { return sizes_of(at...); },
                            .inference = recipe_.options.inference,
                            .tapes = choice.tapes,
                            .slots = choice.slots,
                            .shares_workspace = choice.shares_workspace,
                            .truncated = recipe_.options.truncated(),
                            .reach = reach()});
  }

  void run() {
    Graph whole = graph({count_, 1});
    recipe_.unlimited_bytes = whole.bytes;
    const Choice tightest = least();
    recipe_.least_bytes = std::min(whole.bytes, graph(tightest).bytes);
    if (fits(whole)) return take({count_, 1}, std::move(whole));
    if (recipe_.least_bytes > recipe_.options.budget) throw BudgetTooSmall{recipe_.least_bytes};
    if (recipe_.options.truncated() || recipe_.options.inference)
      return take(tightest, graph(tightest));
    // Workspaces of their own let layers run side by side, but not at the price of running more windows again.
    const std::optional<Choice> apart = with_all_states(false), shared = with_all_states(true);
    std::optional<Choice> best = apart && apart->tapes >= shared->tapes ? apart : shared;
    if (!best) best = with_few_states();
    take(*best, graph(*best));
  }

 private:
  std::int64_t reach() const {
    return recipe_.options.truncated()
               ? recipe_.options.truncate_reach / recipe_.options.truncate_every
               : 0;
  }
  std::int64_t steps(std::int64_t tapes) const { return (count_ + tapes - 1) / tapes; }
  bool fits(const Graph& graph) const {
    return recipe_.options.budget == 0 || graph.bytes <= recipe_.options.budget;
  }
  bool fits(const Choice& choice) const { return fits(graph(choice)); }
  std::int64_t fewest_slots(std::int64_t tapes) const {
    return schedule::Checkpoints::fewest_slots(steps(tapes), most_repetitions);
  }
  Choice least() const {
    if (recipe_.options.inference) return {count_, 1, true};
    if (recipe_.options.truncated()) return {std::min(reach(), count_), 1, true};
    return {1, fewest_slots(1), true};
  }
  void take(const Choice& choice, Graph graph) {
    recipe_.tapes = choice.tapes;
    recipe_.slots = std::min(choice.slots, steps(choice.tapes));
    recipe_.shares_workspace = choice.shares_workspace;
    recipe_.graph = std::move(graph);
  }

  // From count_ down to 1, each about four fifths of the one before.
  std::vector<std::int64_t> tape_counts() const {
    std::vector<std::int64_t> counts;
    for (std::int64_t tapes = count_; tapes > 0; tapes = std::min(tapes - 1, tapes * 4 / 5))
      counts.push_back(tapes);
    return counts;
  }

  // Every window but those whose tapes are kept is run again once: the more tapes, the fewer.
  std::optional<Choice> with_all_states(bool shares_workspace) const {
    const auto all = [&](std::int64_t tapes) {
      return Choice{tapes, steps(tapes), shares_workspace};
    };
    std::int64_t too_many = count_;
    for (const std::int64_t tapes : tape_counts()) {
      if (!fits(all(tapes))) {
        too_many = tapes;
        continue;
      }
      std::int64_t most = tapes;
      while (too_many - most > 1) {
        const std::int64_t middle = (too_many + most) / 2;
        (fits(all(middle)) ? most : too_many) = middle;
      }
      return all(most);
    }
    return std::nullopt;
  }

  // Some windows are run again more than once: the best of what fits, for one tape at least does.
  std::optional<Choice> with_few_states() const {
    std::optional<Choice> best;
    std::int64_t least_again = 0;
    for (const std::int64_t tapes : tape_counts()) {
      std::int64_t slots = fewest_slots(tapes), too_many = steps(tapes);
      if (!fits(Choice{tapes, slots, true})) continue;
      while (too_many - slots > 1) {
        const std::int64_t middle = (too_many + slots) / 2;
        (fits(Choice{tapes, middle, true}) ? slots : too_many) = middle;
      }
      const std::int64_t again = schedule::Checkpoints(steps(tapes), slots).recomputed() * tapes;
      if (!best || again < least_again) {
        best = Choice{tapes, slots, true};
        least_again = again;
      }
    }
    return best;
  }

  StackRecipe& recipe_;
  std::int64_t count_;
};

}  // namespace

StackRecipe make_recipe(const Backend& backend, const Stack& stack, const lacuna_capacity& capacity,
                        const Options& options) {
  StackRecipe recipe;
  recipe.stack = stack;
  if (options.inference) recipe.stack.dropout = 0;
  recipe.capacity = capacity;
  recipe.options = options;
  std::int64_t segment = options.truncated() ? options.truncate_every : options.segment;
  if (segment == 0)
    segment = schedule::customary_segment(capacity.max_length > 0 ? capacity.max_length
                                                                  : capacity.tokens);
  recipe.windows = schedule::cut(capacity, segment);
  recipe.recipes = layer_recipes(backend, recipe);
  if (recipe.needs_windows()) recipe.window_bytes = backend.window_bytes(capacity.sequences);
  Search(recipe).run();
  return recipe;
}

lacuna_stack_info StackRecipe::info() const {
  return {.memory_bytes = graph.bytes,
          .memory_floor = graph.floor,
          .memory_without_budget = unlimited_bytes,
          .memory_least = least_bytes,
          .segment = windows.segment,
          .windows = windows.count,
          .kept_tapes = options.inference ? 0 : tapes,
          .kept_states = options.inference ? 0 : slots,
          .windows_again = graph.recomputed,
          .tasks = static_cast<std::int64_t>(graph.tasks.size()),
          .waves = graph.waves()};
}

}  // namespace lacuna::stack
