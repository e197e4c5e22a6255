// The pretended GPU: an H100, as CUDA's programming guide lists compute capability 9.0.
#pragma once

#include <algorithm>
#include <cstddef>

namespace lacuna::ptx::limits {

inline constexpr int multiprocessors = 132;
inline constexpr int threads = 1024;  // of a block
inline constexpr int threads_of_multiprocessor = 2048;
inline constexpr int blocks_of_multiprocessor = 32;
inline constexpr int shared_bytes = 48 << 10;  // of a block that has not asked for more
inline constexpr int shared_bytes_opt_in = 227 << 10;
inline constexpr int shared_bytes_of_multiprocessor = 228 << 10;
inline constexpr int reserved_shared_bytes = 1 << 10;  // of each block
inline constexpr int portable_cluster = 8, largest_cluster = 16;

// By threads and shared memory; what registers allow, only a compiler for the GPU knows.
inline int blocks_per_multiprocessor(std::size_t block_threads, std::size_t block_shared_bytes) {
  const std::size_t whole_warps = (block_threads + 31) / 32 * 32;
  const std::size_t by_threads = threads_of_multiprocessor / whole_warps;
  const std::size_t by_shared =
      shared_bytes_of_multiprocessor / (block_shared_bytes + reserved_shared_bytes);
  return static_cast<int>(std::min({by_threads, by_shared, std::size_t{blocks_of_multiprocessor}}));
}

}  // namespace lacuna::ptx::limits
