// Was anything measured at a token?
#pragma once
#include "kernels/simt/number.h"
#include "kernels/simt/warp.h"

namespace lacuna {
inline namespace SIMT_PATH {
namespace tokens {

// Of values or mask [.., features], `mask` null: NaN in values marks the missing ones. For all threads of a warp at once,
// which share the row.
template <class T>
SIMT_DEVICE bool row_is_measured(const T* values, const std::uint8_t* mask, std::int64_t features,
                                 std::int64_t row) {
  bool measured = false;
  for (std::int64_t d = simt::lane_index(); d < features; d += simt::warp_size) {
    const std::int64_t at = row * features + d;
    if (mask != nullptr) {
      measured = measured || mask[at] != 0;
    } else {
      const simt::Real<T> value = simt::to_real(values[at]);
      measured = measured || value == value;
    }
  }
  return simt::any(measured);
}

}  // namespace tokens
}  // namespace SIMT_PATH
}  // namespace lacuna
