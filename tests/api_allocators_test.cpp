// Other libraries' memory as a context's: adapters are given stand-ins with the interfaces those libraries document.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/refusal.h"

namespace {

struct StreamHandle;  // as CUstream_st

// As cuda::stream_ref and rmm::cuda_stream_view: made from the handle, and from nothing else by accident.
struct StreamView {
  StreamView(StreamHandle* from) : handle(from) {}
  StreamView(int) = delete;
  StreamView(std::nullptr_t) = delete;
  StreamHandle* handle;
};

struct Books {
  int taken = 0, given = 0;
  std::size_t bytes = 0;
  void* take(std::size_t count, std::size_t alignment) {
    if (count > (std::size_t{1} << 30)) throw std::bad_alloc();
    ++taken;
    bytes += count;
    return std::aligned_alloc(alignment, (count + alignment - 1) / alignment * alignment);
  }
  void give(void* block, std::size_t count) {
    ++given;
    bytes -= count;
    std::free(block);
  }
};

struct Resource : Books {
  void* allocate(StreamView, std::size_t count, std::size_t alignment) {
    return take(count, alignment);
  }
  void deallocate(StreamView, void* block, std::size_t count, std::size_t) { give(block, count); }
};

struct OlderResource : Books {
  void* allocate_async(std::size_t count, std::size_t alignment, StreamView) {
    return take(count, alignment);
  }
  void deallocate_async(void* block, std::size_t count, std::size_t, StreamView) {
    give(block, count);
  }
};

Books functions;
void* raw_alloc_with_stream(std::size_t bytes, StreamHandle*) { return functions.take(bytes, 512); }
void raw_delete(void* block) { functions.give(block, 0); }

void expect_use(const lacuna_allocator& table, const Books& books) {
  {
    const auto context = lacuna::Context::cpu({.threads = 1, .allocator = table});
    const auto layer = lacuna::gru(3, 4);
    const lacuna::Plan plan(context, layer, {.tokens = 10, .sequences = 2});
    const lacuna::Tape tape(plan);
    EXPECT_EQ(books.taken, 2);
    const auto have_too_much = [&] {
      const lacuna::Plan large(context, layer, {.tokens = std::int64_t{1} << 32, .sequences = 2});
      const lacuna::Tape larger(large);
    };
    EXPECT_NE(support::refusal(have_too_much, lacuna::Status::out_of_memory).find("no block of"),
              std::string::npos);
    const lacuna::Tape another(plan);
  }
  EXPECT_EQ(books.given, books.taken);
}

TEST(Allocators, OfStreamOrderedResources) {
  Resource resource;
  expect_use(lacuna::allocator_from_stream_ordered<StreamView>(resource), resource);
  EXPECT_EQ(resource.bytes, 0U);
}

TEST(Allocators, OfOlderStreamOrderedResources) {
  OlderResource resource;
  expect_use(lacuna::allocator_from_stream_ordered<StreamView>(resource), resource);
  EXPECT_EQ(resource.bytes, 0U);
}

TEST(Allocators, OfFunctions) {
  expect_use(lacuna::allocator_from_functions<raw_alloc_with_stream, raw_delete>(), functions);
}

}  // namespace
