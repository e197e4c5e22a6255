// Which thread this is, and of how many.
#pragma once
#include "kernels/simt/platform.h"

namespace lacuna::simt {
inline namespace SIMT_PATH {

inline constexpr unsigned warp_size = 32;

SIMT_DEVICE Dim3 thread_index() {
#if SIMT_ON_DEVICE
  return {threadIdx.x, threadIdx.y, threadIdx.z};
#else
  const emulator::Position& p = emulator::current->thread;
  return {p.x, p.y, p.z};
#endif
}

SIMT_DEVICE Dim3 block_index() {
#if SIMT_ON_DEVICE
  return {blockIdx.x, blockIdx.y, blockIdx.z};
#else
  const emulator::Position& p = emulator::current->block;
  return {p.x, p.y, p.z};
#endif
}

SIMT_DEVICE Dim3 block_size() {
#if SIMT_ON_DEVICE
  return {blockDim.x, blockDim.y, blockDim.z};
#else
  const emulator::Position& p = emulator::current->block_size;
  return {p.x, p.y, p.z};
#endif
}

SIMT_DEVICE Dim3 grid_size() {
#if SIMT_ON_DEVICE
  return {gridDim.x, gridDim.y, gridDim.z};
#else
  const emulator::Position& p = emulator::current->grid_size;
  return {p.x, p.y, p.z};
#endif
}

// The thread's rank in its block, x fastest.
SIMT_DEVICE unsigned thread_rank() {
  const Dim3 at = thread_index(), size = block_size();
  return at.x + size.x * (at.y + size.y * at.z);
}

SIMT_DEVICE unsigned block_rank() {
  const Dim3 at = block_index(), size = grid_size();
  return at.x + size.x * (at.y + size.y * at.z);
}

SIMT_DEVICE unsigned lane_index() {
#if SIMT_ON_DEVICE
  unsigned lane;
  asm("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
#else
  return emulator::current->lane;
#endif
}

// Warps are cut from the thread rank, so this needs no register of its own.
SIMT_DEVICE unsigned warp_index() { return thread_rank() / warp_size; }

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
