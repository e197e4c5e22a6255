// Integer instructions, one by one, against values worked out by hand.
#include "ptx/machine_bench.h"

namespace lacuna::ptx::testing {
namespace {

using I16 = std::int16_t;
using U16 = std::uint16_t;
using I32 = std::int32_t;
using U32 = std::uint32_t;
using I64 = std::int64_t;
using U64 = std::uint64_t;

TEST(Integer, SumsAndProductsWrap) {
  EXPECT_EQ(evaluate<U32>("add.s32", 0xffffffffu, 2u), 1u);
  EXPECT_EQ(evaluate<U64>("add.s64", ~U64{0}, U64{2}), 1u);
  EXPECT_EQ(evaluate<U16>("add.s16", U16{65535}, U16{3}), 2);
  EXPECT_EQ(evaluate<U32>("sub.s32", 1u, 2u), 0xffffffffu);
  EXPECT_EQ(evaluate<U32>("mul.lo.s32", 0x10001u, 0x10001u), 0x20001u);
  EXPECT_EQ(evaluate<U64>("mul.lo.s64", U64{1} << 40, (U64{1} << 24) + 3), U64{3} << 40);
  EXPECT_EQ(evaluate<U32>("mad.lo.s32", 3u, 5u, 0xfffffff0u), 0xffffffffu);
  EXPECT_EQ(evaluate<I32>("neg.s32", I32{5}), -5);
  EXPECT_EQ(evaluate<I32>("abs.s32", I32{-5}), 5);
}

TEST(Integer, UpperHalvesAndWideProductsKnowTheSign) {
  EXPECT_EQ(evaluate<I32>("mul.hi.s32", I32{-1}, I32{2}), -1);
  EXPECT_EQ(evaluate<U32>("mul.hi.u32", 0xffffffffu, 2u), 1u);
  EXPECT_EQ(evaluate<U64>("mul.hi.u64", ~U64{0}, U64{4}), 3u);
  EXPECT_EQ(evaluate<I64>("mul.hi.s64", I64{-1}, I64{4}), -1);
  EXPECT_EQ(evaluate<I64>("mul.wide.s32", I32{-3}, I32{5}), -15);
  EXPECT_EQ(evaluate<U64>("mul.wide.u32", 0xfffffffdu, 5u), U64{0xfffffffdu} * 5);
  EXPECT_EQ(evaluate<U32>("mul.wide.u16", U16{65535}, U16{65535}), 65535u * 65535u);
  EXPECT_EQ(evaluate<I64>("mad.wide.s32", I32{-3}, I32{5}, I64{100}), 85);
}

TEST(Integer, DivisionGoesTowardsZero) {
  EXPECT_EQ(evaluate<I32>("div.s32", I32{-7}, I32{2}), -3);
  EXPECT_EQ(evaluate<I32>("rem.s32", I32{-7}, I32{2}), -1);
  EXPECT_EQ(evaluate<U32>("div.u32", 0xfffffff9u, 2u), 0x7ffffffcu);
  EXPECT_EQ(evaluate<I64>("div.s64", I64{-7}, I64{-2}), 3);
  EXPECT_EQ(evaluate<I64>("rem.s64", I64{7}, I64{-4}), 3);
  EXPECT_EQ(evaluate<I32>("div.s32", std::numeric_limits<I32>::min(), I32{-1}),
            std::numeric_limits<I32>::min());
  EXPECT_EQ(evaluate<U64>("rem.u64", ~U64{0}, U64{10}), 5u);
}

TEST(Integer, OrderDependsOnTheSign) {
  EXPECT_EQ(evaluate<U32>("min.s32", 0xffffffffu, 1u), 0xffffffffu);
  EXPECT_EQ(evaluate<U32>("min.u32", 0xffffffffu, 1u), 1u);
  EXPECT_EQ(evaluate<I64>("max.s64", I64{-1}, I64{1}), 1);
  EXPECT_EQ(evaluate<U64>("max.u64", ~U64{0}, U64{1}), ~U64{0});
  EXPECT_TRUE(evaluate<Predicate>("setp.lt.s32", I32{-1}, I32{0}).value);
  EXPECT_FALSE(evaluate<Predicate>("setp.lt.u32", I32{-1}, I32{0}).value);
  EXPECT_TRUE(evaluate<Predicate>("setp.ge.s64", I64{3}, I64{3}).value);
  EXPECT_FALSE(evaluate<Predicate>("setp.gt.s64", I64{3}, I64{3}).value);
  EXPECT_TRUE(evaluate<Predicate>("setp.le.u64", U64{3}, ~U64{0}).value);
  EXPECT_FALSE(evaluate<Predicate>("setp.le.s64", U64{3}, ~U64{0}).value);
  EXPECT_TRUE(evaluate<Predicate>("setp.eq.s16", U16{3}, U16{3}).value);
  EXPECT_TRUE(evaluate<Predicate>("setp.ne.b64", U64{3}, U64{4}).value);
}

TEST(Integer, ShiftsDoNotWrap) {
  EXPECT_EQ(evaluate<U32>("shl.b32", 1u, 31u), 0x80000000u);
  EXPECT_EQ(evaluate<U32>("shl.b32", 1u, 32u), 0u);
  EXPECT_EQ(evaluate<U32>("shr.u32", 0x80000000u, 40u), 0u);
  EXPECT_EQ(evaluate<U32>("shr.s32", 0x80000000u, 40u), 0xffffffffu);
  EXPECT_EQ(evaluate<U32>("shr.s32", 0x80000000u, 4u), 0xf8000000u);
  EXPECT_EQ(evaluate<U64>("shl.b64", U64{1}, 63u), U64{1} << 63);
  EXPECT_EQ(evaluate<U64>("shl.b64", U64{1}, 64u), 0u);
  EXPECT_EQ(evaluate<I64>("shr.s64", I64{-8}, 1u), -4);
  EXPECT_EQ(evaluate<U16>("shr.u16", U16{0x8000}, 15u), 1);
}

TEST(Integer, BitsAndFields) {
  EXPECT_EQ(evaluate<U32>("and.b32", 12u, 10u), 8u);
  EXPECT_EQ(evaluate<U32>("or.b32", 12u, 10u), 14u);
  EXPECT_EQ(evaluate<U64>("xor.b64", U64{12}, U64{10}), 6u);
  EXPECT_EQ(evaluate<U16>("not.b16", U16{0x00ff}), 0xff00);
  EXPECT_EQ(evaluate<U32>("popc.b32", 0xf000000fu), 8u);
  EXPECT_EQ(evaluate<U32>("clz.b32", 1u), 31u);
  EXPECT_EQ(evaluate<U32>("clz.b64", U64{0}), 64u);
  EXPECT_EQ(evaluate<U32>("brev.b32", 0x80000001u), 0x80000001u);
  EXPECT_EQ(evaluate<U32>("brev.b32", 2u), 0x40000000u);
  EXPECT_EQ(evaluate<U32>("bfe.u32", 0xabcd1234u, 8u, 8u), 0x12u);
  EXPECT_EQ(evaluate<U32>("bfe.s32", 0x0000f000u, 12u, 4u), 0xffffffffu);
  EXPECT_EQ(evaluate<U32>("bfe.s32", 0x80000000u, 28u, 8u), 0xfffffff8u);
  EXPECT_EQ(evaluate<U32>("bfi.b32", 0xffu, 0u, 4u, 4u), 0xf0u);
  EXPECT_EQ(evaluate<U32>("bfi.b32", 0u, 0xffffffffu, 16u, 16u), 0xffffu);
  EXPECT_EQ(evaluate<U32>("prmt.b32", 0x33221100u, 0x77665544u, 0x7410u), 0x77441100u);
  EXPECT_EQ(evaluate<U32>("prmt.b32", 0x00800000u, 0u, 0x000au), 0x000000ffu);
  EXPECT_EQ(evaluate_with<U32>("lop3.b32", ", 0x96", 0xf0f0f0f0u, 0xccccccccu, 0xaaaaaaaau),
            0xf0f0f0f0u ^ 0xccccccccu ^ 0xaaaaaaaau);
  EXPECT_EQ(evaluate<U32>("shf.l.wrap.b32", 0x80000000u, 1u, 33u), 3u);
  EXPECT_EQ(evaluate<U32>("shf.r.clamp.b32", 7u, 5u, 40u), 5u);
}

TEST(Integer, PredicatesCombine) {
  for (const bool a : {false, true})
    for (const bool b : {false, true}) {
      EXPECT_EQ(evaluate<Predicate>("and.pred", Predicate{a}, Predicate{b}).value, a && b);
      EXPECT_EQ(evaluate<Predicate>("or.pred", Predicate{a}, Predicate{b}).value, a || b);
      EXPECT_EQ(evaluate<Predicate>("xor.pred", Predicate{a}, Predicate{b}).value, a != b);
      EXPECT_EQ(evaluate<Predicate>("not.pred", Predicate{a}).value, !a);
      EXPECT_EQ(evaluate<U32>("selp.b32", 1u, 2u, Predicate{a}), a ? 1u : 2u);
    }
}

TEST(Integer, ConversionsExtendAndCut) {
  EXPECT_EQ(evaluate<I64>("cvt.s64.s32", I32{-5}), -5);
  EXPECT_EQ(evaluate<U64>("cvt.u64.u32", 0xfffffffbu), 0xfffffffbu);
  EXPECT_EQ(evaluate<U32>("cvt.u32.u64", U64{0x123456789}), 0x23456789u);
  EXPECT_EQ(evaluate<U32>("cvt.u32.u16", U16{0xfff0}), 0xfff0u);
  EXPECT_EQ(evaluate<U32>("cvt.s32.s16", U16{0xfff0}), 0xfffffff0u);
  EXPECT_EQ(evaluate<U32>("cvt.s32.s8", 0x1f0u), 0xfffffff0u)
      << "only the low 8 bits of a wider register count";
  EXPECT_EQ(evaluate<U32>("cvt.u32.u8", U16{0x1f0}), 0xf0u);
  EXPECT_EQ(evaluate<U16>("cvt.u16.u32", 0x12345u), 0x2345);
  EXPECT_EQ(evaluate<I32>("cvt.s8.s32", I32{0x180}), -128)
      << "extended to the register by its sign";
}

}  // namespace
}  // namespace lacuna::ptx::testing
