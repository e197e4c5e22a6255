#include "host/plan/lanes.h"

#include <algorithm>
#include <numeric>

namespace lacuna {
namespace {

template <class T>
T* carve(std::byte*& at, std::int64_t count) {
  T* p = reinterpret_cast<T*>(at);
  at += static_cast<std::size_t>(count) * sizeof(T);
  return p;
}

// Deals `items`, which come longest first, to bins: each to the one with the least so far. Items of a bin end up next to
// one another in their old order. `scratch` holds two numbers per item and one per bin; bins are few, so a linear search
// for the least is quick.
template <class Length>
void deal_to_bins(std::span<std::int64_t> items, std::span<std::int64_t> load,
                  std::span<std::int64_t> count, std::int64_t* scratch, Length length) {
  const std::span<std::int64_t> bin(scratch, items.size());
  const std::span<std::int64_t> sorted(scratch + items.size(), items.size());
  std::int64_t* const next = scratch + 2 * items.size();
  std::fill(load.begin(), load.end(), 0);
  std::fill(count.begin(), count.end(), 0);
  for (std::size_t i = 0; i < items.size(); ++i) {
    bin[i] = std::min_element(load.begin(), load.end()) - load.begin();
    load[bin[i]] += length(items[i]);
    ++count[bin[i]];
  }
  std::exclusive_scan(count.begin(), count.end(), next, std::int64_t{0});
  for (std::size_t i = 0; i < items.size(); ++i) sorted[next[bin[i]]++] = items[i];
  std::copy(sorted.begin(), sorted.end(), items.begin());
}

}  // namespace

std::size_t lanes_bytes(std::int64_t sequences, std::int64_t groups, std::int64_t lanes_per_group) {
  const std::int64_t numbers = 3 * sequences + 3 * groups + 3 * lanes_per_group +
                               (groups > lanes_per_group ? groups : lanes_per_group);
  return static_cast<std::size_t>(numbers) * sizeof(std::int64_t) +
         static_cast<std::size_t>(groups * lanes_per_group) * sizeof(Lane);
}

Lanes place_lanes(std::byte* memory, std::int64_t sequences, std::int64_t groups,
                  std::int64_t lanes_per_group) {
  Lanes lanes;
  lanes.groups = groups;
  lanes.lanes_per_group = lanes_per_group;
  lanes.order = carve<std::int64_t>(memory, sequences);
  lanes.lane = carve<Lane>(memory, groups * lanes_per_group);
  lanes.lane_count = carve<std::int64_t>(memory, groups);
  lanes.scratch = reinterpret_cast<std::int64_t*>(memory);
  return lanes;
}

void deal(Lanes& lanes, std::span<const std::int64_t> offsets) {
  const std::int64_t sequences =
      offsets.empty() ? 0 : static_cast<std::int64_t>(offsets.size()) - 1;
  const auto length = [&](std::int64_t b) { return offsets[b + 1] - offsets[b]; };
  std::int64_t* const order = lanes.order;
  std::iota(order, order + sequences, std::int64_t{0});
  std::sort(order, order + sequences, [&](std::int64_t a, std::int64_t b) {
    return length(a) != length(b) ? length(a) > length(b) : a < b;
  });
  lanes.empty_first =
      std::find_if(order, order + sequences, [&](std::int64_t b) { return length(b) == 0; }) -
      order;

  std::int64_t* const group_load = lanes.scratch;
  std::int64_t* const group_size = group_load + lanes.groups;
  std::int64_t* const lane_load = group_size + lanes.groups;
  std::int64_t* const lane_size = lane_load + lanes.lanes_per_group;
  std::int64_t* const rest = lane_size + lanes.lanes_per_group;
  const std::span<std::int64_t> items(order, static_cast<std::size_t>(lanes.empty_first));
  const auto groups = static_cast<std::size_t>(lanes.groups);
  deal_to_bins(items, {group_load, groups}, {group_size, groups}, rest, length);

  std::int64_t first = 0;
  for (std::int64_t g = 0; g < lanes.groups; ++g) {
    const std::span<std::int64_t> mine(order + first, static_cast<std::size_t>(group_size[g]));
    std::int64_t& lane_count = lanes.lane_count[g];
    lane_count = 0;
    if (!mine.empty()) {
      const std::int64_t longest = length(mine[0]);
      lane_count =
          std::min({(group_load[g] + longest - 1) / longest, lanes.lanes_per_group, group_size[g]});
    }
    const auto count = static_cast<std::size_t>(lane_count);
    deal_to_bins(mine, {lane_load, count}, {lane_size, count}, rest, length);
    Lane* const lane = lanes.lane + g * lanes.lanes_per_group;
    for (std::int64_t l = 0; l < lane_count; ++l) {
      lane[l] = {first, first + lane_size[l], lane_load[l]};
      first += lane_size[l];
    }
    std::sort(lane, lane + lane_count, [](const Lane& a, const Lane& b) {
      return a.tokens != b.tokens ? a.tokens > b.tokens : a.first < b.first;
    });
  }
}

}  // namespace lacuna
