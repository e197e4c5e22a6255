// A stack's plan for people, as text.
#include <sstream>

#include "host/stack/recipe.h"

namespace lacuna::stack {
namespace {

std::string options_of(const schedule::Stack& stack) {
  std::ostringstream text;
  text << stack.depth() << " layer(s), "
       << (stack.bidirectional ? "both directions" : "one direction");
  if (stack.residual) text << ", residual";
  if (stack.dropout > 0) text << ", dropout " << stack.dropout << " between layers";
  return text.str();
}

std::string choice_of(const StackRecipe& recipe) {
  const std::int64_t windows = recipe.windows.count;
  std::ostringstream text;
  if (recipe.options.inference) return "inference: nothing is kept";
  if (recipe.options.truncated()) {
    text << "truncated: a gradient every " << recipe.options.truncate_every
         << " tokens, which flows back through " << recipe.options.truncate_reach << "; ";
    if (recipe.tapes >= windows)
      text << "all tapes are kept";
    else
      text << "states are kept at every border and tapes of " << recipe.tapes
           << " window(s), for more do not fit the budget";
  } else if (recipe.tapes >= windows) {
    text << "all tapes are kept"
         << (recipe.options.budget > 0 ? ", for they fit the budget" : ", for there is no budget");
  } else {
    text << "tapes of " << recipe.tapes << " of " << windows << " windows are kept at once and "
         << recipe.slots << " states, the best that the budget of "
         << mebibytes(recipe.options.budget) << " allows (binomial checkpointing)";
  }
  return text.str();
}

}  // namespace

std::string explain(const StackRecipe& recipe, const Backend& backend) {
  const schedule::Stack& stack = recipe.stack;
  const schedule::Graph& graph = recipe.graph;
  std::ostringstream text;
  text << "stack      " << options_of(stack) << '\n';
  for (int layer = 0; layer < stack.depth(); ++layer) {
    text << "-- layer " << layer << ", in each window of each direction";
    if (!recipe.options.layers.empty()) text << ", by options.layer_options[" << layer << ']';
    text << '\n' << backend.explain(recipe.recipe(layer, 0, 0));
  }
  text << "-- over time\n"
       << "windows    " << recipe.windows.count << " of " << recipe.windows.segment << " tokens"
       << (recipe.windows.whole() ? ": sequences are not cut\n" : "\n") << "kept       "
       << choice_of(recipe) << '\n';
  if (!recipe.options.inference) {
    const std::int64_t all =
        recipe.windows.count * stack.directions() * (stack.bidirectional ? stack.depth() : 1);
    text << "run again  " << graph.recomputed << " windows; a sweep over all is " << all << '\n';
  }
  if (recipe.shares_workspace && stack.depth() > 1 && !stack.bidirectional)
    text
        << "workspace  one for all layers, which therefore take turns: one for each does not fit\n";
  text << "tasks      " << graph.tasks.size() << " in " << graph.waves()
       << " waves; those of a wave may run side by side\n"
       << "memory     " << mebibytes(graph.bytes) << " in one block, of which "
       << mebibytes(graph.floor) << " are in use at one time";
  if (recipe.options.budget > 0)
    text << "; budget " << mebibytes(recipe.options.budget) << ", without one "
         << mebibytes(recipe.unlimited_bytes);
  text << '\n';
  return text.str();
}

}  // namespace lacuna::stack
