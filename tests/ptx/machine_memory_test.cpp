// Loads, stores and atomic operations in every state space, and each fault of an access.
#include "ptx/machine_bench.h"

namespace lacuna::ptx::testing {
namespace {

const std::string shared_array = ".shared .align 16 .b8 s[64];\n";

// The body with %d1 = the first array's place of the thread, 4 bytes each.
std::string each_thread(const std::string& body) {
  return "mul.wide.u32 %d0, %t, 4;\nadd.s64 %d1, %a0, %d0;\n" + body;
}

TEST(Memory, NarrowLoadsExtendAndNarrowStoresCut) {
  Bounds memory;
  auto* const in = memory.array<std::uint8_t>(8, 0xf0);
  auto* const out = memory.array<std::uint32_t>(4, 0x11111111);
  launch(kernel("ld.global.s8 %r0, [%a0];\nst.global.u32 [%a1], %r0;\n"
                "ld.global.u8 %r1, [%a0];\nst.global.u32 [%a1+4], %r1;\n"
                "ld.global.u8 %h1, [%a0];\nst.global.u8 [%a1+8], %h1;\n"
                "ld.global.s16 %d1, [%a0];\nst.global.u16 [%a1+12], %d1;\n",
                2),
         {}, memory, {in, out});
  EXPECT_EQ(out[0], 0xfffffff0u);
  EXPECT_EQ(out[1], 0xf0u);
  EXPECT_EQ(out[2], 0x111111f0u);
  EXPECT_EQ(out[3], 0x1111f0f0u);
}

TEST(Memory, VectorsKeepTheirOrder) {
  Bounds memory;
  auto* const in = memory.array<std::uint32_t>(4);
  auto* const out = memory.array<std::uint32_t>(4);
  for (unsigned i = 0; i < 4; ++i) in[i] = i + 1;
  launch(
      kernel("ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%a0];\nst.global.v2.u32 [%a1], {%r3, %r2};\n"
             "mov.b64 %d0, {%r0, %r1};\nst.global.u64 [%a1+8], %d0;\n",
             2),
      {}, memory, {in, out});
  EXPECT_EQ(std::vector<std::uint32_t>(out, out + 4), (std::vector<std::uint32_t>{4, 3, 1, 2}));
}

TEST(Memory, SharedMemoryIsPoisonUntilItIsWritten) {
  Bounds memory;
  auto* const out = memory.array<std::uint32_t>(2);
  launch(
      kernel(
          shared_array +
          "mov.u32 %r0, s;\nst.shared.u32 [%r0+4], 7;\nld.shared.u32 %r1, [s+4];\n"
          "ld.shared.u32 %r2, [%r0+8];\nst.global.u32 [%a0], %r1;\nst.global.u32 [%a0+4], %r2;\n"),
      {}, memory, {out});
  EXPECT_EQ(out[0], 7u);
  EXPECT_EQ(out[1], 0xffffffffu);
}

TEST(Memory, GenericAddressesReachEverySpace) {
  Bounds memory;
  auto* const out = memory.array<std::uint32_t>(3);
  launch(kernel(shared_array + ".local .align 4 .b8 l[8];\n"
                               "mov.u64 %d0, s;\ncvta.shared.u64 %d0, %d0;\nst.u32 [%d0+8], 5;\n"
                               "mov.u64 %d1, l;\ncvta.local.u64 %d2, %d1;\nst.u32 [%d2], 6;\n"
                               "ld.shared.u32 %r0, [s+8];\nld.local.u32 %r1, [%d1];\n"
                               "st.u32 [%a0], %r0;\nst.global.u32 [%a0+4], %r1;\n"
                               "cvta.to.shared.u64 %d3, %d0;\ncvt.u32.u64 %r3, %d3;\nld.shared.u32 "
                               "%r4, [%r3+8];\nst.u32 [%a0+8], %r4;\n"),
         {}, memory, {out});
  EXPECT_EQ(std::vector<std::uint32_t>(out, out + 3), (std::vector<std::uint32_t>{5, 6, 5}));
}

TEST(Memory, DynamicSharedMemoryBeginsBehindTheStaticArrays) {
  Bounds memory;
  auto* const out = memory.array<std::uint32_t>(2);
  const std::string text = kernel(shared_array +
                                      "mov.u32 %r0, dynamic;\nmov.u32 %r1, s;\nsub.s32 %r2, %r0, "
                                      "%r1;\nst.global.u32 [%a0], %r2;\n"
                                      "st.shared.u32 [dynamic+252], 9;\nld.shared.u32 %r3, "
                                      "[%r0+252];\nst.global.u32 [%a0+4], %r3;\n",
                                  1, ".extern .shared .align 128 .b8 dynamic[];");
  launch(text, {.dynamic_shared = 256}, memory, {out});
  EXPECT_EQ(out[0], 128u);
  EXPECT_EQ(out[1], 9u);
  expect_in(fault_of([&] { launch(text, {.dynamic_shared = 252}, memory, {out}); }),
            "beyond the block's 380 bytes");
}

TEST(Memory, VariablesOfTheModuleAreInitialised) {
  Bounds memory;
  auto* const out = memory.array<std::uint32_t>(2);
  const auto module = parse(
      kernel("ld.const.u32 %r0, [table+4];\nst.global.u32 [%a0], %r0;\n"
             "mov.u64 %d0, counter;\natom.global.add.u32 %r1, [%d0], 3;\nst.global.u32 [%a0+4], "
             "%r1;\n",
             1, ".const .align 4 .u32 table[2] = {11, 12};\n.global .align 4 .u32 counter = 40;"),
      "test");
  void* array = out;
  const void* arguments[] = {&array};
  run(*find(*module, "k"), {}, arguments, memory);
  EXPECT_EQ(out[0], 12u);
  EXPECT_EQ(out[1], 40u);
  const Variable counter = find_variable(*module, "counter");
  EXPECT_EQ(counter.bytes, 4u);
  EXPECT_EQ(*static_cast<std::uint32_t*>(counter.address), 43u);
  EXPECT_EQ(find_variable(*module, "nothing").address, nullptr);
}

TEST(Memory, AtomicOperationsOfAWarpAllCount) {
  Bounds memory;
  auto* const cells = memory.array<std::uint32_t>(4);
  launch(kernel("red.global.add.u32 [%a0], 1;\natom.global.max.u32 %r0, [%a0+4], %t;\n"
                "atom.global.cas.b32 %r1, [%a0+8], 0, 77;\nred.relaxed.gpu.global.or.b32 [%a0+12], "
                "%t;\n"),
         {.grid = {3}, .block = {64}}, memory, {cells});
  EXPECT_EQ(std::vector<std::uint32_t>(cells, cells + 4),
            (std::vector<std::uint32_t>{192, 63, 77, 63}));
}

TEST(Memory, AccessesOutsideOfAllocationsAreFaults) {
  Bounds memory;
  auto* const array = memory.array<float>(32);
  const std::string text = kernel(each_thread("ld.global.f32 %f0, [%d1+4];\n"));
  const std::string fault = fault_of([&] { launch(text, {.block = {32}}, memory, {array}); });
  expect_in(fault, "a read of 4 bytes");
  expect_in(fault, "no allocation holds");
  expect_in(fault, "'ld.global.f32 %f0, [%d1+4]'");
  expect_in(fault, "line ");
  expect_in(fault, "block (0, 0, 0), thread (31, 0, 0)");
  expect_in(fault_of([&] { launch(kernel("st.global.u32 [%a0], 1;\n"), {}, memory, {nullptr}); }),
            "null pointer");
  memory.make_read_only(array);
  expect_in(fault_of([&] { launch(kernel("st.global.u32 [%a0], 1;\n"), {}, memory, {array}); }),
            "a write of 4 bytes");
}

TEST(Memory, MisalignedAccessesAreFaults) {
  Bounds memory;
  auto* const array = memory.array<float>(32);
  expect_in(fault_of([&] {
              launch(kernel("ld.global.v2.f32 {%f0, %f1}, [%a0+4];\n"), {}, memory, {array});
            }),
            "not aligned");
  expect_in(fault_of([&] {
              launch(kernel(shared_array + "ld.shared.u16 %h0, [s+1];\n"), {}, memory, {array});
            }),
            "not aligned");
}

TEST(Memory, EachSpaceHasItsBounds) {
  Bounds memory;
  auto* const array = memory.array<float>(4);
  const auto fault = [&](const std::string& body) {
    return fault_of([&] { launch(kernel(body), {}, memory, {array}); });
  };
  expect_in(fault(shared_array + "ld.shared.u32 %r0, [s+64];\n"), "beyond the block's 64 bytes");
  expect_in(fault("mov.u32 %r0, 0;\nld.shared.u32 %r1, [%r0];\n"), "beyond the block's 0 bytes");
  expect_in(fault(".local .align 4 .b8 l[8];\nld.local.u32 %r0, [l+8];\n"),
            "beyond the thread's 8 bytes");
  expect_in(fault("ld.param.u32 %r0, [k_param_0+8];\n"), "beyond the 8 bytes of parameters");
}

TEST(Memory, AddressesOfTheWrongSpaceAreFaults) {
  Bounds memory;
  auto* const array = memory.array<float>(4);
  const auto fault = [&](const std::string& body) {
    return fault_of([&] { launch(kernel(shared_array + body), {}, memory, {array}); });
  };
  expect_in(fault("mov.u64 %d0, s;\ncvta.shared.u64 %d0, %d0;\nld.shared.u32 %r0, [%d0];\n"),
            "a generic address where one of .shared");
  expect_in(fault("mov.u64 %d0, s;\nld.u32 %r0, [%d0];\n"), "no address of global memory");
  expect_in(fault("mov.u64 %d0, s;\ncvta.shared.u64 %d0, %d0;\ncvta.to.global.u64 %d1, %d0;\n"),
            "another state space");
  expect_in(fault("ld.shared.u32 %r0, [%a0];\n"), "a generic address where one of .shared");
  expect_in(fault("ld.global.u32 %r0, [%r1];\n"), "32 bits for global");
  expect_in(fault("ld.global.u32 %r0, [s];\n"), "another state space");
}

TEST(Memory, UsingWhatNobodyWroteIsAFault) {
  Bounds memory;
  auto* const array = memory.array<std::uint32_t>(4);
  const std::string some_lanes =
      "setp.lt.u32 %p0, %t, 5;\n@%p0 mov.u32 %r0, 1;\nadd.s32 %r2, %r0, 1;\n";
  const auto body = [&](const std::string& use) {
    launch(kernel(some_lanes + use), {.block = {32}}, memory, {array});
  };
  const auto fault = [&](const std::string& use) {
    const std::string text = fault_of([&] { body(use); });
    expect_in(text, "never written");
    expect_in(text, "thread (5, 0, 0)");
  };
  fault("st.global.u32 [%a0], %r2;\n");
  fault("cvt.u64.u32 %d0, %r2;\nadd.s64 %d0, %d0, %a0;\nld.global.u32 %r1, [%d0];\n");
  fault("setp.eq.u32 %p1, %r2, 1;\n@%p1 bra L;\nL:\n");
  fault("selp.b32 %r3, %t, %r2, %p0;\nst.global.u32 [%a0], %r3;\n");
  // Computed, and selected away or not used: compilers do that.
  body("selp.b32 %r3, %r2, %t, %p0;\nst.global.u32 [%a0], %r3;\n");
  settings().check_registers = false;
  body("st.global.u32 [%a0], %r2;\n");
  settings() = {};
}

}  // namespace
}  // namespace lacuna::ptx::testing
