// A block, its cluster and the launch, while they run.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ptx/program.h"

namespace lacuna::ptx {
inline namespace interpreter {

struct Block;
struct Launch;

// A small generator of our own, so that a seed means the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x123456789abcdefu) {}
  std::uint32_t next() {
    state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
    return static_cast<std::uint32_t>(state_ >> 32);
  }
  std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>(std::uint64_t{next()} * bound >> 32);
  }

 private:
  std::uint64_t state_;
};

// bar.sync's: one of the sixteen of a block.
struct Barrier {
  unsigned threads = 0, expected = 0;
  const Instruction* first = nullptr;  // that threads came by
  bool everyones = false;              // some came by an instruction without a number of threads
  std::vector<Warp*> waiting;
  bool all = true, any = false;  // of the predicates of bar.red
  unsigned count = 0;
};

// The state of an mbarrier lies beside the shared memory, as its layout there is nobody's business.
struct Mbarrier {
  unsigned expected, pending;
  std::int64_t bytes = 0;  // still to come
  unsigned phase = 0;      // completed ones

  bool complete_if_done();
};

// Bytes on their way into shared memory, to be reported to an mbarrier there.
struct Arrival {
  Block* block;
  std::uint32_t target, mbarrier;  // offsets in the block's shared memory
  std::vector<std::byte> data;
  std::uintptr_t source = 0;  // in global memory, to be read only when they land
};

struct Cluster {
  std::vector<Block*> blocks;
  unsigned phase = 0;
};

struct Block {
  Block(Launch&, Dim3 index);
  ~Block();

  // Counts a warp in at a barrier, and releases who waits there once all have come. `expected`: threads, 0 for all of the
  // block.
  void arrive(unsigned id, unsigned expected, Warp&, bool waits, const Instruction&);
  // Releases the cluster's warps once each has arrived or is done.
  static void settle(Cluster&);

  Launch& launch;
  const Dim3 index;
  unsigned rank = 0;  // in the cluster
  Cluster* cluster = nullptr;
  std::vector<std::byte> shared;
  std::vector<std::unique_ptr<Warp>> warps;
  Barrier barriers[16];
  std::map<std::uint32_t, Mbarrier> mbarriers;  // by offset
  bool started = false, finished = false;
};

struct Launch {
  Launch(const Kernel&, const Shape&, const void* const* arguments, const Memory&, Counts*);
  void run();

  const Kernel& kernel;
  const Program& program;
  const Shape shape;
  const Memory& memory;
  Counts* const counts;
  const Settings how;
  Random random;
  std::vector<std::byte> parameters;
  std::vector<Arrival> arrivals;
  std::vector<Warp*> ready;
  std::uint64_t clock = 0;     // only ever grows, at each look at it
  std::uint64_t progress = 0;  // grows with all that another thread could be waiting for

  void make_ready(Warp&);
  void land(std::size_t arrival);

 private:
  void run_together(const std::vector<Dim3>& indices);
  void refuse(const std::string& why) const;
  [[noreturn]] void deadlock(const std::string& what) const;
  void step();

  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<std::unique_ptr<Cluster>> clusters_;
  std::uint64_t seen_progress_ = 0, idle_polls_ = 0, idle_slices_ = 0;
};

}  // namespace interpreter
}  // namespace lacuna::ptx
