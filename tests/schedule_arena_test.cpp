// The arena: nothing that is alive at the same time overlaps, whatever the buffers, and little is wasted.
#include <gtest/gtest.h>

#include <random>

#include "host/schedule/arena.h"

namespace {

using lacuna::schedule::Arena;
using lacuna::schedule::lay_out;
using lacuna::schedule::Lifetime;

constexpr std::size_t alignment = 64;

void expect_apart(const std::vector<Lifetime>& buffers, const Arena& arena) {
  ASSERT_EQ(arena.offsets.size(), buffers.size());
  for (std::size_t a = 0; a < buffers.size(); ++a) {
    EXPECT_EQ(arena.offsets[a] % alignment, 0U);
    EXPECT_LE(arena.offsets[a] + buffers[a].bytes, arena.bytes);
    for (std::size_t b = 0; b < a; ++b) {
      const bool meet = buffers[a].first <= buffers[b].last && buffers[b].first <= buffers[a].last;
      const bool apart = arena.offsets[a] + buffers[a].bytes <= arena.offsets[b] ||
                         arena.offsets[b] + buffers[b].bytes <= arena.offsets[a];
      EXPECT_TRUE(apart || !meet || buffers[a].bytes == 0 || buffers[b].bytes == 0)
          << a << " and " << b;
    }
  }
}

TEST(Arena, KeepsApartWhatIsAliveTogether) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<Lifetime> buffers(random() % 40);
    for (Lifetime& buffer : buffers) {
      buffer.bytes = random() % 5 == 0 ? 0 : random() % 5000;
      buffer.first = static_cast<std::int32_t>(random() % 30);
      buffer.last = buffer.first + static_cast<std::int32_t>(random() % 10);
    }
    const Arena arena = lay_out(buffers, alignment);
    expect_apart(buffers, arena);
    EXPECT_GE(arena.bytes, arena.floor);
  }
}

TEST(Arena, ReusesWhatHasEnded) {
  // A chain in which each buffer meets its neighbours alone needs room for two.
  std::vector<Lifetime> chain;
  for (std::int32_t i = 0; i < 50; ++i) chain.push_back({640, i, i + 1});
  const Arena arena = lay_out(chain, alignment);
  expect_apart(chain, arena);
  EXPECT_EQ(arena.floor, 1280U);
  EXPECT_EQ(arena.bytes, arena.floor);
}

TEST(Arena, OfNothingIsEmpty) { EXPECT_EQ(lay_out({}, alignment).bytes, 0U); }

TEST(Arena, RefusesWhatNoMemoryHolds) {
  const std::vector<Lifetime> buffers{{static_cast<std::size_t>(-1), 0, 0}};
  EXPECT_THROW((void)lay_out(buffers, alignment), std::length_error);
  const std::vector<Lifetime> many(5, Lifetime{static_cast<std::size_t>(-1) / 3, 0, 0});
  EXPECT_THROW((void)lay_out(many, alignment), std::length_error);
}

}  // namespace
