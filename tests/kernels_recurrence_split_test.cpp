// Groups of blocks that hold W_h together, by themselves: their bits depend neither on the order in which threads run nor
// on the way of the exchange.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "emulator/emulator.h"
#include "kernels_recurrence/split_walk.h"

namespace {

using lacuna::split::OverCluster;
using lacuna::split::OverGrid;
using split_walk::random_order;
using split_walk::Walk;

template <class T>
std::vector<float> floats(const std::vector<T>& from) {
  std::vector<float> all;
  all.reserve(from.size());
  for (const T& value : from) all.push_back(lacuna::simt::to_float(value));
  return all;
}

template <class Cell, class T>
void expect_one_result(std::int64_t hidden, int blocks) {
  Walk<Cell, T, T> walk(hidden, blocks);
  const auto forward = floats(walk.template forward<OverCluster>());
  const auto backward = floats(walk.template backward<OverCluster>());
  float largest = 0;
  for (const float value : forward) largest = std::max(largest, std::abs(value));
  EXPECT_GT(largest, 0.1f);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const lacuna::emulator::WithSettings random(random_order(seed));
    EXPECT_EQ(floats(walk.template forward<OverCluster>()), forward) << "order " << seed;
    EXPECT_EQ(floats(walk.template forward<OverGrid>()), forward) << "order " << seed;
    EXPECT_EQ(floats(walk.template backward<OverCluster>()), backward) << "order " << seed;
    EXPECT_EQ(floats(walk.template backward<OverGrid>()), backward) << "order " << seed;
  }
}

TEST(SplitRecurrence, IsRepeatableInAnyOrderOfThreads) {
  expect_one_result<lacuna::LstmStep, float>(37, 2);
  expect_one_result<lacuna::GruResetBeforeStep, lacuna::simt::Bf16>(50, 4);
}

TEST(SplitRecurrence, HasOneResultWhereWarpsThatHelpAddSeveralBlocksParts) {
  expect_one_result<lacuna::GruResetBeforeStep, lacuna::simt::Bf16>(40, 16);
}

}  // namespace
