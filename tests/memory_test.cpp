// The pool and the caller's memory: alignment, books that balance, reuse, and threads.
#include "host/memory/memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "api/huge_allocations.h"
#include "host/memory/caller_memory.h"
#include "host/memory/pool.h"

namespace {

using lacuna::memory::alignment;
using lacuna::memory::Block;
using lacuna::memory::CallerMemory;
using lacuna::memory::Memory;
using lacuna::memory::Pool;

bool is_aligned(const void* block) {
  return reinterpret_cast<std::uintptr_t>(block) % alignment == 0;
}

TEST(Pool, EverySizeIsAlignedAndWhole) {
  Pool pool;
  std::vector<std::pair<unsigned char*, std::size_t>> blocks;
  const auto take = [&](std::size_t bytes) {
    auto* const block = static_cast<unsigned char*>(pool.allocate(bytes));
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(is_aligned(block)) << bytes;
    std::memset(block, static_cast<int>(bytes % 251), bytes);
    blocks.emplace_back(block, bytes);
  };
  for (std::size_t bytes = 1; bytes <= 1500; ++bytes) take(bytes);
  for (int power = 11; power < 22; ++power)
    for (const int off : {-1, 0, 1})
      take((std::size_t{1} << power) + static_cast<std::size_t>(off));
  // Had two blocks shared a byte, one of them would have lost its pattern.
  for (const auto& [block, bytes] : blocks) {
    for (const std::size_t at : {std::size_t{0}, bytes / 2, bytes - 1})
      ASSERT_EQ(block[at], bytes % 251) << bytes;
    pool.deallocate(block, bytes);
  }
  EXPECT_EQ(pool.statistics().bytes_in_use, 0u);
}

TEST(Pool, AFreedBlockServesTheNextOfItsSize) {
  Pool pool;
  void* const first = pool.allocate(100'000);
  pool.deallocate(first, 100'000);
  EXPECT_GE(pool.bytes_kept(), 100'000u);
  EXPECT_LE(pool.bytes_kept(), 125'064u) << "slack beyond a quarter";
  EXPECT_EQ(pool.allocate(99'500), first);
  EXPECT_EQ(pool.bytes_kept(), 0u);
  pool.deallocate(first, 99'500);
  pool.trim();
  EXPECT_EQ(pool.bytes_kept(), 0u);
}

TEST(Pool, KeepsItsBooks) {
  Pool pool;
  void* const a = pool.allocate(1000);
  void* const b = pool.allocate(500);
  EXPECT_EQ(pool.statistics().bytes_in_use, 1500u);
  pool.deallocate(a, 1000);
  EXPECT_EQ(pool.statistics().bytes_in_use, 500u);
  EXPECT_EQ(pool.statistics().bytes_peak, 1500u);
  EXPECT_EQ(pool.statistics().allocations, 2u);
  pool.deallocate(b, 500);
}

TEST(Pool, MoreThanThereIsGivesNull) {
  Pool pool;
  EXPECT_EQ(pool.allocate(SIZE_MAX), nullptr);
  EXPECT_EQ(pool.allocate(SIZE_MAX / 4), nullptr);
  EXPECT_EQ(pool.statistics().bytes_in_use, 0u);
}

TEST(Pool, ThreadsShareIt) {
  Pool pool;
  const auto live = [&pool](unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::pair<unsigned char*, std::size_t>> mine;
    for (int step = 0; step < 2000; ++step) {
      if (mine.size() > 20 || (!mine.empty() && random() % 2)) {
        const auto [block, bytes] = mine.back();
        mine.pop_back();
        ASSERT_EQ(block[0], static_cast<unsigned char>(seed));
        ASSERT_EQ(block[bytes - 1], static_cast<unsigned char>(seed));
        pool.deallocate(block, bytes);
      } else {
        const std::size_t bytes = 64 + random() % 4096;
        auto* const block = static_cast<unsigned char*>(pool.allocate(bytes));
        std::memset(block, static_cast<int>(seed), bytes);
        mine.emplace_back(block, bytes);
      }
      if (step % 500 == 0) pool.trim();
    }
    for (const auto& [block, bytes] : mine) pool.deallocate(block, bytes);
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 4; ++seed) threads.emplace_back(live, seed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.statistics().bytes_in_use, 0u);
}

TEST(CallerMemory, PassesOnWhatItWasAsked) {
  struct Calls {
    std::size_t bytes = 0, alignment = 0, freed_bytes = 0;
    void* freed = nullptr;
  } calls;
  static char storage[256];
  CallerMemory memory(
      {.allocate = [](void* user, std::size_t bytes, std::size_t align, void* stream) -> void* {
         EXPECT_EQ(stream, nullptr);
         static_cast<Calls*>(user)->bytes = bytes;
         static_cast<Calls*>(user)->alignment = align;
         return storage;
       },
       .deallocate =
           [](void* user, void* block, std::size_t bytes, std::size_t, void*) {
             static_cast<Calls*>(user)->freed = block;
             static_cast<Calls*>(user)->freed_bytes = bytes;
           },
       .user = &calls});
  { const Block block = Block::owned(memory, 100); }
  EXPECT_EQ(calls.bytes, 100u);
  EXPECT_EQ(calls.alignment, 64u);
  EXPECT_EQ(calls.freed, storage);
  EXPECT_EQ(calls.freed_bytes, 100u);
}

TEST(Block, GoesBackOnceWhoeverHoldsIt) {
  Pool pool;
  {
    Block first = Block::owned(pool, 128);
    Block second = std::move(first);
    Block third;
    third = std::move(second);
    EXPECT_NE(third.data(), nullptr);
    EXPECT_EQ(pool.statistics().bytes_in_use, 128u);
  }
  EXPECT_EQ(pool.statistics().bytes_in_use, 0u);
  int borrowed = 7;
  { const Block block = Block::borrowed(&borrowed); }
  EXPECT_EQ(borrowed, 7);
}

// ---- Limits ----

TEST(MemoryLimit, IsNeverPassedAndGivenBack) {
  Pool pool;
  pool.limit({.in_use = 1000, .kept = 0});
  void* const first = pool.allocate(600);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(pool.allocate(401), nullptr);
  EXPECT_EQ(pool.statistics().bytes_in_use, 600u);
  void* const second = pool.allocate(400);
  EXPECT_NE(second, nullptr);
  pool.deallocate(first, 600);
  pool.deallocate(second, 400);
  void* const third = pool.allocate(1000);
  EXPECT_NE(third, nullptr);
  pool.deallocate(third, 1000);
  EXPECT_EQ(pool.statistics().bytes_peak, 1000u);
}

TEST(MemoryLimit, BoundsWhatIsKept) {
  Pool pool;
  pool.limit({.in_use = 0, .kept = 150'000});
  void* const first = pool.allocate(100'000);
  void* const second = pool.allocate(100'000);
  pool.deallocate(first, 100'000);
  const std::size_t kept = pool.bytes_kept();
  EXPECT_GE(kept, 100'000u);
  pool.deallocate(second, 100'000);
  EXPECT_EQ(pool.bytes_kept(), kept);
}

// Has room for so much; keeps what is freed until it is trimmed.
class SmallMemory final : public Memory {
 public:
  explicit SmallMemory(std::size_t room) : room_(room) {}
  void trim() noexcept override {
    room_ += kept_;
    kept_ = 0;
    ++trims;
  }
  std::size_t bytes_kept() const override { return kept_; }
  int trims = 0;

 private:
  void* take(std::size_t bytes) override {
    if (bytes > room_) return nullptr;
    room_ -= bytes;
    return ::operator new (bytes, std::align_val_t{alignment});
  }
  void give(void* block, std::size_t bytes) noexcept override {
    ::operator delete (block, std::align_val_t{alignment});
    kept_ += bytes;
  }
  std::size_t room_, kept_ = 0;
};

TEST(MemoryLimit, KeptBlocksGoBackBeforeAnAllocationFails) {
  SmallMemory memory(1000);
  void* const first = memory.allocate(700);
  memory.deallocate(first, 700);
  void* const second = memory.allocate(900);
  EXPECT_NE(second, nullptr);
  EXPECT_EQ(memory.trims, 1);
  EXPECT_EQ(memory.allocate(200), nullptr);
  EXPECT_EQ(memory.trims, 1);  // nothing was kept
  EXPECT_EQ(memory.statistics().bytes_in_use, 900u);
  memory.deallocate(second, 900);
  EXPECT_EQ(memory.statistics().bytes_in_use, 0u);
}

}  // namespace
