// Groups of blocks that hold W_h together, with mistakes planted in their exchange: what tests would say of them.
#include <gtest/gtest.h>

#include <string>

#include "emulator/emulator.h"
#include "kernels_recurrence/split_faults.h"
#include "kernels_recurrence/split_walk.h"

namespace {

using lacuna::split::OverCluster;
using lacuna::split::OverGrid;
using split_walk::random_order;
using split_walk::Walk;
using split_walk::WithLateWait;
using split_walk::WithoutBarrier;

// ---- What the orders find ----

// One buffer instead of two in turn: who is ahead writes over what others still read.
template <class E>
struct OneBuffer : lacuna::split::ClusterOperands<E> {
  using Base = lacuna::split::ClusterOperands<E>;
  using Base::Base;
  void send(const lacuna::resident::Own& own, int) { Base::send(own, 0); }
  void meet_others(int) { Base::meet_others(0); }
  typename Base::Stored* own_column(int, int lane) const { return Base::own_column(0, lane); }
  typename Base::Stored* others_column(int, int lane) const { return Base::others_column(0, lane); }
};
struct WithOneBuffer : OverCluster {
  template <class E>
  using Gather = OneBuffer<E>;
};

// Of 20 runs in random orders, those that fail or end with other bits.
template <class Exchange>
int found() {
  Walk<lacuna::LstmStep, float, float> walk(37, 2);
  const auto right = walk.forward<OverCluster>();
  int wrong = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const lacuna::emulator::WithSettings random(random_order(seed));
    try {
      wrong += walk.forward<Exchange>() == right ? 0 : 1;
    } catch (const lacuna::emulator::Error&) {
      ++wrong;
    }
  }
  return wrong;
}

TEST(SplitRecurrence, NeedsBothBuffers) { EXPECT_GT(found<WithOneBuffer>(), 0); }
TEST(SplitRecurrence, NeedsTheBlocksBarrier) { EXPECT_GT(found<WithoutBarrier>(), 0); }
TEST(SplitRecurrence, NeedsTheWaitBeforeTheOthersSlices) { EXPECT_GT(found<WithLateWait>(), 0); }

// ---- Lost messages ----

// From its second step on, block 1 forgets to send.
template <class E>
struct ForgetfulOperands : lacuna::split::ClusterOperands<E> {
  using Base = lacuna::split::ClusterOperands<E>;
  using Base::Base;
  void send(const lacuna::resident::Own& own, int channel) {
    if (this->rank() != 1 || ++sent_ <= 2) Base::send(own, channel);
  }
  int sent_ = 0;
};
struct ForgetfulSums : lacuna::split::ClusterSums {
  using ClusterSums::ClusterSums;
  void send(int block, const lacuna::resident::Own& own, const lacuna::simt::Float4& sum) {
    if (this->rank() != 1 || ++sent_ <= 1) ClusterSums::send(block, own, sum);
  }
  int sent_ = 0;  // one of each step, to the target that the warp serves
};
struct Forgetful : OverCluster {
  template <class E>
  using Gather = ForgetfulOperands<E>;
  using Scatter = ForgetfulSums;
};
// Block 1 does not come to a meeting.
template <class E>
struct AbsentOperands : lacuna::split::GridOperands<E> {
  using Base = lacuna::split::GridOperands<E>;
  using Base::Base;
  void meet_own() {
    if (this->rank() != 1) Base::meet_own();
  }
  void meet_others(int channel) {
    if (this->rank() != 1) Base::meet_others(channel);
  }
};
struct AbsentSums : lacuna::split::GridSums {
  using GridSums::GridSums;
  void all_sent() {
    if (this->rank() != 1) GridSums::all_sent();
  }
  void meet() {
    if (this->rank() != 1) GridSums::meet();
  }
};
struct Absent : OverGrid {
  template <class E>
  using Gather = AbsentOperands<E>;
  using Scatter = AbsentSums;
};

// What an emulated run fails with.
template <class Run>
std::string failure(Run&& run) {
  try {
    run();
  } catch (const lacuna::emulator::Error& error) {
    return error.what();
  }
  return "nothing";
}

// Is it said where blocks wait? Of a tile, those that do not get all of a step stay in it; block 1, who does not send to
// itself, in the next.
bool names(const std::string& message, int blocks, int tile, int step) {
  const auto has = [&](const std::string& words) {
    return message.find(words) != std::string::npos;
  };
  const auto waits = [&](int block) {
    const int there = block == 1 ? step + 1 : step;
    return has("block (" + std::to_string(blocks * tile + block) + ",") &&
           has(" step " + std::to_string(there) + " ");
  };
  for (int block = 0; block < blocks; ++block)
    if (has("hung") && waits(block)) return true;
  return false;
}

class SplitRecurrenceOf : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Blocks, SplitRecurrenceOf, testing::Values(2, 4, 8, 16));

TEST_P(SplitRecurrenceOf, NamesBlockAndStepWhereSomethingIsLost) {
  const int blocks = GetParam();
  using Cell = lacuna::RnnStep<lacuna::RnnTanh>;
  Walk<Cell, float, float> walk(blocks * 16 - 12, blocks);
  const std::string gather = failure([&] { walk.forward<Forgetful>(); });
  EXPECT_TRUE(names(gather, blocks, 0, 2)) << gather;
  const std::string scatter = failure([&] { walk.backward<Forgetful>(); });
  EXPECT_TRUE(names(scatter, blocks, 0, 1)) << scatter;
  // Over a grid both tiles hang alike.
  const auto names_either = [&](const std::string& message) {
    return names(message, blocks, 0, 0) || names(message, blocks, 1, 0);
  };
  const std::string grid_gather = failure([&] { walk.forward<Absent>(); });
  EXPECT_TRUE(names_either(grid_gather)) << grid_gather;
  const std::string grid_scatter = failure([&] { walk.backward<Absent>(); });
  EXPECT_TRUE(names_either(grid_scatter)) << grid_scatter;
}

}  // namespace
