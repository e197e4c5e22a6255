// The batch as the kernels see it: ragged sequences back to back in device memory, and how many of
// the arrays' rows they fill.
#pragma once
#include <cmath>

#include "kernels/simt/number.h"
#include "kernels/simt/platform.h"

namespace lacuna {

// As lacuna_batch; values in T, times in Real<T>. Null where the caller gave nothing.
template <class T>
struct DeviceBatch {
  using R = simt::Real<T>;

  std::int64_t sequences = 0;
  // Rows of the arrays. Lengths may be known to the device alone: offsets[sequences] says how many
  // rows are in use. What stands beyond in the caller's arrays is neither read nor written.
  std::int64_t tokens = 0;
  std::int64_t features = 0;
  const std::int64_t* offsets = nullptr;    // [B+1]; may be null when there are no sequences
  const T* values = nullptr;                // [N, D]
  const std::uint8_t* mask = nullptr;       // [N, D]; null: NaN in values marks the missing ones
  const R* delta_t = nullptr;               // [N]
  const double* times = nullptr;            // [N]
  const R* delta = nullptr;                 // [N, D] ready-made
  const T* carry_last_values = nullptr;     // [B, D] NaN: none
  const R* carry_since = nullptr;           // [B, D]
  const double* carry_last_time = nullptr;  // [B] NaN: none
  const R* carry_first_gap = nullptr;       // [B] `reverse` with delta_t only
  bool reverse = false;
};

inline namespace SIMT_PATH {

template <class T>
SIMT_DEVICE std::int64_t used_tokens(const DeviceBatch<T>& batch) {
  return batch.sequences > 0 ? batch.offsets[batch.sequences] : 0;
}

// Where there is no value, or no time.
template <class R>
SIMT_DEVICE R absent() {
  return static_cast<R>(NAN);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
