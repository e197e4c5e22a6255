// Nonlinearities of a float by a GPU's own instructions: a few of them, without the branches of those in its library, so
// that several units are computed at a time. Device code only: elsewhere, as in the emulator, kernels/cells/activations.h
// has them as plain C++.
//
// Bounds, if the instructions for 2^x and 1/x are right to 2^-22 of the result and to one unit of its last place:
//   sigmoid             off by 2e-7 at most, three units of the last place near 1; relative to itself by 4e-7 + 1e-7 |x|
//   hyperbolic_tangent  relative to itself by 5e-7
//   large_tangent       off by 4e-7 at most
#pragma once

#ifdef __CUDA_ARCH__

namespace lacuna::simt::gpu {

// 1 / (1 + 2^x), by one instruction each for power and reciprocal.
__device__ __forceinline__ float reciprocal_of_power(float x) {
  float power, result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(1 + power));
  return result;
}
inline constexpr float log2_of_e = 1.44269504f;

__device__ __forceinline__ float sigmoid(float x) { return reciprocal_of_power(x * -log2_of_e); }

__device__ __forceinline__ float large_tangent(float x) {
  return 1 - 2 * reciprocal_of_power(x * (2 * log2_of_e));
}

// Odd in x, right to 4e-8 of the result up to 0.55: x + x^3 p(x^2), p fitted to the largest relative error.
__device__ __forceinline__ float small_tangent(float x) {
  const float square = x * x;
  const float p = fmaf(fmaf(fmaf(0.0164375808f, square, -0.0526718134f), square, 0.133207251f),
                       square, -0.333329466f);
  return fmaf(p * square, x, x);
}

// Both are computed: no branch.
__device__ __forceinline__ float hyperbolic_tangent(float x) {
  return fabsf(x) < 0.55f ? small_tangent(x) : large_tangent(x);
}

}  // namespace lacuna::simt::gpu

#endif
