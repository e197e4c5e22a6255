#include "host/cuda/explain.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iomanip>
#include <numeric>
#include <sstream>
#include <vector>

#include "host/cuda/lanes.h"
#include "kernels/recurrence/split/division.h"

namespace lacuna::cuda {
namespace {

// Of lengths, a plan knows what its capacity says.
std::string most_idle_share(const DeviceLayout& lay, const lacuna_capacity& capacity) {
  if (capacity.max_length == 0 || capacity.tokens == 0) return {};
  std::ostringstream text;
  text << "           of " << capacity.tokens << " tokens in sequences of at most "
       << capacity.max_length << ", lanes are idle for at most "
       << std::lround(100 * most_idle(capacity.tokens, capacity.max_length, lay.most_lanes))
       << " % of their steps\n";
  return text.str();
}

// Of the products of a step, where few rows are to fill a device.
std::string explain_parts(const DeviceLayout& lay) {
  std::string text;
  const auto add = [&](const char* which, int parts) {
    if (parts == 1) return;
    text += (text.empty() ? "           sums of a step's products are made in parts: " : ", ") +
            std::string(which) + " in " + std::to_string(parts);
  };
  add("forward", lay.product_parts);
  add("of r h", lay.candidate_parts);
  add("backward", lay.d_product_parts);
  return text.empty() ? text : text + '\n';
}

}  // namespace

const char* name_of(lacuna_regime regime) {
  switch (regime) {
    case LACUNA_REGIME_RESIDENT: return "resident";
    case LACUNA_REGIME_CLUSTER: return "cluster";
    case LACUNA_REGIME_GRID: return "grid";
    case LACUNA_REGIME_LONE: return "lone";
    default: return "stepwise";
  }
}

std::string microseconds(double us) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(2) << us << " us";
  return text.str();
}

std::string explain_regime(const Recipe& recipe) {
  const DeviceLayout& lay = recipe.device;
  const lacuna_capacity& capacity = recipe.capacity;
  std::ostringstream text;
  const std::int64_t tile = lanes_per_tile(lay.regime);
  text << "regime     ";
  const std::string turns =
      "a lane takes its next sequence as it ends one, longest first\n"
      "           where the host knows the lengths, no more blocks run than they keep busy\n";
  switch (lay.regime) {
    case LACUNA_REGIME_RESIDENT:
      text << "resident: one kernel of at most " << lay.most_lanes / tile
           << " blocks (tiles), each with all of W_h and " << tile << " lanes, " << lay.most_lanes
           << " in all; " << turns << most_idle_share(lay, capacity);
      break;
    case LACUNA_REGIME_LONE:
      text << "lone: one kernel of at most " << lay.most_lanes
           << " blocks, each with all of W_h and one lane, in plain fp32 arithmetic; " << turns
           << most_idle_share(lay, capacity);
      break;
    case LACUNA_REGIME_CLUSTER:
    case LACUNA_REGIME_GRID: {
      const resident::Division division = split::division_of(lay.hidden, lay.blocks);
      const bool clusters = lay.regime == LACUNA_REGIME_CLUSTER;
      text << name_of(lay.regime) << ": one kernel of at most " << lay.most_lanes / tile
           << (clusters ? " clusters (tiles) of " : " groups (tiles) of ") << division.blocks
           << " blocks, which hold W_h together, " << division.slice << " units each, exchange "
           << (clusters ? "states through each other's shared memory"
                        : "states through global memory")
           << " and walk " << tile << " lanes, " << lay.most_lanes << " in all; " << turns
           << most_idle_share(lay, capacity);
      break;
    }
    default:
      text << "stepwise: per time step a product [sequences, " << lay.output_units << "] x ["
           << lay.output_units << ", " << lay.product_gates * lay.units << "]"
           << (lay.projected ? ", another that projects, and kernels" : " and a kernel")
           << " over sequences that still have tokens, longest first\n"
           << explain_parts(lay);
  }
  if (lay.block_bytes > 0) {
    text << "           a block takes at most " << lay.block_bytes << " bytes of shared memory";
    if (lay.backward_block_bytes > 0)
      text << " on the way forward and " << lay.backward_block_bytes << " on the way back";
    text << '\n';
  }
  if (lay.step_us > 0)
    text << "           a step forward of all sequences is expected to take "
         << microseconds(lay.step_us) << ", and cannot take less than "
         << microseconds(lay.floor_us) << '\n'
         << "           constants of the prediction: " << lay.constants << '\n';
  if (lay.start_us > 0)
    text << "           before the first step pass " << microseconds(lay.start_us) << ", which "
         << capacity.max_length << " step(s) hardly hide\n";
  if (lay.most_multiprocessors > 0)
    text << "           takes at most " << lay.most_multiprocessors << " of " << lay.multiprocessors
         << " multiprocessors\n";
  if (lay.sharers > 1)
    text << "           chosen as one of " << lay.sharers << " plans that share the device\n";
  text << lay.considered;
  if (recipe.layer.type == LACUNA_F32 && !lay.tf32 && lay.regime != LACUNA_REGIME_STEPWISE)
    text << "           fp32 products of a step: "
         << (lay.regime == LACUNA_REGIME_LONE ? "plain fp32 arithmetic\n"
                                              : "three of tf32 parts each, by tensor cores\n");
  if (lay.tf32)
    text << "           products of weights in tf32: operands of 11 bits"
         << (lay.regime == LACUNA_REGIME_LONE ? ", but for those of a step\n" : "\n");
  text << "           all that does not depend on the state is done for all tokens at once\n";
  return text.str();
}

