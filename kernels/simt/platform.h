// The one switch between nvcc and the emulator. Every other header of kernels/simt shows a device
// and a host path side by side under SIMT_ON_DEVICE; kernels themselves never ask which is
// compiled.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifdef __CUDACC__

#include <cuda_runtime.h>
#define SIMT_ON_DEVICE 1
// Both paths may meet in one program (the conformance test), so their names must differ.
#define SIMT_PATH device_path
// Arguments: most threads per block [, least resident blocks per multiprocessor]. A kernel that is
// no template belongs to one source file: nvcc knows no inline kernels.
#define SIMT_KERNEL(...) __global__ __launch_bounds__(__VA_ARGS__)
#define SIMT_DEVICE __device__ __forceinline__
#define SIMT_BOTH __host__ __device__ __forceinline__
#define SIMT_UNROLL _Pragma("unroll")
#define SIMT_NO_UNROLL _Pragma("unroll 1")
#define SIMT_CONSTANT __constant__

#else

#include "emulator/core.h"
#define SIMT_ON_DEVICE 0
#define SIMT_PATH host_path
#define SIMT_KERNEL(...) inline
#define SIMT_DEVICE inline
#define SIMT_BOTH inline
#define SIMT_UNROLL
#define SIMT_NO_UNROLL
#define SIMT_CONSTANT

#endif

// True only where device code is generated: __host__ __device__ functions choose by it.
#ifdef __CUDA_ARCH__
#define SIMT_DEVICE_PASS 1
#else
#define SIMT_DEVICE_PASS 0
#endif

namespace lacuna::simt {
inline namespace SIMT_PATH {

// Where a wrapper was called from. The emulator's errors name it; on the device it is empty.
#if SIMT_ON_DEVICE
struct Site {
  static SIMT_DEVICE constexpr Site current() { return {}; }
};
#else
using Site = KernelSite;
#endif

// How far a release or acquire must reach.
enum class Scope { block, cluster, gpu };

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
  SIMT_BOTH constexpr unsigned count() const { return x * y * z; }
};

// The same bits as another type: std::bit_cast is not callable from device code. By value, because
// nvcc copies from a reference byte by byte.
template <class To, class From>
SIMT_BOTH To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  static_assert(std::is_trivially_copyable_v<To> && std::is_trivially_copyable_v<From>);
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

#if SIMT_ON_DEVICE
#ifdef __CUDA_ARCH__
inline constexpr bool device_has_clusters = __CUDA_ARCH__ >= 900;
#else
inline constexpr bool device_has_clusters = false;
#endif

// Shared memory's own 32-bit address, which most PTX instructions want.
SIMT_DEVICE unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}
#endif

}  // namespace SIMT_PATH
}  // namespace lacuna::simt

// Inline PTX that sm_80 lacks: compiled to a trap there, so that one source serves every
// architecture and a plan that picks a cluster kernel for an old GPU fails loudly.
#define SIMT_ASM_SM90(...)                             \
  do {                                                 \
    if constexpr (::lacuna::simt::device_has_clusters) \
      asm volatile(__VA_ARGS__);                       \
    else                                               \
      __trap();                                        \
  } while (false)
