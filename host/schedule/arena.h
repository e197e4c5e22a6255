// Buffers of known size and lifetime, laid into one block so that those alive at the same time do not overlap.
//
// The largest goes first, each into the smallest gap among those already laid that it meets in time (greedy by size:
// Pisarchyk & Lee 2020, arXiv:2001.03288). Finding the best layout is NP-hard; the floor below tells how far off this is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lacuna::schedule {

struct Lifetime {
  std::size_t bytes = 0;
  std::int32_t first = 0, last = 0;  // both inclusive
};

struct Arena {
  std::vector<std::size_t> offsets;
  std::size_t bytes = 0;  // the high-water mark
  std::size_t floor = 0;  // the most that is alive at once: no layout needs less
};

// Offsets are multiples of `alignment`. Throws std::length_error where the sum of sizes does not fit.
Arena lay_out(std::span<const Lifetime> buffers, std::size_t alignment);

}  // namespace lacuna::schedule
