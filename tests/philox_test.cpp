// The generator behind dropout gives its authors' numbers, and drops what it is asked to.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cells/philox.h"

namespace {

using lacuna::Dropout;
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

TEST(Philox, DropsTheShareThatWasAskedFor) {
  const Dropout dropout{.probability = 0.3, .seed = 17, .layer = 2};
  constexpr std::int64_t rows = 4000, columns = 25;
  std::int64_t dropped = 0;
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t column = 0; column < columns; ++column)
      dropped += dropout.draw(row, column).word[column % 4] < dropout.threshold();
  // Five standard deviations of a binomial share.
  const double share = static_cast<double>(dropped) / (rows * columns);
  EXPECT_NEAR(share, 0.3, 5 * std::sqrt(0.3 * 0.7 / (rows * columns)));
}

}  // namespace
