// Padded [B,T,row] batches and ragged [N,row] ones, turned into each other at the door. Rows are
// bytes; lengths and offsets are on the device, where nobody can refuse them: a length outside
// 0 .. max_length counts as the nearer of the two, so that nothing outside the arrays is touched.
#pragma once
#include "kernels/training/blocks.h"

namespace lacuna {
inline namespace SIMT_PATH {

// offsets [sequences + 1] "=" running sums of lengths [sequences].
struct OffsetsFromLengths {
  std::int64_t sequences, max_length;
  const std::int64_t* lengths;
  std::int64_t* offsets;
};

struct PaddedRows {
  std::int64_t sequences, max_length, row_bytes;
  const std::int64_t* offsets;  // [sequences + 1]
};

// ---- Kernels ----

namespace train {

inline constexpr unsigned scan_threads = 1024;

// One block, which takes `scan_values` lengths per thread at a time and carries their sum along.
// A scan over many blocks would not pay below millions of sequences.
template <int scan_values>
SIMT_KERNEL(scan_threads)
void offsets_kernel(OffsetsFromLengths a) {
  constexpr unsigned warps = scan_threads / simt::warp_size;
  SIMT_SHARED(warp_ends, std::int64_t[warps]);
  const unsigned rank = simt::thread_rank(), lane = simt::lane_index(), warp = simt::warp_index();
  std::int64_t carried = 0;
  for (std::int64_t first = 0; first < a.sequences; first += scan_threads * scan_values) {
    const std::int64_t own = first + std::int64_t{rank} * scan_values;
    std::int64_t ends[scan_values];  // running sums, of this thread's lengths at first
    std::int64_t sum = 0;
    SIMT_UNROLL
    for (int i = 0; i < scan_values; ++i) {
      const std::int64_t length = own + i < a.sequences ? a.lengths[own + i] : 0;
      sum += length < 0 ? 0 : length > a.max_length ? a.max_length : length;
      ends[i] = sum;
    }
    std::int64_t end = sum;  // of this thread, then of this and those before it in its warp
    for (unsigned distance = 1; distance < simt::warp_size; distance *= 2) {
      const std::int64_t before = simt::shuffle_up(end, distance);
      if (lane >= distance) end += before;
    }
    if (lane == simt::warp_size - 1) warp_ends[warp] = end;
    simt::sync_block();
    // Each warp sums what the others brought: cheaper than a second scan and its barrier.
    std::int64_t before = carried + end - sum, all = 0;
    for (unsigned other = 0; other < warps; ++other) {
      if (other < warp) before += warp_ends[other];
      all += warp_ends[other];
    }
    carried += all;
    SIMT_UNROLL
    for (int i = 0; i < scan_values; ++i)
      if (own + i < a.sequences) a.offsets[own + i + 1] = before + ends[i];
    simt::sync_block();
  }
  if (rank == 0) a.offsets[0] = 0;
}

// Units, of `bytes` each, of a sequence's padded rows that one warp moves.
inline constexpr std::int64_t padded_piece = 1024;

// A sequence's rows lie back to back in both forms. `unpack` also writes the padding, as zeros.
template <int bytes, bool unpack>
SIMT_KERNEL(block_threads)
void move_rows_kernel(PaddedRows a, const std::uint8_t* from, std::uint8_t* to) {
  const std::int64_t row = a.row_bytes / bytes, units = a.max_length * row;
  const std::int64_t pieces = pieces_of(units, padded_piece);
  const std::int64_t warps = std::int64_t{simt::grid_size().x} * (block_threads / simt::warp_size);
  for (std::int64_t task = std::int64_t{simt::block_index().x} * (block_threads / simt::warp_size) +
                           simt::warp_index();
       task < a.sequences * pieces; task += warps) {
    const std::int64_t sequence = task / pieces, begin = task % pieces * padded_piece;
    const std::int64_t packed = a.offsets[sequence] * row, padded = sequence * units;
    const std::int64_t present = a.offsets[sequence + 1] * row - packed;
    const std::int64_t filled = present < units ? present : units;
    const std::int64_t last = unpack ? units : filled;
    const std::int64_t end = begin + padded_piece < last ? begin + padded_piece : last;
    for (std::int64_t i = begin + simt::lane_index(); i < end; i += simt::warp_size) {
      simt::Vec<std::uint8_t, bytes> unit = {};
      if (i < filled) unit = simt::load<bytes>(from + (i + (unpack ? packed : padded)) * bytes);
      simt::store(to + (i + (unpack ? padded : packed)) * bytes, unit);
    }
  }
}

template <bool unpack>
void move_rows(simt::Stream stream, const PaddedRows& a, const void* from, void* to) {
  if (a.sequences == 0 || a.max_length == 0) return;
  const auto launch = [&](auto kernel, std::int64_t bytes) {
    const std::int64_t pieces = pieces_of(a.max_length * (a.row_bytes / bytes), padded_piece);
    const std::int64_t blocks = pieces_of(a.sequences * pieces, block_threads / simt::warp_size);
    simt::launch({.grid = {blocks_for(blocks)}, .block = {block_threads}}, stream, kernel, a,
                 static_cast<const std::uint8_t*>(from), static_cast<std::uint8_t*>(to));
  };
  // The largest unit that rows are made of and both arrays are aligned to.
  const std::uint64_t places = reinterpret_cast<std::uintptr_t>(from) |
                               reinterpret_cast<std::uintptr_t>(to) |
                               static_cast<std::uint64_t>(a.row_bytes);
  if (places % 16 == 0) return launch(move_rows_kernel<16, unpack>, 16);
  if (places % 8 == 0) return launch(move_rows_kernel<8, unpack>, 8);
  if (places % 4 == 0) return launch(move_rows_kernel<4, unpack>, 4);
  if (places % 2 == 0) return launch(move_rows_kernel<2, unpack>, 2);
  launch(move_rows_kernel<1, unpack>, 1);
}

}  // namespace train

// ---- Launches ----

inline void offsets_from_lengths(simt::Stream stream, const OffsetsFromLengths& a) {
  simt::launch({.grid = {1}, .block = {train::scan_threads}}, stream, train::offsets_kernel<4>, a);
}

// Padding is not read. packed [offsets[sequences], row] "=".
inline void pack_rows(simt::Stream stream, const PaddedRows& a, const void* padded, void* packed) {
  train::move_rows<false>(stream, a, padded, packed);
}

// padded [sequences, max_length, row] "=", 0 where there is no token.
inline void unpack_rows(simt::Stream stream, const PaddedRows& a, const void* packed,
                        void* padded) {
  train::move_rows<true>(stream, a, packed, padded);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
