// Shared memory: static arrays, and arrays carved one after another out of the dynamic buffer.
// On the host every array is a heap object of its exact size filled with NaN, so that
// AddressSanitizer sees both its ends and a value that nobody wrote shows in the result.
#pragma once
#include "kernels/simt/platform.h"

namespace lacuna::simt {

// Where the next array of a dynamic buffer goes. Pure arithmetic without a pointer: a plan adds up
// the same arrays as the kernel takes, and reads the size from `bytes`.
struct SharedLayout {
  std::size_t bytes = 0;

  // Offset of `count` values of T, aligned to 16 bytes so that vector and async copies may reach
  // it.
  template <class T>
  SIMT_BOTH constexpr std::size_t add(std::size_t count, std::size_t alignment = 16) {
    const std::size_t offset = (bytes + alignment - 1) / alignment * alignment;
    bytes = offset + count * sizeof(T);
    return offset;
  }
};

inline namespace SIMT_PATH {

// Takes arrays from the block's dynamic shared memory. Every thread takes the same arrays in the
// same order. To use a region twice, take it once and reinterpret it: the emulator rejects two
// different arrays that overlap.
class SharedCarver {
 public:
  template <class T>
  SIMT_DEVICE T* take(std::size_t count, std::size_t alignment = 16, Site site = Site::current()) {
    const std::size_t offset = layout_.add<T>(count, alignment);
#if SIMT_ON_DEVICE
    (void)site;
    extern __shared__ __align__(128) unsigned char simt_dynamic_shared[];
    return reinterpret_cast<T*>(simt_dynamic_shared + offset);
#else
    return static_cast<T*>(emulator::dynamic_shared(offset, count * sizeof(T), site));
#endif
  }

 private:
  SharedLayout layout_;
};

#if !SIMT_ON_DEVICE
namespace host {

// The closure type of the declaration tells one static array from another, and one instantiation
// of a template kernel from the next.
template <class T, class Declaration>
T& static_shared(Declaration, Site site = Site::current()) {
  static const char key = 0;
  return *static_cast<T*>(emulator::static_shared(&key, sizeof(T), site));
}

}  // namespace host
#endif

}  // namespace SIMT_PATH
}  // namespace lacuna::simt

// Declares static shared memory in a kernel: SIMT_SHARED(partial, float[32]);
#if SIMT_ON_DEVICE
#define SIMT_SHARED(name, ...) __shared__ ::std::type_identity_t<__VA_ARGS__> name
#else
#define SIMT_SHARED(name, ...) \
  auto& name = ::lacuna::simt::host::static_shared<::std::type_identity_t<__VA_ARGS__>>([] {})
#endif
