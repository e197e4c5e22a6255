// Walks along the tokens that are parallel over tokens all the same: the order of reading is cut
// into chunks, one thread walks one chunk of one feature, and consecutive threads take consecutive
// features, so that rows are read and written whole.
#pragma once
#include "kernels/tokens/batch.h"
#include "kernels/tokens/flat.h"
#include "lacuna/lacuna.h"

namespace lacuna {
inline namespace SIMT_PATH {
namespace tokens {

inline constexpr unsigned chunk_length = 32;
inline constexpr unsigned chunk_threads = 128;

SIMT_BOTH constexpr std::int64_t chunk_count(std::int64_t tokens) {
  return (tokens + chunk_length - 1) / chunk_length;
}

// Positions 0 .. N-1 in the order of reading: tokens from first to last, or in reverse from last to
// first, a sequence's own in a row. Positions beyond the tokens in use are the rows beyond.
struct Reading {
  const std::int32_t* sequence_of;
  std::int64_t used;
  bool reverse;

  SIMT_DEVICE std::int64_t token(std::int64_t position) const {
    return reverse ? used - 1 - position : position;
  }
  // -1 before the first and beyond the last.
  SIMT_DEVICE std::int32_t sequence(std::int64_t position) const {
    return position >= 0 && position < used ? sequence_of[token(position)] : -1;
  }
};

template <class T>
SIMT_DEVICE Reading reading(const DeviceBatch<T>& batch, const std::int32_t* sequence_of) {
  return {sequence_of, used_tokens(batch), batch.reverse};
}

// What a walk reads of one feature at some positions in a row, fetched before any of them is worked
// on: loads that wait for nothing run side by side.
template <class T, unsigned length>
struct Cells {
  std::int32_t sequence[length + 2];  // from the position before to the one behind
  std::int64_t token[length];         // beyond the tokens in use: the last one's
  bool measured[length];
  simt::Real<T> value[length];  // anything where not measured

  SIMT_DEVICE bool in_use(unsigned i) const { return sequence[i + 1] >= 0; }
  SIMT_DEVICE bool begins(unsigned i) const { return sequence[i] != sequence[i + 1]; }
  SIMT_DEVICE bool ends(unsigned i) const { return sequence[i + 2] != sequence[i + 1]; }
};

// The cells from `first` on, which must be in use. `masked` false: every value is measured, and may
// be absent where nobody wants it.
template <unsigned length, class T>
SIMT_DEVICE Cells<T, length> fetch_cells(const DeviceBatch<T>& batch, const Reading& read,
                                         bool masked, std::int64_t first, std::int64_t feature) {
  Cells<T, length> cells;
  SIMT_UNROLL
  for (unsigned i = 0; i < length + 2; ++i) cells.sequence[i] = read.sequence(first + i - 1);
  SIMT_UNROLL
  for (unsigned i = 0; i < length; ++i) {
    const std::int64_t position = first + i < read.used ? first + i : read.used - 1;
    cells.token[i] = read.token(position);
    cells.value[i] = batch.values != nullptr
                         ? simt::to_real(batch.values[cells.token[i] * batch.features + feature])
                         : simt::Real<T>(0);
  }
  if (!masked) {
    SIMT_UNROLL
    for (unsigned i = 0; i < length; ++i) cells.measured[i] = true;
  } else if (batch.mask != nullptr) {
    SIMT_UNROLL
    for (unsigned i = 0; i < length; ++i)
      cells.measured[i] = batch.mask[cells.token[i] * batch.features + feature] != 0;
  } else {
    SIMT_UNROLL
    for (unsigned i = 0; i < length; ++i) cells.measured[i] = cells.value[i] == cells.value[i];
  }
  return cells;
}

}  // namespace tokens
}  // namespace SIMT_PATH
}  // namespace lacuna
