// cp.async: copies from global to shared memory that run beside the computation. On the host the
// target is NaN from the copy until the wait, so a missing wait always shows.
#pragma once
#include "kernels/simt/platform.h"

namespace lacuna::simt {
inline namespace SIMT_PATH {

// Starts a copy of `bytes` (4, 8 or 16) from global to shared memory, both aligned to `bytes`.
// Only the first `valid` bytes are read; the rest of the target becomes zero.
template <int bytes>
SIMT_DEVICE void copy_async(void* shared, const void* global, unsigned valid = bytes,
                            Site site = Site::current()) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
#if SIMT_ON_DEVICE
  (void)site;
  if constexpr (bytes == 16)  // 16 bytes may bypass L1, which would only hold them a second time
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "r"(valid)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)),
                 "l"(__cvta_generic_to_global(global)), "n"(bytes), "r"(valid)
                 : "memory");
#else
  emulator::copy_async(shared, global, bytes, valid, site);
#endif
}

// Closes the caller's current group of copies.
SIMT_DEVICE void commit_copies() {
#if SIMT_ON_DEVICE
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulator::commit_copies();
#endif
}

// Waits until at most `in_flight` of the caller's newest groups are unfinished. Other threads see
// the bytes only after a barrier that follows.
template <int in_flight = 0>
SIMT_DEVICE void wait_copies() {
#if SIMT_ON_DEVICE
  asm volatile("cp.async.wait_group %0;" ::"n"(in_flight) : "memory");
#else
  emulator::wait_copies(in_flight);
#endif
}

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
