// Memory: blocks and pools of them, where a pointer points, copies and fills.
#include <algorithm>
#include <cstring>
#include <set>

#include "ptx/runtime.h"

using namespace lacuna::ptx;

namespace {

// Counts what it would keep; the memory itself goes back at once, so that its next user does not find the last one's data.
struct Pool {
  int device;
  std::uint64_t threshold = 0, used = 0, reserved = 0;

  void take(std::size_t bytes) {
    used += bytes;
    reserved = std::max(reserved, used);
  }
  void give(std::size_t bytes) {
    used -= bytes;
    trim(threshold);
  }
  void trim(std::uint64_t keep) { reserved = std::max(used, std::min(reserved, keep)); }
};

std::set<Pool*>& pools() {
  static auto* const all = new std::set<Pool*>;
  return *all;
}

Pool& pool_at(cudaMemPool_t handle) {
  auto* const pool = reinterpret_cast<Pool*>(handle);
  if (pools().count(pool) == 0) throw Refusal{cudaErrorInvalidValue, "no such pool"};
  return *pool;
}

Allocations& memory() { return Runtime::get().memory; }

void* take(std::size_t bytes, Place place, int device, Pool* pool = nullptr) {
  void* block = memory().take(bytes, place, device, Runtime::get().device_bytes, pool);
  if (block == nullptr) throw Refusal{cudaErrorMemoryAllocation};
  if (pool != nullptr) pool->take(bytes);
  return block;
}

void give(void* begin) {
  const Block* block = memory().begins_at(begin);
  if (block == nullptr) throw Refusal{cudaErrorInvalidValue, "no block of memory begins there"};
  auto* const pool = static_cast<Pool*>(block->pool);
  if (pools().count(pool) > 0) pool->give(block->bytes);
  memory().give(begin);
}

void give_synchronously(void* begin) {
  if (begin == nullptr) return;
  Streams& streams = Runtime::get().streams;
  streams.forbid_in_capture("freeing memory");
  const Block* block = memory().begins_at(begin);
  for (int device = 0; device < Runtime::get().devices; ++device)
    if (block == nullptr || block->place == Place::pinned_host || block->device == device)
      streams.drain(device);
  give(begin);
}

// Whether a copy's end lies in the host's pageable memory. Throws where it begins in a block and does not end there.
bool is_pageable(const void* begin, std::size_t bytes) {
  if (memory().find(begin, bytes) != nullptr) return false;
  if (memory().find(begin) != nullptr)
    throw Refusal{cudaErrorInvalidValue, std::to_string(bytes) + " bytes reach over a block's end"};
  return true;
}

// When the work runs, which is later than it was queued: is the block still there?
void require_block(const void* begin, std::size_t bytes, const char* what) {
  if (bytes > 0 && memory().find(begin, bytes) == nullptr)
    throw Fault(std::string(what) + ": " + std::to_string(bytes) +
                " bytes outside of any block of memory");
}

bool is_on_device(const void* begin) {
  const Block* block = memory().find(begin);
  return block != nullptr && block->place == Place::device;
}

void check_kind(const void* to, const void* from, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (is_on_device(to) != to_device || is_on_device(from) != from_device)
    throw Refusal{cudaErrorInvalidValue, "a copy whose kind is not that of its pointers"};
}

void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t handle,
          bool waits) {
  Stream& stream = stream_at(handle);
  if (bytes == 0) return;
  check_kind(to, from, kind);
  const bool to_pageable = is_pageable(to, bytes), from_pageable = is_pageable(from, bytes);
  if (stream.capture && (to_pageable || from_pageable)) {
    stream.capture->broken = true;
    throw Refusal{cudaErrorStreamCaptureUnsupported, "a copy of pageable memory during a capture"};
  }
  if (from_pageable && !to_pageable) {
    // Out of a staging buffer: the source is free when the call returns.
    const auto* const begin = static_cast<const unsigned char*>(from);
    queue(stream, [to, staged = std::vector(begin, begin + bytes)] {
      require_block(to, staged.size(), "copy to the device");
      std::memcpy(to, staged.data(), staged.size());
    });
  } else {
    queue(stream, [=] {
      if (!from_pageable) require_block(from, bytes, "copy");
      if (!to_pageable) require_block(to, bytes, "copy");
      std::memmove(to, from, bytes);
    });
  }
  const bool within_device = is_on_device(to) && is_on_device(from);
  if (to_pageable || (waits && !within_device)) Runtime::get().streams.finish(stream);
}

void fill(void* begin, std::size_t pitch, int value, std::size_t width, std::size_t height,
          cudaStream_t stream) {
  if (width == 0 || height == 0) return;
  if (width > pitch) throw Refusal{cudaErrorInvalidValue, "rows wider than their pitch"};
  const std::size_t bytes = pitch * (height - 1) + width;
  if (is_pageable(begin, bytes)) throw Refusal{cudaErrorInvalidValue, "a fill of pageable memory"};
  Stream& filled = stream_of(stream);
  // A fill is a kernel of the stream's device, which without peer access reaches no other's memory.
  if (const Block& block = *memory().find(begin);
      block.place == Place::device && block.device != filled.device)
    throw Refusal{cudaErrorInvalidValue, "a fill of memory " + of_device(block.device)};
  queue(filled, [=] {
    require_block(begin, bytes, "fill");
    for (std::size_t row = 0; row < height; ++row)
      std::memset(static_cast<unsigned char*>(begin) + row * pitch, value, width);
  });
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** block, std::size_t bytes) {
  return api_call("cudaMalloc", [&] {
    Runtime::get().streams.forbid_in_capture("cudaMalloc");
    *block = bytes == 0 ? nullptr : take(bytes, Place::device, Runtime::device());
  });
}

