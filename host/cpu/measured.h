// Which features of a row were measured: by the mask, or, where there is none, by the values that are not NaN.
#pragma once

#include <cstdint>

#include "kernels/cells/function.h"

namespace lacuna::cpu {

// One row of `features`. Inlined everywhere, for some who call it are compiled for other instruction sets than the rest.
template <class T>
struct MeasuredRow {
  const std::uint8_t* mask;  // null: there is none
  const T* values;
  std::int64_t features;

  LACUNA_FN bool any() const {
    unsigned found = 0;  // an integer, so that the loops become vector instructions
    if (mask != nullptr) {
      for (std::int64_t d = 0; d < features; ++d) found |= mask[d];
    } else {
      for (std::int64_t d = 0; d < features; ++d) found |= values[d] == values[d] ? 1U : 0U;
    }
    return found != 0;
  }

  // 1 or 0 for each.
  LACUNA_FN void write(T* measured) const {
    if (mask != nullptr) {
      for (std::int64_t d = 0; d < features; ++d) measured[d] = mask[d] != 0 ? T(1) : T(0);
    } else {
      for (std::int64_t d = 0; d < features; ++d)
        measured[d] = values[d] == values[d] ? T(1) : T(0);
    }
  }
};

}  // namespace lacuna::cpu
