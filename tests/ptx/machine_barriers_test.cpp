// Barriers of blocks, clusters and grids, and the launches in which nobody can go on.
#include "ptx/machine_bench.h"

namespace lacuna::ptx::testing {
namespace {

std::string try_launch(const std::string& body, const Shape& shape,
                       const std::string& before = "") {
  Bounds memory;
  auto* const array = memory.array<std::uint32_t>(1024);
  return fault_of([&] { launch(kernel(body, 1, before), shape, memory, {array}); });
}

// Threads write, and after the barrier read what a thread of another warp wrote.
std::vector<std::uint32_t> reversed(const std::string& barrier, std::uint64_t seed) {
  Bounds memory;
  auto* const out = memory.array<std::uint32_t>(256);
  settings().seed = seed;
  launch(kernel(".shared .align 4 .b8 s[1024];\nmov.u32 %r1, s;\nshl.b32 %r2, %t, 2;\nadd.s32 %r3, "
                "%r1, %r2;\nst.shared.u32 [%r3], %t;\n" +
                barrier +
                "sub.s32 %r4, 1020, %r2;\nadd.s32 %r3, %r1, %r4;\nld.shared.u32 %r0, [%r3];\n"
                "cvt.u64.u32 %d0, %r2;\nadd.s64 %d1, %a0, %d0;\nst.global.u32 [%d1], %r0;\n"),
         {.block = {256}}, memory, {out});
  settings() = {};
  return {out, out + 256};
}

TEST(Barriers, ABlockMeetsAtBarSync) {
  std::vector<std::uint32_t> expected(256);
  for (unsigned t = 0; t < 256; ++t) expected[t] = 255 - t;
  unsigned right_without = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(reversed("bar.sync 0;\n", seed), expected);
    EXPECT_EQ(reversed("barrier.sync 3, 256;\n", seed), expected);
    right_without += reversed("", seed) == expected;
  }
  EXPECT_LT(right_without, 5u) << "a missing barrier shows";
}

TEST(Barriers, NamedBarriersJoinSomeWarps) {
  Bounds memory;
  auto* const out = memory.array<std::uint32_t>(1);
  // Warps 0 and 1 meet twice at barrier 1, while warps 2 and 3 never come there; then all meet.
  launch(kernel("setp.ge.u32 %p0, %t, 64;\n@%p0 bra ALL;\nbar.sync 1, 64;\nbar.sync 1, "
                "64;\nred.global.add.u32 [%a0], 1;\nALL:\nbar.sync 0;\n"
                "red.global.add.u32 [%a0], 100;\n"),
         {.block = {128}}, memory, {out});
  EXPECT_EQ(*out, 64u + 12800u);
}

TEST(Barriers, ArrivalsAndReductions) {
  Bounds memory;
  auto* const out = memory.array<std::uint32_t>(3);
  launch(kernel("setp.eq.u32 %p0, %t, 70;\nsetp.lt.u32 %p1, %t, 96;\nbar.red.or.pred %p2, 0, "
                "%p0;\nbar.red.and.pred %p3, 0, %p1;\n"
                "bar.red.popc.u32 %r0, 0, !%p1;\n"
                "@%p2 red.global.add.u32 [%a0], 1;\n@%p3 red.global.add.u32 [%a0+4], "
                "1;\nst.global.u32 [%a0+8], %r0;\n"
                "setp.lt.u32 %p4, %t, 32;\n@!%p4 bra W;\nbar.arrive 5, 64;\nret;\nW:\nsetp.ge.u32 "
                "%p5, %t, 64;\n@%p5 ret;\nbar.sync 5, 64;\n"),
         {.block = {128}}, memory, {out});
  EXPECT_EQ(out[0], 128u) << "one thread's predicate holds";
  EXPECT_EQ(out[1], 0u) << "not all threads' does";
  EXPECT_EQ(out[2], 32u);
}

TEST(Barriers, AThreadThatHasLeftIsMissed) {
  expect_in(try_launch("setp.eq.s32 %p0, %t, 3;\n@%p0 ret;\nbar.sync 0;\n", {.block = {64}}),
            "have exited");
  expect_in(try_launch("setp.lt.s32 %p0, %t, 32;\n@%p0 ret;\nbar.sync 0;\n", {.block = {64}}),
            "nobody can go on");
}

TEST(Barriers, DivergenceAtBarSyncIsADeadlock) {
  const std::string fault =
      try_launch("setp.eq.s32 %p0, %t, 3;\n@%p0 bra A;\nbar.sync 0;\nbra B;\nA:\nbar.sync 0;\nB:\n",
                 {.block = {64}});
  expect_in(fault, "nobody can go on");
  expect_in(fault, "in all 31 of its warp");
  expect_in(fault, "in all 1 of its warp");
  expect_in(fault, "'bar.sync 0'");
}

// Warps part, and each comes to a barrier of its own instruction: after inlining, two calls of one function are that.
std::string meet_apart(const std::string& one, const std::string& other, std::uint64_t seed) {
  Bounds memory;
  auto* const out = memory.array<std::uint32_t>(1);
  settings().seed = seed;
  std::string fault;
  try {
    launch(kernel("setp.lt.s32 %p0, %t, 32;\n@%p0 bra A;\n" + one + ";\nbra B;\nA:\n" + other +
                  ";\nB:\nred.global.add.u32 [%a0], 1;\n"),
           {.block = {64}}, memory, {out});
    EXPECT_EQ(*out, 64u);
  } catch (const Fault& thrown) {
    fault = thrown.what();
  }
  settings() = {};
  return fault;
}

TEST(Barriers, OneForAllThreadsIsOneInstruction) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const std::string fault = meet_apart("bar.sync 0", "barrier.sync 0", seed);
    expect_in(fault, "k, test, line ");
    expect_in(fault, "others came to another instruction, test, line ");
    expect_in(fault, "'bar.sync 0'");
    expect_in(fault, "'barrier.sync 0'");
    expect_in(meet_apart("bar.sync 3, 64", "bar.sync 3", seed), "to another instruction");
    expect_in(meet_apart("bar.red.popc.u32 %r0, 0, %p0", "bar.red.popc.u32 %r0, 0, %p0", seed),
              "to another instruction");
    EXPECT_EQ(meet_apart("bar.sync 3, 64", "barrier.sync 3, 64", seed), "");
  }
}

