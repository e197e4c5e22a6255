// Where plans and tapes get their blocks from: the built-in pool or the caller's allocator, behind
// one interface that keeps the books. Nothing here is called while a plan runs.
#pragma once

#include <cstddef>
#include <mutex>

#include "lacuna/lacuna.h"

namespace lacuna::memory {

// A cache line and the widest vector register.
inline constexpr std::size_t alignment = 64;

struct Statistics {
  std::size_t bytes_in_use = 0;
  std::size_t bytes_peak = 0;
  std::size_t allocations = 0;  // calls, also those served from kept blocks
};

struct Limits {
  std::size_t in_use = 0;  // 0: none
  std::size_t kept = 0;    // of freed blocks kept for reuse; 0: none
};

// Thread-safe.
class Memory {
 public:
  Memory() = default;
  virtual ~Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // `bytes` > 0, aligned to `alignment`; null when there is no more, or the limit would be passed. Before it gives up, kept
  // blocks go back to the system, which may then have one of this size.
  void* allocate(std::size_t bytes);
  void deallocate(void* block, std::size_t bytes) noexcept;
  // Kept blocks go back to the system.
  virtual void trim() noexcept {}
  // Bytes of freed blocks that are kept for reuse.
  virtual std::size_t bytes_kept() const { return 0; }
  Statistics statistics() const;

  // To be set before the first block is taken.
  void limit(const Limits& limits) {
    limits_ = limits;
    keep_at_most(limits.kept);
  }
  const Limits& limits() const { return limits_; }

 private:
  virtual void* take(std::size_t bytes) = 0;
  virtual void give(void* block, std::size_t bytes) noexcept = 0;
  // 0: no limit. Memory that keeps blocks sees to it itself.
  virtual void keep_at_most(std::size_t /*bytes*/) {}
  // Books a block in advance; false where the limit does not allow it.
  bool reserve(std::size_t bytes);
  void settle(std::size_t bytes, bool taken);

  mutable std::mutex mutex_;
  Statistics statistics_;
  Limits limits_;
};

// A block that goes back where it came from. Empty, borrowed from the caller, or owned.
class Block {
 public:
  Block() = default;
  static Block borrowed(void* bytes) { return Block(nullptr, bytes, 0); }
  // An empty block when the memory has no more.
  static Block owned(Memory& memory, std::size_t bytes) {
    void* const taken = memory.allocate(bytes);
    return taken ? Block(&memory, taken, bytes) : Block();
  }
  ~Block() {
    if (memory_) memory_->deallocate(data_, bytes_);
  }
  Block(Block&& other) noexcept : Block() { swap(other); }
  Block& operator=(Block&& other) noexcept {
    swap(other);
    return *this;
  }

  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  Block(Memory* memory, void* data, std::size_t bytes)
      : memory_(memory), data_(data), bytes_(bytes) {}
  void swap(Block& other) noexcept;

  Memory* memory_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace lacuna::memory
