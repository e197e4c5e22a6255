// One thread per element: the shape of launches that have no other structure.
#pragma once
#include <algorithm>

#include "kernels/simt/index.h"
#include "kernels/simt/launch.h"

namespace lacuna {
inline namespace SIMT_PATH {
namespace tokens {

inline constexpr unsigned flat_threads = 256;

// At least one block. Larger counts than a grid holds are folded: kernels step by flat_step().
inline simt::LaunchConfig flat_launch(std::int64_t count, unsigned threads = flat_threads) {
  constexpr std::int64_t most_blocks = 0x7fffffff;
  const std::int64_t blocks = (count + threads - 1) / threads;
  return {.grid = {static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, most_blocks))},
          .block = {threads}};
}

// For kernels in which a block has its own piece of the work.
inline simt::LaunchConfig block_launch(std::int64_t blocks) {
  return {.grid = {static_cast<unsigned>(blocks)}, .block = {flat_threads}};
}

SIMT_DEVICE std::int64_t flat_index() {
  return static_cast<std::int64_t>(simt::block_index().x) * simt::block_size().x +
         simt::thread_index().x;
}

SIMT_DEVICE std::int64_t flat_step() {
  return static_cast<std::int64_t>(simt::grid_size().x) * simt::block_size().x;
}

}  // namespace tokens
}  // namespace SIMT_PATH
}  // namespace lacuna
