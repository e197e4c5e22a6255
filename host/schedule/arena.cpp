#include "host/schedule/arena.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace lacuna::schedule {
namespace {

std::size_t round_up(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

std::size_t most_alive(std::span<const Lifetime> buffers, std::size_t alignment) {
  std::int32_t end = 0;
  for (const Lifetime& buffer : buffers) end = std::max(end, buffer.last + 1);
  std::vector<std::size_t> starts(static_cast<std::size_t>(end) + 1), ends(starts.size());
  for (const Lifetime& buffer : buffers) {
    starts[static_cast<std::size_t>(buffer.first)] += round_up(buffer.bytes, alignment);
    ends[static_cast<std::size_t>(buffer.last) + 1] += round_up(buffer.bytes, alignment);
  }
  std::size_t alive = 0, most = 0;
  for (std::size_t time = 0; time < starts.size(); ++time) {
    alive += starts[time];
    alive -= ends[time];
    most = std::max(most, alive);
  }
  return most;
}

}  // namespace

Arena lay_out(std::span<const Lifetime> buffers, std::size_t alignment) {
  std::size_t total = 0;
  for (const Lifetime& buffer : buffers)
    if (__builtin_add_overflow(total, round_up(buffer.bytes, alignment), &total) ||
        buffer.bytes > static_cast<std::size_t>(-1) / 2)
      throw std::length_error("the buffers do not fit any memory");

  Arena arena;
  arena.offsets.resize(buffers.size());
  arena.floor = most_alive(buffers, alignment);
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return buffers[a].bytes > buffers[b].bytes;
  });

  std::vector<std::size_t> laid;  // by rising offset
  for (const std::size_t next : order) {
    const Lifetime& buffer = buffers[next];
    const std::size_t bytes = round_up(buffer.bytes, alignment);
    std::size_t place = 0, tightest = static_cast<std::size_t>(-1), end = 0;
    bool fits = false;
    for (const std::size_t other : laid) {
      if (buffers[other].last < buffer.first || buffer.last < buffers[other].first) continue;
      const std::size_t begin = arena.offsets[other];
      if (begin >= end + bytes && begin - end < tightest) {
        tightest = begin - end;
        place = end;
        fits = true;
      }
      end = std::max(end, begin + round_up(buffers[other].bytes, alignment));
    }
    arena.offsets[next] = fits ? place : end;
    arena.bytes = std::max(arena.bytes, arena.offsets[next] + bytes);
    const auto behind = std::upper_bound(
        laid.begin(), laid.end(), next,
        [&](std::size_t a, std::size_t b) { return arena.offsets[a] < arena.offsets[b]; });
    laid.insert(behind, next);
  }
  return arena;
}

}  // namespace lacuna::schedule
