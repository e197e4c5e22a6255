#include "host/plan/recipe.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <vector>

#include "host/plan/lanes.h"
#include "host/plan/shape.h"

namespace lacuna {
namespace {

const char* name(lacuna_cell cell) {
  static constexpr const char* names[] = {"rnn_tanh", "rnn_relu", "rnn_euler",
                                          "lstm",     "gru",      "gru_reset_before"};
  return names[cell];
}
const char* name(lacuna_impute impute) {
  static constexpr const char* names[] = {"none", "mean", "forward", "decay", "relax"};
  return names[impute];
}
const char* name(lacuna_evolve evolve) {
  static constexpr const char* names[] = {"none", "decay", "decay_step", "relax"};
  return names[evolve];
}
const char* name(lacuna_isa isa) {
  static constexpr const char* names[] = {"best", "baseline", "AVX2", "AVX-512"};
  return names[isa];
}

const char* name(lacuna_type type) {
  static constexpr const char* names[] = {"fp32", "fp64", "fp16 computed in fp32",
                                          "bf16 computed in fp32"};
  return names[type];
}

}  // namespace

Recipe make_recipe(const lacuna_layer& layer, const lacuna_capacity& capacity, bool inference,
                   lacuna_isa isa, int threads) {
  Recipe recipe;
  recipe.layer = layer;
  recipe.capacity = capacity;
  recipe.inference = inference;
  recipe.isa = isa;
  recipe.threads = threads;
  recipe.layout = make_layout(layer, capacity, inference, threads);
  recipe.workspace_bytes = recipe.layout.workspace.bytes;
  recipe.tape_bytes = inference ? 0 : recipe.layout.tape.bytes;
  return recipe;
}

std::string mebibytes(std::size_t bytes) {
  std::ostringstream text;
  text.precision(3);
  text << static_cast<double>(bytes) / (1 << 20) << " MiB";
  return text.str();
}

std::string describe(const lacuna_layer& layer) {
  std::ostringstream text;
  text << name(layer.impute) << " -> " << name(layer.evolve) << " -> " << name(layer.cell) << ", "
       << name(layer.type) << ", " << layer.features << " features, " << layer.hidden
       << " hidden, ";
  if (layer.projection > 0) text << "projected to " << layer.projection << ", ";
  text << "input width " << input_width(layer) << (layer.layer_norm ? ", layer normalisation" : "")
       << (layer.reverse ? ", reverse" : "");
  return text.str();
}

std::string explain_task(const Recipe& recipe) {
  const lacuna_layer& layer = recipe.layer;
  std::ostringstream text;
  text << "layer      " << describe(layer) << '\n'
       << "capacity   " << recipe.capacity.tokens << " tokens in " << recipe.capacity.sequences
       << " sequences";
  if (recipe.capacity.max_length > 0)
    text << " of at most " << recipe.capacity.max_length << " tokens";
  text << (recipe.inference ? ", inference only" : "") << '\n';
  if (draws(layer))
    text << "noise      zoneout " << layer.zoneout_hidden << " of h, " << layer.zoneout_cell
         << " of c, recurrent dropout " << layer.recurrent_dropout
         << "; drawn where there is a tape\n";
  return text.str();
}

std::string explain_memory(const Recipe& recipe) {
  std::ostringstream text;
  if (!recipe.inference) {
    const auto tokens = static_cast<std::size_t>(recipe.capacity.tokens);
    text << "tape       " << mebibytes(recipe.tape_bytes) << ", "
         << (tokens > 0 ? recipe.tape_bytes / tokens : 0) << " bytes a token\n";
  }
  text << "workspace  " << mebibytes(recipe.workspace_bytes) << '\n';
  return text.str();
}

std::string explain(const Recipe& recipe) {
  const Layout& lay = recipe.layout;
  std::ostringstream text;
  text << explain_task(recipe) << "backend    CPU, " << name(recipe.isa) << ", " << recipe.threads
       << " thread(s)\n"
       << "schedule   " << lay.groups << " group(s) of at most " << lay.max_lanes
       << " lanes; a thread walks a group from end to end, a lane takes its next sequence as it "
          "ends one\n";
  if (!recipe.inference) {
    text << "gradients  of weights "
         << (lay.windowed ? "summed per group, a window of " + std::to_string(lay.window) +
                                " rows at a time while in cache"
                          : "in one pass over all tokens after the recurrence: the groups' own "
                            "sums would take " +
                                mebibytes(static_cast<std::size_t>(lay.weight_sums * lay.groups) *
                                          size_of(recipe.layer.type)))
         << '\n';
  }
  text << explain_memory(recipe);
  return text.str();
}

std::string explain_lengths(std::span<const std::int64_t> offsets) {
  std::int64_t empty = 0, longest = 0;
  for (std::size_t b = 1; b < offsets.size(); ++b) {
    const std::int64_t length = offsets[b] - offsets[b - 1];
    empty += length == 0;
    longest = std::max(longest, length);
  }
  std::ostringstream text;
  text << "batch      " << offsets.back() << " tokens in " << offsets.size() - 1 << " sequences, "
       << empty << " of them empty, the longest of " << longest << " tokens\n";
  return text.str();
}

std::string idle_share(std::int64_t tokens, std::int64_t steps) {
  const double idle = steps > 0 ? 1 - static_cast<double>(tokens) / static_cast<double>(steps) : 0;
  return std::to_string(std::lround(100 * idle)) + " % of " + std::to_string(steps);
}

std::string explain_batch(const Recipe& recipe, std::span<const std::int64_t> offsets) {
  const Layout& lay = recipe.layout;
  const auto sequences = static_cast<std::int64_t>(offsets.size()) - 1;
  std::vector<std::int64_t> memory(
      lanes_bytes(sequences, lay.groups, lay.max_lanes) / sizeof(std::int64_t) + 1);
  Lanes lanes = place_lanes(reinterpret_cast<std::byte*>(memory.data()), sequences, lay.groups,
                            lay.max_lanes);
  deal(lanes, offsets);
  std::int64_t groups = 0, count = 0, steps = 0;
  for (std::int64_t group = 0; group < lanes.groups; ++group) {
    const std::span<const Lane> of = lanes.of(group);
    if (of.empty()) continue;
    groups += 1;
    count += std::ssize(of);
    steps += std::ssize(of) * of.front().tokens;  // until its longest lane ends
  }
  std::ostringstream text;
  text << explain_lengths(offsets) << "lanes      " << count << " in " << groups
       << " group(s); idle are " << idle_share(offsets.back(), steps) << " steps of lanes\n";
  return text.str();
}

}  // namespace lacuna
