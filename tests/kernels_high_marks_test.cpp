// How a launch's limits are kept: raised, never lowered, for each kernel on each device, whoever asks at once.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "kernels/simt/high_marks.h"

namespace {

using lacuna::simt::HighMarks;

// Of a device that takes no more than `most`. Stands for cudaFuncSetAttribute.
struct Driver {
  int calls = 0, value = 0, most = 1000;
  auto set() {
    return [this](int wanted) {
      ++calls;
      if (wanted > most) return 1;
      value = wanted;
      return 0;
    };
  }
};

const int kernels[2] = {};

TEST(HighMarks, AreRaisedAndNeverLowered) {
  HighMarks marks;
  Driver driver;
  EXPECT_EQ(marks.raise(kernels, 0, 200, driver.set()), 0);
  EXPECT_EQ(marks.raise(kernels, 0, 110, driver.set()), 0);
  EXPECT_EQ(marks.raise(kernels, 0, 200, driver.set()), 0);
  EXPECT_EQ(driver.calls, 1);
  EXPECT_EQ(driver.value, 200);
  EXPECT_EQ(marks.raise(kernels, 0, 201, driver.set()), 0);
  EXPECT_EQ(driver.calls, 2);
  EXPECT_EQ(driver.value, 201);
}

TEST(HighMarks, AreEachKernelsAndEachDevices) {
  HighMarks marks;
  Driver first, second, third;
  EXPECT_EQ(marks.raise(kernels, 0, 200, first.set()), 0);
  EXPECT_EQ(marks.raise(kernels + 1, 0, 110, second.set()), 0);
  EXPECT_EQ(marks.raise(kernels, 1, 110, third.set()), 0);
  EXPECT_EQ(second.value, 110);
  EXPECT_EQ(third.value, 110);
}

TEST(HighMarks, StayWhereARefusalFindsThem) {
  HighMarks marks;
  Driver driver;
  EXPECT_EQ(marks.raise(kernels, 0, 2000, driver.set()), 1);
  EXPECT_EQ(marks.raise(kernels, 0, 500, driver.set()), 0);
  EXPECT_EQ(driver.value, 500);
  EXPECT_EQ(marks.raise(kernels, 0, 2000, driver.set()), 1);
  EXPECT_EQ(driver.calls, 3);
}

TEST(HighMarks, AreSetOnceMoreForWhoHasLostThem) {
  HighMarks marks;
  Driver driver;
  EXPECT_EQ(marks.raise(kernels, 0, 200, driver.set()), 0);
  driver.value = 0;
  EXPECT_EQ(marks.restore(kernels, 0, driver.set()), 0);
  EXPECT_EQ(driver.value, 200);
}

// After each call the device allows what was asked for, whatever other threads ask for beside it.
TEST(HighMarks, HoldForThreadsThatAskAtOnce) {
  HighMarks marks;
  std::atomic<int> allowed = 0, calls = 0;
  std::atomic<bool> failed = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        const int wanted = (i * 7 + t * 13) % 997 + 1;
        marks.raise(kernels, 0, wanted, [&](int value) {
          ++calls;
          allowed = value;
          return 0;
        });
        if (allowed < wanted) failed = true;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(failed);
  EXPECT_EQ(allowed, 997);
  EXPECT_LE(calls, 997);
}

}  // namespace
