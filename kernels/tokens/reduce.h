// Sums over the rows or the columns of a matrix, in an order that depends on its shape alone.
#pragma once
#include "kernels/cells/activations.h"
#include "kernels/simt/number.h"
#include "kernels/simt/shared.h"
#include "kernels/simt/sync.h"
#include "kernels/simt/warp.h"
#include "kernels/tokens/flat.h"

namespace lacuna {
inline namespace SIMT_PATH {
namespace tokens {

// Threads side by side on consecutive columns: a warp, or the power of two that covers them.
inline unsigned columns_side_by_side(std::int64_t columns) {
  unsigned width = 1;
  while (width < simt::warp_size && width < columns) width *= 2;
  return width;
}

// How column_sums cuts its rows: `parts` of up to `rows` rows each.
struct RowParts {
  std::int64_t parts, rows;
};

inline RowParts row_parts(std::int64_t rows, std::int64_t columns) {
  // Enough blocks to fill a large device, and rows enough to be worth one each.
  constexpr std::int64_t most_blocks = 1024, fewest_rows = 64;
  if (rows == 0 || columns == 0) return {0, 0};
  const std::int64_t tiles = (columns + simt::warp_size - 1) / simt::warp_size;
  const std::int64_t most_parts = std::max<std::int64_t>(1, most_blocks / tiles);
  const std::int64_t parts = std::min(most_parts, (rows + fewest_rows - 1) / fewest_rows);
  const std::int64_t each = (rows + parts - 1) / parts;
  return {(rows + each - 1) / each, each};
}

// Which columns and rows a thread of a block works on.
struct ColumnTile {
  unsigned width, row, rows;  // threads side by side; the thread's row among `rows`
  std::int64_t column, part;

  SIMT_DEVICE ColumnTile(unsigned side_by_side, std::int64_t columns)
      : width(side_by_side),
        row(simt::thread_index().x / side_by_side),
        rows(flat_threads / side_by_side) {
    const std::int64_t tiles = (columns + width - 1) / width;
    column = simt::block_index().x % tiles * width + simt::thread_index().x % width;
    part = simt::block_index().x / tiles;
  }
};

// The sum of all threads on one column. Every thread of the block takes part.
template <class R>
SIMT_DEVICE R sum_over_tile(const ColumnTile& tile, R own, R* shared) {
  const unsigned rank = simt::thread_index().x;
  shared[rank] = own;
  simt::sync_block();
  for (unsigned half = flat_threads / 2; half >= tile.width; half /= 2) {
    if (rank < half) shared[rank] += shared[rank + half];
    simt::sync_block();
  }
  return shared[rank % tile.width];
}

// partials [parts, columns].
template <class X>
SIMT_KERNEL(flat_threads)
void sum_row_parts(const X* matrix, std::int64_t rows, std::int64_t columns, std::int64_t stride,
                   const simt::Real<X>* row_weight, const X* factor, std::int64_t factor_stride,
                   std::int64_t rows_each, unsigned width, simt::Real<X>* partials) {
  using R = simt::Real<X>;
  SIMT_SHARED(shared, R[flat_threads]);
  const ColumnTile tile(width, columns);
  const bool inside = tile.column < columns;
  const std::int64_t begin = tile.part * rows_each;
  const std::int64_t end = begin + rows_each < rows ? begin + rows_each : rows;
  R sum = 0;
  for (std::int64_t r = begin + tile.row; inside && r < end; r += tile.rows) {
    const R weight = row_weight != nullptr ? row_weight[r] : R(1);
    R element = simt::to_real(matrix[r * stride + tile.column]);
    if (factor != nullptr) element *= simt::to_real(factor[r * factor_stride + tile.column]);
    sum += weight * element;
  }
  sum = sum_over_tile(tile, sum, &shared[0]);
  if (inside && tile.row == 0) partials[tile.part * columns + tile.column] = sum;
}

template <class R>
SIMT_KERNEL(flat_threads)
void add_partials(const R* partials, std::int64_t parts, std::int64_t columns, unsigned width,
                  const R* slope_of, R* out) {
  SIMT_SHARED(shared, R[flat_threads]);
  const ColumnTile tile(width, columns);
  const bool inside = tile.column < columns;
  R sum = 0;
  for (std::int64_t p = tile.row; inside && p < parts; p += tile.rows)
    sum += partials[p * columns + tile.column];
  sum = sum_over_tile(tile, sum, &shared[0]);
  if (!inside || tile.row > 0) return;
  if (slope_of != nullptr) sum *= sigmoid(slope_of[tile.column]);
  out[tile.column] += sum;
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

// Elements of column_sums' workspace.
inline std::int64_t column_sum_partials(std::int64_t rows, std::int64_t columns) {
  return tokens::row_parts(rows, columns).parts * columns;
}

// out[c] += slope Σ_r row_weight[r] matrix[r, c] factor[r, c].  X: any of the types; everything else
// is Real<X>. row_weight [rows] or null: 1. factor [rows, factor_stride] or null: 1.  slope_of [columns] or null: 1; given, the slope is
// sigmoid(slope_of[c]), for a rate that is softplus of its parameter.  partials: workspace of
// column_sum_partials(rows, columns) elements.
template <class X>
void column_sums(simt::Stream stream, const X* matrix, std::int64_t rows, std::int64_t columns,
                 std::int64_t stride, const simt::Real<X>* row_weight, simt::Real<X>* partials,
                 simt::Real<X>* out, const simt::Real<X>* slope_of = nullptr,
                 const X* factor = nullptr, std::int64_t factor_stride = 0) {
  if (rows == 0 || columns == 0) return;
  const unsigned width = tokens::columns_side_by_side(columns);
  const tokens::RowParts cut = tokens::row_parts(rows, columns);
  const std::int64_t tiles = (columns + width - 1) / width;
  simt::launch(tokens::block_launch(tiles * cut.parts), stream, tokens::sum_row_parts<X>, matrix,
               rows, columns, stride, row_weight, factor, factor_stride, cut.rows, width, partials);
  simt::launch(tokens::block_launch(tiles), stream, tokens::add_partials<simt::Real<X>>, partials,
               cut.parts, columns, width, slope_of, out);
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
