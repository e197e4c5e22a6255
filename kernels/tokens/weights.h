// Parameters on their way into products, and gradients on their way out: padded, in the products'
// type; and rates from their parameters.
#pragma once
#include <stdexcept>

#include "kernels/cells/activations.h"
#include "kernels/simt/number.h"
#include "kernels/simt/vec.h"
#include "kernels/tokens/flat.h"

namespace lacuna {

// source [gates hidden, columns] -> packed [gates units, stride], zeros in between. packed: aligned to 16 bytes; stride: a
// multiple of 8.
template <class T>
struct PackedWeights {
  const simt::Real<T>* source;
  std::int64_t gates, hidden, columns;
  T* packed;
  std::int64_t units, stride;

  SIMT_BOTH std::int64_t count() const { return gates * units * stride; }
};

// Those of a layer, packed by one launch.
template <class T>
struct PackedList {
  static constexpr int most = 4;  // W_x, W_h, W_p and those of decays
  PackedWeights<T> of[most] = {};
  int count = 0;

  void add(const PackedWeights<T>& weights) {
    if (count == most) throw std::length_error("more matrices than a kernel packs");
    of[count++] = weights;
  }
};

inline namespace SIMT_PATH {
namespace tokens {

// Neighbouring columns that a thread packs: 16 bytes of R.
template <class R>
inline constexpr int columns_at_once = 16 / static_cast<int>(sizeof(R));

// Blocks: (of the largest, of each).
template <class T>
SIMT_KERNEL(flat_threads)
void pack_padded(PackedList<T> list) {
  using R = simt::Real<T>;
  constexpr int several = columns_at_once<R>;
  const PackedWeights<T> own = list.of[simt::block_index().y];
  const bool whole = own.columns % several == 0 &&
                     reinterpret_cast<std::uintptr_t>(own.source) % (several * sizeof(R)) == 0;
  const std::int64_t across = own.stride / several;
  for (std::int64_t i = flat_index(); i < own.gates * own.units * across; i += flat_step()) {
    const std::int64_t row = i / across, column = i % across * several;
    const std::int64_t gate = row / own.units, unit = row % own.units;
    const std::int64_t present = unit < own.hidden ? own.columns - column : 0;
    const R* const from = own.source + (gate * own.hidden + unit) * own.columns + column;
    simt::Vec<R, several> read;
    if (whole && present > 0) {
      read = simt::load<several>(from);
    } else {
      SIMT_UNROLL
      for (int k = 0; k < several; ++k) read[k] = k < present ? from[k] : R(0);
    }
    simt::Vec<T, several> packed;
    SIMT_UNROLL
    for (int k = 0; k < several; ++k) packed[k] = simt::from_real<T>(read[k]);
    simt::store(own.packed + row * own.stride + column, packed);
  }
}

template <class R>
SIMT_KERNEL(flat_threads)
void add_unpadded(const R* dense, std::int64_t hidden, std::int64_t columns, std::int64_t units,
                  std::int64_t stride, R* target, std::int64_t count) {
  for (std::int64_t i = flat_index(); i < count; i += flat_step()) {
    const std::int64_t row = i / columns, column = i % columns;
    const std::int64_t gate = row / hidden, unit = row % hidden;
    target[i] += dense[(gate * units + unit) * stride + column];
  }
}

template <class R>
SIMT_KERNEL(flat_threads)
void store_rates(const R* lambda, std::int64_t count, R* out) {
  for (std::int64_t i = flat_index(); i < count; i += flat_step()) out[i] = softplus(lambda[i]);
}

}  // namespace tokens

template <class T>
void pack_weights(simt::Stream stream, const PackedList<T>& list) {
  std::int64_t largest = 0;
  for (int i = 0; i < list.count; ++i)
    largest = std::max(largest, list.of[i].count() / tokens::columns_at_once<simt::Real<T>>);
  if (largest == 0) return;
  simt::LaunchConfig config = tokens::flat_launch(largest);
  config.grid.y = static_cast<unsigned>(list.count);
  simt::launch(config, stream, tokens::pack_padded<T>, list);
}

// target [gates hidden, columns] += dense [gates units, stride] without its padding.
template <class R>
void add_gradient(simt::Stream stream, const R* dense, std::int64_t gates, std::int64_t hidden,
                  std::int64_t columns, std::int64_t units, std::int64_t stride, R* target) {
  const std::int64_t count = gates * hidden * columns;
  if (count == 0) return;
  simt::launch(tokens::flat_launch(count), stream, tokens::add_unpadded<R>, dense, hidden, columns,
               units, stride, target, count);
}

// out [count] = softplus(lambda [count]).
template <class R>
void rates(simt::Stream stream, const R* lambda, std::int64_t count, R* out) {
  if (count == 0) return;
  simt::launch(tokens::flat_launch(count), stream, tokens::store_rates<R>, lambda, count, out);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
