// Arrays of the caller that lie in the host's memory, for one call: so that a program written for the CPU runs as it
// stands. They are copied to the device, outputs are copied back, and the call waits for it; arrays on the device pass
// through and cost nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "host/cuda/scratch.h"
#include "host/staging.h"

namespace lacuna::cuda {

class Stage final : public Staging {
 public:
  Stage(const Device& device, const lacuna_allocator& table, void* stream)
      : device_(device), table_(table), stream_(static_cast<simt::Stream>(stream)) {}

  bool needs_copy(const void* array) const { return array != nullptr && device_.needs_copy(array); }

  // To be called when the work is queued.
  void bring_back() {
    for (const Copy& copy : copies_)
      if (copy.out) device_.copy(stream_, copy.host, copy.device, copy.bytes);
    // Inputs, too, must stay as they are until they have been copied.
    if (!copies_.empty()) device_.wait(stream_);
  }

 private:
  struct Copy {
    void *host, *device;
    std::size_t bytes;
    bool out;
  };

  void* there(void* array, std::int64_t count, std::size_t bytes_each, bool out) override {
    const std::size_t bytes = static_cast<std::size_t>(count) * bytes_each;
    if (bytes == 0 || !needs_copy(array)) return array;
    blocks_.push_back(std::make_unique<Scratch>(device_, table_, stream_));
    void* const device = blocks_.back()->take(bytes);
    copies_.push_back({array, device, bytes, out});
    device_.copy(stream_, device, array, bytes);
    return device;
  }

  const Device& device_;
  const lacuna_allocator& table_;
  simt::Stream stream_;
  std::vector<std::unique_ptr<Scratch>> blocks_;
  std::vector<Copy> copies_;
};

}  // namespace lacuna::cuda
