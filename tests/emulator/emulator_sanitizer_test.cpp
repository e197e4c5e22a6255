// What AddressSanitizer and ThreadSanitizer see in kernels: planted bugs are reported with the
// kernel's name and line. Says nothing unless built with one of them, which CMakeLists.txt always
// does.
#include <gtest/gtest.h>

#include <cstdlib>

#include "emulator/sample_runs.h"

namespace lacuna {
namespace {

using sample::Bug;

class SanitizerThreads : public testing::Test {
 protected:
  // The child of a forking death test would inherit one live thread and the sanitizer's locks.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

#ifdef __SANITIZE_ADDRESS__

TEST_F(SanitizerThreads, SharedIndexOutOfBounds) {
  EXPECT_DEATH(sample::run_block_sum<Bug::shared_out_of_bounds>(),
               "heap-buffer-overflow(.|\n)*block_sum|sample_kernels.h.*out of bounds");
}

SIMT_KERNEL(32) void one_past_a_carved_array(float* out) {
  simt::SharedCarver shared;
  float* first = shared.take<float>(32);
  float* second = shared.take<float>(32);
  second[simt::lane_index()] = 1;
  simt::sync_block();
  out[simt::lane_index()] = first[simt::lane_index() + 1];  // the device reads second[0]
}

TEST_F(SanitizerThreads, OneCarvedArrayIntoTheNext) {
  float out[32];
  const simt::LaunchConfig config{.grid = {1}, .block = {32}, .shared_bytes = 256};
  EXPECT_DEATH(simt::launch(config, nullptr, one_past_a_carved_array, out),
               "heap-buffer-overflow(.|\n)*one_past_a_carved_array");
}

template <class Kernel>
std::string error_from_three_floats(Kernel kernel) {
  std::vector<float> values(3);
  const simt::LaunchConfig config{.grid = {1}, .block = {1}, .shared_bytes = 32};
  try {
    simt::launch(config, nullptr, +kernel, values.data());
  } catch (const emulator::Error& error) {
    return error.what();
  }
  return {};
}

TEST_F(SanitizerThreads, CopyFromBeyondAnAllocation) {
  const std::string single = error_from_three_floats([](const float* source) {
    simt::SharedCarver shared;
    simt::copy_async<16>(shared.take<float>(4), source);
  });
  EXPECT_NE(single.find("source of an async copy reaches outside"), std::string::npos) << single;
  const std::string bulk = error_from_three_floats([](const float* source) {
    simt::SharedCarver shared;
    float* target = shared.take<float>(4);
    auto* barrier = shared.take<simt::Mbarrier>(1);
    simt::mbarrier_init(barrier, 1);
    simt::copy_bulk(target, source, 16, barrier);
  });
  EXPECT_NE(bulk.find("source of a bulk copy reaches outside"), std::string::npos) << bulk;
}

#endif

#ifdef __SANITIZE_THREAD__

// A report makes the program exit with this.
constexpr int tsan_exit = 66;

template <class Run>
void run_and_exit(Run run) {
  emulator::Settings random;
  random.order = emulator::Order::random;
  const emulator::WithSettings with(random);
  try {
    run();
  } catch (const emulator::Error&) {  // the race may lead to one
  }
  std::exit(0);
}

TEST_F(SanitizerThreads, MissingSyncIsARace) {
  EXPECT_EXIT(run_and_exit([] { sample::run_block_sum<Bug::missing_sync>(); }),
              testing::ExitedWithCode(tsan_exit), "data race(.|\n)*block_sum");
}

TEST_F(SanitizerThreads, MissingGridBarrierIsARace) {
  EXPECT_EXIT(run_and_exit([] { sample::run_persistent_steps<Bug::missing_grid_barrier>(); }),
              testing::ExitedWithCode(tsan_exit), "data race(.|\n)*persistent_steps");
}

TEST_F(SanitizerThreads, MissingMbarrierWaitIsARace) {
  EXPECT_EXIT(run_and_exit([] { sample::run_cluster_exchange<Bug::missing_mbarrier_wait>(); }),
              testing::ExitedWithCode(tsan_exit), "data race(.|\n)*cluster_exchange");
}

TEST_F(SanitizerThreads, ARelaxedArrivalOrdersNoMemory) {
  EXPECT_EXIT(run_and_exit([] { sample::run_cluster_exchange<Bug::relaxed_arrival>(); }),
              testing::ExitedWithCode(tsan_exit), "data race(.|\n)*cluster_exchange");
}

SIMT_KERNEL(64) void shuffle_as_if_it_ordered_memory(float* out) {
  SIMT_SHARED(value, float[64]);
  const unsigned rank = simt::thread_rank();
  value[rank] = 1;
  simt::shuffle(1.0f, 0);
  out[rank] = value[rank ^ 1];  // needs sync_warp
}

TEST_F(SanitizerThreads, AShuffleOrdersNoMemory) {
  float out[64];
  EXPECT_EXIT(
      run_and_exit([&] {
        simt::launch({.grid = {1}, .block = {64}}, nullptr, shuffle_as_if_it_ordered_memory, out);
      }),
      testing::ExitedWithCode(tsan_exit), "data race(.|\n)*shuffle_as_if_it_ordered_memory");
}

#endif

TEST_F(SanitizerThreads, CorrectKernelsGiveNoReport) {
  for (const auto& settings : sample::thread_orders(1)) {
    const emulator::WithSettings with(settings);
    EXPECT_LE(sample::run_block_sum(), 1e-3);
    EXPECT_LE(sample::run_product16<simt::Bf16>(), 1e-3);
    EXPECT_LE(sample::run_persistent_steps(), 1e-3);
    EXPECT_LE(sample::run_cluster_exchange(), 1e-3);
  }
}

}  // namespace
}  // namespace lacuna
