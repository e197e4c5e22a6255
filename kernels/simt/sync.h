// Barriers inside a block, pauses and the clock.
#pragma once
#include "kernels/simt/platform.h"

namespace lacuna::simt {
inline namespace SIMT_PATH {

// Every thread of the block, at the same place in the source.
SIMT_DEVICE void sync_block(Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  __syncthreads();
#else
  emulator::sync_block(site);
#endif
}

// `threads` of the block, whole warps, meet at barrier `id` (1 … 15; 0 is sync_block's own).
SIMT_DEVICE void sync_named(unsigned id, unsigned threads, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#else
  emulator::sync_named(id, threads, site);
#endif
}

// Orders memory among the lanes of `mask`, as well as gathering them.
SIMT_DEVICE void sync_warp(std::uint32_t mask = 0xffffffffu, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  __syncwarp(mask);
#else
  emulator::sync_warp(mask, site);
#endif
}

// A pause inside a polling loop.
SIMT_DEVICE void pause(unsigned nanoseconds = 20, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  __nanosleep(nanoseconds);
#else
  (void)nanoseconds;
  emulator::pause(site);
#endif
}

// For the emulator's errors: at which step of its walk the thread is. On a device it is nothing.
SIMT_DEVICE void note_step(std::int64_t step) {
#if SIMT_ON_DEVICE
  (void)step;
#else
  emulator::current->step = step;
#endif
}

// Ticks of a counter that never runs backwards on one multiprocessor.
SIMT_DEVICE std::uint64_t clock_ticks() {
#if SIMT_ON_DEVICE
  return static_cast<std::uint64_t>(clock64());
#else
  return emulator::clock_ticks();
#endif
}

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
