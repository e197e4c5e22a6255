// Conformance of what a cluster does: ranks, barriers, each other's shared memory, mbarriers,
// st.async and bulk copies.
#pragma once
#include "emulator/conformance/case.h"

namespace lacuna::conformance {
inline namespace SIMT_PATH {

inline constexpr unsigned cluster_blocks = 4;

// Reads and writes through peers' addresses, and a flag of cluster scope in a peer's shared memory.
SIMT_KERNEL(64) void peers(Buffers b) {
  SIMT_SHARED(flag, unsigned);
  simt::SharedCarver shared;
  auto* values = shared.take<Word>(64);
  const unsigned rank = simt::cluster_rank(), size = simt::cluster_size();
  const unsigned thread = simt::thread_rank();
  const unsigned next = (rank + 1) % size;
  values[thread] = b.in[64 * simt::block_rank() + thread];
  if (thread == 0) flag = 0;
  simt::cluster_sync();
  const Word seen = simt::peer_shared(values, next)[63 - thread];
  simt::cluster_arrive();
  Word* out = b.out + 4 * (64 * simt::block_rank() + thread);
  out[0] = rank + 100 * size;
  simt::cluster_wait();
  simt::peer_shared(values, next)[thread] = seen + 1;  // everybody has read
  simt::sync_block();
  if (thread == 0) {
    unsigned* theirs = simt::peer_shared(&flag, next);
    simt::store_release<simt::Scope::cluster>(theirs, 1);
    simt::red_add_release<simt::Scope::cluster>(theirs, 2);
    simt::fetch_add<simt::Scope::cluster>(theirs, 4);
    while (simt::load_acquire<simt::Scope::cluster>(&flag) != 7) simt::pause();
  }
  simt::sync_block();
  out[1] = seen;
  out[2] = values[thread];
  simt::cluster_arrive_relaxed();
  simt::cluster_wait();
  out[3] = flag;
}

// A bulk copy into each block, then rounds of st.async of 4, 8 and 16 bytes to the next block,
// which answers with an arrival once it has read.
SIMT_KERNEL(32) void mbarriers(Buffers b) {
  simt::SharedCarver shared;
  auto* copied = shared.take<Word>(128);
  auto* inbox = shared.take<Word>(32 * 8);
  auto* full = shared.take<simt::Mbarrier>(1);
  auto* taken = shared.take<simt::Mbarrier>(1);
  const unsigned rank = simt::cluster_rank(), size = simt::cluster_size();
  const unsigned lane = simt::lane_index(), next = (rank + 1) % size;
  const unsigned previous = (rank + size - 1) % size;
  if (lane == 0) {
    simt::mbarrier_init(full, 1);
    simt::mbarrier_init(taken, 32);
    simt::mbarrier_publish();
  }
  simt::cluster_sync();
  if (lane == 0) {
    simt::mbarrier_expect_bytes(full, 256);
    simt::copy_bulk(copied, b.in + 128 * rank, 256, full);
    simt::copy_bulk(copied + 64, b.in + 128 * rank + 64, 256, full);
    simt::mbarrier_arrive_expect_bytes(full, 256);
  }
  simt::mbarrier_wait(full, 0);
  Word carried = copied[lane] ^ copied[64 + lane] ^ copied[127 - lane];
  for (unsigned round = 0; round < 4; ++round) {
    if (lane == 0) simt::mbarrier_arrive_expect_bytes(full, 32 * (4 + 8 + 16));
    // Nobody sends before everybody expects: the bytes would count for the phase before.
    simt::cluster_sync();
    Word* mine = inbox + lane;
    simt::store_async(mine, carried, full, next);
    simt::store_async(reinterpret_cast<simt::Vec<Word, 2>*>(inbox + 32) + lane,
                      simt::Vec<Word, 2>{{carried + 1, carried + 2}}, full, next);
    simt::store_async(reinterpret_cast<simt::Vec<Word, 4>*>(inbox + 96) + lane,
                      simt::Vec<Word, 4>{{carried + 3, carried + 4, carried + 5, carried + 6}},
                      full, next);
    while (!simt::mbarrier_try_wait<simt::Scope::cluster>(full, (round + 1) % 2)) {}
    carried = *mine * 5 + inbox[32 + 2 * lane + 1] * 3 + inbox[96 + 4 * (31 - lane) + 2];
    simt::mbarrier_arrive_peer(taken, previous);
    simt::mbarrier_wait<simt::Scope::cluster>(taken, round % 2);
  }
  b.out[32 * rank + lane] = carried;
  simt::cluster_sync();
  if (lane != 0) return;
  // A barrier's memory serves again, with other numbers.
  simt::mbarrier_invalidate(full);
  simt::mbarrier_init(full, 2);
  simt::mbarrier_arrive(full);
  simt::mbarrier_arrive(full);
  simt::mbarrier_wait(full, 0);
  b.out[32 * size + rank] = rank;
}

}  // namespace SIMT_PATH
}  // namespace lacuna::conformance
