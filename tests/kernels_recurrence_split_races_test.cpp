// What ThreadSanitizer sees in groups of blocks: nothing in the right ones, a race where a block multiplies what it has not
// waited for. Built without it, only the former is run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "emulator/emulator.h"
#include "kernels_recurrence/split_faults.h"
#include "kernels_recurrence/split_walk.h"

namespace {

using lacuna::split::OverCluster;
using lacuna::split::OverGrid;
using Walk = split_walk::Walk<lacuna::LstmStep, float, float>;

TEST(SplitThreads, WithoutMistakesGiveNoReport) {
  const lacuna::emulator::WithSettings random(split_walk::random_order(1));
  Walk walk(37, 2);
  EXPECT_EQ(walk.forward<OverCluster>(), walk.forward<OverGrid>());
  EXPECT_EQ(walk.backward<OverCluster>(), walk.backward<OverGrid>());
}

#ifdef __SANITIZE_THREAD__

constexpr int tsan_exit = 66;  // of a program with a report

template <class Exchange>
void run_and_exit() {
  const lacuna::emulator::WithSettings random(split_walk::random_order(1));
  Walk walk(37, 2);
  try {
    walk.forward<Exchange>();
  } catch (const lacuna::emulator::Error&) {  // the race may lead to one
  }
  std::exit(0);
}

class SplitThreadsDeathTest : public testing::Test {
 protected:
  // The child of a forking death test would inherit one live thread and the sanitizer's locks.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SplitThreadsDeathTest, TheOwnSliceBeforeTheBlocksBarrierIsARace) {
  EXPECT_EXIT(run_and_exit<split_walk::WithoutBarrier>(), testing::ExitedWithCode(tsan_exit),
              "data race(.|\n)*ForwardProduct");
}

TEST_F(SplitThreadsDeathTest, TheOthersSlicesBeforeTheWaitAreARace) {
  EXPECT_EXIT(run_and_exit<split_walk::WithLateWait>(), testing::ExitedWithCode(tsan_exit),
              "data race(.|\n)*ForwardProduct");
}

#endif

}  // namespace
