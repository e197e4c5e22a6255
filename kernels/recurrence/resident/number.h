// What a unit's gates are computed in: a float that knows its layer's type, for what rounds a tanh to 16 bits may compute it
// in fewer instructions (kernels/simt/nonlinear.h): off by 4e-7 at most, where the rounding itself is 4e-7 or more from 1e-3 on.
#pragma once

#include "kernels/cells/activations.h"

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

template <class T>
LACUNA_FN Number<T> sigmoid(Number<T> x) {
  return Number<T>(lacuna::sigmoid(x.value()));
}

template <class T>
LACUNA_FN Number<T> hyperbolic_tangent(Number<T> x) {
#ifdef __CUDA_ARCH__
  if constexpr (sizeof(T) < sizeof(float)) return Number<T>(simt::gpu::large_tangent(x.value()));
#endif
  return Number<T>(lacuna::hyperbolic_tangent(x.value()));
}

}  // namespace lacuna::resident
