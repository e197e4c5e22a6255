// Gradient flow: the Euclidean norm of dL/d(h after each token). A recurrence leaves it in parts, one for some units of a
// token; what vanishes or explodes is to be seen far beyond where its square would be, so a part is scaled by its largest
// element.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/recurrence/sequences.h"
#include "kernels/simt/index.h"
#include "kernels/simt/launch.h"
#include "kernels/simt/warp.h"

namespace lacuna {

// The norm is largest sqrt(squares).
template <class R>
struct ScaledSquares {
  R largest = R(0);  // infinite or NaN where an element is
  R squares = R(0);  // of what the elements are divided by the largest

  SIMT_BOTH bool plain() const { return largest > R(0) && std::isfinite(largest); }
  SIMT_BOTH R norm() const { return plain() ? largest * std::sqrt(squares) : largest; }

  SIMT_BOTH static R larger(R a, R b) { return b <= a || a != a ? a : b; }
  SIMT_BOTH void add(ScaledSquares other) {
    ScaledSquares all{larger(largest, other.largest), R(0)};
    if (all.plain()) {
      const R mine = largest / all.largest, others = other.largest / all.largest;
      all.squares = squares * mine * mine + other.squares * others * others;
    }
    *this = all;
  }
  SIMT_BOTH void add(R element) { add({element < R(0) ? -element : element, R(1)}); }
};

// Parts of what `lanes` neighbouring threads of a warp hold `stride` apart, for all of them.
template <class R>
SIMT_DEVICE ScaledSquares<R> sum_over_threads(ScaledSquares<R> own, unsigned lanes,
                                              unsigned stride = 1) {
  for (unsigned toggle = stride; toggle < lanes * stride; toggle *= 2) {
    const ScaledSquares<R> other{simt::shuffle_xor(own.largest, toggle),
                                 simt::shuffle_xor(own.squares, toggle)};
    // The same order for both, so that they find the same bits.
    const bool first = (simt::lane_index() & toggle) == 0;
    ScaledSquares<R> sum = first ? own : other;
    sum.add(first ? other : own);
    own = sum;
  }
  return own;
}

namespace norms {

inline constexpr int threads_per_block = 128;

template <class R>
SIMT_KERNEL(threads_per_block)
void finish(const ScaledSquares<R>* parts, std::int64_t parts_per_token, std::int64_t tokens,
            R* norms) {
  const std::int64_t first =
      std::int64_t{simt::block_index().x} * threads_per_block + simt::thread_rank();
  const std::int64_t threads = std::int64_t{simt::grid_size().x} * threads_per_block;
  for (std::int64_t token = first; token < tokens; token += threads) {
    ScaledSquares<R> sum;
    for (std::int64_t p = 0; p < parts_per_token; ++p) sum.add(parts[token * parts_per_token + p]);
    norms[token] = sum.norm();
  }
}

// A warp for each row.
template <class R>
SIMT_KERNEL(threads_per_block)
void of_rows(SequenceView sequences, const R* d_h, std::int64_t stride, std::int64_t width,
             std::int64_t step, std::int64_t rows, R* norms) {
  constexpr std::int64_t warps = threads_per_block / simt::warp_size;
  const std::int64_t first = std::int64_t{simt::block_index().x} * warps + simt::warp_index();
  for (std::int64_t row = first; row < rows; row += std::int64_t{simt::grid_size().x} * warps) {
    const SequenceReading reading = sequences.row(row);
    if (step >= reading.length()) continue;
    ScaledSquares<R> own;
    for (std::int64_t u = simt::lane_index(); u < width; u += simt::warp_size)
      own.add(d_h[row * stride + u]);
    const ScaledSquares<R> sum = sum_over_threads(own, simt::warp_size);
    if (simt::lane_index() == 0) norms[reading.token(step)] = sum.norm();
  }
}

inline simt::LaunchConfig spread(std::int64_t tasks, std::int64_t per_block) {
  constexpr std::int64_t most = 4096;
  const std::int64_t blocks = (tasks + per_block - 1) / per_block;
  return {.grid = {static_cast<unsigned>(blocks < most ? blocks : most)},
          .block = {threads_per_block}};
}

}  // namespace norms

// norms [tokens] "=", from parts [tokens, parts_per_token].
template <class R>
void finish_norms(simt::Stream stream, const ScaledSquares<R>* parts, std::int64_t parts_per_token,
                  std::int64_t tokens, R* norms) {
  if (tokens > 0)
    simt::launch(norms::spread(tokens, norms::threads_per_block), stream, norms::finish<R>, parts,
                 parts_per_token, tokens, norms);
}

// Of each of the first `rows` sequences that has a token `step`, that token's norm "=", from d_h [rows, stride], of which
// `width` columns are units.
template <class R>
void norms_of_rows(simt::Stream stream, const SequenceView& sequences, const R* d_h,
                   std::int64_t stride, std::int64_t width, std::int64_t step, std::int64_t rows,
                   R* norms) {
  constexpr std::int64_t warps = norms::threads_per_block / simt::warp_size;
  if (rows > 0)
    simt::launch(norms::spread(rows, warps), stream, norms::of_rows<R>, sequences, d_h, stride,
                 width, step, rows, norms);
}

}  // namespace lacuna
