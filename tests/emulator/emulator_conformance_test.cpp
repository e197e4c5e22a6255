// The host path of every wrapper, case by case as on a GPU (conformance/device.cu), but against
// what the documentation says each should give, and in every order of threads.
#include <gtest/gtest.h>

#include <cmath>

#include "emulator/conformance/cases.h"
#include "emulator/conformance/emulated.h"

namespace lacuna::conformance {
namespace {

class ConformanceThreads : public testing::TestWithParam<std::size_t> {};

TEST_P(ConformanceThreads, TheOrderOfThreadsDoesNotShow) {
  const auto first = emulated_results(GetParam());
  for (std::uint64_t seed = 2; seed <= 12; ++seed)
    EXPECT_EQ(emulated_results(GetParam(), seed), first) << all_cases[GetParam()].name;
}
INSTANTIATE_TEST_SUITE_P(Cases, ConformanceThreads,
                         testing::Range<std::size_t>(0, std::size(all_cases)));

std::vector<Word> results(const std::string& name) {
  for (std::size_t i = 0; i < std::size(all_cases); ++i)
    if (all_cases[i].name == name) return emulated_results(i);
  ADD_FAILURE() << "no case " << name;
  return {};
}

int small(const std::vector<Word>& in, std::size_t from, int row, int column) {
  return static_cast<int>(in[from + static_cast<std::size_t>(row * 16 + column)] % 17) - 8;
}

// a·b of the small integers that the mma cases multiply.
int product(int row, int column, int depth) {
  static const auto in = input_data();
  int sum = 0;
  for (int k = 0; k < depth; ++k) sum += small(in, 0, row, k) * small(in, 512, column, k);
  return sum;
}

TEST(Conformance, TensorCores) {
  for (const auto& [name, depth] :
       {std::pair{"mma m16n8k16 fp16", 16}, {"mma m16n8k16 bf16", 16}, {"mma m16n8k8 tf32", 8}}) {
    const auto c = results(name);
    for (int row = 0; row < 16; ++row)
      for (int column = 0; column < 8; ++column) {
        // The accumulator began as 4·lane + register; lane = 4·(row mod 8) + column / 2.
        const int began = 4 * (row % 8 * 4 + column / 2) + column % 2 + row / 8 * 2;
        EXPECT_EQ(simt::bits_as<float>(c[static_cast<std::size_t>(row * 8 + column)]),
                  static_cast<float>(began + product(row, column, depth)))
            << name << " at " << row << ',' << column;
      }
  }
  const auto c = results("mma m8n8k4 fp64");
  for (int row = 0; row < 8; ++row)
    for (int column = 0; column < 8; ++column) {
      const double began = row * 4 + column / 2 + (column % 2 ? 0.5 : 0.25);
      const auto at = static_cast<std::size_t>(2 * (row * 8 + column));
      const auto bits = c[at] | static_cast<std::uint64_t>(c[at + 1]) << 32;
      EXPECT_EQ(simt::bits_as<double>(bits), began + product(row, column, 4));
    }
}

TEST(Conformance, Shuffles) {
  const auto in = input_data();
  auto out = results("shuffles");
  std::size_t at = 0;
  for (unsigned width = 2; width <= 32; width *= 2)
    for (unsigned by : {1u, width / 2, width - 1})
      for (int kind = 0; kind < 4; ++kind)
        for (unsigned lane = 0; lane < 32; ++lane) {
          const unsigned place = lane % width, first = lane - place;
          unsigned source = lane;
          if (kind == 0) source = first + by;
          if (kind == 1) source = lane ^ by;  // by < width: stays in the group
          if (kind == 2 && place + by < width) source = lane + by;
          if (kind == 3 && place >= by) source = lane - by;
          EXPECT_EQ(out[at++], in[source]) << "kind " << kind << " width " << width << " by " << by;
        }
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(out[at++], in[lane % 2 == 0 ? 30 - lane : 32 - lane]);
  at += 64;
  for (unsigned width = 2; width < 32; width *= 2)
    for (unsigned by : {width, width + 1, 31u})
      for (unsigned lane = 0; lane < 32; ++lane) {
        const bool behind = (lane ^ by) / width > lane / width;
        EXPECT_EQ(out[at++], in[behind ? lane : lane ^ by]) << "width " << width << " by " << by;
      }
}

TEST(Conformance, Products) {
  const auto in = input_data();
  const auto out = results("products");
  const auto wide = [](const Word* words) { return words[0] | std::uint64_t{words[1]} << 32; };
  for (std::size_t i = 0; i < input_words; ++i) {
    const auto word = [&](std::size_t ahead) { return in[(i + ahead) % input_words]; };
    const Word* own = &out[product_words * i];
    // Rounded once, and never with the sum: as a double the product of two floats is whole.
    const auto number = [&](std::size_t ahead) {
      return static_cast<double>(simt::bits_as<float>(word(ahead)));
    };
    const float product = static_cast<float>(number(0) * number(1));
    const double sum = static_cast<double>(product) - number(2);
    EXPECT_EQ(own[0], simt::bits_as<Word>(sum == sum ? static_cast<float>(sum) : -1.0f)) << i;
    const auto near_one = [&](std::size_t ahead) {
      const Word high = (word(ahead) & 0x801fffffu) | 0x3fe00000u;
      return simt::bits_as<double>(std::uint64_t{high} << 32 | word(ahead + 1));
    };
    volatile const double rounded = near_one(0) * near_one(2);
    EXPECT_EQ(wide(own + 1), simt::bits_as<std::uint64_t>(rounded - near_one(1))) << i;
    EXPECT_EQ(wide(own + 3), static_cast<std::uint64_t>(std::int64_t{std::int32_t(word(0))} *
                                                        std::int32_t(word(1))));
    EXPECT_EQ(own[5], word(0));
  }
  // 1.5 (1 + 2^-52), a tie, is rounded to even: 1.5 + 2^-51.
  EXPECT_EQ(simt::rounded_product(1.5, 1 + 0x1p-52) - 1.5, 0x1p-51);
}

TEST(Conformance, VectorsOfOtherElements) {
  const auto in = input_data();
  const auto out = results("vectors of other elements");
  const auto turned = [](Word two) { return two << 16 | two >> 16; };
  for (unsigned lane = 0; lane < 32; ++lane) {
    const Word* own = &out[8 * lane];
    const auto byte = [&](unsigned i) { return in[lane] >> 8 * i & 0xff; };
    EXPECT_EQ(own[0], byte(2) | byte(0) << 8 | byte(3) << 16 | byte(1) << 24);
    EXPECT_EQ(own[1], turned(in[lane]));
    EXPECT_EQ(own[2], turned(in[2 * lane + 1]));
    EXPECT_EQ(own[3], turned(in[2 * lane]));
    for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(own[4 + i], in[4 * lane + (i + 2) % 4]);
  }
}

TEST(Conformance, MatrixMoves) {
  const auto in = input_data();
  const auto element = [&](unsigned tile, unsigned row, unsigned column) {
    const unsigned r = 8 * tile + row;
    return in[r * 24 + 8 * (r / 16) + column] & 0xffff;
  };
  const auto two = [&](unsigned tile, unsigned lane, bool transposed) {
    const unsigned row = lane / 4, column = lane % 4 * 2;
    return transposed ? element(tile, column, row) | element(tile, column + 1, row) << 16
                      : element(tile, row, column) | element(tile, row, column + 1) << 16;
  };
  const auto out = results("ldmatrix and movmatrix");
  for (unsigned lane = 0; lane < 32; ++lane) {
    const Word* own = &out[16 * lane];
    EXPECT_EQ(own[0], two(0, lane, false));
    EXPECT_EQ(own[1], two(0, lane, true));
    for (unsigned tile = 0; tile < 4; ++tile) {
      if (tile < 2) {
        EXPECT_EQ(own[2 + tile], two(tile, lane, false));
        EXPECT_EQ(own[4 + tile], two(tile, lane, true));
      }
      EXPECT_EQ(own[6 + tile], two(tile, lane, false));
      EXPECT_EQ(own[10 + tile], two(tile, lane, true));
    }
    const unsigned row = lane % 4 * 2, column = lane / 4;  // of the transpose's source
    const auto half = [&](unsigned r) {
      return in[r * 4 + column / 2] >> column % 2 * 16 & 0xffff;
    };
    EXPECT_EQ(own[14], half(row) | half(row + 1) << 16);
    EXPECT_EQ(own[15] ^ lane, two(1, lane, false));  // transposed twice
  }
}

TEST(Conformance, AsyncCopiesFillWithZeros) {
  const auto in = input_data();
  const auto out = results("cp.async");
  for (unsigned lane = 0; lane < 32; ++lane) {
    const Word* own = &out[8 * lane];
    EXPECT_EQ(own[0], lane % 2 ? in[lane] : 0);
    for (unsigned i = 0; i < 2; ++i)
      EXPECT_EQ(own[1 + i], i < lane % 3 ? in[64 + 2 * lane + i] : 0);
    for (unsigned i = 0; i < 4; ++i)
      EXPECT_EQ(own[3 + i], i < lane % 5 ? in[256 + 4 * lane + i] : 0);
    const unsigned other = 31 - lane;
    EXPECT_EQ(own[7], other % 5 > 0 ? in[256 + 4 * other] : 0);
  }
}

TEST(Conformance, Votes) {
  const auto in = input_data();
  Word yes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) yes |= Word{in[lane] % 3 == 0} << lane;
  const auto out = results("votes");
  for (unsigned lane = 0; lane < 32; ++lane) {
    const Word* own = &out[8 * lane];
    EXPECT_EQ(own[0], yes);
    EXPECT_EQ(own[1], Word{yes != 0});
    EXPECT_EQ(own[2], Word{yes == 0xffffffffu});
    EXPECT_EQ(own[3], 1u);
    EXPECT_EQ(own[4], 0u);
    EXPECT_EQ(own[5], lane < 8 ? ~yes & 0xffu : 0xffffffffu);
  }
}

TEST(Conformance, FlagsAndGridBarrier) {
  const auto in = input_data();
  const auto out = results("flags between blocks");
  for (unsigned lane = 0; lane < 32; ++lane) EXPECT_EQ(out[lane], in[lane] ^ in[32 + lane]);
  EXPECT_EQ(out[32], (1u + 2u) * 31 * 32 / 2);
  std::vector<Word> carried(in.begin(), in.begin() + 5);
  for (Word step = 0; step < 6; ++step) {
    std::vector<Word> next;
    for (std::size_t block = 0; block < 5; ++block)
      next.push_back(carried[(block + 1) % 5] * 3 + step);
    carried = next;
  }
  const auto grid = results("grid barrier");
  for (std::size_t i = 0; i < grid.size(); ++i) EXPECT_EQ(grid[i], carried[i / 64]);
}

TEST(Conformance, Clusters) {
  const auto in = input_data();
  const auto out = results("peers' shared memory");
  for (unsigned block = 0; block < 2 * cluster_blocks; ++block)
    for (unsigned thread = 0; thread < 64; ++thread) {
      const Word* own = &out[4 * (64 * block + thread)];
      const unsigned first = block / 4 * 4, next = first + (block + 1) % 4;
      EXPECT_EQ(own[0], block % 4 + 400);
      EXPECT_EQ(own[1], in[64 * next + 63 - thread]);
      EXPECT_EQ(own[2], in[64 * block + 63 - thread] + 1);  // the block before sent it back
      EXPECT_EQ(own[3], 7u);
    }
  std::vector<std::vector<Word>> carried;
  for (unsigned rank = 0; rank < 4; ++rank) {
    carried.emplace_back();
    for (unsigned lane = 0; lane < 32; ++lane) {
      const Word* copied = &in[128 * rank];
      carried.back().push_back(copied[lane] ^ copied[64 + lane] ^ copied[127 - lane]);
    }
  }
  for (int round = 0; round < 4; ++round) {
    auto next = carried;
    for (unsigned rank = 0; rank < 4; ++rank)
      for (unsigned lane = 0; lane < 32; ++lane) {
        const auto& sent = carried[(rank + 3) % 4];
        next[rank][lane] = sent[lane] * 5 + (sent[lane] + 2) * 3 + sent[31 - lane] + 5;
      }
    carried = next;
  }
  const auto exchanged = results("mbarriers, st.async, bulk copies");
  for (unsigned rank = 0; rank < 4; ++rank) {
    for (unsigned lane = 0; lane < 32; ++lane)
      EXPECT_EQ(exchanged[32 * rank + lane], carried[rank][lane]);
    EXPECT_EQ(exchanged[128 + rank], rank);
  }
}

}  // namespace
}  // namespace lacuna::conformance
