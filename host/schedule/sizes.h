// Sizes that say so when they do not fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace lacuna::schedule {

inline std::size_t product(std::int64_t a, std::int64_t b, std::size_t c) {
  std::int64_t all = 0;
  if (__builtin_mul_overflow(a, b, &all) ||
      __builtin_mul_overflow(all, static_cast<std::int64_t>(c), &all))
    throw std::length_error("a size does not fit 64 bits");
  return static_cast<std::size_t>(all);
}

}  // namespace lacuna::schedule
