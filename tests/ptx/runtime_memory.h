// The memory of the pretended GPUs: blocks of the host's, each with its bounds, so that an access outside any is a fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "ptx/machine.h"

namespace lacuna::ptx {

enum class Place { device, pinned_host };

struct Block {
  std::size_t bytes;
  Place place;
  int device;
  void* pool;  // that it came from, or null
  bool owned;  // false: registered memory of somebody else
};

// Fresh and freed memory is filled with ones: NaN in every format of floating point.
class Allocations {
 public:
  // Null where the device would then hold more than `limit`. Aligned to 256 bytes.
  void* take(std::size_t bytes, Place place, int device, std::size_t limit, void* pool = nullptr);
  void register_host(void* begin, std::size_t bytes, int device);
  // False: no block begins there.
  bool give(void* begin);

  // The block that holds [address, address + bytes), or null.
  const Block* find(const void* address, std::size_t bytes = 1) const;
  const Block* begins_at(const void* address) const;
  std::size_t used(int device) const;

 private:
  using Blocks = std::map<std::uintptr_t, Block>;
  Blocks blocks_;
  std::map<int, std::size_t> used_;
};

// What a kernel of one device may touch: its own memory and pinned memory of the host.
class DeviceMemory : public Memory {
 public:
  DeviceMemory(const Allocations& all, int device) : all_(all), device_(device) {}
  bool allows(std::uintptr_t address, std::size_t bytes, bool write) const override;

 private:
  const Allocations& all_;
  int device_;
};

}  // namespace lacuna::ptx
