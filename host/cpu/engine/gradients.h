// Weight gradients: sums over tokens of (gradient row)^T (operand row), a window of tokens at a time so that both stay in
// cache.
#pragma once

#include <algorithm>

#include "host/cpu/engine/job.h"
#include "host/cpu/engine/products.h"

namespace lacuna::cpu {

// The tokens of one window: gradient rows lie `stride` apart, operand rows anywhere.
template <class T>
struct Window {
  const T* gradient = nullptr;
  std::int64_t stride = 0;
  const T* const* operand = nullptr;  // [count]
  const T* const* reset = nullptr;    // [count] r of gru_reset_before
  std::int64_t count = 0;
};

template <class V, class T, class Arch>
struct WeightSums {
  // Asks for rows that will be added to. Sums of large layers are far away, and the sums of a block in the making leave the
  // processor no room to look beyond them.
  template <int rows>
  LACUNA_FN static void ask_for_rows(const T* row, std::int64_t stride, std::int64_t elements) {
    constexpr std::int64_t line = 64 / sizeof(T);
#pragma GCC unroll 8
    for (int l = 0; l < rows; ++l)
      for (std::int64_t a = 0; a < elements; a += line) __builtin_prefetch(row + l * stride + a, 1);
  }

  // out[l][...] += gradient[k][l] * panel[k][...]: rows of the result are neighbouring gradient columns.
  template <int L, int Width>
  static void block(const T* gradient, std::int64_t stride, const T* panel, std::int64_t count,
                    T* out, std::int64_t out_stride) {
    V sum[L][Width];
#pragma GCC unroll 8
    for (int l = 0; l < L; ++l)
#pragma GCC unroll 8
      for (int a = 0; a < Width; ++a) sum[l][a] = V::load(out + l * out_stride + a * V::size);
    ask_for_rows<L>(out + L * out_stride, out_stride, Width * V::size);  // the next block's
    // The next blocks read on from here in every row; rows are too far apart for the hardware to know.
    accumulate<Arch, true>(
        sum, [&](int l, std::int64_t k) { return gradient[k * stride + l]; }, panel, count,
        reinterpret_cast<const char*>(gradient + 64 / sizeof(T)), stride * sizeof(T));
#pragma GCC unroll 8
    for (int l = 0; l < L; ++l)
#pragma GCC unroll 8
      for (int a = 0; a < Width; ++a) sum[l][a].store(out + l * out_stride + a * V::size);
  }

  // Columns [first, first + width) of the product's operand side by side; zeros past the product's last column.
  static void pack(const GradientProduct& product, const Window<T>& window, std::int64_t first,
                   std::int64_t width, T* panel) {
    const std::int64_t n = std::min(width, product.columns - first);
    for (std::int64_t k = 0; k < window.count; ++k, panel += width) {
      const T* const row = product.of == GradientProduct::Of::projection
                               ? window.gradient + k * window.stride
                               : window.operand[k];
      const T* const from = row + product.first_column + first;
      if (product.times_reset) {
        for (std::int64_t c = 0; c < n; ++c) panel[c] = from[c] * window.reset[k][first + c];
      } else {
        copy_row<V>(from, n, panel);
      }
      std::fill(panel + n, panel + width, T(0));
    }
  }

  // One panel of columns of one product.
  template <int Width>
  static void add_panel(const Layout& lay, const GradientProduct& product, const Window<T>& window,
                        std::int64_t first, T* panel, T* sums) {
    pack(product, window, first, Width * V::size, panel);
    constexpr int most = tile_rows<Arch, Width>;
    for (std::int64_t k = 0; k < window.count;) {
      const std::int64_t part = piece_length<V, T, Arch, Width>(window.count - k);
      for (std::int64_t g = 0; g < product.gates; ++g) {
        const T* const gradient =
            window.gradient + k * window.stride + product.gradient + g * lay.units;
        T* const out = sums + product.offset + g * product.rows * product.stride + first;
        for_row_blocks<most>(static_cast<int>(product.rows), [&](int u, auto rows) {
          block<decltype(rows)::value, Width>(gradient + u, window.stride,
                                              panel + k * Width * V::size, part,
                                              out + u * product.stride, product.stride);
        });
      }
      k += part;
    }
  }

  static void add(const Layout& lay, const Window<T>& window, T* panel, T* sums) {
    for (int p = 0; p < lay.product_count; ++p)
      for_panels<V>(lay.products[p].stride, [&](std::int64_t first, auto width) {
        add_panel<decltype(width)::value>(lay, lay.products[p], window, first, panel, sums);
      });
  }
};

}  // namespace lacuna::cpu
