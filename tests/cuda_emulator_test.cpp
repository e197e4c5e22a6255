// The emulated backend itself. Orders of threads: what a seed asks for is what runs, and each case has orders of its own. And
// what it says of branches, each mistake planted.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "emulator/backend/backend.h"
#include "emulator/emulator.h"
#include "host/backend.h"
#include "host/cuda/device.h"
#include "kernels/simt/simt.h"
#include "support/groups.h"
#include "support/library_run.h"

namespace {

namespace emulator = lacuna::emulator;
namespace backend = lacuna::emulated_backend;
namespace simt = lacuna::simt;

constexpr unsigned blocks = 4, threads = 32, meetings = 3;

// Who is the next to pass, meeting after meeting.
SIMT_KERNEL(threads) void passing(unsigned* count, unsigned* who) {
  for (unsigned meeting = 0; meeting < meetings; ++meeting) {
    who[simt::fetch_add(count, 1)] = simt::block_rank() * threads + simt::thread_rank();
    simt::sync_block();
  }
}

using Schedule = std::vector<unsigned>;

// Of one call of the backend.
Schedule schedule() {
  const lacuna::cuda::Device device(0);
  const lacuna::cuda::Device::Current current(device);
  unsigned count = 0;
  Schedule who(std::size_t{blocks} * threads * meetings);
  simt::launch({.grid = {blocks}, .block = {threads}}, nullptr, passing, &count, who.data());
  return who;
}

std::vector<Schedule> schedules(int calls) {
  std::vector<Schedule> all;
  for (int call = 0; call < calls; ++call) all.push_back(schedule());
  return all;
}

std::vector<Schedule> schedules_by(unsigned seed) {
  const support::InGroups groups(2, seed);
  return schedules(3);
}

TEST(Orders, AreThoseOfTheSeed) {
  std::set<Schedule> seen;
  for (unsigned seed = 1; seed <= 8; ++seed) {
    const auto first = schedules_by(seed);
    EXPECT_EQ(schedules_by(seed), first) << "seed " << seed;
    seen.insert(first.begin(), first.end());
  }
  EXPECT_EQ(seen.size(), 8u * 3u) << "seeds, and the calls of one, share orders";
}

std::vector<Schedule> schedules_of(const char* name) {
  backend::begin_case(name);
  return schedules(8);
}

TEST(Orders, AreThoseOfTheCase) {
  const auto one = schedules_of("Sizes/Walk.Agrees/1");
  EXPECT_EQ(schedules_of("Sizes/Walk.Agrees/1"), one);
  EXPECT_NE(schedules_of("Sizes/Walk.Agrees/2"), one);
  EXPECT_GE(std::set<Schedule>(one.begin(), one.end()).size(), 3u);
}

TEST(Orders, OfACallLeaveTheThreadsSettingsAsTheyWere) {
  const auto before = emulator::settings();
  schedules(4);
  EXPECT_EQ(emulator::settings().order, before.order);
  EXPECT_EQ(emulator::settings().seed, before.seed);
}

// ctest starts a process for each case: the first calls are those that count.
TEST(Orders, OfALayersCallsAreRandomWhereATestAsksForIt) {
  std::set<std::uint64_t> seeds;
  for (unsigned seed = 11; seed <= 13; ++seed) {
    const support::InGroups groups(2, seed);
    const support::Case c = support::parse_case("rnn_f32_n2_d1_h5_len1-2_seed1");
    const auto context = support::make_context();
    support::LibraryRun<float> run(c);
    const auto plan = support::make_plan(context.get(), run.layer(), run.capacity());
    const auto tape = support::make_tape(plan.get());
    const auto note = [&] {
      const backend::Call call = backend::latest_call();
      EXPECT_EQ(call.order, emulator::Order::random);
      EXPECT_EQ(call.asked, seed);
      seeds.insert(call.seed);
    };
    run.forward(plan.get(), tape.get());
    note();
    run.backward(plan.get(), tape.get());
    note();
  }
  EXPECT_EQ(seeds.size(), 6u);
}

// ---- Branches ----

// Two branches of a stream, and products of one number on them, which mind nothing but their scratch.
class Forked {
 public:
  void fork() { device_.fork(nullptr, *branches_, 2); }
  void join() { device_.join(nullptr, *branches_, 2); }
  void multiply(int branch, int part) {
    const float one = 1;
    float product = 0;
    const lacuna::cuda::Product<float> p{
        lacuna::cuda::Form::nn, 1, 1, 1, &one, 1, &one, 1, &product, 1};
    device_.multiply(device_.branch(nullptr, *branches_, branch), p, *choices_,
                     device_.product_scratch(scratch_.data(), part));
  }

 private:
  lacuna::cuda::Device device_{0};
  lacuna::cuda::StreamBranchesHandle branches_ = device_.make_branches(2);
  lacuna::cuda::ProductChoicesHandle choices_ = device_.make_choices();
  std::vector<std::byte> scratch_ = std::vector<std::byte>(device_.product_bytes());
};

template <class Work>
std::string said_of(Work&& work) {
  Forked forked;
  try {
    work(forked);
  } catch (const lacuna::BackendError& error) {
    return error.what();
  }
  return {};
}

TEST(Branches, ThatForkAndJoinInTurnAreRight) {
  EXPECT_EQ(said_of([](Forked& f) {
              for (int round = 0; round < 2; ++round) {
                f.fork();
                f.multiply(0, 0), f.multiply(1, 1), f.multiply(0, 0);
                f.join();
                f.fork();
                f.multiply(0, 1), f.multiply(1, 0);
                f.join();
              }
            }),
            "");
}

TEST(Branches, ThatShareScratchAreFound) {
  EXPECT_EQ(said_of([](Forked& f) { f.fork(), f.multiply(0, 2), f.multiply(1, 2); }),
            "two branches' products share scratch");
}

TEST(Branches, ThatDoNotForkAndJoinInTurnAreFound) {
  EXPECT_EQ(said_of([](Forked& f) { f.fork(), f.fork(); }), "forked twice");
  EXPECT_EQ(said_of([](Forked& f) { f.fork(), f.join(), f.join(); }), "joined twice");
  EXPECT_EQ(said_of([](Forked& f) { f.multiply(1, 0); }), "a branch of nothing forked");
}

}  // namespace
