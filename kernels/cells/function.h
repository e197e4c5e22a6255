// How the mathematics of a unit is marked, so that one source serves the host compilers and nvcc.
#pragma once

#if defined(__CUDACC__)
#define LACUNA_FN __host__ __device__ __forceinline__
#else
#define LACUNA_FN inline __attribute__((always_inline))
#endif
