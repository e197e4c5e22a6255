// How a block of the resident regime divides its work. A tile is eight lanes and all units of the state: a warp has 16 of
// the units, and of every product's 16 x 8 result a thread holds four numbers, two units by two lanes. As each gate is
// such a product, a thread finds all gates of its four (unit, lane) pairs in its own registers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/simt/fragment.h"
#include "kernels/simt/index.h"
#include "kernels/simt/launch.h"
#include "kernels/simt/number.h"

namespace lacuna::resident {

inline constexpr int lanes_per_tile = 8;
inline constexpr int units_per_warp = 16;
inline constexpr int most_units = 128;
inline constexpr int most_threads = most_units / units_per_warp * static_cast<int>(simt::warp_size);
inline constexpr int pairs = 4;  // (unit, lane) pairs of a thread

// H, rounded up to whole warps: the depth and the height of the products.
SIMT_BOTH constexpr int padded_units(std::int64_t hidden) {
  return static_cast<int>((hidden + units_per_warp - 1) / units_per_warp) * units_per_warp;
}

// What a thread owns. Pair i is unit(i) of lane(i).
struct Own {
  int thread = static_cast<int>(simt::lane_index());
  int first_unit = static_cast<int>(simt::warp_index()) * units_per_warp;

  SIMT_DEVICE int unit(int pair) const { return first_unit + simt::fragment::c_row(thread, pair); }
  SIMT_DEVICE int lane(int pair) const { return simt::fragment::c_column(thread, pair); }
  // Of its two lanes, which one the pair belongs to.
  SIMT_DEVICE static constexpr int side(int pair) { return pair % 2; }
};

inline simt::LaunchConfig launch_of_tiles(std::int64_t lanes, int units, std::size_t shared_bytes) {
  return {.grid = {static_cast<unsigned>(lanes / lanes_per_tile)},
          .block = {static_cast<unsigned>(units / units_per_warp) * simt::warp_size},
          .shared_bytes = shared_bytes};
}

}  // namespace lacuna::resident
