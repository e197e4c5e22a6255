#include "host/cuda/regime.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>
#include <vector>

#include "host/backend.h"
#include "host/plan/shape.h"
#include "kernels/recurrence/resident/backward.h"

namespace lacuna::cuda {
namespace {

constexpr std::int64_t tile = resident::lanes_per_tile;

const char* name_of(lacuna_type type) {
  switch (type) {
    case LACUNA_F64: return "fp64";
    case LACUNA_F16: return "fp16";
    case LACUNA_BF16: return "bf16";
    default: return "fp32";
  }
}

// What a block takes of the larger of its two kernels.
std::size_t resident_shared_bytes(const lacuna_layer& layer, bool tf32, bool inference) {
  const resident::Division division{.slice = resident::padded_units(layer.hidden)};
  const auto of_operand = [&]<class E>(E) {
    return with_cell(layer.cell, [&]<class Cell>(Cell) {
      const std::size_t forward =
          resident::ForwardMemory<Cell, E>{division}.template bytes<resident::OwnOperands<E>>();
      const std::size_t backward =
          resident::BackwardMemory<Cell, resident::GradientOperand<E>>{division}
              .template bytes<resident::OwnSums>();
      return inference ? forward : std::max(forward, backward);
    });
  };
  switch (layer.type) {
    case LACUNA_F16: return of_operand(simt::Fp16{});
    case LACUNA_BF16: return of_operand(simt::Bf16{});
    default: return resident::with_operand<float>(tf32, of_operand);
  }
}

// Empty: the regime serves.
std::string why_not_resident(const lacuna_layer& layer, const lacuna_capacity& capacity, bool tf32,
                             bool inference, const DeviceFacts& facts) {
  const auto too_much = [](const char* what, std::int64_t value, std::int64_t most) {
    return std::string(what) + " is " + std::to_string(value) + ", and it takes at most " +
           std::to_string(most);
  };
  if (layer.layer_norm != 0) return "layer normalisation is stepwise";
  if (layer.type == LACUNA_F64) return "the type is fp64, which it does not compute in";
  if (draws(layer)) return "zoneout and recurrent dropout are stepwise";
  if (layer.projection > 0) return "a projection is stepwise";
  if (layer.hidden > resident::most_units)
    return too_much("hidden", layer.hidden, resident::most_units);
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (capacity.tokens > most) return too_much("capacity.tokens", capacity.tokens, most);
  const std::size_t needed = resident_shared_bytes(layer, tf32, inference);
  if (needed > facts.shared_bytes)
    return "W_h and a step take " + std::to_string(needed) +
           " bytes of shared memory, of which a block has " + std::to_string(facts.shared_bytes);
  return {};
}

// Of lengths, a plan knows what its capacity says.
std::string idle_share(const DeviceLayout& lay, const lacuna_capacity& capacity) {
  if (capacity.max_length == 0 || capacity.tokens == 0) return {};
  std::ostringstream text;
  text << "           of " << capacity.tokens << " tokens in sequences of at most "
       << capacity.max_length << ", lanes are idle for at most "
       << std::lround(100 * most_idle(capacity.tokens, capacity.max_length, lay.most_lanes))
       << " % of their steps\n";
  return text.str();
}

}  // namespace

void choose_regime(DeviceLayout& lay, const lacuna_layer& layer, const lacuna_capacity& capacity,
                   const lacuna_plan_options& options, const DeviceFacts& facts) {
  lay.tf32 = options.precision == LACUNA_PRECISION_TF32;
  if (lay.tf32 && layer.type != LACUNA_F32)
    throw BackendError(LACUNA_UNSUPPORTED,
                       "options.precision: 1, tf32, which is for fp32 layers; this one's type is " +
                           std::string(name_of(layer.type)));
  lay.why_not_resident = why_not_resident(layer, capacity, lay.tf32, options.inference != 0, facts);
  const bool serves = lay.why_not_resident.empty();
  if (options.regime == LACUNA_REGIME_RESIDENT && !serves)
    throw BackendError(LACUNA_UNSUPPORTED, "options.regime: the resident regime does not serve: " +
                                               lay.why_not_resident);
  lay.regime = serves && options.regime != LACUNA_REGIME_STEPWISE ? LACUNA_REGIME_RESIDENT
                                                                  : LACUNA_REGIME_STEPWISE;
  const std::int64_t tiles = (std::max<std::int64_t>(capacity.sequences, 1) + tile - 1) / tile;
  lay.most_lanes = static_cast<std::int32_t>(
      tile * std::min<std::int64_t>(tiles, std::max(facts.multiprocessors, 1)));
}

double most_idle(std::int64_t tokens, std::int64_t longest, std::int64_t lanes) {
  const auto fair = static_cast<double>(tokens) / static_cast<double>(lanes);
  const auto more = static_cast<double>(longest);
  return more > 0 ? more / (fair + more) : 0;
}

std::string explain_regime(const DeviceLayout& lay, const lacuna_capacity& capacity) {
  std::ostringstream text;
  text << "regime     ";
  if (lay.regime == LACUNA_REGIME_RESIDENT) {
    text << "resident: one kernel of at most " << lay.most_lanes / tile
         << " blocks (tiles), each with all of W_h and " << tile << " lanes, " << lay.most_lanes
         << " in all; a lane takes its next sequence as it ends one, longest first\n"
         << "           where the host knows the lengths, no more blocks run than they keep busy\n"
         << idle_share(lay, capacity);
  } else {
    text << "stepwise: per time step a product [sequences, " << lay.output_units << "] x ["
         << lay.output_units << ", " << lay.product_gates * lay.units << "]"
         << (lay.projected ? ", another that projects, and kernels" : " and a kernel")
         << " over sequences that still have tokens, longest first\n"
         << "           not resident, for "
         << (lay.why_not_resident.empty() ? "options.regime says so" : lay.why_not_resident)
         << '\n';
  }
  if (lay.tf32) text << "           products of weights in tf32: operands of 11 bits\n";
  text << "           all that does not depend on the state is done for all tokens at once\n";
  return text.str();
}

std::int32_t resident_lanes(std::span<const std::int64_t> lengths, std::int32_t most) {
  const auto whole_tiles = [](std::int64_t lanes) { return (lanes + tile - 1) / tile * tile; };
  if (lengths.empty() || lengths.front() == 0) return static_cast<std::int32_t>(tile);
  const auto count = static_cast<std::int64_t>(lengths.size());
  const std::int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  // No schedule ends before the longest sequence does, nor with fewer lanes than this.
  const std::int64_t longest = lengths.front(), bound = longest + longest / 50;
  for (std::int64_t lanes = whole_tiles((tokens + longest - 1) / longest); lanes < most;
       lanes += whole_tiles(std::max(tile, lanes / 16))) {
    std::int64_t latest = 0;
    for (std::int64_t lane = 0; lane < lanes && latest <= bound; ++lane) {
      std::int64_t steps = 0, round = 0;
      for (std::int64_t row = lane; row < count; row = resident::dealt_row(++round, lane, lanes))
        steps += lengths[static_cast<std::size_t>(row)];
      latest = std::max(latest, steps);
    }
    if (latest <= bound) return static_cast<std::int32_t>(lanes);
  }
  return static_cast<std::int32_t>(std::min<std::int64_t>(most, whole_tiles(count)));
}

}  // namespace lacuna::cuda
