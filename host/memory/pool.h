// The built-in memory: freed blocks are kept by size, so that making plans for changing batches
// costs no system call and no page fault the second time.
#pragma once

#include <array>
#include <mutex>

#include "host/memory/memory.h"

namespace lacuna::memory {

class Pool final : public Memory {
 public:
  ~Pool() override { trim(); }

  void trim() noexcept override;
  std::size_t bytes_kept() const override;

 private:
  // A kept block's own first bytes are the list: keeping it needs no memory, so giving back cannot
  // fail.
  struct Kept {
    Kept* next;
  };

  void* take(std::size_t bytes) override;
  void give(void* block, std::size_t bytes) noexcept override;
  void keep_at_most(std::size_t bytes) override { most_kept_ = bytes; }

  mutable std::mutex mutex_;
  std::array<Kept*, 256> kept_{};  // by size class
  std::size_t bytes_kept_ = 0, most_kept_ = 0;
};

}  // namespace lacuna::memory
