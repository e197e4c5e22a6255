// Padded [B,T,row] batches and ragged [N,row] ones, turned into each other at the door. Rows are
// bytes; offsets are on the device, where nobody can refuse them: of rows that they put outside the
// padded array, or behind offsets[sequences], none is touched.
#pragma once
#include "kernels/tokens/offsets.h"
#include "kernels/training/blocks.h"

namespace lacuna {
inline namespace SIMT_PATH {

struct PaddedRows {
  std::int64_t sequences, max_length, row_bytes;
  const std::int64_t* offsets;  // [sequences + 1]
};

// A sequence's rows of the packed array.
struct PackedRows {
  std::int64_t begin, count;
};

// ---- Kernels ----

namespace train {

// Units, of `bytes` each, of a sequence's padded rows that one warp moves.
inline constexpr std::int64_t padded_piece = 1024;

SIMT_DEVICE PackedRows packed_rows(const PaddedRows& a, std::int64_t sequence) {
  const std::int64_t used = tokens::within(a.offsets[a.sequences], a.sequences * a.max_length);
  const std::int64_t begin = tokens::within(a.offsets[sequence], used);
  const std::int64_t end = tokens::within(a.offsets[sequence + 1], used);
  return {begin, tokens::within(end - begin, a.max_length)};
}

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
    const PackedRows rows = packed_rows(a, sequence);
    const std::int64_t packed = rows.begin * row, padded = sequence * units;
    const std::int64_t filled = rows.count * row;
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
