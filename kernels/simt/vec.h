// Small vectors and the aligned loads and stores that move them in one instruction.
#pragma once
#include "kernels/simt/platform.h"

namespace lacuna::simt {

// Aligned to its whole size (4, 8 or 16 bytes), so the compiler moves it with one access.
template <class T, int N>
struct alignas(sizeof(T) * N) Vec {
  static_assert(sizeof(T) * N <= 16);
  T lane[N];
  SIMT_BOTH constexpr T& operator[](int i) { return lane[i]; }
  SIMT_BOTH constexpr const T& operator[](int i) const { return lane[i]; }
};

using Float2 = Vec<float, 2>;
using Float4 = Vec<float, 4>;
using Double2 = Vec<double, 2>;

inline namespace SIMT_PATH {

// N values from `source`, which must be aligned to all of them. In any memory.
template <int N, class T>
SIMT_DEVICE Vec<T, N> load(const T* source, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  return *reinterpret_cast<const Vec<T, N>*>(source);
#else
  emulator::require_aligned(source, sizeof(Vec<T, N>), "vector load", site);
  Vec<T, N> result;
  for (int i = 0; i < N; ++i) result[i] = source[i];
  return result;
#endif
}

template <int N, class T>
SIMT_DEVICE void store(T* target, const Vec<T, N>& value, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  // Halves of a word, and the two of a pair, would be stored apart.
  if constexpr (sizeof(Vec<T, N>) == sizeof(unsigned))
    *reinterpret_cast<unsigned*>(target) = bits_as<unsigned>(value);
  else if constexpr (sizeof(Vec<T, N>) == sizeof(unsigned long long))
    *reinterpret_cast<unsigned long long*>(target) = bits_as<unsigned long long>(value);
  else
    *reinterpret_cast<Vec<T, N>*>(target) = value;
#else
  emulator::require_aligned(target, sizeof(Vec<T, N>), "vector store", site);
  for (int i = 0; i < N; ++i) target[i] = value[i];
#endif
}

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
