// What kernels/simt calls on the host: the host half of every wrapper that needs to know more than
// the calling thread. Plain C++, no Boost and no CUDA in sight.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lacuna {

// A place in a kernel's source: clang 14 has no std::source_location. It stands outside the
// emulator's namespace, or argument-dependent lookup would find the emulator's functions in
// kernels.
struct KernelSite {
  const char* file;
  unsigned line;
  static constexpr KernelSite current(const char* file = __builtin_FILE(),
                                      unsigned line = __builtin_LINE()) {
    return {file, line};
  }
  bool operator==(const KernelSite& other) const {
    return line == other.line && (file == other.file || std::string_view(file) == other.file);
  }
};

}  // namespace lacuna

namespace lacuna::emulator {

using Site = KernelSite;

struct Position {
  unsigned x, y, z;
};

// The CUDA built-ins of the thread that runs now.
struct ThreadContext {
  Position thread, block, block_size, grid_size;
  unsigned lane;
  std::int64_t step = -1;  // of the kernel's walk, as it has said itself
};
extern constinit thread_local ThreadContext* current;

struct LaunchShape {
  Position grid, block;
  std::size_t shared_bytes;
  unsigned cluster;
  bool cooperative;
};
// A function's symbol; null where it has none that is seen from outside.
const char* symbol_of(const void* function);
// Why a device would refuse the launch; empty if it would not.
std::string refuse(const LaunchShape& shape);
// Runs `body(data)` once per thread of the grid.
void run(const LaunchShape& shape, void* data, void (*body)(void*));

// Ends the launch with an Error that names the current thread, or another lane of its warp.
[[noreturn]] void fail(const std::string& what, Site site);
[[noreturn]] void fail_lane(unsigned lane, const std::string& what, Site site);

void sync_block(Site site);
void sync_named(unsigned id, unsigned threads, Site site);
void sync_warp(std::uint32_t mask, Site site);

// Let other threads run. Every polling loop comes through here, so none can hang the emulator.
void poll(const void* flag, Site site);
void pause(Site site);
// A flag or counter was written: those who poll have reason to hope.
void memory_changed();
std::uint64_t clock_ticks();

// Gathers the lanes of `mask`. The last to arrive runs `operation` over all lanes' arguments, which
// lie on the lanes' own stacks (null outside the mask); then all go on.
using WarpOperation = void (*)(void* const* lanes, std::uint32_t mask);
void warp_collective(std::uint32_t mask, void* argument, WarpOperation operation, const char* what,
                     Site site);

void* dynamic_shared(std::size_t offset, std::size_t bytes, Site site);
void* static_shared(const void* key, std::size_t bytes, Site site);
void require_aligned(const void* pointer, std::size_t alignment, const char* what, Site site);
// [pointer, pointer + bytes) must lie in one shared array of this block.
void require_shared(const void* pointer, std::size_t bytes, std::size_t alignment, const char* what,
                    Site site);

void copy_async(void* shared, const void* global, unsigned bytes, unsigned valid, Site site);
void commit_copies();
void wait_copies(int in_flight);

unsigned cluster_rank();
unsigned cluster_size();
void cluster_arrive(bool release, Site site);
void cluster_wait(Site site);
void* peer_shared(void* mine, unsigned rank, Site site);

void mbarrier_init(void* barrier, unsigned arrivals, Site site);
void mbarrier_invalidate(void* barrier, Site site);
void mbarrier_arrive(void* barrier, unsigned expected_bytes, Site site);
void mbarrier_expect_bytes(void* barrier, unsigned bytes, Site site);
bool mbarrier_try_wait(void* barrier, unsigned parity, bool cluster_scope, Site site);
void store_async(void* target, const void* value, unsigned bytes, void* barrier, Site site);
void copy_bulk(void* shared, const void* global, unsigned bytes, void* barrier, Site site);

}  // namespace lacuna::emulator
