// Other libraries' memory as a context's memory. No type of theirs is named here, so that none of their headers is needed.
//
//   std::pmr          allocator_from(resource)
//   RMM, cuda::mr     allocator_from_stream_ordered<rmm::cuda_stream_view>(resource), or <cuda::stream_ref>
//   PyTorch           namespace torch_cuda = c10::cuda::CUDACachingAllocator;
//                     allocator_from_functions<torch_cuda::raw_alloc_with_stream, torch_cuda::raw_delete>()
//
// A resource must outlive the context, its plans and its tapes. One that throws has no more memory: the call that needed it
// fails with Status::out_of_memory and the context stays usable.
#pragma once

#include <memory_resource>

#include "lacuna/cpp/error.hpp"

namespace lacuna {
namespace detail {

// The first argument of an allocating function that takes (bytes, stream).
template <class Function>
struct StreamOf;
template <class Result, class Bytes, class Stream>
struct StreamOf<Result (*)(Bytes, Stream)> {
  using type = Stream;
};

// Becomes the pointer that a stream is made from, whose type is CUDA's.
struct RawStream {
  void* stream;
  template <class Handle>
  operator Handle*() const {
    return static_cast<Handle*>(stream);
  }
};

template <class Take>
void* take_or_null(Take&& take) {
  try {
    return take();
  } catch (...) {
    return nullptr;
  }
}

}  // namespace detail

// The host's memory.
inline lacuna_allocator allocator_from(std::pmr::memory_resource& resource) {
  return {.allocate = [](void* user, std::size_t bytes, std::size_t alignment, void*) -> void* {
            return detail::take_or_null([&] {
              return static_cast<std::pmr::memory_resource*>(user)->allocate(bytes, alignment);
            });
          },
          .deallocate =
              [](void* user, void* block, std::size_t bytes, std::size_t alignment, void*) {
                static_cast<std::pmr::memory_resource*>(user)->deallocate(block, bytes, alignment);
              },
          .user = &resource};
}

// A device's memory, from anything with allocate(stream, bytes, alignment) and deallocate(stream, block, bytes, alignment),
// or the older allocate_async(bytes, alignment, stream) and deallocate_async(block, bytes, alignment, stream). `Stream` is
// made from a cudaStream_t.
template <class Stream, class Resource>
lacuna_allocator allocator_from_stream_ordered(Resource& resource) {
  return {.allocate = [](void* user, std::size_t bytes, std::size_t alignment, void* raw) -> void* {
            return detail::take_or_null([&]() -> void* {
              auto& from = *static_cast<Resource*>(user);
              const Stream stream{detail::RawStream{raw}};
              if constexpr (requires { from.allocate(stream, bytes, alignment); })
                return from.allocate(stream, bytes, alignment);
              else
                return from.allocate_async(bytes, alignment, stream);
            });
          },
          .deallocate =
              [](void* user, void* block, std::size_t bytes, std::size_t alignment, void* raw) {
                auto& to = *static_cast<Resource*>(user);
                const Stream stream{detail::RawStream{raw}};
                if constexpr (requires { to.deallocate(stream, block, bytes, alignment); })
                  to.deallocate(stream, block, bytes, alignment);
                else
                  to.deallocate_async(block, bytes, alignment, stream);
              },
          .user = &resource};
}

// A device's memory, from a function of (bytes, stream) and one of (block). Blocks must be aligned to 256 bytes at least, as
// all that CUDA hands out is.
template <auto allocate, auto deallocate>
lacuna_allocator allocator_from_functions() {
  return {
      .allocate = [](void*, std::size_t bytes, std::size_t, void* stream) -> void* {
        using Stream = typename detail::StreamOf<decltype(allocate)>::type;
        return detail::take_or_null(
            [&]() -> void* { return allocate(bytes, static_cast<Stream>(stream)); });
      },
      .deallocate = [](void*, void* block, std::size_t, std::size_t, void*) { deallocate(block); },
      .user = nullptr};
}

}  // namespace lacuna
