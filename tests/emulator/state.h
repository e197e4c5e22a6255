// The state of a launch that runs: threads as fibers, warps, blocks, clusters. Only the emulator's
// own sources include this.
#pragma once
#include <boost/context/detail/fcontext.hpp>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "emulator/core.h"
#include "emulator/emulator.h"
#include "emulator/fiber_stacks.h"
#include "emulator/ready_queue.h"
#include "emulator/sanitizers.h"

namespace lacuna::emulator {

struct Block;
struct Warp;

struct AsyncCopy {
  void* target;
  const void* source;
  unsigned bytes, valid;
};

struct Fiber : ThreadContext {
  boost::context::detail::fcontext_t context = nullptr;
  char* stack = nullptr;  // low end
  std::size_t stack_bytes = FiberStacks::bytes;
  void* fake_stack = nullptr;
  void* tsan = nullptr;

  Warp* warp = nullptr;
  Block* home = nullptr;           // `block` is its index
  std::uint64_t block_number = 0;  // linear, to favour blocks by
  bool exited = false;

  const char* waiting = nullptr;  // for what; null while it can run
  Site site{"", 0};               // of its latest wait
  const void* polled = nullptr;   // flag of its latest poll

  bool at_block_barrier = false;
  std::uint32_t mask = 0;
  void* argument = nullptr;
  WarpOperation operation = nullptr;
  char arrival_tag = 0;

  bool cluster_arrived = false;
  unsigned cluster_generation = 0;  // of its latest arrival

  std::vector<AsyncCopy> open_copies;
  std::vector<std::vector<AsyncCopy>> copy_groups;  // first in, first out; a deque would allocate
};

struct Warp {
  Fiber* lane[32] = {};
  std::uint32_t alive = 0, gathered = 0;
  unsigned generation = 0;
  char joined_tag[4] = {};
};

// A barrier's threads so far; two tags, because a fast thread may arrive at the next round before a
// slow one has left this one.
struct Gathering {
  std::vector<Fiber*> waiting;
  unsigned generation = 0;
  unsigned threads = 0;
  char tag[2] = {};
};

// One shared array: a heap object of exactly its size.
class SharedArray {
 public:
  explicit SharedArray(std::size_t bytes);
  ~SharedArray();
  SharedArray(SharedArray&& other) noexcept;
  SharedArray& operator=(SharedArray&&) = delete;
  char* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  bool holds(const void* at, std::size_t bytes) const;

 private:
  std::size_t bytes_;
  char* data_;
};

struct Cluster;

struct Block {
  Cluster* cluster = nullptr;
  unsigned rank = 0;  // in its cluster
  unsigned alive = 0;
  std::vector<Fiber*> fibers;
  std::vector<Warp> warps;
  Gathering barrier;
  std::map<unsigned, Gathering> named;
  std::map<std::size_t, SharedArray> dynamic;  // by offset
  std::map<const void*, SharedArray> statics;  // by declaration
  std::size_t static_bytes = 0;
  char exit_tag = 0;
};

struct Cluster {
  std::vector<std::unique_ptr<Block>> blocks;
  unsigned live_blocks = 0, alive = 0;  // alive: threads
  unsigned arrived = 0, generation = 0;
  std::vector<Fiber*> waiting;
  char tag[2] = {};
};

struct PendingBytes {
  void* target;
  const void* source;  // global memory, or null: the value is in `value`
  unsigned bytes;
  std::vector<unsigned char> value;
};

struct MbarrierState {
  const Block* owner;
  unsigned arrivals;        // per phase
  long pending, bytes = 0;  // of the current phase
  unsigned phase = 0;
  bool remote[2] = {false, false};  // another block took part in the phase of that parity
  std::vector<PendingBytes> queued;
  std::size_t queued_bytes = 0;
  char tag[2] = {};
};

class Run {
 public:
  Run(const LaunchShape& shape, void* data, void (*body)(void*));
  ~Run();
  void execute();  // throws the kernel's Error

  static Run& active();
  Fiber& self() const { return *self_; }
  const LaunchShape& shape() const { return shape_; }
  const Device& device() const { return settings_.device; }

  void make_ready(Fiber& fiber) { ready_.push(&fiber); }
  // The current thread sleeps until someone makes it ready.
  void wait(const char* what, Site site);
  // The current thread stays ready; `flag` is what it polls, null for a mere pause.
  void spin(const char* what, const void* flag, Site site);
  void memory_changed() { idle_ = polls_ = 0; }
  std::uint64_t ticks() const { return switches_; }
  std::uint64_t random();

  std::unordered_map<const void*, MbarrierState> mbarriers;

 private:
  static void enter(boost::context::detail::transfer_t from);
  void body_of_fiber();
  void retire();
  void switch_to(Fiber& next, bool dying = false);
  Fiber* next();
  void suspend();
  void start_clusters();
  void start_block(Cluster& cluster, unsigned number);
  void reap(Block& block);
  void join_abandoned();
  [[noreturn]] void deadlock() const;

  LaunchShape shape_;
  void* data_;
  void (*body_)(void*);
  Settings settings_;
  unsigned threads_, blocks_;
  unsigned next_block_ = 0;
  FiberStacks stacks_;
  std::vector<Fiber> fibers_;
  std::vector<Fiber*> free_;
  std::vector<std::unique_ptr<Cluster>> clusters_;
  ReadyQueue ready_;
  Fiber main_;
  Fiber* self_ = &main_;
  Block* finished_ = nullptr;  // its last thread has just left; reaped from the main context
  std::exception_ptr error_;
  std::uint64_t idle_ = 0;   // repeated polls since anything else happened
  std::uint64_t polls_ = 0;  // polls since memory changed
  std::uint64_t switches_ = 0, random_;
};

std::string describe(const Fiber& fiber);  // block and thread

}  // namespace lacuna::emulator
