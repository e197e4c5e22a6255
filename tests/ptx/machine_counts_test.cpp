// What Counts says of access patterns whose cost is known.
#include "ptx/machine_bench.h"

namespace lacuna::ptx::testing {
namespace {

// Thread t's access is at byte t · stride.
Counts counts_of(const std::string& access, unsigned stride, unsigned threads = 32) {
  Bounds memory;
  auto* const array = memory.array<float>(32 * 64);
  Counts counts;
  launch(kernel(".shared .align 128 .b8 s[8192];\nmul.lo.s32 %r0, %t, " + std::to_string(stride) +
                ";\ncvt.u64.u32 %d0, %r0;\nadd.s64 %d1, %a0, %d0;\nmov.u32 %r1, s;\nadd.s32 %r2, "
                "%r1, %r0;\n" +
                access),
         {.block = {threads}}, memory, {array}, &counts);
  return counts;
}

TEST(Counts, SectorsOfGlobalMemory) {
  const auto sectors = [](unsigned stride) {
    return counts_of("ld.global.f32 %f0, [%d1];\n", stride).loads.sectors;
  };
  EXPECT_EQ(sectors(4), 4u);
  EXPECT_EQ(sectors(0), 1u);
  EXPECT_EQ(sectors(8), 8u);
  EXPECT_EQ(sectors(128), 32u);
  const Counts vector =
      counts_of("ld.global.v4.f32 {%f0,%f1,%f2,%f3}, [%d1];\nst.global.f32 [%d1], %f0;\n", 16, 64);
  EXPECT_EQ(vector.loads.requests, 2u);
  EXPECT_EQ(vector.loads.sectors, 32u);
  EXPECT_EQ(vector.loads.bytes, 64u * 16);
  EXPECT_EQ(vector.stores.sectors, 32u);
  EXPECT_EQ(vector.stores.bytes, 64u * 4);
}

TEST(Counts, ConflictsOfSharedMemory) {
  const auto wavefronts = [](unsigned stride) {
    const Counts c = counts_of("ld.shared.f32 %f0, [%r2];\n", stride);
    EXPECT_EQ(c.shared_loads.requests, 1u);
    EXPECT_EQ(c.shared_loads.least, 1u);
    return c.shared_loads.wavefronts;
  };
  EXPECT_EQ(wavefronts(4), 1u);
  EXPECT_EQ(wavefronts(0), 1u) << "one word for all";
  EXPECT_EQ(wavefronts(8), 2u);
  EXPECT_EQ(wavefronts(128), 32u);
  EXPECT_EQ(wavefronts(132), 1u) << "one word of padding";
  const Counts vector =
      counts_of("mov.f32 %f0, 0f00000000;\nst.shared.v4.f32 [%r2], {%f0,%f0,%f0,%f0};\n", 16);
  EXPECT_EQ(vector.shared_stores.wavefronts, 4u);
  EXPECT_EQ(vector.shared_stores.least, 4u);
}

TEST(Counts, ClassesAndDivergence) {
  const Counts c = counts_of(
      "setp.lt.u32 %p0, %t, 8;\n@%p0 bra L;\nmov.f32 %f0, 0f3F800000;\nmul.f32 %f0, %f0, "
      "%f0;\nL:\nbar.sync 0;\n",
      4, 64);
  const auto executed = [&](Class which) { return c.by_class[static_cast<std::size_t>(which)]; };
  EXPECT_EQ(executed(Class::fp32).warps, 2u);
  EXPECT_EQ(executed(Class::fp32).threads, 56u);
  EXPECT_EQ(executed(Class::predicate).threads, 64u);
  EXPECT_EQ(executed(Class::barrier).threads, 64u);
  EXPECT_EQ(c.diverged, 1u);
  Counts twice = c;
  twice += c;
  EXPECT_EQ(twice.threads(), 2 * c.threads());
  EXPECT_EQ(twice.warps(), 2 * c.warps());
  EXPECT_STREQ(name(Class::other), "other");
}

}  // namespace
}  // namespace lacuna::ptx::testing
