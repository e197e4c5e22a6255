// fp16, bf16 and tf32: storage and conversion only, arithmetic is done in fp32. The portable
// conversions round to nearest even as the device's cvt.rn does, bit for bit, NaN included.
#pragma once
#include "kernels/simt/platform.h"

namespace lacuna::simt {

// Laid out as __half and __nv_bfloat16 are, so buffers cross to CUDA libraries as they stand.
struct alignas(2) Fp16 {
  std::uint16_t bits;
};
struct alignas(2) Bf16 {
  std::uint16_t bits;
};
static_assert(sizeof(Fp16) == 2 && sizeof(Bf16) == 2);

inline namespace SIMT_PATH {

namespace portable {

// The device turns every NaN into this one when it converts to 16 bits.
inline constexpr std::uint16_t nan16 = 0x7fff;

SIMT_BOTH std::uint16_t fp16_from_float(float value) {
  const auto bits = bits_as<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return nan16;
  if (magnitude >= 0x47800000u) return sign | 0x7c00u;  // 65536 and more, infinity included
  std::uint32_t mantissa, shift;
  std::uint32_t base;              // exponent field of the result, before a carry from rounding
  if (magnitude >= 0x38800000u) {  // normal in fp16
    base = (magnitude >> 23) - 112;
    mantissa = magnitude & 0x7fffffu;
    shift = 13;
  } else {  // subnormal or zero: the implicit bit becomes explicit and shifts right
    base = 0;
    mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    shift = 126 - (magnitude >> 23);
    if (shift > 24) return sign;  // below half of the least subnormal
  }
  std::uint32_t rounded = mantissa >> shift;
  const std::uint32_t rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
  if (rest > half || (rest == half && (rounded & 1))) ++rounded;
  return static_cast<std::uint16_t>(sign |
                                    ((base << 10) + rounded));  // a carry raises the exponent
}

SIMT_BOTH float fp16_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  std::uint32_t exponent = bits >> 10 & 0x1fu, mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return bits_as<float>(mantissa ? 0x7fffffffu : sign | 0x7f800000u);
  if (exponent == 0) {
    if (mantissa == 0) return bits_as<float>(sign);
    exponent = 1;
    while (!(mantissa & 0x400u)) {
      mantissa <<= 1;
      --exponent;  // wraps below zero and back when the bias is added
    }
    mantissa &= 0x3ffu;
  }
  return bits_as<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

SIMT_BOTH std::uint16_t bf16_from_float(float value) {
  const auto bits = bits_as<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return nan16;
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// Nearest tf32 value, ties away from zero; the 13 bits the tensor core ignores are cleared.
SIMT_BOTH std::uint32_t tf32_from_float(float value) {
  const auto bits = bits_as<std::uint32_t>(value);
  if ((bits & 0x7f800000u) == 0x7f800000u)
    return bits & 0x7fffffffu & ~0x7f800000u ? 0x7fffe000u : bits;
  return (bits + 0x1000u) & ~0x1fffu;
}

}  // namespace portable

SIMT_BOTH float to_float(float value) { return value; }

SIMT_BOTH float to_float(Fp16 value) {
#if SIMT_DEVICE_PASS
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
#else
  return portable::fp16_to_float(value.bits);
#endif
}

SIMT_BOTH float to_float(Bf16 value) {
  return bits_as<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

// T: float, Fp16 or Bf16.
template <class T>
SIMT_BOTH T from_float(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else if constexpr (std::is_same_v<T, Fp16>) {
#if SIMT_DEVICE_PASS
    Fp16 result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
#else
    return {portable::fp16_from_float(value)};
#endif
  } else {
    static_assert(std::is_same_v<T, Bf16>);
#if SIMT_DEVICE_PASS
    Bf16 result;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
#else
    return {portable::bf16_from_float(value)};
#endif
  }
}

// Two values in one register, the lower half first: what a 16-bit mma operand holds.
// T: Fp16 or Bf16.
template <class T>
SIMT_BOTH std::uint32_t pack(float low, float high) {
#if SIMT_DEVICE_PASS
  std::uint32_t result;
  if constexpr (std::is_same_v<T, Fp16>)
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
#else
  return from_float<T>(low).bits | static_cast<std::uint32_t>(from_float<T>(high).bits) << 16;
#endif
}

// What values of T are computed and accumulated in.
template <class T>
using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
SIMT_BOTH Real<T> to_real(T value) {
  if constexpr (std::is_same_v<T, double>)
    return value;
  else
    return to_float(value);
}

template <class T>
SIMT_BOTH T from_real(Real<T> value) {
  if constexpr (std::is_same_v<T, double>)
    return value;
  else
    return from_float<T>(value);
}

template <class T>
SIMT_BOTH float unpack_low(std::uint32_t two) {
  return to_float(T{static_cast<std::uint16_t>(two)});
}
template <class T>
SIMT_BOTH float unpack_high(std::uint32_t two) {
  return to_float(T{static_cast<std::uint16_t>(two >> 16)});
}

// The register a tf32 mma operand wants.
SIMT_BOTH std::uint32_t to_tf32(float value) {
#if SIMT_DEVICE_PASS
  std::uint32_t result;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(value));
  return result & ~0x1fffu;
#else
  return portable::tf32_from_float(value);
#endif
}

// a b, rounded before anything is added to it.
SIMT_DEVICE float rounded_product(float a, float b) {
#if SIMT_ON_DEVICE
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
SIMT_DEVICE double rounded_product(double a, double b) {
#if SIMT_ON_DEVICE
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

// a b, whole: one instruction, also where the compiler cannot see that a factor of 64 bits has no more than 32.
SIMT_DEVICE std::int64_t wide_product(std::int32_t a, std::int32_t b) {
#if SIMT_ON_DEVICE
  std::int64_t result;
  asm("mul.wide.s32 %0, %1, %2;" : "=l"(result) : "r"(a), "r"(b));
  return result;
#else
  return std::int64_t{a} * b;
#endif
}

// The same bits, of which the compiler knows nothing. What is computed from them stays where it is written, and is not
// moved out of a loop into registers that the loop has no room for.
SIMT_DEVICE std::uint32_t opaque(std::uint32_t bits) {
#if SIMT_ON_DEVICE
  asm volatile("" : "+r"(bits));
#endif
  return bits;
}

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
