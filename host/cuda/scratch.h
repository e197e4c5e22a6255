// Memory for one call, taken and given back in the order of its stream; from the caller's allocator when there is one.
#pragma once

#include <string>

#include "host/backend.h"
#include "host/cuda/device.h"

namespace lacuna::cuda {

class Scratch {
 public:
  Scratch(const Device& device, const lacuna_allocator& table, simt::Stream stream)
      : device_(device), table_(table), stream_(stream) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (block_ == nullptr) return;
    // The table is C, but what stands behind it may be C++: a throw here must not end the program.
    try {
      if (table_.allocate)
        table_.deallocate(table_.user, block_, bytes_, memory::alignment, stream_);
      else
        device_.give(stream_, block_);
    } catch (...) {}
  }

  // Once; null for 0 bytes. Throws BackendError when there is no more.
  void* take(std::size_t bytes) {
    if (bytes == 0) return nullptr;
    bytes_ = bytes;
    block_ = table_.allocate ? table_.allocate(table_.user, bytes, memory::alignment, stream_)
                             : device_.take(stream_, bytes);
    if (block_ == nullptr)
      throw BackendError(LACUNA_OUT_OF_MEMORY,
                         "no scratch memory of " + std::to_string(bytes) + " bytes");
    return block_;
  }
  simt::Stream stream() const { return stream_; }

 private:
  const Device& device_;
  const lacuna_allocator& table_;
  simt::Stream stream_;
  void* block_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace lacuna::cuda
