// Lanes of a warp: where they part and meet, and what they do together.
#include "ptx/machine_bench.h"

namespace lacuna::ptx::testing {
namespace {

const std::string store_r0 =
    "mul.wide.u32 %d0, %t, 4;\nadd.s64 %d1, %a0, %d0;\nst.global.u32 [%d1], %r0;\n";

// %r0 of each of the threads, after `body`.
std::vector<std::uint32_t> lanes(const std::string& body, unsigned threads = 32) {
  Bounds memory;
  auto* const out = memory.array<std::uint32_t>(threads, 0xdead);
  launch(kernel(body + store_r0), {.block = {threads}}, memory, {out});
  return {out, out + threads};
}

TEST(Warp, LanesPartAndMeetAgain) {
  // Collatz: every lane loops as often as it needs.
  const auto steps = lanes(
      "mov.u32 %r0, 0;\nadd.s32 %r1, %t, 1;\n"
      "LOOP:\nsetp.eq.s32 %p0, %r1, 1;\n@%p0 bra DONE;\n"
      "and.b32 %r2, %r1, 1;\nsetp.eq.s32 %p1, %r2, 0;\n@%p1 bra EVEN;\n"
      "mad.lo.s32 %r1, %r1, 3, 1;\nbra.uni NEXT;\n"
      "EVEN:\nshr.u32 %r1, %r1, 1;\n"
      "NEXT:\nadd.s32 %r0, %r0, 1;\nbra LOOP;\n"
      "DONE:\n",
      100);
  for (unsigned t = 0; t < 100; ++t) {
    unsigned expected = 0;
    for (unsigned x = t + 1; x != 1; ++expected) x = x % 2 ? 3 * x + 1 : x / 2;
    EXPECT_EQ(steps[t], expected) << t;
  }
}

TEST(Warp, GuardsPickLanes) {
  const auto r = lanes(
      "mov.u32 %r0, 1;\nsetp.gt.u32 %p0, %t, 9;\n@%p0 mov.u32 %r0, 2;\n@!%p0 add.s32 %r0, %r0, "
      "4;\n");
  for (unsigned t = 0; t < 32; ++t) EXPECT_EQ(r[t], t > 9 ? 2u : 5u);
}

TEST(Warp, ShufflesReadTheLaneThatTheyName) {
  const auto down =
      lanes("shfl.sync.down.b32 %r0|%p0, %t, 3, 31, -1;\n@!%p0 add.s32 %r0, %r0, 100;\n");
  const auto up = lanes("shfl.sync.up.b32 %r0|%p0, %t, 3, 0, -1;\n@!%p0 add.s32 %r0, %r0, 100;\n");
  const auto bfly = lanes("shfl.sync.bfly.b32 %r0, %t, 5, 31, -1;\n");
  const auto index = lanes("shfl.sync.idx.b32 %r0, %t, 7, 31, -1;\n");
  // Segments of 8: c = (32 - 8) << 8 | 7, and for up | 0.
  const auto segments = lanes("shfl.sync.idx.b32 %r0, %t, 2, 0x1807, -1;\n");
  const auto segments_down = lanes("shfl.sync.down.b32 %r0, %t, 2, 0x1807, -1;\n");
  for (unsigned t = 0; t < 32; ++t) {
    EXPECT_EQ(down[t], t + 3 < 32 ? t + 3 : t + 100);
    EXPECT_EQ(up[t], t >= 3 ? t - 3 : t + 100);
    EXPECT_EQ(bfly[t], t ^ 5);
    EXPECT_EQ(index[t], 7u);
    EXPECT_EQ(segments[t], t / 8 * 8 + 2);
    EXPECT_EQ(segments_down[t], t % 8 + 2 < 8 ? t + 2 : t);
  }
}

TEST(Warp, VotesMatchesAndReductions) {
  const std::string odd = "and.b32 %r1, %t, 1;\nsetp.eq.s32 %p0, %r1, 1;\n";
  EXPECT_EQ(lanes(odd + "vote.sync.ballot.b32 %r0, %p0, -1;\n")[4], 0xaaaaaaaau);
  EXPECT_EQ(lanes(odd + "vote.sync.ballot.b32 %r0, !%p0, -1;\n")[4], 0x55555555u);
  EXPECT_EQ(lanes(odd + "vote.sync.any.pred %p1, %p0, -1;\nselp.u32 %r0, 1, 0, %p1;\n")[0], 1u);
  EXPECT_EQ(lanes(odd + "vote.sync.all.pred %p1, %p0, -1;\nselp.u32 %r0, 1, 0, %p1;\n")[1], 0u);
  EXPECT_EQ(lanes("redux.sync.add.s32 %r0, %t, -1;\n")[9], 496u);
  EXPECT_EQ(lanes("sub.s32 %r1, %t, 5;\nredux.sync.min.s32 %r0, %r1, -1;\n")[9], 0xfffffffbu);
  EXPECT_EQ(lanes("shr.u32 %r1, %t, 3;\nmatch.any.sync.b32 %r0, %r1, -1;\n")[9], 0xff00u);
  EXPECT_EQ(lanes("activemask.b32 %r0;\n", 48)[40], 0xffffu);
}

TEST(Warp, HalvesOfAWarpShuffleByThemselves) {
  const auto r = lanes(
      "setp.lt.u32 %p0, %t, 16;\n@%p0 bra LOW;\n"
      "mov.u32 %r1, 0xffff0000;\nshfl.sync.idx.b32 %r0, %t, 20, 31, %r1;\nbra END;\n"
      "LOW:\nmov.u32 %r1, 0x0000ffff;\nshfl.sync.idx.b32 %r0, %t, 3, 31, %r1;\nEND:\n");
  const auto together = lanes(
      "setp.lt.u32 %p0, %t, 16;\nselp.b32 %r1, 0x0000ffff, 0xffff0000, %p0;\nselp.b32 %r2, 3, 20, "
      "%p0;\n"
      "shfl.sync.idx.b32 %r0, %t, %r2, 31, %r1;\n");
  for (unsigned t = 0; t < 32; ++t) EXPECT_EQ(r[t], t < 16 ? 3u : 20u);
  EXPECT_EQ(together, r);
}

TEST(Warp, LanesThatComeLateAreWaitedFor) {
  // Odd lanes take a way of their own, and all meet in one shuffle.
  const auto r = lanes(
      "and.b32 %r1, %t, 1;\nsetp.eq.s32 %p0, %r1, 1;\nmov.u32 %r2, %t;\n@!%p0 bra MEET;\n"
      "add.s32 %r2, %r2, 1000;\nadd.s32 %r2, %r2, 1000;\nbra MEET;\n"
      "MEET:\nshfl.sync.bfly.b32 %r0, %r2, 1, 31, -1;\n");
  for (unsigned t = 0; t < 32; ++t) EXPECT_EQ(r[t], (t ^ 1) + (t % 2 ? 0 : 2000));
}

TEST(Warp, PartedLanesComputeTheSame) {
  settings().part_lanes = true;
  for (settings().seed = 1; settings().seed < 20; ++settings().seed) {
    const auto r =
        lanes("shfl.sync.bfly.b32 %r0, %t, 1, 31, -1;\nadd.s32 %r0, %r0, 5;\nbar.sync 0;\n", 64);
    for (unsigned t = 0; t < 64; ++t) ASSERT_EQ(r[t], (t % 32 ^ 1) + t / 32 * 32 + 5);
  }
  settings() = {};
}

// A value passed through shared memory inside a warp, with and without bar.warp.sync between.
TEST(Warp, AMissingWarpBarrierShowsWhenLanesPart) {
  const auto passes = [](const std::string& between) {
    const auto r = lanes(
        ".shared .align 4 .b8 s[128];\nmov.u32 %r1, s;\nshl.b32 %r2, %t, 2;\nadd.s32 %r3, %r1, "
        "%r2;\n"
        "st.shared.u32 [%r3], %t;\n" +
        between + "xor.b32 %r2, %r2, 124;\nadd.s32 %r3, %r1, %r2;\nld.shared.u32 %r0, [%r3];\n");
    for (unsigned t = 0; t < 32; ++t)
      if (r[t] != 31 - t) return false;
    return true;
  };
  unsigned with = 0, without = 0;
  settings().part_lanes = true;
  for (settings().seed = 1; settings().seed <= 100; ++settings().seed) {
    with += passes("bar.warp.sync -1;\n");
    without += passes("");
  }
  settings() = {};
  EXPECT_EQ(with, 100u);
  EXPECT_LT(without, 80u);
}

TEST(Warp, WrongMasksAreFaults) {
  const auto fault = [](const std::string& body, unsigned threads = 32) {
    return fault_of([&] { lanes("mov.u32 %r0, 0;\n" + body, threads); });
  };
  expect_in(fault("shfl.sync.idx.b32 %r0, %t, 0, 31, 0xfffffffe;\n"), "none of its own mask");
  expect_in(
      fault("mov.u32 %r1, 0x0000ffff;\nsetp.ge.u32 %p0, %t, 16;\n@%p0 mov.u32 %r1, 0xffff0000;\n"
            "shfl.sync.idx.b32 %r0, %t, 3, 31, %r1;\n"),
      "reads lane 3, which takes no part");
  expect_in(fault("bar.warp.sync -1;\n", 20), "do not exist");
  expect_in(fault("setp.eq.s32 %p0, %t, 7;\n@%p0 ret;\nvote.sync.ballot.b32 %r0, %p0, -1;\n"),
            "have exited");
  // The others have gone another way, and never come.
  expect_in(fault("setp.eq.s32 %p0, %t, 7;\n@%p0 bra.uni A;\nbar.warp.sync -1;\nbra "
                  "B;\nA:\nvote.sync.ballot.b32 %r0, %p0, -1;\nB:\n"),
            "nobody can go on");
}

}  // namespace
}  // namespace lacuna::ptx::testing
