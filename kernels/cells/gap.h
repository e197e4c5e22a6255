// The time before a token, from what a batch is given of it. One source for whole batches and windows of them, on every
// backend.
#pragma once

#include <cstdint>

#include "kernels/cells/function.h"

namespace lacuna {

template <class R>
struct GapSource {
  const R* delta_t = nullptr;         // [N]; or
  const double* times = nullptr;      // [N]; or neither: gaps are 0
  const double* last_time = nullptr;  // [B] carried in; NaN: earlier pieces held no token
  const R* first_gap = nullptr;       // [B] carried in, reversed sequences with delta_t
  bool reverse = false;               // sequences are read from their ends
};

// `row`: the token's. `first`: it is the first of its sequence to be read.
template <class R>
LACUNA_FN R gap_before_row(const GapSource<R>& from, std::int64_t sequence, std::int64_t row,
                           bool first) {
  if (from.delta_t != nullptr) {
    if (!from.reverse) return from.delta_t[row];
    if (!first) return from.delta_t[row + 1];
    return from.first_gap != nullptr ? from.first_gap[sequence] : R(0);
  }
  if (from.times == nullptr) return R(0);
  const double now = from.times[row];
  double before = now;
  if (!first) {
    before = from.times[from.reverse ? row + 1 : row - 1];
  } else if (from.last_time != nullptr) {
    const double carried = from.last_time[sequence];
    if (carried == carried) before = carried;
  }
  // Stamps are doubles, and so is their difference: seconds over years do not fit a float.
  return static_cast<R>(from.reverse ? before - now : now - before);
}

}  // namespace lacuna
