// What a unit's gates are computed in: a float whose nonlinearities a GPU computes in a few instructions, without the
// branches of those in its library. kernels/cells finds them by argument-dependent lookup.
//
// Bounds, if the instructions for 2^x and 1/x are right to 2^-22 of the result and to one unit of its last place:
//   sigmoid   off by 2e-7 at most, three units of the last place near 1; relative to itself by 4e-7 + 1e-7 |x|
//   tanh      layers of floats: relative to itself by 5e-7; layers of 16 bits: off by 4e-7 at most, where their own rounding
//             of a number is 4e-7 or more from 1e-3 on
//
// On the host, where the emulator runs, they are those of kernels/cells/activations.h.
#pragma once

#include "kernels/cells/activations.h"
#include "kernels/simt/platform.h"

namespace lacuna::resident {

// T: of the layer.
template <class T>
class Number {
 public:
  Number() = default;
  LACUNA_FN explicit Number(float value) : value_(value) {}
  LACUNA_FN float value() const { return value_; }

  LACUNA_FN friend Number operator-(Number a) { return Number(-a.value_); }
  LACUNA_FN friend Number operator+(Number a, Number b) { return Number(a.value_ + b.value_); }
  LACUNA_FN friend Number operator-(Number a, Number b) { return Number(a.value_ - b.value_); }
  LACUNA_FN friend Number operator*(Number a, Number b) { return Number(a.value_ * b.value_); }
  LACUNA_FN friend bool operator>(Number a, Number b) { return a.value_ > b.value_; }
  LACUNA_FN friend Number maximum(Number a, Number b) {
    return Number(lacuna::maximum(a.value_, b.value_));
  }
  LACUNA_FN friend Number select(bool condition, Number yes, Number no) {
    return condition ? yes : no;
  }

 private:
  float value_ = 0;
};

#if SIMT_ON_DEVICE
// 1 / (1 + 2^x), by one instruction each for power and reciprocal.
SIMT_DEVICE float reciprocal_of_power(float x) {
  float power, result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(1 + power));
  return result;
}
inline constexpr float log2_of_e = 1.44269504f;

// Odd in x, right to 4e-8 of the result up to 0.55: x + x^3 p(x^2), p fitted to the largest relative error.
SIMT_DEVICE float small_tangent(float x) {
  const float square = x * x;
  const float p = fmaf(fmaf(fmaf(0.0164375808f, square, -0.0526718134f), square, 0.133207251f),
                       square, -0.333329466f);
  return fmaf(p * square, x, x);
}
#endif

template <class T>
LACUNA_FN Number<T> sigmoid(Number<T> x) {
#if SIMT_ON_DEVICE
  return Number<T>(reciprocal_of_power(x.value() * -log2_of_e));
#else
  return Number<T>(lacuna::sigmoid(x.value()));
#endif
}

template <class T>
LACUNA_FN Number<T> hyperbolic_tangent(Number<T> x) {
#if SIMT_ON_DEVICE
  const float large = 1 - 2 * reciprocal_of_power(x.value() * (2 * log2_of_e));
  if constexpr (sizeof(T) < sizeof(float)) return Number<T>(large);
  return Number<T>(fabsf(x.value()) < 0.55f ? small_tangent(x.value()) : large);  // both: no branch
#else
  return Number<T>(lacuna::hyperbolic_tangent(x.value()));
#endif
}

}  // namespace lacuna::resident
