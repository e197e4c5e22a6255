// Shared arrays: where they are, whose they are, and what lies there before anyone writes.
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "emulator/state.h"

namespace lacuna::emulator {
namespace {

// 0xff is a NaN in every floating-point type and an index far out of range in every integer type.
constexpr int unwritten = 0xff;

// Every shared array starts at a multiple of this, as dynamic shared memory does on the device.
constexpr std::size_t alignment = 128;

void require_size(const Block& block, std::size_t dynamic_bytes, Site site) {
  const std::size_t limit = Run::active().device().shared_per_block;
  if (block.static_bytes + dynamic_bytes > limit)
    fail(std::to_string(block.static_bytes) + " bytes of static and " +
             std::to_string(dynamic_bytes) + " of dynamic shared memory exceed the device's " +
             std::to_string(limit),
         site);
}

const SharedArray* find(const Block& block, const void* at, std::size_t bytes) {
  for (const auto& [offset, array] : block.dynamic)
    if (array.holds(at, bytes)) return &array;
  for (const auto& [key, array] : block.statics)
    if (array.holds(at, bytes)) return &array;
  return nullptr;
}

// The array of `block` under `key`, made if its threads have not reached it yet.
template <class Key>
SharedArray& array_of(std::map<Key, SharedArray>& arrays, Key key, std::size_t bytes) {
  return arrays.try_emplace(key, bytes).first->second;
}

}  // namespace

SharedArray::SharedArray(std::size_t bytes) : bytes_(bytes) {
  void* data = nullptr;
  if (posix_memalign(&data, alignment, bytes ? bytes : 1) != 0) throw std::bad_alloc();
  data_ = static_cast<char*>(data);
  std::memset(data_, unwritten, bytes);
}

SharedArray::SharedArray(SharedArray&& other) noexcept
    : bytes_(other.bytes_), data_(std::exchange(other.data_, nullptr)) {}

SharedArray::~SharedArray() {
  if (!data_) return;
  const sanitizers::Quiet quiet;
  sanitizers::unpoison(data_, bytes_);
  std::free(data_);
}

bool SharedArray::holds(const void* at, std::size_t bytes) const {
  const auto* p = static_cast<const char*>(at);
  return p >= data_ && p + bytes <= data_ + bytes_;
}

void* dynamic_shared(std::size_t offset, std::size_t bytes, Site site) {
  const sanitizers::Quiet quiet;
  Run& run = Run::active();
  Block& block = *run.self().home;
  const auto range = [](std::size_t from, std::size_t size) {
    return "bytes " + std::to_string(from) + " to " + std::to_string(from + size);
  };
  if (offset + bytes > run.shape().shared_bytes)
    fail("shared array takes " + range(offset, bytes) + ", but the launch gave " +
             std::to_string(run.shape().shared_bytes),
         site);
  require_size(block, run.shape().shared_bytes, site);
  const auto after = block.dynamic.lower_bound(offset);
  if (after != block.dynamic.end()) {
    if (after->first == offset && after->second.bytes() == bytes) return after->second.data();
    if (after->first < offset + bytes)
      fail("shared array takes " + range(offset, bytes) + ", which overlap " +
               range(after->first, after->second.bytes()) + " taken before",
           site);
  }
  if (after != block.dynamic.begin()) {
    const auto& [start, array] = *std::prev(after);
    if (start + array.bytes() > offset)
      fail("shared array takes " + range(offset, bytes) + ", which overlap " +
               range(start, array.bytes()) + " taken before",
           site);
  }
  return array_of(block.dynamic, offset, bytes).data();
}

void* static_shared(const void* key, std::size_t bytes, Site site) {
  const sanitizers::Quiet quiet;
  Run& run = Run::active();
  Block& block = *run.self().home;
  const auto known = block.statics.find(key);
  if (known != block.statics.end()) return known->second.data();
  block.static_bytes += bytes;
  require_size(block, run.shape().shared_bytes, site);
  return array_of(block.statics, key, bytes).data();
}

void require_aligned(const void* pointer, std::size_t needed, const char* what, Site site) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % needed == 0) return;
  const sanitizers::Quiet quiet;
  fail(std::string(what) + " is not aligned to " + std::to_string(needed) + " bytes", site);
}

void require_shared(const void* pointer, std::size_t bytes, std::size_t needed, const char* what,
                    Site site) {
  const sanitizers::Quiet quiet;
  if (!find(*Run::active().self().home, pointer, bytes))
    fail(std::string(what) + " reaches outside this block's shared arrays", site);
  require_aligned(pointer, needed, what, site);
}

void* peer_shared(void* mine, unsigned rank, Site site) {
  const sanitizers::Quiet quiet;
  Block& block = *Run::active().self().home;
  Cluster& cluster = *block.cluster;
  if (rank >= cluster.blocks.size())
    fail("block " + std::to_string(rank) + " of a cluster of " +
             std::to_string(cluster.blocks.size()),
         site);
  if (cluster.generation == 0)
    fail("a peer's shared memory before the cluster's first barrier: it may not have started",
         site);
  Block& peer = *cluster.blocks[rank];
  if (peer.alive == 0)
    fail("the shared memory of block " + std::to_string(rank) + ", which has left", site);
  const auto moved = [&](auto& theirs, const auto& entry) {
    const auto& [key, array] = entry;
    return array_of(theirs, key, array.bytes()).data() + (static_cast<char*>(mine) - array.data());
  };
  for (const auto& entry : block.dynamic)
    if (entry.second.holds(mine, 1)) return moved(peer.dynamic, entry);
  for (const auto& entry : block.statics)
    if (entry.second.holds(mine, 1)) return moved(peer.statics, entry);
  fail("not an address in this block's shared arrays", site);
}

}  // namespace lacuna::emulator
