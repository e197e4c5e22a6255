// What a caller hands over, and the device of a context.
#pragma once

#include <optional>

#include "host/backend.h"
#include "host/cuda/device.h"
#include "host/memory/caller_memory.h"

namespace lacuna::cuda {

// Throws BackendError where the stream is another device's and CUDA can tell, which it can since 12.8. Before, the first
// launch fails.
void check_stream(const Device& device, simt::Stream stream);

// The caller's functions find the context's device to be the current one, as those do that a run asks for scratch memory.
class CallerMemoryOn final : public memory::CallerMemory {
 public:
  CallerMemoryOn(const Device& device, const lacuna_allocator& table)
      : CallerMemory(table), device_(device) {}

 private:
  void* take(std::size_t bytes) override {
    const Device::Current current(device_);
    return CallerMemory::take(bytes);
  }
  void give(void* block, std::size_t bytes) noexcept override {
    std::optional<Device::Current> current;
    try {
      current.emplace(device_);
    } catch (const BackendError&) {}  // the device is lost; the caller may still count its blocks
    CallerMemory::give(block, bytes);
  }

  const Device& device_;
};

}  // namespace lacuna::cuda
