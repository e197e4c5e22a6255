#include "host/schedule/stack.h"

#include <algorithm>
#include <cmath>

namespace lacuna::schedule {
namespace {

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0); }

std::int64_t longest_of(const lacuna_capacity& capacity) {
  return capacity.max_length > 0 ? capacity.max_length : capacity.tokens;
}

}  // namespace

// The square root: as many borders as tokens in a window, so that kept states and one window's tape are of like size. Short
// sequences are not cut, for a window has to be worth its start.
std::int64_t customary_segment(std::int64_t longest) {
  constexpr std::int64_t shortest = 64, grain = 16;
  if (longest <= shortest) return std::max<std::int64_t>(longest, 1);
  const auto root = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(longest))));
  const std::int64_t segment = std::max(shortest, divide_up(root, grain) * grain);
  return std::max(segment, divide_up(longest, most_windows));
}

Windows cut(const lacuna_capacity& capacity, std::int64_t segment) {
  Windows windows;
  windows.segment = segment;
  windows.count = std::max<std::int64_t>(divide_up(longest_of(capacity), segment), 1);
  std::int64_t size = 0;
  for (std::int64_t w = 0; w < windows.count; ++w) {
    // A sequence that reaches the window has more than w * segment tokens, of which there are so many in all.
    const std::int64_t reach = std::min(capacity.sequences, capacity.tokens / (w * segment + 1));
    std::int64_t tokens = capacity.tokens;
    if (std::int64_t whole = 0; !__builtin_mul_overflow(reach, segment, &whole))
      tokens = std::min(tokens, whole);
    if (w == 0 || tokens <= size / 2) {
      size = tokens;
      windows.class_tokens.push_back(size);
    }
    windows.size_class.push_back(static_cast<int>(windows.class_tokens.size()) - 1);
  }
  return windows;
}

}  // namespace lacuna::schedule
