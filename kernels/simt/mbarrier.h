// mbarrier: a barrier in shared memory that counts arrivals and bytes, and the copies that report
// to it: st.async into another block of the cluster, bulk copies from global memory (sm_90 and
// newer). On the host such bytes land only when the barrier is waited for; until then the target is
// NaN.
#pragma once
#include "kernels/simt/cluster.h"
#include "kernels/simt/platform.h"

namespace lacuna::simt {

struct alignas(8) Mbarrier {
  std::uint64_t state;
};

inline namespace SIMT_PATH {

// By one thread; then mbarrier_publish, then a block or cluster barrier, then anyone may use it.
SIMT_DEVICE void mbarrier_init(Mbarrier* barrier, unsigned arrivals, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals)
               : "memory");
#else
  emulator::mbarrier_init(barrier, arrivals, site);
#endif
}

// Makes initialised barriers known to the other blocks of the cluster and to the copy engine.
SIMT_DEVICE void mbarrier_publish() {
#if SIMT_ON_DEVICE
  SIMT_ASM_SM90("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

// One arrival at this block's barrier.
SIMT_DEVICE void mbarrier_arrive(Mbarrier* barrier, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  SIMT_ASM_SM90(
      "mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
      : "memory");
#else
  emulator::mbarrier_arrive(barrier, 0, site);
#endif
}

// The phase will also wait for `bytes` more bytes.
SIMT_DEVICE void mbarrier_expect_bytes(Mbarrier* barrier, unsigned bytes,
                                       Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  SIMT_ASM_SM90(
      "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
#else
  emulator::mbarrier_expect_bytes(barrier, bytes, site);
#endif
}

// Both of the above as one operation.
SIMT_DEVICE void mbarrier_arrive_expect_bytes(Mbarrier* barrier, unsigned bytes,
                                              Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  SIMT_ASM_SM90("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(
                    shared_address(barrier)),
                "r"(bytes)
                : "memory");
#else
  emulator::mbarrier_arrive(barrier, bytes, site);
#endif
}

// One arrival at the barrier of block `rank` that stands where `mine` stands here.
SIMT_DEVICE void mbarrier_arrive_peer(Mbarrier* mine, unsigned rank, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  SIMT_ASM_SM90(
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(peer_address(mine, rank))
      : "memory");
#else
  emulator::mbarrier_arrive(emulator::peer_shared(mine, rank, site), 0, site);
#endif
}

// True once the phase of that parity (0 for a fresh barrier's first, then 1, 0, …) is complete.
// Scope::cluster where other blocks arrive or send bytes. May return false after a short sleep. Both are the same
// instruction: what comes from other blocks lies in shared memory, where there is no cache that a wider scope would have
// to empty, as it does of the first-level cache of all global memory.
template <Scope scope = Scope::block>
SIMT_DEVICE bool mbarrier_try_wait(Mbarrier* barrier, unsigned parity,
                                   Site site = Site::current()) {
  static_assert(scope != Scope::gpu);
#if SIMT_ON_DEVICE
  (void)site;
  unsigned complete = 0;
  SIMT_ASM_SM90(
      "{\n.reg .pred done;\n"
      "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%1], %2;\n"
      "selp.u32 %0, 1, 0, done;\n}"
      : "=r"(complete)
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
  return complete != 0;
#else
  return emulator::mbarrier_try_wait(barrier, parity, scope == Scope::cluster, site);
#endif
}

template <Scope scope = Scope::block>
SIMT_DEVICE void mbarrier_wait(Mbarrier* barrier, unsigned parity, Site site = Site::current()) {
  while (!mbarrier_try_wait<scope>(barrier, parity, site)) {}
}

// Ends a barrier, so that its memory may hold something else. No thread may still use it.
SIMT_DEVICE void mbarrier_invalidate(Mbarrier* barrier, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  asm volatile("mbarrier.inval.shared.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
#else
  emulator::mbarrier_invalidate(barrier, site);
#endif
}

// Sends a value to the place in block `rank` that `target` has here, and its bytes to that block's
// `barrier`. T: 4, 8 or 16 bytes, aligned to its size.
template <class T>
SIMT_DEVICE void store_async(T* target, const T& value, Mbarrier* barrier, unsigned rank,
                             Site site = Site::current()) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16);
#if SIMT_ON_DEVICE
  (void)site;
  struct Words {
    std::uint32_t word[sizeof(T) / 4];
  };
  const auto w = bits_as<Words>(value);
  const unsigned to = peer_address(target, rank), report = peer_address(barrier, rank);
  if constexpr (sizeof(T) == 4)
    SIMT_ASM_SM90(
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(to),
        "r"(w.word[0]), "r"(report)
        : "memory");
  else if constexpr (sizeof(T) == 8)
    SIMT_ASM_SM90(
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [%0], {%1,%2}, [%3];" ::"r"(
            to),
        "r"(w.word[0]), "r"(w.word[1]), "r"(report)
        : "memory");
  else
    SIMT_ASM_SM90(
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1,%2,%3,%4}, "
        "[%5];" ::"r"(to),
        "r"(w.word[0]), "r"(w.word[1]), "r"(w.word[2]), "r"(w.word[3]), "r"(report)
        : "memory");
#else
  emulator::store_async(emulator::peer_shared(target, rank, site), &value, sizeof(T),
                        emulator::peer_shared(barrier, rank, site), site);
#endif
}

// Copies `bytes` (a multiple of 16) from global to this block's shared memory, both aligned to 16,
// by the copy engine; the bytes report to `barrier`.
SIMT_DEVICE void copy_bulk(void* shared, const void* global, unsigned bytes, Mbarrier* barrier,
                           Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  SIMT_ASM_SM90(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(shared)),
      "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
#else
  emulator::copy_bulk(shared, global, bytes, barrier, site);
#endif
}

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
