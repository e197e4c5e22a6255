// Sums over the rows or the columns of matrices, in an order that depends on their shapes alone.
#pragma once
#include <algorithm>
#include <stdexcept>

#include "kernels/cells/activations.h"
#include "kernels/simt/number.h"
#include "kernels/simt/shared.h"
#include "kernels/simt/sync.h"
#include "kernels/simt/vec.h"
#include "kernels/simt/warp.h"
#include "kernels/tokens/flat.h"

namespace lacuna {

// out[c] += slope Σ_r row_weight[r] matrix[r, c] factor[r, c].  X: any of the types; all but matrix
// and factor is Real<X>. row_weight [rows] or null: 1. factor [rows, factor_stride] or null: 1.
// slope_of [columns] or null: 1; given, the slope is sigmoid(slope_of[c]), for a rate that is
// softplus of its parameter.
template <class X>
struct ColumnSum {
  using R = simt::Real<X>;
  const X* matrix = nullptr;
  std::int64_t columns = 0, stride = 0;
  R* out = nullptr;
  const R* row_weight = nullptr;
  const R* slope_of = nullptr;
  const X* factor = nullptr;
  std::int64_t factor_stride = 0;
  bool whole = false;  // do neighbouring columns go by one access? ColumnSums.add says so
};

// Sums over the same number of rows, which are formed by the same launches. As a kernel's parameter.
template <class X>
struct ColumnSums {
  static constexpr int most = 12;  // gates, biases and what evolves take 8 at the most
  ColumnSum<X> of[most];
  std::int64_t first[most] = {};  // among the columns of all
  int count = 0;
  std::int64_t columns = 0, widest = 0;  // of all together, of one

  // Columns that a thread sums side by side.
  static constexpr int at_once = 8 / static_cast<int>(sizeof(X));

