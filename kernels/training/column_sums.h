// Sums over the rows of a matrix, cut into pieces of rows whose sums are then summed in their turn.
#pragma once
#include "kernels/training/blocks.h"

namespace lacuna {

// Sums of `piece_rows` rows each: sums [pieces, columns] "=", or "+=" where `add`.
template <class E>
struct ColumnSums {
  const E* matrix;  // [rows, columns]
  simt::Real<E>* sums;
  std::int64_t rows, columns, piece_rows;
  bool add;
  int width;  // columns of a block: a power of two; its threads beyond them share out the rows
};

template <class E>
SIMT_KERNEL(block_threads)
void column_sums_kernel(ColumnSums<E> a) {
  using R = simt::Real<E>;
  SIMT_SHARED(partial, R[block_threads]);
  const int rank = static_cast<int>(simt::thread_rank());
  const std::int64_t tiles = pieces_of(a.columns, a.width);
  const std::int64_t tasks = tiles * pieces_of(a.rows, a.piece_rows);
  for (std::int64_t task = simt::block_index().x; task < tasks; task += simt::grid_size().x) {
    const std::int64_t piece = task / tiles;
    const std::int64_t column = task % tiles * a.width + rank % a.width;
    const std::int64_t begin = piece * a.piece_rows;
    const std::int64_t end = begin + a.piece_rows < a.rows ? begin + a.piece_rows : a.rows;
    R sum = 0;
    if (column < a.columns)
      for (std::int64_t row = begin + rank / a.width; row < end; row += block_threads / a.width)
        sum += simt::to_real(a.matrix[row * a.columns + column]);
    partial[rank] = sum;
    simt::sync_block();
    for (int half = block_threads / 2; half >= a.width; half /= 2) {
      if (rank < half) partial[rank] += partial[rank + half];
      simt::sync_block();
    }
    if (rank < a.width && column < a.columns) {
      R& target = a.sums[piece * a.columns + column];
      target = (a.add ? target : R(0)) + partial[rank];
    }
    simt::sync_block();
  }
}

template <class E>
void column_sums(simt::Stream stream, const E* matrix, std::int64_t rows, std::int64_t columns,
                 std::int64_t piece_rows, bool add, simt::Real<E>* sums) {
  int width = 1;
  while (width < static_cast<int>(simt::warp_size) && width < columns) width *= 2;
  const std::int64_t tasks = pieces_of(columns, width) * pieces_of(rows, piece_rows);
  if (tasks == 0) return;
  simt::launch({.grid = {blocks_for(tasks)}, .block = {block_threads}}, stream,
               column_sums_kernel<E>,
               ColumnSums<E>{matrix, sums, rows, columns, piece_rows, add, width});
}

}  // namespace lacuna
