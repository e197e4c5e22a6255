// A team does every task once, whoever calls it and however many call at once.
#include "host/cpu/team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "host/cpu/machine.h"

namespace {

using lacuna::cpu::Team;

class TeamOfThreads : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, TeamOfThreads, testing::Values(1, 2, 3, 8));

TEST_P(TeamOfThreads, DoesEveryTaskOnce) {
  Team team(GetParam());
  EXPECT_EQ(team.size(), GetParam());
  for (const std::int64_t tasks : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> done(static_cast<std::size_t>(tasks));
    std::atomic<int> strangers{0};
    team.run(tasks, [&](std::int64_t task, int worker) {
      ++done[static_cast<std::size_t>(task)];
      if (worker < 0 || worker >= team.size()) ++strangers;
    });
    for (const auto& count : done) ASSERT_EQ(count, 1);
    EXPECT_EQ(strangers, 0);
  }
}

TEST_P(TeamOfThreads, TasksRiseForEachWorkerAndNoTwoShareItsNumber) {
  Team team(GetParam());
  // Not atomic: the race detector sees it if two threads ever work under one number.
  std::vector<std::int64_t> latest(static_cast<std::size_t>(team.size()), -1);
  std::atomic<bool> fell{false};
  team.run(500, [&](std::int64_t task, int worker) {
    auto& mine = latest[static_cast<std::size_t>(worker)];
    if (task <= mine) fell = true;
    mine = task;
  });
  EXPECT_FALSE(fell);
}

TEST_P(TeamOfThreads, WritesOfTheJobAreSeenByTheCaller) {
  Team team(GetParam());
  std::vector<std::int64_t> squares(64);
  for (std::int64_t round = 0; round < 500; ++round) {
    team.run(64, [&](std::int64_t task, int) {
      squares[static_cast<std::size_t>(task)] = round * task;
    });
    for (std::int64_t task = 0; task < 64; ++task)
      ASSERT_EQ(squares[static_cast<std::size_t>(task)], round * task);
  }
}

TEST_P(TeamOfThreads, WakesUpAgainAfterARest) {
  Team team(GetParam());
  std::atomic<int> done{0};
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    team.run(10, [&](std::int64_t, int) { ++done; });
  }
  EXPECT_EQ(done, 50);
}

TEST(TeamOfThreads, AJobInsideAJobRunsWhereItIs) {
  Team team(4);
  std::atomic<int> done{0}, others{0};
  team.run(8, [&](std::int64_t, int) {
    const auto here = std::this_thread::get_id();
    team.run(5, [&](std::int64_t, int worker) {
      ++done;
      if (worker != 0 || std::this_thread::get_id() != here) ++others;
    });
  });
  EXPECT_EQ(done, 40);
  EXPECT_EQ(others, 0);
}

TEST(TeamOfThreads, CallersDoNotMixTheirJobs) {
  Team team(3);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&team, &wrong] {
      for (int round = 0; round < 300; ++round) {
        std::vector<int> done(20);
        team.run(20, [&](std::int64_t task, int) { ++done[static_cast<std::size_t>(task)]; });
        for (const int count : done) wrong += count != 1;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(TeamOfThreads, ManyTeamsComeAndGo) {
  for (int round = 0; round < 50; ++round) {
    Team team(3);
    std::atomic<int> done{0};
    if (round % 2) team.run(3, [&](std::int64_t, int) { ++done; });
  }
}

TEST(Machine, HasACoreAndAnInstructionSet) {
  EXPECT_GE(lacuna::cpu::usable_cores(), 1);
  EXPECT_GE(lacuna::cpu::detect_isa(), LACUNA_ISA_BASELINE);
  EXPECT_LE(lacuna::cpu::detect_isa(), LACUNA_ISA_AVX512);
}

}  // namespace
