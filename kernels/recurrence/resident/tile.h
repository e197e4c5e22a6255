// How a tile divides its work. A tile is eight lanes and all units of the state, walked by one block (resident) or by the
// blocks of a group (split), each of which has a slice of the units. A warp has 16 units, and of every product's 16 x 8
// result a thread holds four numbers, two neighbouring units by two lanes. As each gate is such a product, a thread finds
// all gates of its four (unit, lane) pairs in its own registers.
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

// Who of a group has which units. Where a slice leaves warps of a block idle, several warps share the depth of the
// products of 16 units, `depths` of them.
//
// The blocks stand in a circle, and each counts from itself: block `rank + distance`, modulo the number of blocks.
struct Division {
  int blocks = 1;  // of a group, a power of 2
  int slice = 0;   // units of a block, whole warps
  int depths = 1;  // a power of 2, no larger than blocks

  SIMT_BOTH constexpr int units() const { return blocks * slice; }
  SIMT_BOTH constexpr int units_of_others() const { return units() - slice; }
  // Also for negative distances.
  SIMT_BOTH constexpr int block_at(int rank, int distance) const {
    return (rank + distance) & (blocks - 1);
  }
  SIMT_BOTH constexpr int rows() const { return slice / units_per_warp; }
  SIMT_BOTH constexpr int warps() const { return rows() * depths; }
};

// Which of a warp's units a row of its products is: what the tensor core gives a thread of one lane, rows 8 apart, is of
// neighbours.
SIMT_BOTH constexpr int unit_of_row(int row) {
  return row % (units_per_warp / 2) * 2 + row / (units_per_warp / 2);
}

// Blocks of tiles are one row of threads, so that no size is needed, and kept in a register, to count them.
SIMT_DEVICE int warp_of_block() {
  return static_cast<int>(simt::thread_index().x / simt::warp_size);
}
SIMT_DEVICE bool is_first_of_block() { return simt::thread_index().x == 0; }

// What a thread owns. Pair i is unit(i) of lane(i): two lanes, and of each two units side by side.
struct Own {
  static constexpr int pairs = resident::pairs;
  static constexpr int lanes = 2, neighbours = 2;
  static constexpr int lanes_per_tile = resident::lanes_per_tile;

  int tile, rank;  // the group's tile, and the block's place in the group
  int thread = static_cast<int>(simt::lane_index());
  int row, depth;         // which 16 units of the slice, and which part of their products' depth
  int slice, first_unit;  // of a block, how many; of this warp

  // Group: a Gather or Scatter.
  template <class Group>
  SIMT_DEVICE Own(const Division& division, const Group& group)
      : tile(group.tile()), rank(group.rank()), row(warp_of_block()), depth(0) {
    if constexpr (Group::in_group) {
      depth = row / division.rows();
      row %= division.rows();
    }
    slice = division.slice;
    first_unit = rank * slice + row * units_per_warp;
  }

  // Called in every step, so that what follows from the units, an address for each array, is not kept in registers between,
  // nor the first of them beside what it is made of; nor, where registers are short, what follows from the thread: places in
  // shared memory.
  template <bool thread_too>
  SIMT_DEVICE void forget_addresses() {
    row = static_cast<int>(simt::opaque(static_cast<std::uint32_t>(row)));
    first_unit = rank * slice + row * units_per_warp;
    if constexpr (thread_too)
      thread = static_cast<int>(simt::opaque(static_cast<std::uint32_t>(thread)) % simt::warp_size);
  }

  SIMT_DEVICE int unit(int pair) const { return first_unit + of_warp(pair); }
  SIMT_DEVICE int lane(int pair) const { return simt::fragment::c_column(thread, pair); }
  // Whether this thread stores what it has: nobody else has it.
  SIMT_DEVICE static constexpr bool stores() { return true; }
  // The same unit, counted from the block's slice.
  SIMT_DEVICE int place(int pair) const { return row * units_per_warp + of_warp(pair); }
  // Of its two lanes and its two units, an even one and the next, which one the pair belongs to.
  SIMT_DEVICE static constexpr int side(int pair) { return pair % 2; }
  SIMT_DEVICE static constexpr int which(int pair) { return pair / 2; }
  SIMT_DEVICE static constexpr int pair_of(int side, int which) { return side + 2 * which; }

 private:
  SIMT_DEVICE int of_warp(int pair) const {
    return unit_of_row(simt::fragment::c_row(thread, pair));
  }
};

inline simt::LaunchConfig launch_of_tiles(std::int64_t lanes, const Division& division,
                                          std::size_t shared_bytes) {
  return {.grid = {static_cast<unsigned>(lanes / lanes_per_tile * division.blocks)},
          .block = {static_cast<unsigned>(division.warps()) * simt::warp_size},
          .shared_bytes = shared_bytes};
}

}  // namespace lacuna::resident
