// What a step's product with W_h left, for the kernel behind it. A product of few rows fills a device only if its depth is
// cut; its parts are added up by whoever reads it, which takes no kernel of its own.
#pragma once

#include <cstdint>

#include "kernels/recurrence/units.h"

namespace lacuna {

inline constexpr int most_product_parts = 4;

// R: float or double.
template <class R>
struct StepProduct {
  R* rows = nullptr;  // of the first part
  int parts = 1;
  std::int64_t part_size = 0;  // from one part to the next
};

// The sum of the parts, in their order. All are asked for before the first is added.
template <class R>
SIMT_DEVICE Units<R> load_product(const StepProduct<R>& product, std::int64_t at) {
  Units<R> sum = load_units(product.rows, at);
  Units<R> others[most_product_parts - 1];
  SIMT_UNROLL
  for (int p = 1; p < most_product_parts; ++p)
    others[p - 1] =
        p < product.parts ? load_units(product.rows, p * product.part_size + at) : same_units(R(0));
  SIMT_UNROLL
  for (const Units<R>& other : others) {
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) sum[i] += other[i];
  }
  return sum;
}

}  // namespace lacuna
