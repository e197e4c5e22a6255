// Barriers of blocks and clusters.
#include <algorithm>

#include "emulator/state.h"

namespace lacuna::emulator {
namespace {

std::string place(Site site) { return std::string(site.file) + ":" + std::to_string(site.line); }

// Lanes of one warp cannot be at a barrier and in a warp operation that names them.
void require_no_collective(const Fiber& self, Site site) {
  for (std::uint32_t m = self.warp->gathered; m; m &= m - 1) {
    const Fiber& other = *self.warp->lane[__builtin_ctz(m)];
    if (other.mask >> self.lane & 1)
      fail("barrier reached while " + describe(other) + " waits for this lane " + other.waiting +
               " at " + place(other.site),
           site);
  }
}

// Joins the gathering; the last of `threads` lets all go.
void gather(Run& run, Gathering& group, unsigned threads, const char* what, Site site) {
  Fiber& self = run.self();
  char* tag = &group.tag[group.generation & 1];
  sanitizers::release(tag);
  group.waiting.push_back(&self);
  self.at_block_barrier = true;
  if (group.waiting.size() == threads) {
    for (Fiber* fiber : group.waiting) {
      fiber->at_block_barrier = false;  // now, not when its turn comes: it is free to go
      run.make_ready(*fiber);
    }
    group.waiting.clear();
    ++group.generation;
  }
  run.wait(what, site);
  sanitizers::acquire(tag);
}

}  // namespace

void sync_block(Site site) {
  const sanitizers::Quiet quiet;
  Run& run = Run::active();
  Fiber& self = run.self();
  Block& block = *self.home;
  require_no_collective(self, site);
  if (block.alive < block.fibers.size()) {
    const auto gone = std::find_if(block.fibers.begin(), block.fibers.end(),
                                   [](const Fiber* f) { return f->exited; });
    fail("divergent barrier: " + describe(**gone) + " has already returned from the kernel", site);
  }
  if (!block.barrier.waiting.empty()) {
    const Fiber& first = *block.barrier.waiting.front();
    if (!(first.site == site))
      fail("divergent barrier: " + describe(first) + " waits at " + place(first.site), site);
  }
  gather(run, block.barrier, static_cast<unsigned>(block.fibers.size()), "in sync_block", site);
}

void sync_named(unsigned id, unsigned threads, Site site) {
  const sanitizers::Quiet quiet;
  Run& run = Run::active();
  Fiber& self = run.self();
  Block& block = *self.home;
  require_no_collective(self, site);
  if (id < 1 || id > 15) fail("named barrier " + std::to_string(id) + ": 1 to 15 exist", site);
  if (threads == 0 || threads % 32 != 0 || threads > block.fibers.size())
    fail("named barrier for " + std::to_string(threads) +
             " threads: must be whole warps of this block",
         site);
  Gathering& group = block.named[id];
  if (group.waiting.empty()) group.threads = threads;
  if (group.threads != threads)
    fail("named barrier " + std::to_string(id) + " for " + std::to_string(threads) +
             " threads, but " + describe(*group.waiting.front()) + " expects " +
             std::to_string(group.threads) + " at " + place(group.waiting.front()->site),
         site);
  gather(run, group, threads, "in sync_named", site);
}

unsigned cluster_rank() { return Run::active().self().home->rank; }
unsigned cluster_size() { return Run::active().shape().cluster; }

void cluster_arrive(bool release, Site site) {
  const sanitizers::Quiet quiet;
  Run& run = Run::active();
  Fiber& self = run.self();
  Cluster& cluster = *self.home->cluster;
  require_no_collective(self, site);
  if (self.cluster_arrived) fail("second arrival at the cluster barrier without a wait", site);
  const unsigned all = run.shape().cluster * static_cast<unsigned>(self.home->fibers.size());
  if (cluster.alive < all)
    fail("divergent cluster barrier: a thread of the cluster has already returned", site);
  self.cluster_arrived = true;
  self.cluster_generation = cluster.generation;
  if (release) sanitizers::release(&cluster.tag[cluster.generation & 1]);
  if (++cluster.arrived < all) return;
  cluster.arrived = 0;
  ++cluster.generation;
  for (Fiber* fiber : cluster.waiting) run.make_ready(*fiber);
  cluster.waiting.clear();
}

void cluster_wait(Site site) {
  const sanitizers::Quiet quiet;
  Run& run = Run::active();
  Fiber& self = run.self();
  Cluster& cluster = *self.home->cluster;
  if (!self.cluster_arrived) fail("wait at the cluster barrier without an arrival", site);
  if (cluster.generation == self.cluster_generation) {
    cluster.waiting.push_back(&self);
    run.wait("in cluster_wait", site);
  }
  self.cluster_arrived = false;
  sanitizers::acquire(&cluster.tag[self.cluster_generation & 1]);
}

}  // namespace lacuna::emulator
