// Every detector detects: kernels with one planted bug, and the error or the wrong result each must
// give. Bugs that only a sanitizer sees are in emulator_sanitizer_test.cpp.
#include <gtest/gtest.h>

#include <functional>

#include "emulator/fiber_stacks.h"
#include "emulator/sample_runs.h"

namespace lacuna {
namespace {

using sample::Bug;

// The error of `run`; empty if there was none.
std::string error_of(const std::function<double()>& run) {
  try {
    run();
    return {};
  } catch (const emulator::Error& error) {
    return error.what();
  }
}

// An error in every order of threads, with all `parts` in its text.
void expect_error(const std::function<double()>& run, const std::vector<std::string>& parts) {
  for (const auto& settings : sample::thread_orders(10)) {
    const emulator::WithSettings with(settings);
    const std::string error = error_of(run);
    for (const auto& part : parts)
      EXPECT_NE(error.find(part), std::string::npos)
          << sample::name_of(settings) << ": \"" << error << "\" lacks \"" << part << '"';
  }
}

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

// Kernels of one line each, for what the samples have no place for.

SIMT_KERNEL(64) void deadlocked() {
  // Warp 0 waits for 64 threads at barrier 1, warp 1 at barrier 2.
  simt::sync_named(1 + simt::warp_index(), 64);
}

SIMT_KERNEL(64) void two_sizes_of_one_barrier() {
  simt::sync_named(1, simt::warp_index() == 0 ? 64 : 32);
  simt::sync_named(1, 64);
}

SIMT_KERNEL(32) void lanes_at_different_shuffles(float* out) {
  float value = 1;
  if (simt::lane_index() < 16)
    value = simt::shuffle(value, 0);
  else
    value = simt::shuffle(value, 1);
  out[simt::lane_index()] = value;
}

SIMT_KERNEL(32) void barrier_inside_divergence() {
  if (simt::lane_index() < 16)
    simt::sync_block();
  else
    simt::sync_warp();
}

SIMT_KERNEL(32) void takes_more_than_it_was_given() {
  simt::SharedCarver shared;
  shared.take<float>(32);
  shared.take<float>(1);
}

SIMT_KERNEL(32) void overlapping_arrays() {
  simt::SharedCarver first, second;
  first.take<float>(16);
  second.take<double>(16);
}

SIMT_KERNEL(32) void misaligned_vector(const float* values, float* out) {
  out[simt::lane_index()] = simt::load<4>(values + 1)[0];
}

SIMT_KERNEL(32) void async_copy_past_the_end(const float* values) {
  simt::SharedCarver shared;
  float* target = shared.take<float>(32);
  simt::copy_async<4>(target + simt::lane_index() + 1, values);
}

SIMT_KERNEL(32) void unfinished_mbarrier() {
  SIMT_SHARED(barrier, simt::Mbarrier);
  if (simt::lane_index() == 0) simt::mbarrier_init(&barrier, 2);
  simt::sync_block();
  if (simt::lane_index() == 0) simt::mbarrier_arrive(&barrier);
  simt::mbarrier_wait(&barrier, 0);
}

SIMT_KERNEL(32) void uninitialised_mbarrier() {
  SIMT_SHARED(barrier, simt::Mbarrier);
  simt::mbarrier_arrive(&barrier);
}

SIMT_KERNEL(32) void too_many_arrivals() {
  SIMT_SHARED(barrier, simt::Mbarrier);
  if (simt::lane_index() == 0) simt::mbarrier_init(&barrier, 1);
  simt::sync_block();
  if (simt::lane_index() == 0) simt::mbarrier_arrive_expect_bytes(&barrier, 16);
  simt::sync_block();
  if (simt::lane_index() == 1) simt::mbarrier_arrive(&barrier);
}

SIMT_KERNEL(32) void half_a_cluster_barrier() { simt::cluster_wait(); }

SIMT_KERNEL(32) void waits_for_a_flag_nobody_writes(unsigned* flag) {
  while (simt::load_acquire(flag) == 0) simt::pause();
}

// Its polls alternate between flags and stop at barriers, so it looks busy.
SIMT_KERNEL(32) void hangs_while_looking_busy(unsigned* flags) {
  while (!simt::any(simt::load_acquire(flags) + simt::load_acquire(flags + 1) > 0))
    simt::sync_block();
}

template <class... Parameters, class... Arguments>
void expect_fault(const char* part, const simt::LaunchConfig& config, void (*kernel)(Parameters...),
                  Arguments... arguments) {
  expect_error(
      [&] {
        simt::launch(config, nullptr, kernel, arguments...);
        return 0.0;
      },
      {part, "planted_bugs_test.cpp:"});
}

TEST(PlantedBugs, FaultsOfOneLine) {
  std::vector<float> floats(64);
  unsigned flags[2] = {0, 0};
  const simt::LaunchConfig warp{.grid = {1}, .block = {32}, .shared_bytes = 128};
  const simt::LaunchConfig two_warps{.grid = {1}, .block = {64}};
  expect_fault("deadlock: 64 threads wait", two_warps, deadlocked);
  expect_fault("named", two_warps, two_sizes_of_one_barrier);
  expect_fault("lanes diverge", warp, lanes_at_different_shuffles, floats.data());
  expect_fault("in sync_", warp, barrier_inside_divergence);
  expect_fault("launch gave 128", warp, takes_more_than_it_was_given);
  expect_fault("overlap", warp, overlapping_arrays);
  expect_fault("not aligned to 16", warp, misaligned_vector, floats.data(), floats.data());
  expect_fault("outside this block's shared arrays", warp, async_copy_past_the_end, floats.data());
  expect_fault("hung", warp, unfinished_mbarrier);
  expect_fault("before it was initialised", warp, uninitialised_mbarrier);
  expect_fault("more arrivals", warp, too_many_arrivals);
  expect_fault("without an arrival", warp, half_a_cluster_barrier);
  expect_fault("hung", warp, waits_for_a_flag_nobody_writes, flags);
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
