// The one inner loop of the CPU backend: a few rows times a panel of packed weights, summed in registers.
//
// A panel is as wide as a few registers and as long as the sum; row k of it holds the weights that multiply element k of
// every row. Each product element is one chain of fused multiply-adds in rising k, whatever the number of rows and
// wherever the sum is cut, so how lanes are gathered into tiles never changes a bit of the result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "host/cpu/engine/ahead.h"
#include "host/cpu/simd.h"

namespace lacuna::cpu {

// What suits the registers of an instruction set. Of 16, a tile takes 12 for sums, 3 rows x 4 vectors: each weight read
// serves 3 rows, for which the second-level cache is too slow, so panels are read in pieces that wait in the first for
// all rows to pass. 32 hold 6 x 4, and pieces would cost more than they save.
template <class Arch>
struct Tile {
  static constexpr int registers = 16, sums = 12;
  static constexpr bool in_pieces = true;
  // So many elements of a tile's sums hide the arrival of so many lines (ahead.h).
  static constexpr std::int64_t stretch = std::numeric_limits<std::int64_t>::max();
  static constexpr int lines_per_stretch = 40;
};
struct LargeTile {
  static constexpr int registers = 32, sums = 24;
  static constexpr bool in_pieces = false;
  static constexpr std::int64_t stretch = 32;
  static constexpr int lines_per_stretch = 20;
};
template <>
struct Tile<xsimd::avx512bw> : LargeTile {};
#if defined(__aarch64__)
template <>
struct Tile<xsimd::neon64> : LargeTile {};
#endif

// Rows of a tile that is `width` vectors wide. More than 6 run slower, even of 3 vectors each.
template <class Arch, int width>
inline constexpr int tile_rows = std::min(Tile<Arch>::sums / width, 6);

// Splits `total` into parts of at most `most`, as even as they can be: the next part, with `total` still to come.
constexpr std::int64_t even_part(std::int64_t total, std::int64_t most) {
  const std::int64_t parts = (total + most - 1) / most;
  return (total + parts - 1) / parts;
}

// The elements of a sum, out of `length` that are to come, that the next piece of a panel takes.
template <class V, class T, class Arch, int width>
constexpr std::int64_t piece_length(std::int64_t length) {
  constexpr std::int64_t piece_bytes = 8 << 10;
  if constexpr (!Tile<Arch>::in_pieces) return length;
  return even_part(length, piece_bytes / (width * V::size * sizeof(T)));
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

// Splits `total` rows into even blocks of at most Most: f(first, Count<rows>).
template <int Most, class F>
LACUNA_FN void for_row_blocks(int total, F&& f) {
  for (int first = 0; first < total;) {
    const int rows = static_cast<int>(even_part(total - first, Most));
    with_count<Most>(rows, [&](auto count) { f(first, count); });
    first += rows;
  }
}

// Vectors of the first of the panels that `elements` (a multiple of V::size) are split into.
template <class V>
constexpr std::int64_t panel_width(std::int64_t elements) {
  return even_part(elements / V::size, 4);
}

// Splits `elements` into panels of up to four vectors; f(first element, Count<vectors>).
template <class V, class F>
LACUNA_FN void for_panels(std::int64_t elements, F&& f) {
  for (std::int64_t first = 0; first < elements;) {
    const std::int64_t width = panel_width<V>(elements - first);
    with_count<4>(static_cast<int>(width), [&](auto vectors) { f(first, vectors); });
    first += width * V::size;
  }
}

// sum[l][a] += element(l, k) * panel[k][a] for k in [0, count). With `asks`, what will be read later is asked for, from
// `next` on and `step` bytes further per k.
template <class Arch, bool asks, class V, class T, int L, int Width, class Element>
LACUNA_FN void accumulate(V (&sum)[L][Width], Element element, const T* panel, std::int64_t count,
                          const char* next, std::int64_t step) {
#pragma GCC unroll 4
  for (std::int64_t k = 0; k < count; ++k) {
    if constexpr (asks) __builtin_prefetch(next);
    next += step;
    if constexpr (L * Width + Width + 1 > Tile<Arch>::registers) {
      // The rows' elements are fewer than the weights, which then come one at a time.
      V e[L];
#pragma GCC unroll 8
      for (int l = 0; l < L; ++l) e[l] = V(element(l, k));
#pragma GCC unroll 8
      for (int a = 0; a < Width; ++a) {
        const V weight = V::load(panel + a * V::size);
#pragma GCC unroll 8
        for (int l = 0; l < L; ++l) sum[l][a] = multiply_add(e[l], weight, sum[l][a]);
      }
    } else {
      V weight[Width];
#pragma GCC unroll 8
      for (int a = 0; a < Width; ++a) weight[a] = V::load(panel + a * V::size);
#pragma GCC unroll 8
      for (int l = 0; l < L; ++l) {
        const V e(element(l, k));
#pragma GCC unroll 8
        for (int a = 0; a < Width; ++a) sum[l][a] = multiply_add(e, weight[a], sum[l][a]);
      }
    }
    panel += Width * V::size;
  }
}

// out[i][Slot...] (= | +=) row[i][k] * panel[k][0...] for k in [0, length) and `count` rows i; slots of a row of sums are
// vectors. There is at least one row and one k, and the panel has as many vectors a row as there are slots. Returns its end.
template <class V, class Arch, class Slots>
struct Product;
template <class V, class Arch, int... Slot>
struct Product<V, Arch, std::integer_sequence<int, Slot...>> {
  static constexpr int width = sizeof...(Slot);

  template <class T, class Row, class Out>
  static const T* set(const T* panel, std::int64_t length, int count, Row row, Out out,
                      Ahead& ahead) {
    return run<true>(panel, length, count, row, out, ahead);
  }
  template <class T, class Row, class Out>
  static const T* add(const T* panel, std::int64_t length, int count, Row row, Out out,
                      Ahead& ahead) {
    return run<false>(panel, length, count, row, out, ahead);
  }

 private:
  template <bool sets, class T, class Row, class Out>
  static const T* run(const T* panel, std::int64_t length, int count, Row row, Out out,
                      Ahead& ahead) {
    constexpr int most = tile_rows<Arch, width>;
    const int tiles = (count + most - 1) / most;
    for (std::int64_t k = 0; k < length;) {
      const std::int64_t part = piece_length<V, T, Arch, width>(length - k);
      // Each tile asks for its share of the next piece.
      const char* next = reinterpret_cast<const char*>(panel + part * width * V::size);
      const std::int64_t step = width * V::size * sizeof(T) / tiles;
      for_row_blocks<most>(count, [&](int first, auto rows) {
        tile<decltype(rows)::value>(panel, part, k, first, row, out, sets && k == 0, next, step,
                                    ahead);
        next += part * step;
      });
      panel += part * width * V::size;
      k += part;
    }
    return panel;
  }

  template <int L, class T, class Row, class Out>
  static void tile(const T* panel, std::int64_t length, std::int64_t k, int first, Row row, Out out,
                   bool fresh, const char* next, std::int64_t step, Ahead& ahead) {
    const T* rows[L];
    V sum[L][width];
#pragma GCC unroll 8
    for (int l = 0; l < L; ++l) {
      rows[l] = row(first + l) + k;
      int a = 0;
      ((sum[l][a++] = fresh ? V(0) : V::load(out(first + l) + Slot * V::size)), ...);
    }
    for (std::int64_t from = 0, count; from < length; from += count) {
      count = std::min(Tile<Arch>::stretch, length - from);
      ahead.pull(Tile<Arch>::lines_per_stretch);
      accumulate<Arch, Tile<Arch>::in_pieces>(
          sum, [&](int l, std::int64_t i) { return rows[l][from + i]; },
          panel + from * width * V::size, count, next + from * step, step);
    }
#pragma GCC unroll 8
    for (int l = 0; l < L; ++l) {
      int a = 0;
      (sum[l][a++].store(out(first + l) + Slot * V::size), ...);
    }
  }
};

template <int... Slot>
using Slots = std::integer_sequence<int, Slot...>;
template <int width>
using AllSlots = std::make_integer_sequence<int, width>;

}  // namespace lacuna::cpu
