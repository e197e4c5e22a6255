// Gradient flow: the Euclidean norm of dL/d(h after each token), of the rows that a recurrence leaves of it.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/simt/index.h"
#include "kernels/simt/launch.h"
#include "kernels/simt/warp.h"

namespace lacuna {
namespace norms {

inline constexpr int threads_per_block = 128;
inline constexpr int warps_per_block = threads_per_block / static_cast<int>(simt::warp_size);

// The larger; a NaN stays.
template <class R>
SIMT_DEVICE R larger(R a, R b) {
  return b <= a || a != a ? a : b;
}

// A warp for each row. Scaled by the largest: what vanishes or explodes is to be seen far beyond where its square would be.
template <class R>
SIMT_KERNEL(threads_per_block)
void of_rows(const R* rows, std::int64_t count, std::int64_t stride, std::int64_t width, R* norms) {
  const std::int64_t first =
      std::int64_t{simt::block_index().x} * warps_per_block + simt::warp_index();
  const std::int64_t warps = std::int64_t{simt::grid_size().x} * warps_per_block;
  for (std::int64_t row = first; row < count; row += warps) {
    const R* const at = rows + row * stride;
    R largest = R(0);
    for (std::int64_t u = simt::lane_index(); u < width; u += simt::warp_size)
      largest = larger(largest, at[u] < R(0) ? -at[u] : at[u]);
    for (unsigned toggle = 1; toggle < simt::warp_size; toggle *= 2)
      largest = larger(largest, simt::shuffle_xor(largest, toggle));
    const bool plain = largest > R(0) && std::isfinite(largest);
    R squares = R(0);
    for (std::int64_t u = simt::lane_index(); u < width && plain; u += simt::warp_size) {
      const R scaled = at[u] / largest;
      squares += scaled * scaled;
    }
    for (unsigned distance = simt::warp_size / 2; distance > 0; distance /= 2)
      squares += simt::shuffle_down(squares, distance);
    if (simt::lane_index() == 0) norms[row] = plain ? largest * std::sqrt(squares) : largest;
  }
}

}  // namespace norms

// norms [count] "=", of rows [count, stride], of which `width` columns count.
template <class R>
void norms_of_rows(simt::Stream stream, const R* rows, std::int64_t count, std::int64_t stride,
                   std::int64_t width, R* result) {
  if (count == 0) return;
  constexpr std::int64_t most_blocks = 4096;
  const std::int64_t blocks = (count + norms::warps_per_block - 1) / norms::warps_per_block;
  simt::launch({.grid = {static_cast<unsigned>(blocks < most_blocks ? blocks : most_blocks)},
                .block = {norms::threads_per_block}},
               stream, norms::of_rows<R>, rows, count, stride, width, result);
}

}  // namespace lacuna
