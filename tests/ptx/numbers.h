// Rounding and small formats, as the PTX ISA asks for and C++ does not offer.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace lacuna::ptx {

enum class Rounding { nearest, zero, down, up };

inline constexpr std::uint32_t canonical_nan = 0x7fffffff;

// Results that are no number are one and the same in single precision, whatever the host makes of them.
inline float canonical(float x) { return x == x ? x : std::bit_cast<float>(canonical_nan); }
inline double canonical(double x) {
  return x == x ? x : std::bit_cast<double>(0x7fffffffffffffffu);
}

inline float flush(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}
inline float saturate(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }  // NaN gives 0

// value + error, rounded once. |error| is at most half a unit in value's last place.
template <Rounding mode>
float round_sum(double value, double error) {
  if (std::isfinite(value) && error != 0) {
    // To odd: a double in which no bit that a float's rounding looks at has been lost.
    auto bits = std::bit_cast<std::uint64_t>(value);
    if ((error > 0) != (value > 0)) --bits;
    value = std::bit_cast<double>(bits | 1);
  }
  const auto nearest = static_cast<float>(value);
  if constexpr (mode == Rounding::nearest) return nearest;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  if (!std::isfinite(value)) return nearest;
  if (mode == Rounding::zero && std::fabs(nearest) > std::fabs(value))
    return std::nextafter(nearest, 0.0f);
  if (mode == Rounding::down && nearest > value) return std::nextafter(nearest, -infinity);
  if (mode == Rounding::up && nearest < value) return std::nextafter(nearest, infinity);
  return nearest;
}

// a·b + c in single precision: the product is exact in double, the sum's error is found by Knuth's method.
template <Rounding mode>
float multiply_add(float a, float b, float c) {
  const double product = double{a} * b, addend = c;
  const double sum = product + addend;
  if (sum == 0)
    return static_cast<float>(
        mode == Rounding::down && (std::signbit(product) || std::signbit(addend)) ? -0.0 : sum);
  const double part = sum - product;
  return round_sum<mode>(sum, (product - (sum - part)) + (addend - part));
}

// Formats of 16 bits: `fraction` bits behind the point, the rest sign and exponent.
template <unsigned fraction>
std::uint16_t to_small_float(double x) {
  constexpr int exponent_bits = 15 - fraction, bias = (1 << (exponent_bits - 1)) - 1;
  constexpr std::uint16_t infinity = ((1u << exponent_bits) - 1) << fraction;
  if (std::isnan(x)) return 0x7fff;
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (x == 0) return sign;
  if (std::isinf(x)) return sign | infinity;
  const int exponent = std::max(std::ilogb(x), 1 - bias);
  // Whole units in the last place, ties to even.
  const auto units = static_cast<std::uint64_t>(
      std::nearbyint(std::scalbn(std::fabs(x), static_cast<int>(fraction) - exponent)));
  const auto bits = (static_cast<std::int64_t>(exponent + bias - 1) << fraction) +
                    static_cast<std::int64_t>(units);
  return sign | (bits >= infinity ? infinity : static_cast<std::uint16_t>(bits));
}
inline std::uint16_t to_f16(double x) { return to_small_float<10>(x); }
inline std::uint16_t to_bf16(double x) { return to_small_float<7>(x); }

inline float from_f16(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16, rest = bits & 0x7fffu;
  if (rest > 0x7c00) return std::bit_cast<float>(canonical_nan);
  if (rest == 0x7c00) return std::bit_cast<float>(sign | 0x7f800000u);
  // The same bits further up, and the difference of the two formats' biases by a product, which is exact.
  return std::bit_cast<float>(
      sign | std::bit_cast<std::uint32_t>(std::bit_cast<float>(rest << 13) * 0x1p112f));
}
inline float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

// Ten bits behind the point, ties away from zero.
inline std::uint32_t to_tf32(float x) {
  if (x != x) return canonical_nan;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::isinf(x) ? bits : (bits + 0x1000u) & ~0x1fffu;
}
// What the tensor core sees of a register: its low bits are not looked at.
inline float from_tf32(std::uint32_t bits) { return std::bit_cast<float>(bits & ~0x1fffu); }

}  // namespace lacuna::ptx
