// What is no PTX, or not implemented, is refused with its line; the rest is read.
#include "ptx/machine_bench.h"
#include "ptx/text.h"

namespace lacuna::ptx::testing {
namespace {

std::string refusal(const std::string& body, const std::string& before = "") {
  return fault_of([&] { facts(*find(*parse(kernel(body, 1, before), "unit"), "k")); });
}

TEST(Text, StatementsComeApart) {
  Lexer lexer("@!%p1 ld.global.v2.f32 {%f1, _}, [%rd1+-8]; // why\nmov.f32 %f1, 0f3F800000;", 7,
              "unit");
  const Statement load = take_statement(lexer);
  EXPECT_EQ(load.guard, "%p1");
  EXPECT_TRUE(load.guard_negated);
  EXPECT_EQ(load.opcode, "ld.global.v2.f32");
  ASSERT_EQ(load.operands.size(), 2u);
  EXPECT_EQ(load.operands[0].elements[0].name, "%f1");
  EXPECT_EQ(load.operands[0].elements[1].kind, Operand::Kind::sink);
  EXPECT_EQ(load.operands[1].offset, -8);
  const Statement move = take_statement(lexer);
  EXPECT_EQ(move.line, 8u);
  EXPECT_EQ(move.operands[1].bits, 0x3f800000u);
  EXPECT_TRUE(lexer.token().empty());
}

TEST(Text, Numbers) {
  EXPECT_EQ(integer_of("42U"), 42u);
  EXPECT_EQ(integer_of("0x1F"), 31u);
  EXPECT_EQ(integer_of("017"), 15u);
  EXPECT_EQ(integer_of("18446744073709551615"), ~std::uint64_t{0});
  EXPECT_FALSE(integer_of("%r1"));
  EXPECT_FALSE(integer_of("18446744073709551616"));
}

TEST(Text, FactsOfAKernel) {
  const auto module = parse(
      ".version 8.0\n.target sm_90\n.address_size 64\n.shared .align 8 .b8 all[24];\n"
      ".visible .entry one(.param .u32 one_param_0, .param .align 8 .b8 one_param_1[12], .param "
      ".u8 one_param_2)\n.maxntid 64, 2, 1\n"
      "{\n.reg .u32 %r<3>;\n.local .align 8 .b8 depot[16];\n.shared .u8 byte;\nmov.u32 %r1, "
      "all;\nret;\n}\n.entry two() { ret; }\n",
      "unit");
  EXPECT_EQ(kernels(*module).size(), 2u);
  EXPECT_EQ(find(*module, "three"), nullptr);
  const KernelFacts& one = facts(*find(*module, "one"));
  ASSERT_EQ(one.parameters.size(), 3u);
  EXPECT_EQ(one.parameters[1].offset, 8u);
  EXPECT_EQ(one.parameters[1].bytes, 12u);
  EXPECT_EQ(one.parameters[2].offset, 20u);
  EXPECT_EQ(one.most_threads, 128u);
  EXPECT_EQ(one.static_shared, 32u) << "one byte, and the module's array behind it";
  EXPECT_EQ(one.local, 16u);
  EXPECT_EQ(facts(*find(*module, "two")).static_shared, 0u) << "it does not name the array";
}

TEST(Text, RegistersBelongToTheirBraces) {
  Bounds memory;
  auto* const out = memory.array<std::uint32_t>(1);
  launch(
      kernel("mov.u32 %r0, 1;\n{ .reg .u32 %r0;\nmov.u32 %r0, 2; }\nst.global.u32 [%a0], %r0;\n"),
      {}, memory, {out});
  EXPECT_EQ(*out, 1u);
  expect_in(refusal("{ .reg .u32 inner; }\nmov.u32 inner, 2;\n"), "'inner' is no register");
}

TEST(Text, RefusalsNameTheLine) {
  const std::string fault = refusal("add.s32 %r0, %r0, 1;\nfrobnicate.b32 %r1, %r2;\n");
  expect_in(fault,
            "unit, line 15, 'frobnicate.b32 %r1, %r2', in k: 'frobnicate.b32' is not implemented");
  expect_in(refusal("ld.global.v8.f32 %f1, [%a0];\n"), "'.v8' is not implemented");
  expect_in(refusal("add.s32 %r0, %r1;\n"), "2 operands");
  expect_in(refusal("add.s32 %r0, %r1, %d1;\n"), "%d1 has 64 bits, the instruction's operand 32");
  expect_in(refusal("add.f32 %f0, %f1, 0d3FF0000000000000;\n"), "a constant of 64 bits");
  expect_in(refusal("add.s32 %r0, %r77, 1;\n"), "'%r77' is no register");
  expect_in(refusal("bra NOWHERE;\n"), "no label 'NOWHERE'");
  expect_in(refusal("L:\nL:\n"), "a second label 'L'");
  expect_in(refusal("@%r1 ret;\n"), "'%r1' is no predicate");
  expect_in(refusal("add.s32 %r0 %r1;\n"), "expected ';'");
  expect_in(refusal("mov.b64 %d0, {%r1, %r2, %r3};\n"), "2 or 4 elements");
  expect_in(
      refusal("st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [%r0], %r1, [%r2];\n"),
      "as many registers as elements");
  expect_in(refusal("", ".func f() { ret; }"), "'.func' is not implemented outside of kernels");
  expect_in(fault_of([] { parse(".version 8.0\n.entry k() {\nret;\n", "unit"); }),
            "the brace of line 2 is not closed");
}

TEST(Text, FaultsNameTheSourcesLine) {
  Bounds memory;
  auto* const array = memory.array<float>(1);
  const std::string text =
      kernel(".loc 1 42 3\nld.global.f32 %f0, [%a0+4];\n", 1, ".file 1 \"kernels/some.h\"");
  expect_in(fault_of([&] { launch(text, {}, memory, {array}); }), "(kernels/some.h:42)");
}

}  // namespace
}  // namespace lacuna::ptx::testing
