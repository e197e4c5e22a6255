// Blocks of one cluster: ranks, barriers, and each other's shared memory (sm_90 and newer).
#pragma once
#include "kernels/simt/platform.h"

namespace lacuna::simt {
inline namespace SIMT_PATH {

// Where they are missing, a kernel that needs them may leave its body out.
#if SIMT_ON_DEVICE
inline constexpr bool has_clusters = device_has_clusters;
#else
inline constexpr bool has_clusters = true;
#endif

SIMT_DEVICE unsigned cluster_rank() {
#if SIMT_ON_DEVICE
  unsigned rank = 0;
  SIMT_ASM_SM90("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
#else
  return emulator::cluster_rank();
#endif
}

SIMT_DEVICE unsigned cluster_size() {
#if SIMT_ON_DEVICE
  unsigned size = 0;
  SIMT_ASM_SM90("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
  return size;
#else
  return emulator::cluster_size();
#endif
}

// The cluster's barrier in two halves, so that work can stand between them. Every thread of every
// block arrives, then waits. The relaxed arrival orders no memory: use it where only the blocks'
// being there matters, or where the data carry their own synchronisation.
SIMT_DEVICE void cluster_arrive(Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  SIMT_ASM_SM90("barrier.cluster.arrive.release.aligned;" ::: "memory");
#else
  emulator::cluster_arrive(true, site);
#endif
}

SIMT_DEVICE void cluster_arrive_relaxed(Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  SIMT_ASM_SM90("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
#else
  emulator::cluster_arrive(false, site);
#endif
}

SIMT_DEVICE void cluster_wait(Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  SIMT_ASM_SM90("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#else
  emulator::cluster_wait(site);
#endif
}

// Also needed before a kernel returns, while peers may still touch this block's shared memory.
SIMT_DEVICE void cluster_sync(Site site = Site::current()) {
  cluster_arrive(site);
  cluster_wait(site);
}

// The array of block `rank` that stands where `mine` stands here. Call it after the cluster's first
// barrier: before, that block may not have started.
template <class T>
SIMT_DEVICE T* peer_shared(T* mine, unsigned rank, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  std::uint64_t theirs = 0;
  if constexpr (device_has_clusters)  // not volatile: an address may be computed once for all steps
    asm("mapa.u64 %0, %1, %2;" : "=l"(theirs) : "l"(mine), "r"(rank));
  else
    __trap();
  return reinterpret_cast<T*>(theirs);
#else
  return static_cast<T*>(
      emulator::peer_shared(const_cast<std::remove_const_t<T>*>(mine), rank, site));
#endif
}

#if SIMT_ON_DEVICE
// The same as a 32-bit address of the cluster's shared memory, as st.async and remote arrivals
// want.
SIMT_DEVICE unsigned peer_address(const void* mine, unsigned rank) {
  unsigned theirs = 0;
  if constexpr (device_has_clusters)
    asm("mapa.shared::cluster.u32 %0, %1, %2;"
        : "=r"(theirs)
        : "r"(shared_address(mine)), "r"(rank));
  else
    __trap();
  return theirs;
}
#endif

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
