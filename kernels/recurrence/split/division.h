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
// ForwardProduct::meet_row's.
inline constexpr unsigned block_barrier = 1 + most_warps;
SIMT_DEVICE void meet_block() { simt::sync_named(block_barrier, simt::block_size().x); }

// `blocks`: a power of 2. Slices that leave warps idle share the depth of their products among them.
SIMT_BOTH constexpr Division division_of(std::int64_t hidden, int blocks) {
  Division division{.blocks = blocks,
                    .slice = resident::padded_units((hidden + blocks - 1) / blocks)};
  while (2 * division.depths <= blocks && 2 * division.warps() <= most_warps) division.depths *= 2;
  return division;
}

// Global memory that a group exchanges through where its blocks do not reach each other's shared memory.
struct ExchangeRoom {
  std::byte* bytes = nullptr;    // groups one after another
  unsigned* arrivals = nullptr;  // [groups, arrival_stride], 0 before the launch
};
inline constexpr int arrival_stride = 32;  // a cache line for each

}  // namespace lacuna::split