cudaError_t cudaFree(void* block) {
  return api_call("cudaFree", [&] { give_synchronously(block); });
}

cudaError_t cudaMallocHost(void** block, std::size_t bytes) {
  return cudaHostAlloc(block, bytes, cudaHostAllocDefault);
}

cudaError_t cudaHostAlloc(void** block, std::size_t bytes, unsigned) {
  return api_call("cudaHostAlloc", [&] {
    Runtime::get().streams.forbid_in_capture("cudaHostAlloc");
    *block = take(bytes, Place::pinned_host, Runtime::device());
  });
}

cudaError_t cudaFreeHost(void* block) {
  return api_call("cudaFreeHost", [&] { give_synchronously(block); });
}

cudaError_t cudaHostRegister(void* begin, std::size_t bytes, unsigned) {
  return api_call("cudaHostRegister", [&] {
    Runtime::get().streams.forbid_in_capture("cudaHostRegister");
    memory().register_host(begin, bytes, Runtime::device());
  });
}

cudaError_t cudaHostUnregister(void* begin) {
  return api_call("cudaHostUnregister", [&] { give_synchronously(begin); });
}

cudaError_t cudaMemGetInfo(std::size_t* left, std::size_t* total) {
  return api_call("cudaMemGetInfo", [&] {
    *total = Runtime::get().device_bytes;
    *left = *total - memory().used(Runtime::device());
  });
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  return api_call("cudaMemPoolCreate", [&] {
    if (properties->allocType != cudaMemAllocationTypePinned ||
        properties->location.type != cudaMemLocationTypeDevice)
      not_supported("a pool of other memory than a device's");
    require_device(properties->location.id);
    Runtime::get().streams.forbid_in_capture("cudaMemPoolCreate");
    *pool =
        reinterpret_cast<cudaMemPool_t>(*pools().insert(new Pool{properties->location.id}).first);
  });
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t handle) {
  return api_call("cudaMemPoolDestroy", [&] {
    Runtime::get().streams.forbid_in_capture("cudaMemPoolDestroy");
    Pool* const pool = &pool_at(handle);
    pools().erase(pool);  // blocks of it live on
    delete pool;
  });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, std::size_t bytes) {
  return api_call("cudaMemPoolTrimTo", [&] {
    Runtime::get().streams.forbid_in_capture("cudaMemPoolTrimTo");
    pool_at(pool).trim(bytes);
  });
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return api_call("cudaMemPoolSetAttribute", [&] {
    if (attribute != cudaMemPoolAttrReleaseThreshold)
      not_supported("setting pool attribute " + std::to_string(attribute));
    pool_at(pool).threshold = *static_cast<std::uint64_t*>(value);
  });
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return api_call("cudaMemPoolGetAttribute", [&] {
    const Pool& one = pool_at(pool);
    auto& answer = *static_cast<std::uint64_t*>(value);
    switch (attribute) {
      case cudaMemPoolAttrReleaseThreshold: answer = one.threshold; return;
      case cudaMemPoolAttrReservedMemCurrent: answer = one.reserved; return;
      case cudaMemPoolAttrUsedMemCurrent: answer = one.used; return;
      default: not_supported("pool attribute " + std::to_string(attribute));
    }
  });
}

cudaError_t cudaMallocFromPoolAsync(void** block, std::size_t bytes, cudaMemPool_t pool,
                                    cudaStream_t stream) {
  return api_call("cudaMallocFromPoolAsync", [&] {
    if (stream_at(stream).capture) not_supported("memory taken in a capture");
    if (const cudaError_t asked = Runtime::get().refused_blocks; asked != cudaSuccess)
      throw Refusal{asked};
    Pool& from = pool_at(pool);
    *block = bytes == 0 ? nullptr : take(bytes, Place::device, from.device, &from);
  });
}

cudaError_t cudaFreeAsync(void* block, cudaStream_t stream) {
  return api_call("cudaFreeAsync", [&] {
    Stream& ordered = stream_at(stream);
    if (ordered.capture) not_supported("memory given back in a capture");
    if (block == nullptr) return;
    if (memory().begins_at(block) == nullptr)
      throw Refusal{cudaErrorInvalidValue, "no block of memory begins there"};
    queue(ordered, [block] { give(block); });
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return api_call("cudaPointerGetAttributes", [&] {
    *attributes = {};
    attributes->device = -2;
    attributes->type = cudaMemoryTypeUnregistered;
    auto* const address = const_cast<void*>(pointer);
    const Block* block = memory().find(pointer);
    if (block == nullptr) {
      attributes->hostPointer = address;
      return;
    }
    attributes->device = block->device;
    attributes->devicePointer = address;
    const bool on_device = block->place == Place::device;
    attributes->type = on_device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
    attributes->hostPointer = on_device ? nullptr : address;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return api_call("cudaMemcpy", [&] {
    Runtime::get().streams.forbid_in_capture("cudaMemcpy");
    copy(to, from, bytes, kind, nullptr, true);
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return api_call("cudaMemcpyAsync", [&] { copy(to, from, bytes, kind, stream, false); });
}

cudaError_t cudaMemset(void* begin, int value, std::size_t bytes) {
  return api_call("cudaMemset", [&] { fill(begin, bytes, value, bytes, 1, nullptr); });
}

cudaError_t cudaMemsetAsync(void* begin, int value, std::size_t bytes, cudaStream_t stream) {
  return api_call("cudaMemsetAsync", [&] { fill(begin, bytes, value, bytes, 1, stream); });
}

cudaError_t cudaMemset2DAsync(void* begin, std::size_t pitch, int value, std::size_t width,
                              std::size_t height, cudaStream_t stream) {
  return api_call("cudaMemset2DAsync", [&] { fill(begin, pitch, value, width, height, stream); });
}

}  // extern "C"
