// The caller's allocator table as a Memory.
#pragma once

#include "host/memory/memory.h"

namespace lacuna::memory {

class CallerMemory : public Memory {
 public:
  // Both functions are there.
  explicit CallerMemory(const lacuna_allocator& table) : table_(table) {}

 protected:
  void* take(std::size_t bytes) override {
    return table_.allocate(table_.user, bytes, alignment, nullptr);
  }
  void give(void* block, std::size_t bytes) noexcept override {
    // The table is C, but what stands behind it may be C++: a throw here must not end the program.
    try {
      table_.deallocate(table_.user, block, bytes, alignment, nullptr);
    } catch (...) {}
  }

 private:
  lacuna_allocator table_;
};

}  // namespace lacuna::memory
