// The numbers that arrays may hold: float, double and, on CUDA, two of 16 bits. The latter are for
// storage alone: they turn into float by themselves, and a float into them where one asks for it.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "lacuna/lacuna.h"

namespace lacuna {

enum class Type { f32 = LACUNA_F32, f64 = LACUNA_F64, f16 = LACUNA_F16, bf16 = LACUNA_BF16 };

// IEEE 754 binary16: 11 bits of mantissa, up to 65504. std::bit_cast gives and takes its bits.
struct Half {
  std::uint16_t bits;

  Half() = default;
  // The nearest, ties to even; infinity beyond the largest.
  constexpr explicit Half(float value) : bits(0) {
    const auto all = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint16_t>(all >> 16 & 0x8000u);
    const std::uint32_t magnitude = all & 0x7fffffffu;
    std::uint32_t rounded = 0x7c00;  // infinity
    if (magnitude > 0x7f800000u) {   // NaN, the one that a GPU makes
      bits = 0x7fff;
      return;
    }
    if (magnitude < 0x38800000u)  // subnormal: those numbers lie as far apart as floats behind 0.5
      rounded = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    else if (magnitude < 0x47800000u)  // a carry raises the exponent, up to infinity's
      rounded = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    bits = static_cast<std::uint16_t>(sign | rounded);
  }

  constexpr operator float() const {
    const std::uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    if (magnitude < 0x400) {  // subnormal
      const float value = static_cast<float>(magnitude) * 0x1p-24f;
      return sign != 0 ? -value : value;
    }
    const std::uint32_t exponent = magnitude >= 0x7c00 ? 0x70000000u : 0x38000000u;
    return std::bit_cast<float>(sign | ((magnitude << 13) + exponent));
  }
};

// The upper half of a float: 8 bits of mantissa and a float's range.
struct BFloat16 {
  std::uint16_t bits;

  BFloat16() = default;
  // The nearest, ties to even.
  constexpr explicit BFloat16(float value) : bits(0x7fff) {
    const auto all = std::bit_cast<std::uint32_t>(value);
    if ((all & 0x7fffffffu) <= 0x7f800000u)
      bits = static_cast<std::uint16_t>((all + 0x7fffu + (all >> 16 & 1u)) >> 16);
  }

  constexpr operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

// What a layer's values, states and outputs are stored in, and the Type each stands for.
template <class Number>
concept RealNumber = std::is_same_v<Number, float> || std::is_same_v<Number, double> ||
    std::is_same_v<Number, Half> || std::is_same_v<Number, BFloat16>;
template <RealNumber Real>
inline constexpr Type type_of = std::is_same_v<Real, float>    ? Type::f32
                                : std::is_same_v<Real, double> ? Type::f64
                                : std::is_same_v<Real, Half>   ? Type::f16
                                                               : Type::bf16;

// What its parameters, gradients of parameters and times are, and what it computes in.
template <RealNumber Real>
using Wide = std::conditional_t<std::is_same_v<Real, double>, double, float>;

}  // namespace lacuna
