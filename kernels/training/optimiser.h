// What follows the gradients in a training step: clipping by their global norm, and Adam. R: float
// or double, the type of parameters, gradients and moments whatever the layer's values are.
#pragma once
#include <cmath>
#include <limits>

#include "kernels/cells/adam.h"
#include "kernels/training/blocks.h"
#include "lacuna/lacuna.h"

namespace lacuna {
inline namespace SIMT_PATH {

// ---- Clipping ----

// A norm over all arrays that is finite and larger than max_norm scales them all to it; one that is
// not finite changes nothing and is reported as it is.
template <class R>
struct ClipGradientNorm {
  std::int64_t arrays;
  void* const* gradients;      // host [arrays], of device arrays: kernels get them as parameters
  const std::int64_t* counts;  // host [arrays]
  double max_norm;
  double* norm;     // device, "=" the norm before; may be null
  void* workspace;  // clip_workspace_bytes(arrays, counts), aligned to 8
};

namespace train {

// Consecutive elements that one block sums or scales: a multiple of a 16-byte access, cut by the
// array's length alone.
inline std::int64_t clip_piece(std::int64_t count) {
  constexpr std::int64_t least = 4096, most_pieces = 256;
  return std::max(least, pieces_of(pieces_of(count, most_pieces), 16) * 16);
}
inline std::int64_t clip_pieces(std::int64_t count) { return pieces_of(count, clip_piece(count)); }

}  // namespace train

// The factor, then a sum of squares per piece.
inline std::size_t clip_workspace_bytes(std::int64_t arrays, const std::int64_t* counts) {
  std::int64_t pieces = 0;
  for (std::int64_t a = 0; a < arrays; ++a) pieces += train::clip_pieces(counts[a]);
  return static_cast<std::size_t>(1 + pieces) * sizeof(double);
}

namespace train {

// As many arrays as travel in the parameters of one launch.
template <class R>
struct GradientBatch {
  static constexpr int most = 64;
  R* gradients[most];
  std::int64_t counts[most], pieces[most];  // elements, and elements of a piece
  int first_block[most + 1];
  int arrays;
};

template <class R>
struct GradientPiece {
  R* values;
  std::int64_t count;
  bool aligned;
};

// The block's own.
template <class R>
SIMT_DEVICE GradientPiece<R> piece_of(const GradientBatch<R>& batch) {
  const int block = static_cast<int>(simt::block_index().x);
  int array = 0;
  while (block >= batch.first_block[array + 1]) ++array;
  const std::int64_t begin = (block - batch.first_block[array]) * batch.pieces[array];
  const std::int64_t left = batch.counts[array] - begin;
  R* const values = batch.gradients[array] + begin;
  return {values, left < batch.pieces[array] ? left : batch.pieces[array],
          reinterpret_cast<std::uintptr_t>(values) % 16 == 0};
}

template <class R>
SIMT_KERNEL(block_threads)
void sum_squares_kernel(GradientBatch<R> batch, double* sums) {
  SIMT_SHARED(warp_sums, double[block_threads / simt::warp_size]);
  const GradientPiece<R> piece = piece_of(batch);
  const auto rank = static_cast<std::int64_t>(simt::thread_rank());
  const std::int64_t whole = piece.count / wide<R>;
  double sum = 0;
  for (std::int64_t i = rank; i < whole; i += block_threads) {
    R values[wide<R>];
    load_values(piece.values + i * wide<R>, piece.aligned, values);
    SIMT_UNROLL
    for (int j = 0; j < wide<R>; ++j)
      sum += static_cast<double>(values[j]) * static_cast<double>(values[j]);
  }
  for (std::int64_t i = whole * wide<R> + rank; i < piece.count; i += block_threads)
    sum += static_cast<double>(piece.values[i]) * static_cast<double>(piece.values[i]);
  sum = block_sum(sum, warp_sums);
  if (rank == 0) sums[simt::block_index().x] = sum;
}

// One block. The factor is 1 where nothing is to change.
template <class Sum>
SIMT_KERNEL(block_threads)
void finish_norm_kernel(const Sum* sums, std::int64_t number, double max_norm, double* norm,
                        double* factor) {
  SIMT_SHARED(warp_sums, double[block_threads / simt::warp_size]);
  double sum = 0;
  for (std::int64_t i = simt::thread_rank(); i < number; i += block_threads) sum += sums[i];
  sum = block_sum(sum, warp_sums);
  if (simt::thread_rank() != 0) return;
  const double before = std::sqrt(sum);
  *factor = std::isfinite(before) && before > max_norm ? max_norm / before : 1.0;
  if (norm) *norm = before;
}

template <class R>
SIMT_KERNEL(block_threads)
void scale_gradients_kernel(GradientBatch<R> batch, const double* factor_of_all) {
  const double factor = *factor_of_all;
  if (factor == 1.0) return;  // saves the memory traffic
  const GradientPiece<R> piece = piece_of(batch);
  const auto rank = static_cast<std::int64_t>(simt::thread_rank());
  const std::int64_t whole = piece.count / wide<R>;
  const auto scale = [&](R& value) { value = static_cast<R>(factor * static_cast<double>(value)); };
  for (std::int64_t i = rank; i < whole; i += block_threads) {
    R values[wide<R>];
    load_values(piece.values + i * wide<R>, piece.aligned, values);
    SIMT_UNROLL
    for (int j = 0; j < wide<R>; ++j) scale(values[j]);
    store_values(piece.values + i * wide<R>, piece.aligned, values);
  }
  for (std::int64_t i = whole * wide<R> + rank; i < piece.count; i += block_threads)
    scale(piece.values[i]);
}

// Calls launch(batch, blocks, piece number of its first block) batch by batch; empty arrays are
// left out. Returns the number of pieces.
template <class R, class Launch>
std::int64_t for_each_batch(const ClipGradientNorm<R>& a, Launch launch) {
  std::int64_t pieces = 0;
  GradientBatch<R> batch = {};
  const auto flush = [&] {
    const int blocks = batch.first_block[batch.arrays];
    if (blocks == 0) return;
    launch(batch, static_cast<unsigned>(blocks), pieces);
    pieces += blocks;
    batch.arrays = 0;
  };
  for (std::int64_t array = 0; array < a.arrays; ++array) {
    if (a.counts[array] == 0) continue;
    const int at = batch.arrays++;
    batch.gradients[at] = static_cast<R*>(a.gradients[array]);
    batch.counts[at] = a.counts[array];
    batch.pieces[at] = clip_piece(a.counts[array]);
    batch.first_block[at + 1] =
        batch.first_block[at] + static_cast<int>(clip_pieces(a.counts[array]));
    if (batch.arrays == GradientBatch<R>::most) flush();
  }
  flush();
  return pieces;
}

}  // namespace train

template <class R>
void clip_gradient_norm(simt::Stream stream, const ClipGradientNorm<R>& a) {
  auto* const factor = static_cast<double*>(a.workspace);
  double* const sums = factor + 1;
  const std::int64_t pieces = train::for_each_batch(
      a, [&](const train::GradientBatch<R>& batch, unsigned blocks, std::int64_t first) {
        simt::launch({.grid = {blocks}, .block = {train::block_threads}}, stream,
                     train::sum_squares_kernel<R>, batch, sums + first);
      });
  simt::launch({.grid = {1}, .block = {train::block_threads}}, stream,
               train::finish_norm_kernel<double>, sums, pieces, a.max_norm, a.norm, factor);
  train::for_each_batch(a,
                        [&](const train::GradientBatch<R>& batch, unsigned blocks, std::int64_t) {
                          simt::launch({.grid = {blocks}, .block = {train::block_threads}}, stream,
                                       train::scale_gradients_kernel<R>, batch, factor);
                        });
}

// ---- Adam ----

// Kingma & Ba 2015, algorithm 1, with the decoupled weight decay of Loshchilov & Hutter 2019. All
// arrays [count]; the last three are updated in place.
template <class R>
struct AdamStep {
  lacuna_adam adam;
  std::int64_t count;
  const R* gradients;
  R *parameters, *first_moment, *second_moment;
};

namespace train {

template <class R>
struct AdamArrays {
  std::int64_t count;
  const R* gradients;
  R *parameters, *first_moment, *second_moment;
  bool aligned;
};

template <class R>
SIMT_KERNEL(block_threads)
void adam_kernel(AdamFactors<R> factors, AdamArrays<R> a) {
  const std::int64_t own =
      std::int64_t{simt::block_index().x} * block_threads + simt::thread_rank();
  const std::int64_t threads = std::int64_t{simt::grid_size().x} * block_threads;
  const std::int64_t whole = a.count / wide<R>;
  for (std::int64_t i = own; i < whole; i += threads) {
    const std::int64_t at = i * wide<R>;
    R g[wide<R>], p[wide<R>], m[wide<R>], v[wide<R>];
    load_values(a.gradients + at, a.aligned, g);
    load_values(a.parameters + at, a.aligned, p);
    load_values(a.first_moment + at, a.aligned, m);
    load_values(a.second_moment + at, a.aligned, v);
    SIMT_UNROLL
    for (int j = 0; j < wide<R>; ++j) factors.step(g[j], p[j], m[j], v[j]);
    store_values(a.parameters + at, a.aligned, p);
    store_values(a.first_moment + at, a.aligned, m);
    store_values(a.second_moment + at, a.aligned, v);
  }
  for (std::int64_t i = whole * wide<R> + own; i < a.count; i += threads)
    factors.step(a.gradients[i], a.parameters[i], a.first_moment[i], a.second_moment[i]);
}

}  // namespace train

template <class R>
void adam_step(simt::Stream stream, const AdamStep<R>& a) {
  if (a.count == 0) return;
  const bool aligned =
      train::all_aligned(a.gradients, a.parameters, a.first_moment, a.second_moment);
  simt::launch({.grid = {train::blocks_for(
                    train::pieces_of(a.count, train::block_threads * train::wide<R>))},
                .block = {train::block_threads}},
               stream, train::adam_kernel<R>, AdamFactors<R>(a.adam),
               train::AdamArrays<R>{a.count, a.gradients, a.parameters, a.first_moment,
                                    a.second_moment, aligned});
}

}  // namespace SIMT_PATH
}  // namespace lacuna
