// How a block of one lane divides W_h among its threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/recurrence/resident/tile.h"

namespace lacuna::lone {

using resident::Division;
using resident::units_per_warp;

inline constexpr int threads_per_unit = 2;
inline constexpr int most_threads = threads_per_unit * resident::most_units;
inline constexpr int most_columns = resident::most_units / threads_per_unit;  // of a thread

// `units`: whole warps, resident::padded_units.
SIMT_BOTH constexpr int threads_of(int units) { return threads_per_unit * units; }
SIMT_BOTH constexpr int columns_of(int units) { return units / threads_per_unit; }

// How many columns of each of `matrices` a thread has in registers, beside the rest of a step: found by trying, as
// resident::kept_fragments. size_known: by the kernel, which then needs fewer registers for addresses.
SIMT_BOTH constexpr int kept_columns(int matrices, bool size_known) {
  if (matrices >= 4) return size_known ? 36 : 32;
  if (matrices == 3) return size_known ? 52 : 48;
  return most_columns;
}

// Whether a usual walk's kernel knows the size: of cells with gates, as resident::knows_sizes.
constexpr bool knows_size(int matrices, std::int64_t hidden) {
  return matrices >= 3 && (hidden == 64 || hidden == 128);
}

// Numbers of shared memory for the others, of a block.
SIMT_BOTH constexpr std::size_t weights_beyond(int matrices, int units, bool size_known) {
  const int more = columns_of(units) - kept_columns(matrices, size_known);
  return more > 0 ? static_cast<std::size_t>(matrices * more * threads_of(units)) : 0;
}

}  // namespace lacuna::lone
