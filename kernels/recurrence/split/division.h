// How a state is divided among the blocks of a group that hold W_h together, by units: each block has all gates of its
// own, so that no gate has to travel. Every block walks the same eight lanes (recurrence/resident); of a step, blocks
// exchange the state they made, forward, or what their gates add to each other's d_h, backward.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/recurrence/resident/tile.h"
#include "kernels/simt/index.h"
#include "kernels/simt/sync.h"

namespace lacuna::split {

using resident::Division;

inline constexpr int most_warps = resident::most_threads / static_cast<int>(simt::warp_size);

// A block's barrier, at which warps that own units and warps that help them meet from different places in the program. Not
// sync_block: CUDA C++ wants all threads of a block at the same __syncthreads. Numbers up to most_warps are
// PartialSums::meet's.
inline constexpr unsigned block_barrier = 1 + most_warps;
SIMT_DEVICE void meet_block() { simt::sync_named(block_barrier, simt::block_size().x); }

// `blocks`: a power of 2. Slices that leave warps idle share the depth of their products among them.
SIMT_BOTH constexpr Division division_of(std::int64_t hidden, int blocks) {
  Division division{.blocks = blocks,
                    .slice = resident::padded_units((hidden + blocks - 1) / blocks)};
  while (2 * division.depths <= blocks && 2 * division.warps() <= most_warps) division.depths *= 2;
  return division;
}

// What a warp has in its block's columns, its units of every lane, on its way to the other blocks: 16 bytes at a time, for
// what is sent costs by the piece. A thread has one piece, and where there are fewer of them than threads, several have the
// same and share the destinations.
template <class Stored>
struct WarpPiece {
  static constexpr int width = 16 / static_cast<int>(sizeof(Stored));
  static constexpr int per_lane = resident::units_per_warp / width;
  static constexpr int pieces = resident::lanes_per_tile * per_lane;
  static constexpr int sharing = static_cast<int>(simt::warp_size) / pieces;

  int lane, at;  // the piece begins in the lane's column, counted from the slice
  int share;     // of those that share it, this one's number

  SIMT_DEVICE explicit WarpPiece(const resident::Own& own)
      : lane(own.thread % pieces / per_lane),
        at(own.row * resident::units_per_warp + own.thread % per_lane * width),
        share(own.thread / pieces) {}
};

// Global memory that a group exchanges through where its blocks do not reach each other's shared memory.
struct ExchangeRoom {
  std::byte* bytes = nullptr;    // groups one after another
  unsigned* arrivals = nullptr;  // [groups, arrival_stride], 0 before the launch
};
inline constexpr int arrival_stride = 32;  // a cache line for each

}  // namespace lacuna::split