  void add(ColumnSum<X> sum) {
    if (count == most) throw std::length_error("more sums of columns than a kernel takes");
    const auto aligned = [](const X* matrix, std::int64_t stride) {
      return matrix == nullptr ||
             (stride % at_once == 0 &&
              reinterpret_cast<std::uintptr_t>(matrix) % (at_once * sizeof(X)) == 0);
    };
    sum.whole = aligned(sum.matrix, sum.stride) && aligned(sum.factor, sum.factor_stride);
    first[count] = columns;
    of[count++] = sum;
    columns += sum.columns;
    widest = std::max(widest, sum.columns);
  }
};

inline namespace SIMT_PATH {
namespace tokens {

// Threads side by side on consecutive columns: a warp, or the power of two that covers them.
inline unsigned columns_side_by_side(std::int64_t columns) {
  unsigned width = 1;
  while (width < simt::warp_size && width < columns) width *= 2;
  return width;
}

// Rows that a thread fetches at once.
inline constexpr int rows_ahead = 8;

// How column_sums cuts its rows: `parts` of up to `rows` rows each.
struct RowParts {
  std::int64_t parts, rows;
};

inline std::int64_t most_row_parts(std::int64_t rows) {
  // A part is a turn of a block whose columns are a warp's; more of them than fill a device, even
  // where columns are few, only leave more to add.
  constexpr std::int64_t most = 256, fewest_rows = rows_ahead * flat_threads / simt::warp_size;
  return std::min(most, (rows + fewest_rows - 1) / fewest_rows);
}

inline RowParts row_parts(std::int64_t rows) {
  if (rows == 0) return {0, 0};
  const std::int64_t parts = most_row_parts(rows), each = (rows + parts - 1) / parts;
  return {(rows + each - 1) / each, each};
}

// Blocks of a launch: (columns side by side, parts, sums).
template <class X>
simt::LaunchConfig sums_launch(const ColumnSums<X>& sums, unsigned columns, std::int64_t parts) {
  return {.grid = {static_cast<unsigned>((sums.widest + columns - 1) / columns),
                   static_cast<unsigned>(parts), static_cast<unsigned>(sums.count)},
          .block = {flat_threads}};
}

// Where a thread of such a block works.
struct ColumnTile {
  unsigned row, rows;   // the thread's row among `rows`
  std::int64_t column;  // its first

  // width: threads side by side, with `each` columns.
  SIMT_DEVICE explicit ColumnTile(unsigned width, unsigned each = 1)
      : row(simt::thread_index().x / width),
        rows(flat_threads / width),
        column((static_cast<std::int64_t>(simt::block_index().x) * width +
                simt::thread_index().x % width) *
               each) {}
};

// The sum of all threads on one column. Every thread of the block takes part.
template <class R>
SIMT_DEVICE R sum_over_tile(unsigned width, R own, R* shared) {
  const unsigned rank = simt::thread_index().x;
  shared[rank] = own;
  simt::sync_block();
  for (unsigned half = flat_threads / 2; half >= width; half /= 2) {
    if (rank < half) shared[rank] += shared[rank + half];
    simt::sync_block();
  }
  return shared[rank % width];
}

// A few columns of a row; those that are not present read as 0.
template <class X>
SIMT_DEVICE auto load_columns(const X* row, bool whole, std::int64_t present) {
  constexpr int at_once = ColumnSums<X>::at_once;
  simt::Vec<simt::Real<X>, at_once> columns = {};
  if (whole && present >= at_once) {
    const auto stored = simt::load<at_once>(row);
    SIMT_UNROLL
    for (int k = 0; k < at_once; ++k) columns[k] = simt::to_real(stored[k]);
  } else {
    SIMT_UNROLL
    for (int k = 0; k < at_once; ++k)
      if (k < present) columns[k] = simt::to_real(row[k]);
  }
  return columns;
}

// partials [parts, columns of all]. Two blocks of a multiprocessor, whose registers hold what is on its way: left to itself,
// the compiler aims at more, and spills.
template <class X>
SIMT_KERNEL(flat_threads, 2)
void sum_row_parts(ColumnSums<X> sums, std::int64_t rows, std::int64_t rows_each, unsigned width,
                   simt::Real<X>* partials) {
  using R = simt::Real<X>;
  constexpr int at_once = ColumnSums<X>::at_once;
  using Columns = simt::Vec<R, at_once>;
  SIMT_SHARED(shared, R[at_once * flat_threads]);
  const ColumnTile tile(width, at_once);
  const ColumnSum<X> own = sums.of[simt::block_index().z];
  const std::int64_t part = simt::block_index().y, begin = part * rows_each;
  const std::int64_t end = begin + rows_each < rows ? begin + rows_each : rows;
  const std::int64_t present = own.columns - tile.column;
  Columns sum = {};
  for (std::int64_t first = begin + tile.row; present > 0 && first < end;
       first += rows_ahead * tile.rows) {
    Columns element[rows_ahead];
    const auto for_rows = [&](auto&& work) {
      SIMT_UNROLL
      for (int a = 0; a < rows_ahead; ++a)
        if (first + a * tile.rows < end) work(element[a], first + a * tile.rows);
    };
    SIMT_UNROLL
    for (Columns& e : element) e = {};
    for_rows([&](Columns& e, std::int64_t r) {
      e = load_columns(own.matrix + r * own.stride + tile.column, own.whole, present);
    });
    if (own.factor != nullptr)
      for_rows([&](Columns& e, std::int64_t r) {
        const Columns factor =
            load_columns(own.factor + r * own.factor_stride + tile.column, own.whole, present);
        SIMT_UNROLL
        for (int k = 0; k < at_once; ++k) e[k] *= factor[k];
      });
    if (own.row_weight != nullptr)
      for_rows([&](Columns& e, std::int64_t r) {
        const R weight = own.row_weight[r];
        SIMT_UNROLL
        for (int k = 0; k < at_once; ++k) e[k] *= weight;
      });
    SIMT_UNROLL
    for (int a = 0; a < rows_ahead; ++a) {
      SIMT_UNROLL
      for (int k = 0; k < at_once; ++k) sum[k] += element[a][k];
    }
  }
  const std::int64_t place = part * sums.columns + sums.first[simt::block_index().z] + tile.column;
  SIMT_UNROLL
  for (int k = 0; k < at_once; ++k) {
    const R all = sum_over_tile(width, sum[k], &shared[k * flat_threads]);
    if (k < present && tile.row == 0) partials[place + k] = all;
  }
}

template <class X>
SIMT_KERNEL(flat_threads)
void add_partials(ColumnSums<X> sums, const simt::Real<X>* partials, std::int64_t parts,
                  unsigned width) {
  using R = simt::Real<X>;
  SIMT_SHARED(shared, R[flat_threads]);
  const ColumnTile tile(width);
  const ColumnSum<X> own = sums.of[simt::block_index().z];
  const std::int64_t place = sums.first[simt::block_index().z] + tile.column;
  const bool inside = tile.column < own.columns;
  R sum = 0;
  for (std::int64_t first = tile.row; inside && first < parts; first += rows_ahead * tile.rows) {
    R some[rows_ahead];
    SIMT_UNROLL
    for (int a = 0; a < rows_ahead; ++a) {
      const std::int64_t p = first + a * tile.rows;
      some[a] = p < parts ? partials[p * sums.columns + place] : R(0);
    }
    SIMT_UNROLL
    for (int a = 0; a < rows_ahead; ++a) sum += some[a];
  }
  sum = sum_over_tile(width, sum, &shared[0]);
  if (!inside || tile.row > 0) return;
  if (own.slope_of != nullptr) sum *= sigmoid(own.slope_of[tile.column]);
  own.out[tile.column] += sum;
}

// Of partials [parts, sums.columns].
template <class X>
void launch_add_partials(simt::Stream stream, const ColumnSums<X>& sums,
                         const simt::Real<X>* partials, std::int64_t parts) {
  // Many parts: fewer columns to a block, so that its threads fetch all of a column at once.
  unsigned width = columns_side_by_side(sums.widest);
  while (width > 8 && parts > rows_ahead * (flat_threads / width)) width /= 2;
  simt::launch(sums_launch(sums, width, 1), stream, add_partials<X>, sums, partials, parts, width);
}

// `width` threads to a row.
template <class X>
SIMT_KERNEL(flat_threads)
void sum_rows(const X* matrix, std::int64_t rows, std::int64_t columns, std::int64_t stride,
              const simt::Real<X>* column_weight, unsigned width, simt::Real<X>* out, bool add) {
  using R = simt::Real<X>;
  const unsigned each = flat_threads / width, at = simt::thread_index().x % width;
  // All threads of a block stay together, for the shuffles.
  for (std::int64_t first = static_cast<std::int64_t>(simt::block_index().x) * each; first < rows;
       first += static_cast<std::int64_t>(simt::grid_size().x) * each) {
    const std::int64_t row = first + simt::thread_index().x / width;
    R sum = 0;
    for (std::int64_t c = at; row < rows && c < columns; c += width) {
      const R weight = column_weight != nullptr ? column_weight[c] : R(1);
      sum += weight * simt::to_real(matrix[row * stride + c]);
    }
    for (unsigned toggle = width / 2; toggle > 0; toggle /= 2)
      sum += simt::shuffle_xor(sum, toggle, simt::full_mask, width);
    if (row < rows && at == 0) out[row] = add ? out[row] + sum : sum;
  }
}

}  // namespace tokens

// Elements of column_sums' workspace, for up to so many rows and columns of all sums together.
inline std::int64_t column_sum_partials(std::int64_t rows, std::int64_t columns) {
  return tokens::most_row_parts(rows) * columns;
}

// partials: workspace of column_sum_partials(rows, sums.columns) elements.
template <class X>
void column_sums(simt::Stream stream, std::int64_t rows, const ColumnSums<X>& sums,
                 simt::Real<X>* partials) {
  if (rows == 0 || sums.columns == 0) return;
  constexpr int at_once = ColumnSums<X>::at_once;
  const unsigned width = tokens::columns_side_by_side((sums.widest + at_once - 1) / at_once);
  const tokens::RowParts cut = tokens::row_parts(rows);
  simt::launch(tokens::sums_launch(sums, width * at_once, cut.parts), stream,
               tokens::sum_row_parts<X>, sums, rows, cut.rows, width, partials);
  tokens::launch_add_partials(stream, sums, partials, cut.parts);
}

// out[r] = Σ_c column_weight[c] matrix[r, c], or += where `add`.
// column_weight [columns] or null: 1.
template <class X>
void row_sums(simt::Stream stream, const X* matrix, std::int64_t rows, std::int64_t columns,
              std::int64_t stride, const simt::Real<X>* column_weight, simt::Real<X>* out,
              bool add) {
  if (rows == 0) return;
  const unsigned width = tokens::columns_side_by_side(columns);
  simt::launch(tokens::flat_launch(rows * width), stream, tokens::sum_rows<X>, matrix, rows,
               columns, stride, column_weight, width, out, add);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
