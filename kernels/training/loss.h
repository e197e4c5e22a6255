// Losses on targets of which some are missing: the sum, the count and the gradient in one pass over
// the predictions. Terms are in R; sums are in double, in an order that only the sizes decide.
#pragma once
#include <cmath>
#include <limits>

#include "kernels/cells/losses.h"
#include "kernels/training/blocks.h"
#include "lacuna/lacuna.h"

namespace lacuna {
inline namespace SIMT_PATH {

template <class T>
struct LossEvaluation {
  lacuna_loss kind;
  std::int64_t rows, columns;
  const T* predictions;  // [rows, columns]; logits of either cross entropy
  // T [rows, columns]; cross entropy: int32 [rows]. One outside 0 .. columns-1 makes the loss and
  // its row of gradients NaN: a device cannot refuse it, but it shows.
  const void* targets;
  // [rows, columns], cross entropy [rows]; null: all are measured. Where it is 0 neither target nor
  // prediction is read.
  const std::uint8_t* mask;
  double scale;
  const lacuna_loss_scale* loss_scale;  // device; its scale, too, multiplies slopes; may be null
  double* loss;                         // "="
  std::int64_t* count;                  // "="
  T* d_predictions;                     // "=" scale * slope, 0 where unmeasured; may be null
  void* workspace;                      // loss_workspace_bytes, aligned to 16
};

namespace train {

// ---- Kernels ----

struct LossPartial {
  double loss;
  std::int64_t count;
};

inline constexpr std::int64_t most_loss_blocks = 1024;
// The block's sum, to its place among `partials`. Every thread calls this, once.
SIMT_DEVICE void put_loss_partial(double loss, std::int64_t count, LossPartial* partials) {
  SIMT_SHARED(warp_losses, double[block_threads / simt::warp_size]);
  SIMT_SHARED(warp_counts, std::int64_t[block_threads / simt::warp_size]);
  const LossPartial sum{block_sum(loss, warp_losses), block_sum(count, warp_counts)};
  if (simt::thread_rank() == 0) partials[simt::block_index().x] = sum;
}

template <class T>
struct LossArrays {
  std::int64_t rows, columns;
  const T* predictions;
  const std::uint8_t* mask;
  double scale;
  const lacuna_loss_scale* loss_scale;
  T* d_predictions;

  SIMT_DEVICE double whole_scale() const { return loss_scale ? scale * loss_scale->scale : scale; }
};

template <class T>
SIMT_DEVICE T scaled_slope(double scale, double slope) {
  return simt::from_real<T>(static_cast<simt::Real<T>>(scale * slope));
}

template <class T, class Term>
SIMT_KERNEL(block_threads)
void elementwise_loss_kernel(LossArrays<T> a, const T* targets, LossPartial* partials) {
  using R = simt::Real<T>;
  const std::int64_t elements = a.rows * a.columns;
  const std::int64_t stride = std::int64_t{simt::grid_size().x} * block_threads;
  const double scale = a.whole_scale();
  double loss = 0;
  std::int64_t count = 0;
  for (std::int64_t i = std::int64_t{simt::block_index().x} * block_threads + simt::thread_rank();
       i < elements; i += stride) {
    if (a.mask && !a.mask[i]) {
      if (a.d_predictions) a.d_predictions[i] = T{};
      continue;
    }
    const LossTerm<R> term = Term::of(simt::to_real(a.predictions[i]), simt::to_real(targets[i]));
    loss += static_cast<double>(term.loss);
    ++count;
    if (a.d_predictions)
      a.d_predictions[i] = scaled_slope<T>(scale, static_cast<double>(term.slope));
  }
  put_loss_partial(loss, count, partials);
}

// Constants of their own: device code may not call what they are made from.
template <class R>
inline constexpr R below_all = -std::numeric_limits<R>::infinity();
inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// `width` lanes, a power of two of at most a warp, share a row. Two blocks: room enough for the exp
// and log of double.
template <class T>
SIMT_KERNEL(block_threads, 2)
void cross_entropy_kernel(LossArrays<T> a, const std::int32_t* targets, unsigned width,
                          LossPartial* partials) {
  using R = simt::Real<T>;
  const unsigned rank = simt::thread_rank();
  const std::int64_t lane = rank % width, block_rows = block_threads / width;
  const double scale = a.whole_scale();
  double loss = 0;
  std::int64_t count = 0;
  // The shuffles want every lane of a warp, also those that have no row or an unmeasured one.
  for (std::int64_t first = simt::block_index().x * block_rows; first < a.rows;
       first += simt::grid_size().x * block_rows) {
    const std::int64_t row = first + rank / width;
    const bool present = row < a.rows;
    const bool measured = present && (!a.mask || a.mask[row]);
    const T* const z = a.predictions + row * a.columns;
    // log(sum e^z) = largest + log(sum e^(z - largest)): no exponent is positive.
    R largest = below_all<R>;
    if (measured)
      for (std::int64_t k = lane; k < a.columns; k += width) {
        const R value = simt::to_real(z[k]);
        largest = largest < value ? value : largest;
      }
    for (unsigned toggle = width / 2; toggle > 0; toggle /= 2) {
      const R other = simt::shuffle_xor(largest, toggle);
      largest = largest < other ? other : largest;
    }
    // In double, as 1 and a little more: a good prediction's loss and slope are that little.
    double exponentials = 0;
    if (measured)
      for (std::int64_t k = lane; k < a.columns; k += width)
        exponentials += static_cast<double>(std::exp(simt::to_real(z[k]) - largest));
    for (unsigned toggle = width / 2; toggle > 0; toggle /= 2)
      exponentials += simt::shuffle_xor(exponentials, toggle);

    const std::int64_t target = measured ? targets[row] : 0;
    const bool known = target >= 0 && target < a.columns;
    if (measured && lane == 0) {
      ++count;
      loss += known
                  ? std::log(exponentials) + static_cast<double>(largest - simt::to_real(z[target]))
                  : not_a_number;
    }
    if (!a.d_predictions || !present) continue;
    T* const d_z = a.d_predictions + row * a.columns;
    const double inverse = known ? 1 / exponentials : not_a_number;
    for (std::int64_t k = lane; k < a.columns; k += width) {
      if (!measured) {
        d_z[k] = T{};
        continue;
      }
      const double probability =
          static_cast<double>(std::exp(simt::to_real(z[k]) - largest)) * inverse;
      d_z[k] = scaled_slope<T>(scale, probability - (k == target ? 1.0 : 0.0));
    }
  }
  put_loss_partial(loss, count, partials);
}

// One block. Also for no partials at all.
template <class Count>
SIMT_KERNEL(block_threads)
void finish_loss_kernel(const LossPartial* partials, int number, double* loss, Count* count) {
  SIMT_SHARED(warp_losses, double[block_threads / simt::warp_size]);
  SIMT_SHARED(warp_counts, Count[block_threads / simt::warp_size]);
  double own_loss = 0;
  Count own_count = 0;
  for (int i = static_cast<int>(simt::thread_rank()); i < number; i += block_threads) {
    own_loss += partials[i].loss;
    own_count += partials[i].count;
  }
  own_loss = block_sum(own_loss, warp_losses);
  own_count = block_sum(own_count, warp_counts);
  if (simt::thread_rank() == 0) {
    *loss = own_loss;
    *count = own_count;
  }
}

}  // namespace train

// ---- Launch ----

inline constexpr std::size_t loss_workspace_bytes =
    train::most_loss_blocks * sizeof(train::LossPartial);

template <class T>
void evaluate_loss(simt::Stream stream, const LossEvaluation<T>& a) {
  const train::LossArrays<T> arrays{a.rows,  a.columns,    a.predictions,  a.mask,
                                    a.scale, a.loss_scale, a.d_predictions};
  auto* const partials = static_cast<train::LossPartial*>(a.workspace);
  unsigned width = 1;
  while (width < simt::warp_size && width < a.columns) width *= 2;
  const bool per_row = a.kind == LACUNA_LOSS_CROSS_ENTROPY;
  // A thread takes at least four elements before there is another block.
  const unsigned blocks = train::blocks_for(
      train::pieces_of(a.rows * (per_row ? width : a.columns), 4 * train::block_threads),
      train::most_loss_blocks);
  const simt::LaunchConfig config{.grid = {blocks}, .block = {train::block_threads}};
  const auto elementwise = [&](auto kernel) {
    simt::launch(config, stream, kernel, arrays, static_cast<const T*>(a.targets), partials);
  };
  if (blocks > 0) {
    switch (a.kind) {
      case LACUNA_LOSS_BINARY_CROSS_ENTROPY:
        elementwise(train::elementwise_loss_kernel<T, BinaryCrossEntropyTerm>);
        break;
      case LACUNA_LOSS_SQUARED_ERROR:
        elementwise(train::elementwise_loss_kernel<T, SquaredErrorTerm>);
        break;
      case LACUNA_LOSS_ABSOLUTE_ERROR:
        elementwise(train::elementwise_loss_kernel<T, AbsoluteErrorTerm>);
        break;
      case LACUNA_LOSS_CROSS_ENTROPY:
        simt::launch(config, stream, train::cross_entropy_kernel<T>, arrays,
                     static_cast<const std::int32_t*>(a.targets), width, partials);
        break;
    }
  }
  simt::launch({.grid = {1}, .block = {train::block_threads}}, stream,
               train::finish_loss_kernel<std::int64_t>, partials, static_cast<int>(blocks), a.loss,
               a.count);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
