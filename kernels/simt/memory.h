// Flags and counters that order memory between blocks. There is no fence and no relaxed load here:
// an ordering is always part of the access that needs it, so that race detectors can follow it.
#pragma once
#include "kernels/simt/platform.h"

namespace lacuna::simt {
inline namespace SIMT_PATH {

// Reads a flag; what its writer wrote before store_release or red_add_release is visible after.
// Made for polling loops: on the host every call lets other threads run.
template <Scope scope = Scope::gpu>
SIMT_DEVICE unsigned load_acquire(const unsigned* flag, Site site = Site::current()) {
  static_assert(scope != Scope::block);
#if SIMT_ON_DEVICE
  (void)site;
  unsigned value = 0;
  if constexpr (scope == Scope::gpu)
    asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
  else
    SIMT_ASM_SM90("ld.acquire.cluster.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
  return value;
#else
  emulator::poll(flag, site);
  return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
#endif
}

template <Scope scope = Scope::gpu>
SIMT_DEVICE void store_release(unsigned* flag, unsigned value) {
  static_assert(scope != Scope::block);
#if SIMT_ON_DEVICE
  if constexpr (scope == Scope::gpu)
    asm volatile("st.release.gpu.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
  else
    SIMT_ASM_SM90("st.release.cluster.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
#else
  __atomic_store_n(flag, value, __ATOMIC_RELEASE);
  emulator::memory_changed();
#endif
}

// *counter += value, with nothing returned: the cheapest way to say "I have arrived".
template <Scope scope = Scope::gpu>
SIMT_DEVICE void red_add_release(unsigned* counter, unsigned value) {
  static_assert(scope != Scope::block);
#if SIMT_ON_DEVICE
  if constexpr (scope == Scope::gpu)
    asm volatile("red.release.gpu.add.u32 [%0], %1;" ::"l"(counter), "r"(value) : "memory");
  else
    SIMT_ASM_SM90("red.release.cluster.add.u32 [%0], %1;" ::"l"(counter), "r"(value) : "memory");
#else
  __atomic_fetch_add(counter, value, __ATOMIC_RELEASE);
  emulator::memory_changed();
#endif
}

// *counter += value; returns what stood there. Orders memory both ways: the last to arrive sees
// what the others wrote before they arrived.
template <Scope scope = Scope::gpu>
SIMT_DEVICE unsigned fetch_add(unsigned* counter, unsigned value) {
  static_assert(scope != Scope::block);
#if SIMT_ON_DEVICE
  unsigned before = 0;
  if constexpr (scope == Scope::gpu)
    asm volatile("atom.acq_rel.gpu.add.u32 %0, [%1], %2;"
                 : "=r"(before)
                 : "l"(counter), "r"(value)
                 : "memory");
  else
    SIMT_ASM_SM90("atom.acq_rel.cluster.add.u32 %0, [%1], %2;"
                  : "=r"(before)
                  : "l"(counter), "r"(value)
                  : "memory");
  return before;
#else
  const unsigned before = __atomic_fetch_add(counter, value, __ATOMIC_ACQ_REL);
  emulator::memory_changed();
  return before;
#endif
}

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
