// A barrier over all blocks of a grid whose blocks are all resident (a cooperative launch).
#pragma once
#include "kernels/simt/index.h"
#include "kernels/simt/memory.h"
#include "kernels/simt/sync.h"

namespace lacuna::simt {
inline namespace SIMT_PATH {

// One counter in global memory, zero before the launch. Each block counts itself in with a release
// and polls with an acquire: about half the price of the cooperative-groups barrier, and usable by
// any subset of blocks that share a counter.
class GridBarrier {
 public:
  SIMT_DEVICE GridBarrier(unsigned* counter, unsigned blocks)
      : counter_(counter), blocks_(blocks), target_(0) {}

  // What any thread of any block wrote before is visible to every thread after.
  SIMT_DEVICE void sync(Site site = Site::current()) {
    sync_block(site);
    if (thread_rank() == 0) {
      arrive();
      wait(site);
    }
    sync_block(site);
  }

  // The same in two halves, so that work can stand between them. One thread of a block acts for all, always the same: the
  // block meets before arrive(), and again after wait(), at a barrier of the caller's choice.
  SIMT_DEVICE void arrive() {
    target_ += blocks_;
    red_add_release<Scope::gpu>(counter_, 1);
  }
  SIMT_DEVICE void wait(Site site = Site::current()) {
    // The difference, not the values, so that a counter may wrap in a very long run.
    while (static_cast<int>(load_acquire<Scope::gpu>(counter_, site) - target_) < 0)
      pause(20, site);
  }

 private:
  unsigned* counter_;
  unsigned blocks_;
  unsigned target_;  // value of the counter when all blocks have reached the next barrier
};

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
