// The pretended GPUs: as CUDA's programming guide lists their compute capabilities.
#pragma once

#include <algorithm>
#include <cstddef>

namespace lacuna::ptx {

struct Chip {
  int capability;  // of compute: 90 where it is 9.0
  int multiprocessors;
  int shared_bytes_opt_in, shared_bytes_of_multiprocessor;
  int largest_cluster;  // 1: there are none
  int kilohertz, cache_bytes;
};
inline constexpr Chip a100{80, 108, 163 << 10, 164 << 10, 1, 1410000, 40 << 20};
inline constexpr Chip h100{90, 132, 227 << 10, 228 << 10, 16, 1980000, 50 << 20};

namespace limits {

inline constexpr int threads = 1024;  // of a block
inline constexpr int threads_of_multiprocessor = 2048;
inline constexpr int blocks_of_multiprocessor = 32;
inline constexpr int shared_bytes = 48 << 10;          // of a block that has not asked for more
inline constexpr int reserved_shared_bytes = 1 << 10;  // of each block
inline constexpr int portable_cluster = 8;

// By threads and shared memory; what registers allow, only a compiler for the GPU knows.
inline int blocks_per_multiprocessor(const Chip& chip, std::size_t block_threads,
                                     std::size_t block_shared_bytes) {
  const std::size_t whole_warps = (block_threads + 31) / 32 * 32;
  const std::size_t by_threads = threads_of_multiprocessor / whole_warps;
  const std::size_t by_shared = static_cast<std::size_t>(chip.shared_bytes_of_multiprocessor) /
                                (block_shared_bytes + reserved_shared_bytes);
  return static_cast<int>(std::min({by_threads, by_shared, std::size_t{blocks_of_multiprocessor}}));
}

}  // namespace limits
}  // namespace lacuna::ptx
