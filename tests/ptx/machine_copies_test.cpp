// Copies that run beside the computation, and mbarriers.
#include "ptx/machine_bench.h"

namespace lacuna::ptx::testing {
namespace {

const std::string shared =
    ".shared .align 16 .b8 s[64];\n.shared .align 8 .b8 bar[8];\nmov.u32 %r10, s;\nmov.u32 %r11, "
    "bar;\n";

struct Trial {
  Bounds memory;
  std::uint32_t* in = memory.array<std::uint32_t>(16);
  std::uint32_t* out = memory.array<std::uint32_t>(64, 0);
  Trial() {
    for (unsigned i = 0; i < 16; ++i) in[i] = 100 + i;
  }
  void operator()(const std::string& body, const Shape& shape = {}) {
    launch(kernel(shared + body, 2), shape, memory, {in, out});
  }
  std::string fault(const std::string& body, const Shape& shape = {}) {
    return fault_of([&] { (*this)(body, shape); });
  }
};

TEST(Copies, TheTargetIsPoisonUntilTheWait) {
  Trial run;
  run("cp.async.cg.shared.global [%r10], [%a0], "
      "16;\ncp.async.commit_group;\ncp.async.ca.shared.global [%r10+16], [%a0+16], 8, 4;\n"
      "cp.async.commit_group;\nld.shared.u32 %r0, [s];\nst.global.u32 [%a1], %r0;\n"
      "cp.async.wait_group 1;\nld.shared.u32 %r0, [s+4];\nst.global.u32 [%a1+4], "
      "%r0;\nld.shared.u32 %r0, [s+16];\nst.global.u32 [%a1+8], %r0;\n"
      "cp.async.wait_group 0;\nld.shared.v2.u32 {%r0, %r1}, [s+16];\nst.global.v2.u32 [%a1+16], "
      "{%r0, %r1};\n");
  EXPECT_EQ(run.out[0], 0xffffffffu);
  EXPECT_EQ(run.out[1], 101u) << "the older group has landed";
  EXPECT_EQ(run.out[2], 0xffffffffu) << "the newer has not";
  EXPECT_EQ(run.out[4], 104u);
  EXPECT_EQ(run.out[5], 0u) << "what is not valid becomes zero";
}

TEST(Copies, NothingIsReadWhereNothingIsValid) {
  Trial run;
  run("mov.u64 %d0, 0;\nmov.u32 %r0, 0;\ncp.async.cg.shared.global [%r10], [%d0], 16, "
      "%r0;\ncp.async.wait_all;\n"
      "ld.shared.u32 %r0, [s+12];\nst.global.u32 [%a1], %r0;\n");
  EXPECT_EQ(run.out[0], 0u);
  expect_in(run.fault("cp.async.cg.shared.global [%r10], [%a0+64], 16;\n"), "no allocation holds");
  expect_in(run.fault("cp.async.cg.shared.global [%r10+8], [%a0], 16;\n"), "not aligned");
  expect_in(run.fault("cp.async.ca.shared.global [%r10], [%a0], 4, 5;\n"), "5 valid bytes of 4");
}

// The source may be read when the copy begins or when it ends, so that who overwrites it meanwhile is found out.
TEST(Copies, AnOverwrittenSourceShows) {
  unsigned changed = 0;
  for (settings().seed = 1; settings().seed <= 40; ++settings().seed) {
    Trial run;
    run("cp.async.ca.shared.global [%r10], [%a0], 4;\ncp.async.commit_group;\nst.global.u32 [%a0], "
        "7;\ncp.async.wait_group 0;\n"
        "ld.shared.u32 %r0, [s];\nst.global.u32 [%a1], %r0;\n");
    changed += run.out[0] == 7;
    if (run.out[0] != 7) {
      EXPECT_EQ(run.out[0], 100u);
    }
  }
  settings() = {};
  EXPECT_GT(changed, 5u);
  EXPECT_LT(changed, 35u);
}

const std::string init =
    "setp.eq.u32 %p0, %t, 0;\n@%p0 mbarrier.init.shared.b64 [%r11], 2;\nbar.sync 0;\n";
const std::string wait =
    "W:\nmbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %p1, [%r11], 0;\n@!%p1 bra W;\n";

TEST(Copies, BulkCopiesReportTheirBytes) {
  for (settings().seed = 1; settings().seed <= 20; ++settings().seed) {
    Trial run;
    run(init +
            "@!%p0 bra W0;\nmbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%r11], 48;\n"
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r10], [%a0], 48, "
            "[%r11];\n"
            "mbarrier.arrive.release.cta.shared::cta.b64 _, [%r11];\nW0:\n" +
            wait +
            "setp.eq.u32 %p2, %t, 40;\n@!%p2 ret;\nld.shared.u32 %r0, [s+44];\nst.global.u32 "
            "[%a1], %r0;\n",
        {.block = {64}});
    EXPECT_EQ(run.out[0], 111u);
  }
  settings() = {};
}

TEST(Copies, PhasesAlternate) {
  Trial run;
  // One arrival each: the first phase has parity 0; before it, that of parity 1 counts as complete.
  run("mbarrier.init.shared.b64 [%r11], 1;\nmbarrier.test_wait.parity.shared.b64 %p0, [%r11], "
      "1;\nselp.u32 %r0, 1, 0, %p0;\n"
      "mbarrier.test_wait.parity.shared.b64 %p0, [%r11], 0;\nselp.u32 %r1, 1, 0, "
      "%p0;\nst.global.v2.u32 [%a1], {%r0, %r1};\n"
      "mbarrier.arrive.shared.b64 %d0, [%r11];\n"
      "mbarrier.test_wait.parity.shared.b64 %p0, [%r11], 1;\nselp.u32 %r0, 1, 0, %p0;\n"
      "mbarrier.test_wait.parity.shared.b64 %p0, [%r11], 0;\nselp.u32 %r1, 1, 0, "
      "%p0;\nst.global.v2.u32 [%a1+8], {%r0, %r1};\n"
      "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r11], 16;\nmbarrier.arrive.shared.b64 %d0, "
      "[%r11];\n"
      "mbarrier.test_wait.parity.shared.b64 %p0, [%r11], 1;\nselp.u32 %r0, 1, 0, "
      "%p0;\nst.global.u32 [%a1+16], %r0;\n");
  EXPECT_EQ(std::vector<std::uint32_t>(run.out, run.out + 5),
            (std::vector<std::uint32_t>{1, 0, 0, 1, 0}))
      << "the last phase waits for bytes";
}

// Each block sends its rank to the next one, and waits for the 16 bytes of the one before.
std::string ring(const std::string& before_the_wait) {
  return "mov.u32 %r0, %cluster_ctarank;\nmov.u32 %r1, %cluster_nctarank;\n"
         "mbarrier.init.shared.b64 [%r11], 1;\nfence.mbarrier_init.release.cluster;\n"
         "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\n"
         "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%r11], 16;\n"
         "add.s32 %r2, %r0, 1;\nrem.u32 %r2, %r2, %r1;\nmapa.shared::cluster.u32 %r3, %r10, "
         "%r2;\nmapa.shared::cluster.u32 %r4, %r11, %r2;\n"
         "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%r3], {%r0,%r1,%r2,%r0}, "
         "[%r4];\n" +
         before_the_wait +
         "W:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p1, [%r11], 0;\n@!%p1 bra "
         "W;\n"
         "ld.shared.v4.u32 {%r5,%r6,%r7,%r8}, [s];\nmul.wide.u32 %d0, %r0, 16;\nadd.s64 %d0, %a1, "
         "%d0;\nst.global.v4.u32 [%d0], {%r5,%r6,%r7,%r8};\n"
         "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\n";
}

TEST(Copies, AsynchronousStoresGoAroundACluster) {
  for (settings().seed = 1; settings().seed <= 20; ++settings().seed) {
    Trial run;
    run(ring(""), {.grid = {4}, .cluster = 4});
    for (unsigned b = 0; b < 4; ++b) {
      const unsigned from = (b + 3) % 4;
      EXPECT_EQ(std::vector<std::uint32_t>(run.out + 4 * b, run.out + 4 * b + 4),
                (std::vector<std::uint32_t>{from, 4, b, from}));
    }
  }
  settings() = {};
}

TEST(Copies, ReadingBeforeTheWaitFindsPoison) {
  unsigned poison = 0;
  for (settings().seed = 1; settings().seed <= 20; ++settings().seed) {
    Trial run;
    run(ring("ld.shared.u32 %r9, [s];\nmul.wide.u32 %d2, %r0, 4;\nadd.s64 %d2, %a1, "
             "%d2;\nst.global.u32 [%d2+128], %r9;\n"),
        {.grid = {4}, .cluster = 4});
    for (unsigned b = 0; b < 4; ++b) poison += run.out[32 + b] == 0xffffffffu;
  }
  settings() = {};
  EXPECT_GT(poison, 20u);
}

TEST(Copies, RemoteArrivals) {
  Trial run;
  run("mov.u32 %r0, %cluster_ctarank;\nmbarrier.init.shared.b64 [%r11], "
      "2;\nbarrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\n"
      "mov.u32 %r1, 0;\nmapa.shared::cluster.u32 %r2, %r11, "
      "%r1;\nmbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r2];\n"
      "setp.ne.u32 %p0, %r0, 0;\n@%p0 bra "
      "E;\nW:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p1, [%r11], 0;\n@!%p1 bra "
      "W;\n"
      "st.global.u32 [%a1], "
      "5;\nE:\nbarrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\n",
      {.grid = {2}, .cluster = 2});
  EXPECT_EQ(run.out[0], 5u);
}

TEST(Copies, MistakesWithMbarriersAreFaults) {
  Trial run;
  const std::string one = "mbarrier.init.shared.b64 [%r11], 1;\n";
  expect_in(run.fault("mbarrier.arrive.shared.b64 %d0, [%r11];\n"), "none was initialised");
  expect_in(run.fault(one + "mbarrier.init.shared.b64 [%r11], 1;\n"), "live already");
  expect_in(
      run.fault(one +
                "mbarrier.inval.shared.b64 [%r11];\nmbarrier.arrive.shared.b64 %d0, [%r11];\n"),
      "none was initialised");
  expect_in(run.fault(one + "mbarrier.arrive.shared.b64 %d0, [%r11], 2;\n"),
            "2 arrivals at an mbarrier that waits for 1 of 1");
  expect_in(run.fault(one + "st.shared.u32 [bar+4], 0;\n"), "at a live mbarrier");
  expect_in(run.fault("mbarrier.init.shared.b64 [%r11], 0;\n"), "for 0 arrivals");
  expect_in(run.fault("mbarrier.init.shared.b64 [%r11+4], 1;\n"), "not aligned to 8");
  expect_in(run.fault(one + "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                            "[%r10], [%a0], 24, [%r11];\n"),
            "a multiple of 16");
  expect_in(run.fault(one + "add.s64 %d1, %a0, "
                            "32;\ncp.async.bulk.shared::cluster.global.mbarrier::complete_tx::"
                            "bytes [%r10], [%d1], 48, [%r11];\n"),
            "from where no allocation is");
  expect_in(
      run.fault(one + "W:\nmbarrier.try_wait.parity.shared.b64 %p1, [%r11], 0;\n@!%p1 bra W;\n"),
      "hung");
  expect_in(
      run.fault(
          one + "mov.u32 %r0, "
                "1;\nbarrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\nmapa.shared::"
                "cluster.u32 %r1, %r10, %r0;\n"
                "st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%r1], %r0, [%r11];\n",
          {.grid = {2}, .cluster = 2}),
      "another block than the target");
}

}  // namespace
}  // namespace lacuna::ptx::testing
