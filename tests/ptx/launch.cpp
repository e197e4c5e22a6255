// A launch: which blocks are alive together, which warp goes on next, and what it means when none can.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "ptx/block.h"
#include "ptx/warp.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace lacuna::ptx {
namespace {

// A launch in which warps poll so often, each of them, while nobody writes is hung; so is one that computes for so
// many time slices and writes nothing.
constexpr std::uint64_t most_idle_polls = 5000, most_idle_slices = 500'000;

// Register files come and go with every block. Without this the C library would hand such memory back to the kernel and
// ask for it again, which takes longer than running the block.
void keep_freed_memory() {
#ifdef __GLIBC__
  static const bool once = mallopt(M_MMAP_THRESHOLD, 1 << 30) && mallopt(M_TRIM_THRESHOLD, 1 << 30);
  (void)once;
#endif
}

std::size_t blocks_together(const Shape& shape) {
  return shape.cooperative ? shape.grid.count() : shape.cluster;
}

}  // namespace

Settings& settings() {
  thread_local Settings mine;
  return mine;
}

void run(const Kernel& kernel, const Shape& shape, const void* const* arguments,
         const Memory& memory, Counts* counts) {
  keep_freed_memory();
  Launch(kernel, shape, arguments, memory, counts).run();
}

Launch::Launch(const Kernel& k, const Shape& s, const void* const* arguments, const Memory& m,
               Counts* c)
    : kernel(k),
      program(k.program()),
      shape(s),
      memory(m),
      counts(c),
      how(settings()),
      random(how.seed) {
  for (std::size_t i = 0; i < kernel.facts.parameters.size(); ++i) {
    const Parameter& p = kernel.facts.parameters[i];
    parameters.resize(p.offset + p.bytes);
    std::memcpy(parameters.data() + p.offset, arguments[i], p.bytes);
  }
}

void Launch::refuse(const std::string& why) const { throw Fault(kernel.facts.name + ": " + why); }

void Launch::run() {
  const std::size_t threads = shape.block.count();
  if (threads == 0 || threads > 1024 || threads > kernel.facts.most_threads)
    refuse("a block of " + std::to_string(threads) + " threads; at most " +
           std::to_string(std::min(1024u, kernel.facts.most_threads)) + " were compiled for");
  if (shape.cluster == 0 || shape.grid.x % shape.cluster)
    refuse("a grid of " + std::to_string(shape.grid.x) +
           " blocks along x is no multiple of clusters of " + std::to_string(shape.cluster));
  // Clusters in any order, their blocks in a row along x.
  const std::size_t groups = shape.grid.count() / shape.cluster;
  std::vector<std::size_t> order(groups);
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = groups; i > 1; --i)
    std::swap(order[i - 1], order[random.below(static_cast<std::uint32_t>(i))]);
  std::vector<Dim3> together;
  for (const std::size_t group : order) {
    for (unsigned rank = 0; rank < shape.cluster; ++rank) {
      const std::size_t block = group * shape.cluster + rank;
      together.push_back({static_cast<unsigned>(block % shape.grid.x),
                          static_cast<unsigned>(block / shape.grid.x % shape.grid.y),
                          static_cast<unsigned>(block / shape.grid.x / shape.grid.y)});
    }
    if (together.size() == blocks_together(shape)) {
      run_together(together);
      together.clear();
    }
  }
}

void Launch::run_together(const std::vector<Dim3>& indices) {
  blocks_.clear();
  clusters_.clear();
  ready.clear();
  for (const Dim3& index : indices) {
    blocks_.push_back(std::make_unique<Block>(*this, index));
    Block& block = *blocks_.back();
    block.rank = index.x % shape.cluster;
    if (block.rank == 0) clusters_.push_back(std::make_unique<Cluster>());
    block.cluster = clusters_.back().get();
    block.cluster->blocks.push_back(&block);
    for (unsigned w = 0; w * 32 < shape.block.count(); ++w) {
      block.warps.push_back(std::make_unique<Warp>(block, w));
      ready.push_back(block.warps.back().get());
    }
  }
  idle_polls_ = idle_slices_ = 0;
  const auto alive = [&] {
    return std::any_of(blocks_.begin(), blocks_.end(), [](const auto& b) { return !b->finished; });
  };
  while (!ready.empty() || !arrivals.empty() || alive()) step();
}

void Launch::step() {
  if (!arrivals.empty() && (ready.empty() || random.below(4) == 0))
    land(random.below(static_cast<std::uint32_t>(arrivals.size())));
  if (ready.empty()) {
    if (arrivals.empty() &&
        std::any_of(blocks_.begin(), blocks_.end(), [](const auto& b) { return !b->finished; }))
      deadlock("nobody can go on");
    return;
  }
  const std::uint32_t pick = random.below(static_cast<std::uint32_t>(ready.size()));
  Warp& warp = *ready[pick];
  ready[pick] = ready.back();
  ready.pop_back();
  warp.run(1u << random.below(12));
  if (warp.state == Warp::State::ready && (warp.exists & ~warp.exited & ~warp.waiting) == 0)
    warp.stopped = true;  // its lanes wait for each other: nobody will wake it
  else if (warp.state == Warp::State::ready)
    ready.push_back(&warp);
  else if (warp.state == Warp::State::done)
    warp.block.finished = std::all_of(warp.block.warps.begin(), warp.block.warps.end(),
                                      [](const auto& w) { return w->state == Warp::State::done; });
  if (progress != seen_progress_) {
    seen_progress_ = progress;
    idle_polls_ = idle_slices_ = 0;
    return;
  }
  ++(warp.polled ? idle_polls_ : idle_slices_);
  if (idle_polls_ > most_idle_polls * (ready.size() + 1) && arrivals.empty())
    deadlock("hung: all that can go on only poll, and nobody writes");
  if (idle_slices_ > most_idle_slices) deadlock("hung: nothing was written for very long");
}

