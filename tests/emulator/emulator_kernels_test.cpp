// The sample kernels give what plain loops give, whatever the order of threads; and the reports and
// limits that are no fault of a kernel.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <thread>

#include "emulator/sample_runs.h"

namespace lacuna {
namespace {

class EmulatorThreads : public testing::TestWithParam<emulator::Settings> {
 protected:
  emulator::WithSettings order_{GetParam()};
};

// fp32 sums of n terms of size 1 in a tree or a row: n·2⁻²⁴ bounds them with room to spare.
constexpr double fp32_unit = 1.0 / (1 << 24);

TEST_P(EmulatorThreads, BlockSum) { EXPECT_LE(sample::run_block_sum(), 5000 * fp32_unit); }
TEST_P(EmulatorThreads, ProductFp16) {
  EXPECT_LE(sample::run_product16<simt::Fp16>(), 72 * fp32_unit);
}
TEST_P(EmulatorThreads, ProductBf16) {
  EXPECT_LE(sample::run_product16<simt::Bf16>(), 72 * fp32_unit);
}
TEST_P(EmulatorThreads, ProductTf32) { EXPECT_LE(sample::run_product_tf32(), 40 * fp32_unit); }
TEST_P(EmulatorThreads, ProductFp64) { EXPECT_LE(sample::run_product_fp64(), 20 * 0x1p-53); }
TEST_P(EmulatorThreads, PersistentGrid) {
  EXPECT_LE(sample::run_persistent_steps(), 5 * 192 * 10 * fp32_unit);
}
TEST_P(EmulatorThreads, ClusterExchange) {
  for (unsigned cluster : {1u, 2u, 4u, 8u})
    EXPECT_LE(sample::run_cluster_exchange(cluster), 5 * cluster * 32 * 2 * fp32_unit) << cluster;
}

INSTANTIATE_TEST_SUITE_P(Orders, EmulatorThreads, testing::ValuesIn(sample::thread_orders()),
                         [](const auto& info) { return sample::name_of(info.param); });

SIMT_KERNEL(64) void record_order(unsigned* next, unsigned* order) {
  order[simt::fetch_add(next, 1)] = simt::block_rank() * 64 + simt::thread_rank();
}

std::vector<unsigned> order_of(emulator::Order order, std::uint64_t seed) {
  emulator::Settings s;
  s.order = order;
  s.seed = seed;
  s.resident_blocks = 4;
  const emulator::WithSettings with(s);
  unsigned next = 0;
  std::vector<unsigned> threads(4 * 64);
  simt::launch({.grid = {4}, .block = {64}}, nullptr, record_order, &next, threads.data());
  return threads;
}

TEST(Emulator, ASeedReplaysItsOrderOfThreads) {
  const auto forward = order_of(emulator::Order::forward, 1);
  EXPECT_TRUE(std::is_sorted(forward.begin(), forward.end()));
  const auto reverse = order_of(emulator::Order::reverse, 1);
  EXPECT_TRUE(std::is_sorted(reverse.rbegin(), reverse.rend()));
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    EXPECT_EQ(order_of(emulator::Order::random, seed), order_of(emulator::Order::random, seed));
    EXPECT_NE(order_of(emulator::Order::random, seed), order_of(emulator::Order::random, seed + 1));
  }
}

TEST(Emulator, CountsLaunches) {
  const auto before = emulator::counters().launches.load();
  sample::run_block_sum();
  sample::run_block_sum();
  EXPECT_EQ(emulator::counters().launches.load() - before, 2u);
}

SIMT_KERNEL(1024) void nothing() {}

}  // namespace

// Seen from outside this file, and so known by their names.
template <class T>
SIMT_KERNEL(1024)
void named(T* out) {
  if (out) *out = T(1);
}
SIMT_KERNEL(1024) void named_itself() {}

namespace {

// What the launch is refused for; empty if it runs.
std::string refusal(const simt::LaunchConfig& config) {
  try {
    simt::launch(config, nullptr, nothing);
    return {};
  } catch (const simt::LaunchError& error) {
    return error.what();
  }
}

TEST(Emulator, RefusesWhatADeviceRefuses) {
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_EQ(refusal({.grid = {2, 2, 2}, .block = {8, 4, 2}}), "");
  EXPECT_TRUE(has(refusal({.grid = {1}, .block = {1025}}), "1025 threads per block"));
  EXPECT_TRUE(has(refusal({.grid = {1}, .block = {0}}), "0 threads per block"));
  EXPECT_TRUE(has(refusal({.grid = {0}, .block = {32}}), "0 blocks"));
  EXPECT_TRUE(has(refusal({.grid = {1}, .block = {32}, .shared_bytes = 300000}), "300000 bytes"));
  EXPECT_TRUE(has(refusal({.grid = {4}, .block = {32}, .cluster = 3}), "multiple of the cluster"));
  EXPECT_TRUE(has(refusal({.grid = {34}, .block = {32}, .cluster = 17}), "cluster of 17"));
  emulator::Settings small;
  small.device.multiprocessors = 4;
  const emulator::WithSettings with(small);
  const simt::LaunchConfig fits{.grid = {8}, .block = {1024}, .cooperative = true};
  EXPECT_EQ(refusal(fits), "");
  const simt::LaunchConfig too_many{.grid = {9}, .block = {1024}, .cooperative = true};
  EXPECT_TRUE(has(refusal(too_many), "9 blocks, only 8 can be resident"));
}

TEST(Emulator, ARefusedLaunchNamesItsKernel) {
  const auto message = [](auto* kernel, auto... arguments) {
    try {
      simt::launch({.grid = {1}, .block = {1025}}, nullptr, kernel, arguments...);
    } catch (const simt::LaunchError& error) {
      const std::string text = error.what();
      return text.substr(0, text.find(" threads"));
    }
    return std::string("was not refused");
  };
  int* const none = nullptr;
  EXPECT_EQ(message(named<int>, none), "launch of lacuna::named<int>: refused: 1025");
  EXPECT_EQ(message(named_itself), "launch of lacuna::named_itself: refused: 1025");
  EXPECT_EQ(message(nothing), "launch of a kernel whose name is not known: refused: 1025");
}

TEST(EmulatorHostThreads, EachHasItsOwnLaunchesAndSettings) {
  std::vector<std::thread> threads;
  std::array<double, 4> errors{};
  for (std::size_t i = 0; i < errors.size(); ++i)
    threads.emplace_back([&errors, i] {
      emulator::settings().order = emulator::Order::random;
      emulator::settings().seed = i + 1;
      for (int repeat = 0; repeat < 3; ++repeat)
        errors[i] += sample::run_block_sum() + sample::run_cluster_exchange(2);
    });
  for (auto& thread : threads) thread.join();
  for (double error : errors) EXPECT_LE(error, 3 * 6000 * fp32_unit);
  EXPECT_EQ(emulator::settings().order, emulator::Order::forward);
}

TEST(Emulator, GoesOnAfterAFailedLaunch) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(sample::run_block_sum<sample::Bug::divergent_barrier>(), emulator::Error);
    EXPECT_LE(sample::run_block_sum(), 5000 * fp32_unit);
  }
}

}  // namespace
}  // namespace lacuna