TEST(Barriers, CountsMustFit) {
  expect_in(try_launch("bar.sync 1, 40;\n", {.block = {64}}), "whole warps");
  expect_in(try_launch("bar.sync 16;\n", {.block = {64}}), "there are 0 … 15");
  expect_in(try_launch("setp.lt.s32 %p0, %t, 32;\n@%p0 bra A;\nbar.sync 1, 64;\nbra "
                       "B;\nA:\nbar.sync 1, 96;\nB:\n",
                       {.block = {128}}),
            "threads, at which others came for");
}

// Each block adds to a counter and polls until all have: only blocks that are alive together can.
const std::string grid_barrier =
    "red.release.gpu.global.add.u32 [%a0], 1;\nPOLL:\nld.acquire.gpu.global.u32 %r0, "
    "[%a0];\nmov.u32 %r1, %nctaid.x;\n"
    "setp.lt.u32 %p0, %r0, %r1;\n@%p0 bra POLL;\nred.global.add.u32 [%a0+4], %r0;\n";

TEST(Barriers, CooperativeBlocksAreAliveTogether) {
  Bounds memory;
  auto* const cells = memory.array<std::uint32_t>(2);
  launch(kernel(grid_barrier), {.grid = {9}, .cooperative = true}, memory, {cells});
  EXPECT_EQ(cells[1], 81u);
  expect_in(try_launch(grid_barrier, {.grid = {9}}), "hung: all that can go on only poll");
}

TEST(Barriers, ClustersMeetAndReadEachOther) {
  Bounds memory;
  auto* const out = memory.array<std::uint32_t>(8);
  const std::string exchange =
      ".shared .align 4 .b8 s[4];\nmov.u32 %r0, %cluster_ctarank;\nmov.u32 %r1, "
      "%ctaid.x;\nst.shared.u32 [s], %r1;\n"
      "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\n"
      "xor.b32 %r2, %r0, 3;\nmov.u32 %r3, s;\nmapa.shared::cluster.u32 %r4, %r3, "
      "%r2;\nld.shared::cluster.u32 %r5, [%r4];\n"
      "mov.u64 %d3, s;\ncvta.shared.u64 %d4, %d3;\nmapa.u64 %d5, %d4, %r2;\nld.u32 %r6, "
      "[%d5];\nadd.s32 %r5, %r5, %r6;\n"
      "mul.wide.u32 %d0, %r1, 4;\nadd.s64 %d1, %a0, %d0;\nst.global.u32 [%d1], %r5;\n";
  const std::string leave = "barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;\n";
  for (settings().seed = 1; settings().seed < 10; ++settings().seed) {
    launch(kernel(exchange + leave), {.grid = {8}, .cluster = 4}, memory, {out});
    for (unsigned b = 0; b < 8; ++b) EXPECT_EQ(out[b], 2 * (b ^ 3));
  }
  settings() = {};
  // Without the last barrier, in some order a block is gone when another reads it.
  unsigned faults = 0;
  for (settings().seed = 1; settings().seed <= 30; ++settings().seed) try {
      launch(kernel(exchange), {.grid = {8}, .cluster = 4}, memory, {out});
    } catch (const Fault& fault) {
      expect_in(fault.what(), "which has ended");
      ++faults;
    }
  settings() = {};
  EXPECT_GT(faults, 3u);
}

TEST(Barriers, ClustersMistakesAreFaults) {
  const Shape four{.grid = {4}, .cluster = 4};
  const std::string shared = ".shared .align 4 .b8 s[4];\nmov.u32 %r3, s;\n";
  expect_in(try_launch("barrier.cluster.wait.acquire.aligned;\n", four), "has not arrived");
  expect_in(try_launch("barrier.cluster.arrive.aligned;\nbarrier.cluster.arrive.aligned;\n", four),
            "arrived already");
  expect_in(try_launch(shared + "mapa.shared::cluster.u32 %r4, %r3, 4;\n", four),
            "rank 4 in a cluster of 4");
  expect_in(
      try_launch(shared + "mapa.shared::cluster.u32 %r4, %r3, 1;\nld.shared.u32 %r5, [%r4];\n",
                 four),
      "an address of another block where one of .shared::cta is expected");
  expect_in(try_launch("", {.grid = {6}, .cluster = 4}), "no multiple of clusters");
}

TEST(Barriers, ALaunchThatDoesNothingForeverIsFound) {
  expect_in(try_launch("L:\nnanosleep.u32 20;\nbra L;\n", {}), "hung");
  expect_in(try_launch("", {.block = {2048}}), "a block of 2048 threads");
}

}  // namespace
}  // namespace lacuna::ptx::testing
