#include "host/cuda/lanes.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/recurrence/lone/tile.h"
#include "kernels/recurrence/resident/lanes.h"

namespace lacuna::cuda {
namespace {

std::int64_t steps_of_lane(std::span<const std::int64_t> lengths, std::int64_t lane,
                           std::int64_t lanes) {
  const auto count = static_cast<std::int64_t>(lengths.size());
  std::int64_t steps = 0, round = 0;
  for (std::int64_t row = lane; row < count; row = resident::dealt_row(++round, lane, lanes))
    steps += lengths[static_cast<std::size_t>(row)];
  return steps;
}

// What the lane with the most has, or the first that has more than `bound`.
std::int64_t steps_up_to(std::span<const std::int64_t> lengths, std::int64_t lanes,
                         std::int64_t bound) {
  std::int64_t latest = 0;
  for (std::int64_t lane = 0; lane < lanes && latest <= bound; ++lane)
    latest = std::max(latest, steps_of_lane(lengths, lane, lanes));
  return latest;
}

}  // namespace

std::int64_t lanes_per_tile(lacuna_regime regime) {
  return regime == LACUNA_REGIME_LONE ? lone::Own::lanes_per_tile : resident::lanes_per_tile;
}

double most_idle(std::int64_t tokens, std::int64_t longest, std::int64_t lanes) {
  const auto fair = static_cast<double>(tokens) / static_cast<double>(lanes);
  const auto more = static_cast<double>(longest);
  return more > 0 ? more / (fair + more) : 0;
}

std::int32_t lanes_for(const DeviceLayout& lay, std::span<const std::int64_t> lengths) {
  const std::int64_t tile = lanes_per_tile(lay.regime), most = lay.most_lanes;
  const auto whole_tiles = [&](std::int64_t lanes) { return (lanes + tile - 1) / tile * tile; };
  if (lengths.empty() || lengths.front() == 0) return static_cast<std::int32_t>(tile);
  const auto count = static_cast<std::int64_t>(lengths.size());
  const std::int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  // No schedule ends before the longest sequence does, nor with fewer lanes than this.
  const std::int64_t longest = lengths.front(), bound = longest + longest / 50;
  for (std::int64_t lanes = whole_tiles((tokens + longest - 1) / longest); lanes < most;
       lanes += whole_tiles(std::max(tile, lanes / 16))) {
    if (steps_up_to(lengths, lanes, bound) <= bound) return static_cast<std::int32_t>(lanes);
  }
  return static_cast<std::int32_t>(std::min<std::int64_t>(most, whole_tiles(count)));
}

std::int64_t steps_of_lanes(std::span<const std::int64_t> lengths, std::int64_t lanes) {
  return steps_up_to(lengths, lanes, std::numeric_limits<std::int64_t>::max());
}

std::int64_t stepwise_rows(std::span<const std::int64_t> lengths, std::int64_t step) {
  const auto sequences = static_cast<std::int64_t>(lengths.size());
  const auto shorter =
      std::partition_point(lengths.begin(), lengths.end(), [&](auto l) { return l > step; });
  const std::int64_t count = shorter - lengths.begin();
  const std::int64_t grain = std::max<std::int64_t>(8, (sequences + 15) / 16);
  return std::min(sequences, (count + grain - 1) / grain * grain);
}

}  // namespace lacuna::cuda
