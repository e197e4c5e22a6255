// Parameters on their way into products, and gradients on their way out: padded, in the products'
// type; and rates from their parameters.
#pragma once
#include "kernels/cells/activations.h"
#include "kernels/simt/number.h"
#include "kernels/tokens/flat.h"

namespace lacuna {
inline namespace SIMT_PATH {
namespace tokens {

template <class T>
SIMT_KERNEL(flat_threads)
void pack_padded(const simt::Real<T>* source, std::int64_t hidden, std::int64_t columns, T* packed,
                 std::int64_t units, std::int64_t stride, std::int64_t count) {
  using R = simt::Real<T>;
  for (std::int64_t i = flat_index(); i < count; i += flat_step()) {
    const std::int64_t row = i / stride, column = i % stride;
    const std::int64_t gate = row / units, unit = row % units;
    const bool inside = unit < hidden && column < columns;
    packed[i] =
        simt::from_real<T>(inside ? source[(gate * hidden + unit) * columns + column] : R(0));
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

// source [gates hidden, columns] -> packed [gates units, stride], zeros in between.
template <class T>
void pack_weights(simt::Stream stream, const simt::Real<T>* source, std::int64_t gates,
                  std::int64_t hidden, std::int64_t columns, T* packed, std::int64_t units,
                  std::int64_t stride) {
  const std::int64_t count = gates * units * stride;
  if (count == 0) return;
  simt::launch(tokens::flat_launch(count), stream, tokens::pack_padded<T>, source, hidden, columns,
               packed, units, stride, count);
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
