// The generator behind all noise gives its authors' numbers.
#include <gtest/gtest.h>

#include "kernels/cells/philox.h"

namespace {

using lacuna::philox;

// Known answers of philox4x32-10 (Random123's kat_vectors): counter, key, numbers.
TEST(Philox, GivesTheKnownAnswers) {
  const auto expect = [](std::uint64_t key, const std::uint32_t(&counter)[4],
                         const std::uint32_t(&numbers)[4]) {
    const auto drawn = philox(key, counter[0], counter[1], counter[2], counter[3]);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(drawn.word[i], numbers[i]) << i;
  };
  expect(0, {0, 0, 0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  expect(0xffffffffffffffff, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  expect(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

}  // namespace
