// The one inner loop of the CPU backend: a few rows times a panel of packed weights, summed in registers.
//
// A panel is as wide as a few registers and as long as the sum; row k of it holds the weights that multiply element k of
// every row. Each product element is one chain of fused multiply-adds in rising k, whatever the number of rows, so how
// lanes are gathered into blocks never changes a bit of the result.
#pragma once

#include <cstdint>

#include "host/cpu/simd.h"

namespace lacuna::cpu {

// The registers of the instruction set: 32 hold 6 rows x 4 vectors and what they need, 16 hold 3 x 4.
template <class Arch>
inline constexpr int most_rows = 3;
template <>
inline constexpr int most_rows<xsimd::avx512bw> = 6;
#if defined(__aarch64__)
template <>
inline constexpr int most_rows<xsimd::neon64> = 6;
#endif

// sum[l][Slot...] += rows[l][k] * panel[k][0...] for k in [0, count). The panel has as many vectors a row as there are
// slots; returns its end.
template <int... Slot, class V, class T, int L, int Width>
LACUNA_FN const T* accumulate(V (&sum)[L][Width], const T* const (&rows)[L], const T* panel,
                              std::int64_t count) {
  constexpr int width = sizeof...(Slot);
  for (std::int64_t k = 0; k < count; ++k) {
    V weight[width];
#pragma GCC unroll 8
    for (int a = 0; a < width; ++a) weight[a] = V::load(panel + a * V::size);
#pragma GCC unroll 8
    for (int l = 0; l < L; ++l) {
      const V element(rows[l][k]);
      int a = 0;
      ((sum[l][Slot] = multiply_add(element, weight[a++], sum[l][Slot])), ...);
    }
    panel += width * V::size;
  }
  return panel;
}

template <class V, class T, int L, int Width>
LACUNA_FN const T* accumulate_all(V (&sum)[L][Width], const T* const (&rows)[L], const T* panel,
                                  std::int64_t count) {
  if constexpr (Width == 1) return accumulate<0>(sum, rows, panel, count);
  if constexpr (Width == 2) return accumulate<0, 1>(sum, rows, panel, count);
  if constexpr (Width == 3) return accumulate<0, 1, 2>(sum, rows, panel, count);
  if constexpr (Width == 4) return accumulate<0, 1, 2, 3>(sum, rows, panel, count);
}

template <class V, int L, int Width>
LACUNA_FN void clear(V (&sum)[L][Width]) {
#pragma GCC unroll 8
  for (int l = 0; l < L; ++l)
#pragma GCC unroll 8
    for (int a = 0; a < Width; ++a) sum[l][a] = V(0);
}

template <int N>
struct Count {
  static constexpr int value = N;
};

// Calls f(Count<n>) for a run-time n in [1, Most].
template <int Most, class F>
LACUNA_FN void with_count(int n, F&& f) {
  if constexpr (Most > 1) {
    if (n < Most) return with_count<Most - 1>(n, f);
  }
  f(Count<Most>{});
}

// Splits `total` rows into blocks of at most Most, as even as they can be, and calls f(first, Count<rows>).
template <int Most, class F>
LACUNA_FN void for_row_blocks(int total, F&& f) {
  int blocks = (total + Most - 1) / Most;
  for (int first = 0; first < total;) {
    const int rows = (total - first + blocks - 1) / blocks;
    with_count<Most>(rows, [&](auto count) { f(first, count); });
    first += rows;
    --blocks;
  }
}

// Splits `elements` (a multiple of V::size) into panels of up to four vectors; f(first element, Count<vectors>).
template <class V, class F>
LACUNA_FN void for_panels(std::int64_t elements, F&& f) {
  std::int64_t first = 0;
  for (; elements - first >= 4 * V::size; first += 4 * V::size) f(first, Count<4>{});
  const int rest = static_cast<int>((elements - first) / V::size);
  if (rest > 0) with_count<3>(rest, [&](auto count) { f(first, count); });
}

// Rows x single vectors of units: f(unit, first row, Count<rows>). Units come outermost, so that a panel is read by all
// rows while it is in cache.
template <class V, int Most, class F>
LACUNA_FN void for_unit_blocks(std::int64_t units, int rows, F&& f) {
  for (std::int64_t unit = 0; unit < units; unit += V::size)
    for_row_blocks<Most>(rows, [&](int first, auto count) { f(unit, first, count); });
}

// Rows x panels: f(first element, Count<vectors>, first row, Count<rows>).
template <class V, int Most, class F>
LACUNA_FN void for_panel_blocks(std::int64_t elements, int rows, F&& f) {
  for_panels<V>(elements, [&](std::int64_t element, auto vectors) {
    for_row_blocks<Most>(rows, [&](int first, auto count) { f(element, vectors, first, count); });
  });
}

}  // namespace lacuna::cpu
