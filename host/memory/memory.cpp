#include "host/memory/memory.h"

#include <algorithm>
#include <utility>

namespace lacuna::memory {

bool Memory::reserve(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  ++statistics_.allocations;
  std::size_t in_use = 0;
  if (__builtin_add_overflow(statistics_.bytes_in_use, bytes, &in_use)) return false;
  if (limits_.in_use > 0 && in_use > limits_.in_use) return false;
  statistics_.bytes_in_use = in_use;
  return true;
}

void* Memory::allocate(std::size_t bytes) {
  if (!reserve(bytes)) return nullptr;
  // Not under the lock: a caller's allocator may take its time, or its own locks.
  void* block = nullptr;
  try {
    block = take(bytes);
    if (!block && bytes_kept() > 0) {
      trim();
      block = take(bytes);
    }
  } catch (...) {
    settle(bytes, false);
    throw;
  }
  settle(bytes, block != nullptr);
  return block;
}

void Memory::settle(std::size_t bytes, bool taken) {
  const std::lock_guard lock(mutex_);
  if (taken)
    statistics_.bytes_peak = std::max(statistics_.bytes_peak, statistics_.bytes_in_use);
  else
    statistics_.bytes_in_use -= bytes;
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