void Launch::make_ready(Warp& warp) {
  warp.state = Warp::State::ready;
  ready.push_back(&warp);
  ++progress;
}

void Launch::deadlock(const std::string& what) const {
  std::string text = kernel.facts.name + ": " + what;
  unsigned told = 0;
  for (const auto& block : blocks_)
    for (const auto& warp : block->warps) {
      for (std::uint32_t rest = warp->exists & ~warp->exited; rest;) {
        const auto lane = static_cast<unsigned>(std::countr_zero(rest));
        const bool blocked = warp->state != Warp::State::ready;
        const std::uint32_t at = blocked ? warp->stands : warp->lane_pc[lane];
        std::uint32_t there = 0;
        for (std::uint32_t l = rest; l; l &= l - 1) {
          const auto other = static_cast<unsigned>(std::countr_zero(l));
          if (blocked || warp->lane_pc[other] == at) there |= 1u << other;
        }
        rest &= ~there;
        if (told++ < 12)
          text += "; " + warp->thread(lane) + " and in all " +
                  std::to_string(std::popcount(there)) + " of its warp at " +
                  warp->where(program.code[at]);
      }
    }
  if (told > 12) text += "; and at " + std::to_string(told - 12) + " more places";
  throw Fault(text);
}

Block::Block(Launch& its_launch, Dim3 its_index)
    : launch(its_launch),
      index(its_index),
      // Poison: what nobody wrote is NaN.
      shared(its_launch.program.dynamic_offset + its_launch.shape.dynamic_shared, std::byte{0xff}) {
}

Block::~Block() = default;

void Block::arrive(unsigned id, unsigned expected, Warp& warp, bool waits, const Instruction& i) {
  if (id > 15) warp.fail(i, 0, "barrier " + std::to_string(id) + "; there are 0 … 15");
  Barrier& barrier = barriers[id];
  if (barrier.threads == 0) barrier.first = &i;
  barrier.everyones |= expected == 0;
  // PTX lets threads come from anywhere. CUDA C++ does not: __syncthreads, which has no number, is one place for all.
  if (barrier.everyones && barrier.first != &i)
    warp.fail(i, 0,
              "a barrier for all threads of the block; others came to another instruction, " +
                  warp.where(*barrier.first));
  const auto all = static_cast<unsigned>((launch.shape.block.count() + 31) / 32 * 32);
  if (expected == 0) expected = all;
  if (expected % 32 || expected > all)
    warp.fail(i, 0,
              "a barrier for " + std::to_string(expected) +
                  " threads; whole warps of the block's " + std::to_string(all) + " are expected");
  if (barrier.threads > 0 && barrier.expected != expected)
    warp.fail(i, 0,
              "a barrier for " + std::to_string(expected) + " threads, at which others came for " +
                  std::to_string(barrier.expected));
  barrier.expected = expected;
  barrier.threads += 32;
  ++launch.progress;
  if (waits) {
    warp.barrier = id;
    warp.block_at(Warp::State::at_barrier);
    barrier.waiting.push_back(&warp);
  }
  if (barrier.threads < expected) return;
  const Barrier done = std::exchange(barrier, {});
  for (Warp* other : done.waiting) {
    const Instruction& its = other->program.code[other->stands];
    if (its.kind == Class::barrier && its.results == 1) {  // bar.red
      const std::uint32_t value = its.tag == 0 ? done.any : its.tag == 1 ? done.all : done.count;
      if (its.result_width == 0)
        other->predicate(its.slot[0]) = value ? all_lanes : 0;
      else
        std::fill_n(other->lanes<std::uint32_t>(its.slot[0]), 32, value);
      other->define(its.slot[0], all_lanes);
    }
    // The last to come is still running, and goes on by itself.
    if (other == &warp) {
      warp.state = Warp::State::ready;
      warp.stopped = false;
    } else {
      launch.make_ready(*other);
    }
  }
}

void Block::settle(Cluster& cluster) {
  for (const Block* block : cluster.blocks)
    for (const auto& warp : block->warps)
      if (warp->state != Warp::State::done &&
          !(warp->awaits_cluster && warp->cluster_phase > cluster.phase))
        return;
  ++cluster.phase;
  for (Block* block : cluster.blocks)
    for (const auto& warp : block->warps)
      if (warp->state == Warp::State::at_cluster_barrier) {
        warp->awaits_cluster = false;
        block->launch.make_ready(*warp);
      }
}

}  // namespace lacuna::ptx
