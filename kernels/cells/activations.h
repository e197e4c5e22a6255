// The nonlinearities every cell is made of. A value type V is float, double, or a vector of them that brings its own
// exponential(), exponential_minus_one(), maximum(), minimum() and select(), found by argument-dependent lookup.
#pragma once

#include <cmath>

#include "kernels/cells/function.h"
#include "kernels/simt/nonlinear.h"

namespace lacuna {

LACUNA_FN float exponential(float x) { return std::exp(x); }
LACUNA_FN double exponential(double x) { return std::exp(x); }
// Finite for every finite x: beyond 80 it stays at exp(80)-1.
LACUNA_FN float exponential_minus_one(float x) { return std::expm1(x > 80 ? 80 : x); }
LACUNA_FN double exponential_minus_one(double x) { return std::expm1(x > 80 ? 80 : x); }
LACUNA_FN float maximum(float a, float b) { return b < a ? a : b; }
LACUNA_FN double maximum(double a, double b) { return b < a ? a : b; }
LACUNA_FN float minimum(float a, float b) { return a < b ? a : b; }
LACUNA_FN double minimum(double a, double b) { return a < b ? a : b; }
LACUNA_FN float select(bool condition, float yes, float no) { return condition ? yes : no; }
LACUNA_FN double select(bool condition, double yes, double no) { return condition ? yes : no; }

template <class V>
LACUNA_FN V sigmoid(V x) {
  return V(1) / (V(1) + exponential(-x));
}

// From the value, as all derivatives here: nothing but the activated gate needs to be kept.
template <class V>
LACUNA_FN V sigmoid_slope(V value) {
  return value * (V(1) - value);
}

// e/(e+2) with e = exp(2x)-1 keeps its relative accuracy through zero, and is +-1 where e is far from it; e stays finite.
template <class V>
LACUNA_FN V hyperbolic_tangent(V x) {
  const V e = exponential_minus_one(x + x);
  return e / (e + V(2));
}

// Of a float, on a GPU, by its own instructions.
LACUNA_FN float sigmoid(float x) {
#ifdef __CUDA_ARCH__
  return simt::gpu::sigmoid(x);
#else
  return sigmoid<float>(x);
#endif
}
LACUNA_FN float hyperbolic_tangent(float x) {
#ifdef __CUDA_ARCH__
  return simt::gpu::hyperbolic_tangent(x);
#else
  return hyperbolic_tangent<float>(x);
#endif
}

template <class V>
LACUNA_FN V hyperbolic_tangent_slope(V value) {
  return V(1) - value * value;
}

// log(1+exp(x)) and its slope, for rates that must stay positive. Evaluated once per parameter, so scalars only.
template <class T>
LACUNA_FN T softplus(T x) {
  return (x > T(0) ? x : T(0)) + std::log1p(std::exp(-std::fabs(x)));
}

}  // namespace lacuna
