// Every detector detects: sample kernels with one planted bug, and the error or the wrong result each must
// give. What a line by itself does wrong is in emulator_planted_faults_test.cpp, bugs that only a sanitizer sees in
// emulator_sanitizer_test.cpp.
#include <gtest/gtest.h>

#include "emulator/fiber_stacks.h"
#include "emulator/planted.h"

namespace lacuna {
namespace {

using planted::error_of;
using planted::expect_error;
using sample::Bug;

// In how many of `orders` the result is wrong or an error is thrown.
int noticed(const std::function<double()>& run, const std::vector<emulator::Settings>& orders) {
  int count = 0;
  for (const auto& settings : orders) {
    const emulator::WithSettings with(settings);
    double error = INFINITY;
    try {
      error = run();
    } catch (const emulator::Error&) {}
    count += !(error <= 1e-3);
  }
  return count;
}

// A race is a report, and so a failed program, under ThreadSanitizer: emulator_sanitizer_test.cpp
// expects it.
#define SKIP_RACES_UNDER_TSAN() \
  if (sample::built_with_tsan) GTEST_SKIP() << "sanitizer_test expects the report"

TEST(PlantedBugs, MissingSyncShowsInRandomOrders) {
  SKIP_RACES_UNDER_TSAN();
  EXPECT_GE(noticed(sample::run_block_sum<Bug::missing_sync>, sample::thread_orders(20)), 15);
  EXPECT_EQ(noticed(sample::run_block_sum<>, sample::thread_orders(20)), 0);
}

TEST(PlantedBugs, MissingGridBarrierShowsInRandomOrders) {
  SKIP_RACES_UNDER_TSAN();
  const auto run = [] { return sample::run_persistent_steps<Bug::missing_grid_barrier>(); };
  EXPECT_GE(noticed(run, sample::thread_orders(20)), 15);
}

TEST(PlantedBugs, MissingCopyWaitAlwaysShows) {
  const auto orders = sample::thread_orders(10);
  const auto run = [] { return sample::run_product16<simt::Fp16, Bug::missing_copy_wait>(); };
  EXPECT_EQ(noticed(run, orders), static_cast<int>(orders.size()));
}

TEST(PlantedBugs, UnwrittenSharedMemoryAlwaysShows) {
  const auto orders = sample::thread_orders(10);
  EXPECT_EQ(noticed(sample::run_block_sum<Bug::unwritten_shared>, orders),
            static_cast<int>(orders.size()));
}

TEST(PlantedBugs, MissingMbarrierWaitAlwaysShows) {
  SKIP_RACES_UNDER_TSAN();
  const auto orders = sample::thread_orders(10);
  const auto run = [] { return sample::run_cluster_exchange<Bug::missing_mbarrier_wait>(); };
  EXPECT_EQ(noticed(run, orders), static_cast<int>(orders.size()));
}

TEST(PlantedBugs, DivergentBarrier) {
  expect_error(sample::run_block_sum<Bug::divergent_barrier>,
               {"divergent barrier", "block (", "thread (", "sample_kernels.h:"});
}

TEST(PlantedBugs, EarlyReturnBeforeABarrier) {
  // Only in block 0's warp 1: its lanes would also wait for lane 8 in a shuffle.
  expect_error(sample::run_block_sum<Bug::early_return>, {"sample_kernels.h:", "thread ("});
}

TEST(PlantedBugs, ShuffleMaskNamesLanesThatAreNotThere) {
  expect_error(sample::run_block_sum<Bug::idle_lanes_in_mask>, {"shuffle", "sample_kernels.h:"});
}

TEST(PlantedBugs, ShuffleReadsOutsideItsMask) {
  expect_error(sample::run_block_sum<Bug::lane_outside_mask>,
               {"outside its mask", "thread (", "sample_kernels.h:"});
}

TEST(PlantedBugs, PersistentKernelWithoutResidency) {
  // Six blocks wait for each other, three fit: a device would hang.
  const auto hang = [] { return sample::run_persistent_steps<>(false); };
  expect_error(hang, {"hung", "3 blocks of the grid have not started", "sample_kernels.h:"});
  emulator::Settings small;
  small.device.multiprocessors = 1;
  small.device.blocks_per_multiprocessor = 4;
  const emulator::WithSettings with(small);
  try {
    sample::run_persistent_steps<>(true);
    ADD_FAILURE() << "the launch should be refused";
  } catch (const simt::LaunchError& error) {
    EXPECT_NE(std::string(error.what()).find("6 blocks, only 4 can be resident"),
              std::string::npos);
  }
}

TEST(PlantedBugs, PeersAndBytesBeforeTheirTime) {
  SKIP_RACES_UNDER_TSAN();
  expect_error([] { return sample::run_cluster_exchange<Bug::missing_cluster_barrier>(); },
               {"before the cluster's first barrier", "sample_kernels.h:"});
  expect_error([] { return sample::run_cluster_exchange<Bug::too_many_bytes>(); },
               {"bytes in a phase that expects 256", "sample_kernels.h:"});
}

TEST(PlantedBugs, WaitOfTooSmallScope) {
  expect_error([] { return sample::run_cluster_exchange<Bug::block_scope_wait>(); },
               {"Scope::cluster", "sample_kernels.h:"});
}

TEST(PlantedBugs, ReachingIntoABlockThatHasLeft) {
  // Whether the peer is already gone depends on the order.
  if (sample::built_with_asan) GTEST_SKIP() << "may be a report of AddressSanitizer instead";
  const auto run = [] { return sample::run_cluster_exchange<Bug::early_exit_of_peer>(2); };
  int errors = 0;
  for (const auto& settings : sample::thread_orders(20)) {
    const emulator::WithSettings with(settings);
    errors += error_of(run).find("has left") != std::string::npos;
  }
  EXPECT_GE(errors, 1);
}

// Its polls alternate between flags and stop at barriers, so it looks busy.
SIMT_KERNEL(32) void hangs_while_looking_busy(unsigned* flags) {
  while (!simt::any(simt::load_acquire(flags) + simt::load_acquire(flags + 1) > 0))
    simt::sync_block();
}

TEST(PlantedBugs, ABusyHangEndsToo) {
  unsigned flags[2] = {0, 0};
  emulator::Settings impatient;
  impatient.poll_limit = 20000;
  const emulator::WithSettings with(impatient);
  EXPECT_THROW(simt::launch({.grid = {1}, .block = {32}}, nullptr, hangs_while_looking_busy, flags),
               emulator::Error);
}

// Fills a local array as large as a whole stack. Not inlined: a kernel's frame holds its callees'.
[[gnu::noinline]] void fill_a_stack(char* out) {
  volatile char local[emulator::FiberStacks::bytes];
  for (std::size_t i = 0; i < sizeof local; ++i) local[i] = static_cast<char>(i);
  *out = local[sizeof local / 2];
}

// In a thread whose neighbour has already gone.
SIMT_KERNEL(2) void outgrows_its_stack(char* out) {
  if (simt::thread_rank() == 1) fill_a_stack(out);
}

TEST(PlantedBugs, AThreadThatOutgrowsItsStack) {
  if (sample::built_with_asan)
    GTEST_SKIP() << "AddressSanitizer reports it first, and ends the program";
  char out;
  try {
    simt::launch({.grid = {1}, .block = {2}}, nullptr, outgrows_its_stack, &out);
    ADD_FAILURE() << "no error";
  } catch (const emulator::Error& error) {
    EXPECT_NE(std::string(error.what()).find("thread (1,0,0): outgrew its stack"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace lacuna
