// How training kernels cut work over blocks, sum over a block, and move several values at once. The
// cut follows from counts alone, never from the device, and no sum depends on an address: the same
// numbers give the same bits wherever they lie.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/simt/simt.h"

namespace lacuna {
inline namespace SIMT_PATH {
namespace train {

inline constexpr int block_threads = 256;

// Blocks of a launch over `tasks`; the kernel strides over the rest. `most` is several times what
// any GPU holds at once, so that more blocks would gain nothing.
inline unsigned blocks_for(std::int64_t tasks, std::int64_t most = 4096) {
  return static_cast<unsigned>(std::min(tasks, most));
}

SIMT_BOTH constexpr std::int64_t pieces_of(std::int64_t count, std::int64_t size) {
  return (count + size - 1) / size;
}

// Values that one 16-byte access moves.
template <class E>
inline constexpr int wide = static_cast<int>(16 / sizeof(E));

// Whether all of them may be accessed 16 bytes at a time.
template <class... E>
SIMT_BOTH bool all_aligned(const E*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

// N values, which are aligned to 16 bytes or to all N, in as few accesses as there can be.
template <int N, class E>
SIMT_DEVICE void load_aligned(const E* from, E (&to)[N]) {
  constexpr int width = N < wide<E> ? N : wide<E>;
  SIMT_UNROLL
  for (int i = 0; i < N; i += width) {
    const auto values = simt::load<width>(from + i);
    SIMT_UNROLL
    for (int j = 0; j < width; ++j) to[i + j] = values[j];
  }
}

template <int N, class E>
SIMT_DEVICE void store_aligned(E* to, const E (&from)[N]) {
  constexpr int width = N < wide<E> ? N : wide<E>;
  SIMT_UNROLL
  for (int i = 0; i < N; i += width) {
    simt::Vec<E, width> values;
    SIMT_UNROLL
    for (int j = 0; j < width; ++j) values[j] = from[i + j];
    simt::store(to + i, values);
  }
}

// The same where only the caller knows.
template <int N, class E>
SIMT_DEVICE void load_values(const E* from, bool aligned, E (&to)[N]) {
  if (aligned) return load_aligned(from, to);
  SIMT_UNROLL
  for (int i = 0; i < N; ++i) to[i] = from[i];
}

template <int N, class E>
SIMT_DEVICE void store_values(E* to, bool aligned, const E (&from)[N]) {
  if (aligned) return store_aligned(to, from);
  SIMT_UNROLL
  for (int i = 0; i < N; ++i) to[i] = from[i];
}

// The sum over the block's threads, for thread 0; `warp_sums` is shared memory of the block's own
// for this one call.
template <class V>
SIMT_DEVICE V block_sum(V value, V* warp_sums) {
  for (unsigned distance = simt::warp_size / 2; distance > 0; distance /= 2)
    value += simt::shuffle_down(value, distance);
  if (simt::lane_index() == 0) warp_sums[simt::warp_index()] = value;
  simt::sync_block();
  V sum = 0;
  if (simt::thread_rank() == 0)
    for (unsigned warp = 0; warp < block_threads / simt::warp_size; ++warp) sum += warp_sums[warp];
  return sum;
}

}  // namespace train
}  // namespace SIMT_PATH
}  // namespace lacuna
