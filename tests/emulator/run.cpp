// Fibers in turn: starting blocks, switching, waiting, polling, and what to say when nothing can
// run.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "emulator/state.h"

namespace lacuna::emulator {

namespace context = boost::context::detail;

constinit thread_local ThreadContext* current = nullptr;

namespace {

constinit thread_local Run* active_run = nullptr;

std::string three(Position p) {
  std::string text(1, '(');
  text += std::to_string(p.x) + ',' + std::to_string(p.y) + ',' + std::to_string(p.z) + ')';
  return text;
}

Position position(unsigned number, Position size) {
  return {number % size.x, number / size.x % size.y, number / size.x / size.y};
}

unsigned volume(Position size) { return size.x * size.y * size.z; }

// Blocks on the device at once, in whole clusters.
unsigned resident_blocks(const LaunchShape& shape, const Settings& settings) {
  const unsigned blocks = volume(shape.grid);
  if (shape.cooperative) return blocks;
  const unsigned wanted = std::max(1u, settings.resident_blocks);
  const unsigned clusters = (wanted + shape.cluster - 1) / shape.cluster;
  return std::min(blocks, clusters * shape.cluster);
}

// A thread never unwinds its last frames, and leaves their red zones to the next one on this stack. They lie above where
// it was left.
void clear_frames(const Fiber& fiber) {
  const auto* const left = static_cast<const char*>(fiber.context);
  sanitizers::unpoison(left, static_cast<std::size_t>(fiber.stack + FiberStacks::bytes - left));
}

}  // namespace

std::string describe(const Fiber& fiber) {
  const std::string step = fiber.step < 0 ? "" : " step " + std::to_string(fiber.step);
  return "block " + three(fiber.block) + " thread " + three(fiber.thread) + step;
}

void fail(const std::string& what, Site site) {
  throw Error(describe(Run::active().self()) + " at " + site.file + ":" +
              std::to_string(site.line) + ": " + what);
}

void fail_lane(unsigned lane, const std::string& what, Site site) {
  throw Error(describe(*Run::active().self().warp->lane[lane]) + " at " + site.file + ":" +
              std::to_string(site.line) + ": " + what);
}

Run& Run::active() { return *active_run; }

Run::Run(const LaunchShape& shape, void* data, void (*body)(void*))
    : shape_(shape),
      data_(data),
      body_(body),
      settings_(settings()),
      threads_(volume(shape.block)),
      blocks_(volume(shape.grid)),
      stacks_(std::size_t{threads_} * resident_blocks(shape, settings_)),
      fibers_(std::size_t{threads_} * resident_blocks(shape, settings_)),
      ready_(settings_.order, settings_.seed, fibers_.size()),
      random_(scramble(settings_.seed + 1) | 1) {
  for (std::size_t i = fibers_.size(); i-- > 0;) {
    fibers_[i].stack = stacks_.low(i);
    free_.push_back(&fibers_[i]);
  }
  if (sanitizers::has_tsan()) main_.tsan = __tsan_get_current_fiber();
  active_run = this;
  current = &main_;
}

Run::~Run() {
  join_abandoned();
  for (const auto& cluster : clusters_)
    for (const auto& block : cluster->blocks)
      for (const Fiber* fiber : block->fibers) clear_frames(*fiber);
  if (sanitizers::has_tsan())
    for (Fiber& fiber : fibers_)
      if (fiber.tsan) __tsan_destroy_fiber(fiber.tsan);
  active_run = nullptr;
  current = nullptr;
}

std::uint64_t Run::random() { return xorshift(random_); }

void Run::execute() {
  start_clusters();
  while (!clusters_.empty() && !error_) {
    Fiber* fiber = next();
    if (!fiber) deadlock();
    switch_to(*fiber);
    if (finished_ && !error_) reap(*std::exchange(finished_, nullptr));
  }
  if (error_) std::rethrow_exception(error_);
}

// After a failure: to a race detector, what every thread did comes before what the host does next,
// although the threads never came to their end.
void Run::join_abandoned() {
  if (!sanitizers::has_tsan()) return;
  for (const auto& cluster : clusters_)
    for (const auto& block : cluster->blocks) {
      for (const Fiber* fiber : block->fibers) {
        if (fiber->exited) continue;
        __tsan_switch_to_fiber(fiber->tsan, 1);
        sanitizers::release(&block->exit_tag);
        __tsan_switch_to_fiber(main_.tsan, 1);
      }
      sanitizers::acquire(&block->exit_tag);
    }
}

void Run::start_clusters() {
  while (next_block_ < blocks_ && free_.size() >= std::size_t{threads_} * shape_.cluster) {
    auto& cluster = *clusters_.emplace_back(std::make_unique<Cluster>());
    cluster.live_blocks = shape_.cluster;
    cluster.alive = shape_.cluster * threads_;
    for (unsigned i = 0; i < shape_.cluster; ++i) start_block(cluster, next_block_++);
  }
}

void Run::start_block(Cluster& cluster, unsigned number) {
  Block& block = *cluster.blocks.emplace_back(std::make_unique<Block>());
  block.cluster = &cluster;
  block.rank = static_cast<unsigned>(cluster.blocks.size() - 1);
  block.alive = threads_;
  block.warps.resize((threads_ + 31) / 32);
  for (unsigned t = 0; t < threads_; ++t) {
    Fiber* fiber = free_.back();
    free_.pop_back();
    char* stack = fiber->stack;
    if (fiber->tsan) __tsan_destroy_fiber(fiber->tsan);
    *fiber = Fiber{};
    fiber->stack = stack;
    fiber->thread = position(t, shape_.block);
    fiber->block = position(number, shape_.grid);
    fiber->block_size = shape_.block;
    fiber->grid_size = shape_.grid;
    fiber->lane = t % 32;
    fiber->home = &block;
    fiber->block_number = number;
    fiber->warp = &block.warps[t / 32];
    fiber->warp->lane[fiber->lane] = fiber;
    fiber->warp->alive |= 1u << fiber->lane;
    if (sanitizers::has_tsan()) fiber->tsan = __tsan_create_fiber(0);
    FiberStacks::mark_end(stack);
    // Stacks that all began at the same offset of a page would fight for the same cache sets.
    const std::size_t colour = static_cast<std::size_t>(fiber - fibers_.data()) % 61 * 64;
    const std::size_t usable = FiberStacks::bytes - colour;
    fiber->context = context::make_fcontext(stack + usable, usable, enter);
    block.fibers.push_back(fiber);
    make_ready(*fiber);
  }
}

// Shared memory lives as long as the cluster, but a peer that reaches into a block that has left is
// caught: AddressSanitizer sees the poison, peer_shared the empty block.
void Run::reap(Block& block) {
  sanitizers::acquire(&block.exit_tag);
  for (Fiber* fiber : block.fibers) {
    if (FiberStacks::overflowed(fiber->stack))
      throw Error(describe(*fiber) + ": outgrew its stack of " +
                  std::to_string(FiberStacks::bytes) + " bytes");
    clear_frames(*fiber);
    free_.push_back(fiber);
  }
  block.fibers.clear();
  for (const auto& [offset, array] : block.dynamic) sanitizers::poison(array.data(), array.bytes());
  for (const auto& [key, array] : block.statics) sanitizers::poison(array.data(), array.bytes());
  Cluster* cluster = block.cluster;
  if (--cluster->live_blocks > 0) return;
  std::erase_if(mbarriers,
                [&](const auto& entry) { return entry.second.owner->cluster == cluster; });
  std::erase_if(clusters_, [&](const auto& c) { return c.get() == cluster; });
  start_clusters();
}

void Run::switch_to(Fiber& next, bool dying) {
  Fiber& from = *self_;
  if (&next == &from) return;
  self_ = &next;
  current = &next;
  ++switches_;
  const int quiet_depth = std::exchange(sanitizers::quiet_depth, 0);
  if (quiet_depth > 0) sanitizers::set_quiet(false);
  if (__sanitizer_start_switch_fiber)
    __sanitizer_start_switch_fiber(dying ? nullptr : &from.fake_stack, next.stack,
                                   next.stack_bytes);
  // Flag 1: a switch orders nothing; only what the kernel says does.
  if (sanitizers::has_tsan()) __tsan_switch_to_fiber(next.tsan, 1);
  const context::transfer_t came = context::jump_fcontext(next.context, &from);
  static_cast<Fiber*>(came.data)->context = came.fctx;
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
  sanitizers::quiet_depth = quiet_depth;
  if (quiet_depth > 0) sanitizers::set_quiet(true);
}

void Run::enter(context::transfer_t from) {
  Run& run = active();
  auto* previous = static_cast<Fiber*>(from.data);
  previous->context = from.fctx;
  if (__sanitizer_finish_switch_fiber) {
    const void* bottom;
    std::size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
    if (previous == &run.main_) {
      run.main_.stack = static_cast<char*>(const_cast<void*>(bottom));
      run.main_.stack_bytes = size;
    }
  }
  run.body_of_fiber();
}

void Run::body_of_fiber() {
  Fiber* to = &main_;
  try {
    body_(data_);
    const sanitizers::Quiet quiet;
    retire();
    if (!finished_) {
      to = next();
      if (!to) deadlock();
    }
  } catch (...) {
    error_ = std::current_exception();
    to = &main_;
  }
  switch_to(*to, true);
  std::abort();  // nobody switches back to a fiber that has ended
}

// The current thread has returned from the kernel. Barriers want every thread of the block, so one
// that leaves while others wait is an error here, though a device may let it pass.
void Run::retire() {
  Fiber& fiber = *self_;
  Block& block = *fiber.home;
  const auto missing = [&](const Fiber& waiter) {
    throw Error(describe(fiber) + " has returned from the kernel, but " + describe(waiter) +
                " waits for it " + waiter.waiting + " at " + waiter.site.file + ":" +
                std::to_string(waiter.site.line));
  };
  fiber.exited = true;
  fiber.warp->alive &= ~(1u << fiber.lane);
  for (std::uint32_t m = fiber.warp->gathered; m; m &= m - 1) {
    const Fiber& waiter = *fiber.warp->lane[__builtin_ctz(m)];
    if (waiter.mask >> fiber.lane & 1) missing(waiter);
  }
  if (!block.barrier.waiting.empty()) missing(*block.barrier.waiting.front());
  Cluster& cluster = *block.cluster;
  if (!cluster.waiting.empty() &&
      !(fiber.cluster_arrived && fiber.cluster_generation == cluster.generation))
    missing(*cluster.waiting.front());
  --cluster.alive;
  idle_ = polls_ = 0;
  sanitizers::release(&block.exit_tag);
  if (--block.alive == 0) finished_ = &block;
}

Fiber* Run::next() { return ready_.pop(idle_ > 0); }

void Run::suspend() {
  Fiber* to = next();
  if (!to) deadlock();
  switch_to(*to);
  self_->waiting = nullptr;
}

void Run::wait(const char* what, Site site) {
  self_->waiting = what;
  self_->site = site;
  idle_ = 0;
  suspend();
}

void Run::spin(const char* what, const void* flag, Site site) {
  Fiber& fiber = *self_;
  if (flag) {
    // A thread that reads one flag after another gets somewhere; one that reads the same does not.
    idle_ = fiber.polled == flag ? idle_ + 1 : 0;
    fiber.polled = flag;
  }
  ++polls_;
  const std::uint64_t runnable = ready_.size() + 1;
  if (idle_ > 1000 + 64 * runnable || polls_ > settings_.poll_limit)
    fail("hung: only polling threads are left, and nobody writes what they wait for (" +
             std::to_string(blocks_ - next_block_) + " blocks of the grid have not started)",
         site);
  fiber.waiting = what;
  fiber.site = site;
  make_ready(fiber);
  suspend();
}

void Run::deadlock() const {
  constexpr int shown = 8;
  std::string message;
  std::size_t waiting = 0;
  std::vector<std::pair<std::string, std::size_t>> places;  // distinct, with how many wait there
  for (const Fiber& fiber : fibers_) {
    if (!fiber.home || fiber.exited || !fiber.waiting) continue;
    ++waiting;
    const std::string place = std::string(fiber.waiting) + " at " + fiber.site.file + ":" +
                              std::to_string(fiber.site.line);
    const auto known = std::find_if(places.begin(), places.end(),
                                    [&](const auto& p) { return p.first.ends_with(place); });
    if (known == places.end())
      places.emplace_back(describe(fiber) + " " + place, 1);
    else
      ++known->second;
  }
  for (int i = 0; i < std::min<int>(shown, static_cast<int>(places.size())); ++i)
    message += "\n  " + places[i].first + " (" + std::to_string(places[i].second) + " threads)";
  throw Error("deadlock: " + std::to_string(waiting) + " threads wait and none can run:" + message);
}

void pause(Site site) {
  const sanitizers::Quiet quiet;
  Run::active().spin("in a pause", nullptr, site);
}

void poll(const void* flag, Site site) {
  const sanitizers::Quiet quiet;
  Run::active().spin("polling a flag", flag, site);
}

void memory_changed() { Run::active().memory_changed(); }

std::uint64_t clock_ticks() { return Run::active().ticks(); }

}  // namespace lacuna::emulator
