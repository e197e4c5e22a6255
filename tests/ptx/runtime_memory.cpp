#include "ptx/runtime_memory.h"

#include <cstdlib>
#include <cstring>
#include <iterator>

namespace lacuna::ptx {
namespace {

constexpr std::size_t alignment = 256;
constexpr int poison = 0xff;

std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

}  // namespace

void* Allocations::take(std::size_t bytes, Place place, int device, std::size_t limit, void* pool) {
  std::size_t& used = used_[device];
  if (place == Place::device && (bytes > limit || used > limit - bytes)) return nullptr;
  // Space behind the block belongs to nobody, so that its neighbour is not the next block.
  const std::size_t room = (bytes / alignment + 2) * alignment;
  void* begin = std::aligned_alloc(alignment, room);
  if (begin == nullptr) return nullptr;
  std::memset(begin, poison, room);
  if (place == Place::device) used += bytes;
  blocks_.insert({number(begin), {bytes, place, device, pool, true}});
  return begin;
}

void Allocations::register_host(void* begin, std::size_t bytes, int device) {
  blocks_.insert({number(begin), {bytes, Place::pinned_host, device, nullptr, false}});
}

bool Allocations::give(void* begin) {
  const auto found = blocks_.find(number(begin));
  if (found == blocks_.end()) return false;
  const Block block = found->second;
  blocks_.erase(found);
  if (block.place == Place::device) used_[block.device] -= block.bytes;
  if (block.owned) {
    std::memset(begin, poison, block.bytes);
    std::free(begin);
  }
  return true;
}

const Block* Allocations::find(const void* address, std::size_t bytes) const {
  auto next = blocks_.upper_bound(number(address));
  if (next == blocks_.begin()) return nullptr;
  const auto& [begin, block] = *std::prev(next);
  const std::size_t offset = number(address) - begin;
  return offset <= block.bytes && bytes <= block.bytes - offset ? &block : nullptr;
}

const Block* Allocations::begins_at(const void* address) const {
  const auto found = blocks_.find(number(address));
  return found == blocks_.end() ? nullptr : &found->second;
}

std::size_t Allocations::used(int device) const {
  const auto found = used_.find(device);
  return found == used_.end() ? 0 : found->second;
}

bool DeviceMemory::allows(std::uintptr_t address, std::size_t bytes, bool) const {
  const Block* block = all_.find(reinterpret_cast<const void*>(address), bytes);
  return block != nullptr && (block->place == Place::pinned_host || block->device == device_);
}

}  // namespace lacuna::ptx
