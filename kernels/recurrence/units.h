// A few neighbouring units of one row, as one thread holds them: 8 bytes of R. So few, for a step has few rows: more threads
// wait at the same time.
//
// Arrays of the library are aligned and `units` wide, a multiple of 8, so that such a group is one access; its columns
// beyond `hidden` are written as 0, because products and sums run over them. The caller's arrays are `hidden` wide and
// aligned to their element only: there a group is one access where it happens to be whole and aligned.
#pragma once

#include <cstdint>

#include "kernels/simt/number.h"
#include "kernels/simt/vec.h"

namespace lacuna {

template <class R>
inline constexpr int units_per_thread = 8 / static_cast<int>(sizeof(R));

// R: float or double.
template <class R>
using Units = simt::Vec<R, units_per_thread<R>>;

// Which units of which token.
struct UnitsAt {
  std::int64_t token;
  std::int64_t unit;  // the first, a multiple of units_per_thread
  std::int64_t hidden, units;

  // How many of the group lie within `hidden`; zero or less where all are padding.
  template <class R>
  SIMT_DEVICE int present() const {
    const std::int64_t left = hidden - unit;
    return left < units_per_thread<R> ? static_cast<int>(left) : units_per_thread<R>;
  }
};

template <class R>
SIMT_DEVICE Units<R> same_units(R value) {
  Units<R> all;
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) all[i] = value;
  return all;
}

// From an array of the library. What stands in padding columns is arbitrary; stores clear them.
template <class T>
SIMT_DEVICE Units<simt::Real<T>> load_units(const T* array, std::int64_t at) {
  using R = simt::Real<T>;
  const auto stored = simt::load<units_per_thread<R>>(array + at);
  Units<R> result;
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) result[i] = simt::to_real(stored[i]);
  return result;
}

// To an array of the library; null: not wanted. Columns that are not present become 0.
template <class T>
SIMT_DEVICE void store_units(T* array, std::int64_t at, const Units<simt::Real<T>>& value,
                             int present) {
  using R = simt::Real<T>;
  if (array == nullptr) return;
  simt::Vec<T, units_per_thread<R>> stored;
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i)
    stored[i] = simt::from_real<T>(i < present ? value[i] : R(0));
  simt::store(array + at, stored);
}

template <class T>
SIMT_DEVICE bool is_one_access(const T* at, int present) {
  constexpr int all = units_per_thread<simt::Real<T>>;
  return present == all && reinterpret_cast<std::uintptr_t>(at) % (all * sizeof(T)) == 0;
}

// From an array of the caller; null, and what is not present, reads as 0.
template <class T>
SIMT_DEVICE Units<simt::Real<T>> load_present(const T* array, std::int64_t at, int present) {
  using R = simt::Real<T>;
  if (array == nullptr) return same_units(R(0));
  if (is_one_access(array + at, present)) return load_units(array, at);
  Units<R> result;
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i)
    result[i] = i < present ? simt::to_real(array[at + i]) : R(0);
  return result;
}

// `count` groups of an array of the caller, `step` apart, by one branch for all.
template <int count, class T>
SIMT_DEVICE void load_present_rows(const T* array, std::int64_t at, std::int64_t step, int present,
                                   Units<simt::Real<T>> (&to)[count]) {
  constexpr int all = units_per_thread<simt::Real<T>>;
  if (array != nullptr && step % all == 0 && is_one_access(array + at, present)) {
    SIMT_UNROLL
    for (int k = 0; k < count; ++k) to[k] = load_units(array, at + k * step);
  } else {
    SIMT_UNROLL
    for (int k = 0; k < count; ++k) to[k] = load_present(array, at + k * step, present);
  }
}

// To an array of the caller; null: not wanted.
template <class T>
SIMT_DEVICE void store_present(T* array, std::int64_t at, const Units<simt::Real<T>>& value,
                               int present) {
  using R = simt::Real<T>;
  if (array == nullptr) return;
  if (is_one_access(array + at, present)) return store_units(array, at, value, present);
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i)
    if (i < present) array[at + i] = simt::from_real<T>(value[i]);
}

}  // namespace lacuna
