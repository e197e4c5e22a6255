// What follows the gradients in a training step: clipping by their global norm, Adam, and both in one. R: float
// or double, the type of parameters, gradients and moments whatever the layer's values are.
#pragma once
#include <cmath>
#include <limits>

#include "kernels/cells/clipped_step.h"
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

// What follows from the norm, then a sum of squares per piece.
template <class Count>
std::size_t norm_workspace_bytes(std::int64_t arrays, Count count) {
  std::int64_t pieces = 0;
  for (std::int64_t a = 0; a < arrays; ++a) pieces += train::clip_pieces(count(a));
  return sizeof(AfterNorm) + static_cast<std::size_t>(pieces) * sizeof(double);
}
inline std::size_t clip_workspace_bytes(std::int64_t arrays, const std::int64_t* counts) {
  return norm_workspace_bytes(arrays, [=](std::int64_t a) { return counts[a]; });
}

namespace train {

// As many arrays as travel in the parameters of one launch, cut into pieces, one for each block.
struct Cut {
  static constexpr int most = 64;
  std::int64_t counts[most], pieces[most];  // elements, and elements of a piece
  int first_block[most + 1];
  int arrays;
};

template <class R>
struct GradientBatch : Cut {
  R* gradients[most];
};

struct CutPiece {
  int array;
  std::int64_t begin, count;
};

// The block's own.
SIMT_DEVICE CutPiece piece_of(const Cut& cut) {
  const int block = static_cast<int>(simt::block_index().x);
  int array = 0;
  while (block >= cut.first_block[array + 1]) ++array;
  const std::int64_t begin = (block - cut.first_block[array]) * cut.pieces[array];
  const std::int64_t left = cut.counts[array] - begin;
  return {array, begin, left < cut.pieces[array] ? left : cut.pieces[array]};
}

template <class R>
struct GradientPiece {
  R* values;
  std::int64_t count;
  bool aligned;
};

template <class R>
SIMT_DEVICE GradientPiece<R> gradients_of(const GradientBatch<R>& batch) {
  const CutPiece piece = piece_of(batch);
  R* const values = batch.gradients[piece.array] + piece.begin;
  return {values, piece.count, reinterpret_cast<std::uintptr_t>(values) % 16 == 0};
}

template <class R>
SIMT_KERNEL(block_threads)
void sum_squares_kernel(GradientBatch<R> batch, double* sums) {
  SIMT_SHARED(warp_sums, double[block_threads / simt::warp_size]);
  const GradientPiece<R> piece = gradients_of(batch);
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

// A norm that is not finite changes nothing.
struct Clipping {
  double max_norm;

  SIMT_DEVICE AfterNorm after(double squares) const {
    const double norm = std::sqrt(squares);
    const bool finite = std::isfinite(norm);
    return {norm, finite && norm > max_norm ? max_norm / norm : 1.0, finite, {}};
  }
};

// One block. Rule: Clipping or ClippedStep.
template <class Rule>
SIMT_KERNEL(block_threads)
void finish_norm_kernel(const double* sums, std::int64_t number, Rule rule, double* norm,
                        AfterNorm* of_all) {
  SIMT_SHARED(warp_sums, double[block_threads / simt::warp_size]);
  double sum = 0;
  for (std::int64_t i = simt::thread_rank(); i < number; i += block_threads) sum += sums[i];
  sum = block_sum(sum, warp_sums);
  if (simt::thread_rank() != 0) return;
  *of_all = rule.after(sum);
  if (norm) *norm = of_all->norm;
}

template <class R>
SIMT_DEVICE R scaled(double factor, R value) {
  return static_cast<R>(factor * static_cast<double>(value));
}

template <class R>
SIMT_KERNEL(block_threads)
void scale_gradients_kernel(GradientBatch<R> batch, const AfterNorm* of_all) {
  const double factor = of_all->factor;
  if (factor == 1.0) return;  // saves the memory traffic
  const GradientPiece<R> piece = gradients_of(batch);
  const auto rank = static_cast<std::int64_t>(simt::thread_rank());
  const std::int64_t whole = piece.count / wide<R>;
  const auto scale = [&](R& value) { value = scaled(factor, value); };
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

// Calls launch(batch, blocks, piece number of its first block) for one batch after the other of arrays
// 0 .. arrays-1, of count(array) elements each, after take(batch, place in it, array) for each of its
// own; empty arrays are left out. Returns the number of pieces.
template <class Batch, class Count, class Take, class Launch>
std::int64_t for_each_batch(std::int64_t arrays, Count count, Take take, Launch launch) {
  std::int64_t pieces = 0;
  Batch batch = {};
  const auto flush = [&] {
    const int blocks = batch.first_block[batch.arrays];
    if (blocks == 0) return;
    launch(batch, static_cast<unsigned>(blocks), pieces);
    pieces += blocks;
    batch.arrays = 0;
  };
  for (std::int64_t array = 0; array < arrays; ++array) {
    const std::int64_t elements = count(array);
    if (elements == 0) continue;
    const int at = batch.arrays++;
    take(batch, at, array);
    batch.counts[at] = elements;
    batch.pieces[at] = clip_piece(elements);
    batch.first_block[at + 1] = batch.first_block[at] + static_cast<int>(clip_pieces(elements));
    if (batch.arrays == Cut::most) flush();
  }
  flush();
  return pieces;
}

// The norm of all arrays, and what follows from it, which stands in front of the workspace.
template <class R, class Count, class Take, class Rule>
const AfterNorm* global_norm(simt::Stream stream, std::int64_t arrays, Count count, Take take,
                             const Rule& rule, double* norm, void* workspace) {
  auto* const of_all = static_cast<AfterNorm*>(workspace);
  auto* const sums = reinterpret_cast<double*>(of_all + 1);
  const std::int64_t pieces = for_each_batch<GradientBatch<R>>(
      arrays, count, take, [&](const GradientBatch<R>& batch, unsigned blocks, std::int64_t first) {
        simt::launch({.grid = {blocks}, .block = {block_threads}}, stream, sum_squares_kernel<R>,
                     batch, sums + first);
      });
  simt::launch({.grid = {1}, .block = {block_threads}}, stream, finish_norm_kernel<Rule>, sums,
               pieces, rule, norm, of_all);
  return of_all;
}

}  // namespace train

template <class R>
void clip_gradient_norm(simt::Stream stream, const ClipGradientNorm<R>& a) {
  const auto count = [&](std::int64_t array) { return a.counts[array]; };
  const auto take = [&](train::GradientBatch<R>& batch, int at, std::int64_t array) {
    batch.gradients[at] = static_cast<R*>(a.gradients[array]);
  };
  const train::Clipping rule{a.max_norm};
  const AfterNorm* const of_all =
      train::global_norm<R>(stream, a.arrays, count, take, rule, a.norm, a.workspace);
  train::for_each_batch<train::GradientBatch<R>>(
      a.arrays, count, take,
      [&](const train::GradientBatch<R>& batch, unsigned blocks, std::int64_t) {
        simt::launch({.grid = {blocks}, .block = {train::block_threads}}, stream,
                     train::scale_gradients_kernel<R>, batch, of_all);
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

// Elements own, own + threads, ... of accesses; gradient(g): what the step takes for g.
template <class R, class Gradient>
SIMT_DEVICE void adam_elements(const AdamFactors<R>& factors, const AdamArrays<R>& a,
                               std::int64_t own, std::int64_t threads, Gradient gradient) {
  const std::int64_t whole = a.count / wide<R>;
  for (std::int64_t i = own; i < whole; i += threads) {
    const std::int64_t at = i * wide<R>;
    R g[wide<R>], p[wide<R>], m[wide<R>], v[wide<R>];
    load_values(a.gradients + at, a.aligned, g);
    load_values(a.parameters + at, a.aligned, p);
    load_values(a.first_moment + at, a.aligned, m);
    load_values(a.second_moment + at, a.aligned, v);
    SIMT_UNROLL
    for (int j = 0; j < wide<R>; ++j) factors.step(gradient(g[j]), p[j], m[j], v[j]);
    store_values(a.parameters + at, a.aligned, p);
    store_values(a.first_moment + at, a.aligned, m);
    store_values(a.second_moment + at, a.aligned, v);
  }
  for (std::int64_t i = whole * wide<R> + own; i < a.count; i += threads)
    factors.step(gradient(a.gradients[i]), a.parameters[i], a.first_moment[i], a.second_moment[i]);
}

template <class R>
SIMT_KERNEL(block_threads)
void adam_kernel(AdamFactors<R> factors, AdamArrays<R> a) {
  adam_elements(factors, a,
                std::int64_t{simt::block_index().x} * block_threads + simt::thread_rank(),
                std::int64_t{simt::grid_size().x} * block_threads, [](R g) { return g; });
}

template <class R>
struct AdamBatch : Cut {
  const R* gradients[most];
  R *parameters[most], *first_moment[most], *second_moment[most];
};

template <class R>
SIMT_KERNEL(block_threads)
void clipped_adam_kernel(AdamFactors<R> uncorrected, AdamBatch<R> batch, const AfterNorm* of_all) {
  if (!of_all->finite) return;
  const double factor = of_all->factor;
  AdamFactors<R> factors = uncorrected;
  factors.correct(of_all->correction);
  const CutPiece piece = piece_of(batch);
  AdamArrays<R> a{piece.count,
                  batch.gradients[piece.array] + piece.begin,
                  batch.parameters[piece.array] + piece.begin,
                  batch.first_moment[piece.array] + piece.begin,
                  batch.second_moment[piece.array] + piece.begin,
                  false};
  a.aligned = all_aligned(a.gradients, a.parameters, a.first_moment, a.second_moment);
  adam_elements(factors, a, std::int64_t{simt::thread_rank()}, std::int64_t{block_threads},
                [=](R g) { return factor == 1.0 ? g : scaled(factor, g); });
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
               stream, train::adam_kernel<R>, AdamFactors<R>(a.adam, a.adam.step),
               train::AdamArrays<R>{a.count, a.gradients, a.parameters, a.first_moment,
                                    a.second_moment, aligned});
}

// ---- Both in one ----

// The bits of clip_gradient_norm and adam_step over the same arrays, but gradients are only read;
// where the norm is not finite, no array changes.
template <class R>
struct ClippedAdamStep {
  ClippedStep step;  // its loss_scale is the device's
  std::int64_t arrays;
  const lacuna_adam_array* list;  // host [arrays], of device arrays
  double* norm;                   // device, "=" the norm before; may be null
  void* workspace;                // clipped_adam_workspace_bytes(arrays, list), aligned to 8
};

inline std::size_t clipped_adam_workspace_bytes(std::int64_t arrays,
                                                const lacuna_adam_array* list) {
  return norm_workspace_bytes(arrays, [=](std::int64_t a) { return list[a].count; });
}

template <class R>
void adam_step_clipped(simt::Stream stream, const ClippedAdamStep<R>& a) {
  const auto count = [&](std::int64_t array) { return a.list[array].count; };
  const AfterNorm* const of_all = train::global_norm<R>(
      stream, a.arrays, count,
      [&](train::GradientBatch<R>& batch, int at, std::int64_t array) {
        batch.gradients[at] = const_cast<R*>(static_cast<const R*>(a.list[array].gradients));
      },
      a.step, a.norm, a.workspace);
  train::for_each_batch<train::AdamBatch<R>>(
      a.arrays, count,
      [&](train::AdamBatch<R>& batch, int at, std::int64_t array) {
        const lacuna_adam_array& from = a.list[array];
        batch.gradients[at] = static_cast<const R*>(from.gradients);
        batch.parameters[at] = static_cast<R*>(from.parameters);
        batch.first_moment[at] = static_cast<R*>(from.first_moment);
        batch.second_moment[at] = static_cast<R*>(from.second_moment);
      },
      [&](const train::AdamBatch<R>& batch, unsigned blocks, std::int64_t) {
        simt::launch({.grid = {blocks}, .block = {train::block_threads}}, stream,
                     train::clipped_adam_kernel<R>, AdamFactors<R>(a.step.adam), batch, of_all);
      });
}

}  // namespace SIMT_PATH
}  // namespace lacuna
