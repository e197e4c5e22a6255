// fp16 and bf16 by arithmetic on doubles, independent of the library's own conversions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace support {

// One sign bit, `exponent_bits`, `mantissa_bits`.
template <int exponent_bits, int mantissa_bits>
struct Small {
  std::uint16_t bits;

  static constexpr int bias = (1 << (exponent_bits - 1)) - 1;
  static constexpr double epsilon = 1.0 / (1 << mantissa_bits);
  static constexpr std::uint16_t nan_bits = 0x7fff;

  // To the nearest, ties to even.
  static std::uint16_t round(double value) {
    if (std::isnan(value)) return nan_bits;
    const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
    const int infinity = ((1 << exponent_bits) - 1) << mantissa_bits;
    double magnitude = std::abs(value);
    if (std::isinf(magnitude)) return static_cast<std::uint16_t>(sign | infinity);
    if (magnitude == 0) return sign;
    const int exponent = std::max(std::ilogb(magnitude), 1 - bias);
    // In units of the last place; a carry moves on to the next exponent by itself.
    const double units = std::nearbyint(std::ldexp(magnitude, mantissa_bits - exponent));
    const int field = exponent + bias - 1;  // the implicit bit adds the missing one
    const int code = (field << mantissa_bits) + static_cast<int>(units);
    return static_cast<std::uint16_t>(sign | std::min(code, infinity));
  }
  static double widen(std::uint16_t bits) {
    const double sign = bits & 0x8000 ? -1 : 1;
    const int field = (bits & 0x7fff) >> mantissa_bits, rest = bits & ((1 << mantissa_bits) - 1);
    if (field == (1 << exponent_bits) - 1) return rest ? NAN : sign * INFINITY;
    if (field == 0) return sign * std::ldexp(rest, 1 - bias - mantissa_bits);
    return sign * std::ldexp((1 << mantissa_bits) + rest, field - bias - mantissa_bits);
  }
};

using Fp16 = Small<5, 10>;
using Bf16 = Small<8, 7>;

}  // namespace support
