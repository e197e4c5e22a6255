#include "host/memory/memory.h"

#include <algorithm>
#include <utility>

namespace lacuna::memory {

void* Memory::allocate(std::size_t bytes) {
  // Not under the lock: a caller's allocator may take its time, or its own locks.
  void* const block = take(bytes);
  const std::lock_guard lock(mutex_);
  ++statistics_.allocations;
  if (!block) return nullptr;
  statistics_.bytes_in_use += bytes;
  statistics_.bytes_peak = std::max(statistics_.bytes_peak, statistics_.bytes_in_use);
  return block;
}

void Memory::deallocate(void* block, std::size_t bytes) noexcept {
  give(block, bytes);
  const std::lock_guard lock(mutex_);
  statistics_.bytes_in_use -= bytes;
}

Statistics Memory::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void Block::swap(Block& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
}

}  // namespace lacuna::memory
