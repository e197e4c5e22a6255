// Offsets that only the device knows, bounded so that whoever reads them stays within the arrays.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "emulator/orders.h"
#include "kernels/tokens/offsets.h"
#include "support/guarded_buffer.h"
#include "support/random.h"

namespace lacuna {
namespace {

using Offsets = std::vector<std::int64_t>;

constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min(),
                       highest = std::numeric_limits<std::int64_t>::max();

Offsets bounded(const Offsets& given, std::int64_t tokens, std::int64_t max_length) {
  const support::GuardedBuffer<std::int64_t> from(given);
  support::GuardedBuffer<std::int64_t> to(given.size());
  bound_offsets(nullptr, from.data(), static_cast<std::int64_t>(given.size()) - 1, tokens,
                max_length, to.data());
  EXPECT_EQ(to.damage(), "");
  EXPECT_EQ(from.vector(), given);
  return to.vector();
}

// The rules, as lacuna_batch has them.
bool keeps_the_rules(const Offsets& offsets, std::int64_t tokens, std::int64_t max_length) {
  bool keeps = offsets.front() == 0 && offsets.back() <= tokens;
  for (std::size_t b = 1; b < offsets.size(); ++b) {
    const std::int64_t length = offsets[b] - offsets[b - 1];
    keeps = keeps && length >= 0 && length <= max_length;
  }
  return keeps;
}

TEST(KernelsTokensOffsetsWrong, AreReadAsOthersThatKeepTheRules) {
  const auto expect = [](const Offsets& given, const Offsets& expected) {
    EXPECT_EQ(bounded(given, 20, 15), expected);
  };
  expect({0, 5, 10, 20}, {0, 5, 10, 20});
  expect({0, 5, 5, 7}, {0, 5, 5, 7});
  expect({0, 5, 10, 200}, {0, 5, 10, 20});
  expect({0, 15, 5, 20}, {0, 15, 15, 20});
  expect({0, -500, 10, 20}, {0, 0, 10, 20});
  expect({7, 9, 10, 20}, {0, 9, 10, 20});
  expect({-7, 0, 0, 16}, {0, 0, 0, 15});
  expect({0, 20, 0, 20}, {0, 15, 15, 20});
  expect({0, highest, lowest, highest}, {0, 15, 15, 20});
  expect({lowest, lowest, highest, lowest}, {0, 0, 15, 15});
}

class KernelsTokensOffsets : public testing::TestWithParam<std::int64_t> {};

TEST_P(KernelsTokensOffsets, ThatKeepTheRulesStayAndOthersAreBroughtTo) {
  support::Random random(static_cast<std::uint64_t>(GetParam()));
  const std::int64_t sequences = GetParam(), max_length = 9, tokens = sequences * 5 + 1;
  Offsets good{0};
  for (std::int64_t b = 0; b < sequences; ++b)
    good.push_back(std::min(tokens, good.back() + random.below(max_length + 1)));
  for (const auto& order : emulator::thread_orders(3)) {
    const emulator::WithSettings with(order);
    EXPECT_EQ(bounded(good, tokens, max_length), good);
  }
  for (const std::int64_t one_in : {1, 2, 50}) {
    Offsets bad = good;
    for (std::int64_t& offset : bad) {
      if (random.below(one_in) > 0) continue;
      const std::int64_t other = random.below(4 * tokens) - 2 * tokens;
      const std::int64_t drawn = random.below(8);
      offset = drawn == 0 ? lowest : drawn == 1 ? highest : other;
    }
    EXPECT_TRUE(keeps_the_rules(bounded(bad, tokens, max_length), tokens, max_length));
  }
}

INSTANTIATE_TEST_SUITE_P(Sequences, KernelsTokensOffsets,
                         testing::Values(1, 3, 31, 33, 257, 4095, 4096, 4097, 9001));

// Their sums would not fit in 64 bits.
TEST(KernelsTokensOffsetsWrong, DoNotOverflow) {
  const std::int64_t tokens = std::int64_t{1} << 61;
  Offsets given(5001, 0);
  for (std::size_t b = 1; b < given.size(); b += 2) given[b] = highest;
  Offsets expected(given.size(), tokens);
  expected[0] = 0;
  EXPECT_EQ(bounded(given, tokens, tokens), expected);
}

TEST(KernelsTokensOffsets, OfNoSequencesAreNotRead) {
  bound_offsets(nullptr, nullptr, 0, 0, 5, nullptr);
}

}  // namespace
}  // namespace lacuna