std::string explain_lanes(const DeviceLayout& lay, std::span<const std::int64_t> lengths) {
  const std::int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  std::int64_t steps = 0;
  if (lay.regime == LACUNA_REGIME_STEPWISE) {
    const std::int64_t longest = lengths.empty() ? 0 : lengths.front();
    for (std::int64_t step = 0; step < longest; ++step) steps += stepwise_rows(lengths, step);
    return "rows       idle are " + idle_share(tokens, steps) + " that " + std::to_string(longest) +
           " products cover\n";
  }
  const std::int64_t lanes = lanes_for(lay, lengths), tile = lanes_per_tile(lay.regime);
  steps = lanes * steps_of_lanes(lengths, lanes);
  std::ostringstream text;
  text << "lanes      " << lanes << " in " << lanes / tile << " tile(s) of " << lay.blocks
       << " block(s); idle are " << idle_share(tokens, steps) << " steps of lanes\n";
  return text.str();
}

std::string explain(const Recipe& recipe, const std::string& device) {
  const DeviceLayout& lay = recipe.device;
  std::ostringstream text;
  text << explain_task(recipe) << "backend    CUDA, " << device << '\n'
       << explain_regime(recipe) << explain_memory(recipe);
  if (lay.tape_kind == LACUNA_TAPE_STATES)
    text << "gates      not taped"
         << (lay.why_no_gates.empty() ? std::string() : ", for " + lay.why_no_gates)
         << ": computed again from states and inputs, " << lay.recomputed_tokens
         << " tokens at once\n";
  if (lay.tape_kind == LACUNA_TAPE_GATES) text << "gates      taped\n";
  text << "products   " << mebibytes(lay.workspace.product_scratch_bytes) << " of the workspace\n";
  if (lay.branches > 1)
    text << "streams    " << lay.branches
         << " branches of the caller's for what does not wait for each other\n";
  else
    text << "streams    the caller's alone: " << lay.one_stream << '\n';
  return text.str();
}

std::string explain_batch(const Recipe& recipe, std::span<const std::int64_t> offsets) {
  std::vector<std::int64_t> lengths;
  for (std::size_t b = 1; b < offsets.size(); ++b) lengths.push_back(offsets[b] - offsets[b - 1]);
  std::sort(lengths.begin(), lengths.end(), std::greater<>());
  return explain_lengths(offsets) + explain_lanes(recipe.device, lengths);
}

}  // namespace lacuna::cuda
