// Floating-point instructions against exact values: roundings, signed zeros, NaN, subnormal numbers, small formats.
#include <cfenv>
#include <cmath>
#include <limits>
#include <random>

#include "ptx/machine_bench.h"
#include "ptx/numbers.h"

namespace lacuna::ptx::testing {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
const float nan_f = std::numeric_limits<float>::quiet_NaN();
const double nan_d = std::numeric_limits<double>::quiet_NaN();
using U16 = std::uint16_t;
using U32 = std::uint32_t;

TEST(Float, FmaRoundsOnce) {
  // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24: the last term survives only in one rounding.
  const float a = 1 + 0x1p-12f;
  EXPECT_EQ(evaluate<float>("fma.rn.f32", a, a, -(1 + 0x1p-11f)), 0x1p-24f);
  const double d = 1 + 0x1p-30;
  EXPECT_EQ(evaluate<double>("fma.rn.f64", d, d, -(1 + 0x1p-29)), 0x1p-60);
}

TEST(Float, DirectedRoundingsBracketTheExactSum) {
  const float third = evaluate<float>("div.rn.f32", 1.0f, 3.0f);
  EXPECT_EQ(evaluate<float>("add.rz.f32", 1.0f, 0x1p-30f), 1.0f);
  EXPECT_EQ(evaluate<float>("add.rz.f32", 1.0f, -0x1p-30f), std::nextafter(1.0f, 0.0f));
  EXPECT_EQ(evaluate<float>("add.rp.f32", 1.0f, 0x1p-30f), std::nextafter(1.0f, 2.0f));
  EXPECT_EQ(evaluate<float>("add.rm.f32", -1.0f, -0x1p-30f), std::nextafter(-1.0f, -2.0f));
  EXPECT_EQ(evaluate<float>("fma.rm.f32", third, 3.0f, 0.0f), single(0x3f800000u))
      << "3·(1/3) rounded is a little over 1";
  EXPECT_EQ(evaluate<float>("fma.rm.f32", third, 3.0f, -0x1p-40f), 1.0f);
  EXPECT_EQ(bits(evaluate<float>("add.rm.f32", 1.0f, -1.0f)), 0x80000000u)
      << "an exact zero is negative downwards";
  EXPECT_EQ(bits(evaluate<float>("add.f32", 1.0f, -1.0f)), 0u);
  EXPECT_EQ(evaluate<float>("mul.rz.f32", std::numeric_limits<float>::max(), 2.0f),
            std::numeric_limits<float>::max());
}

// The host's own rounding modes are an independent way to the same numbers.
TEST(Float, RoundedSumsAgreeWithTheHostsModes) {
  std::mt19937 generator(5);
  const auto draw = [&] {
    return single(generator() & 0x9fffffffu) * (generator() & 1 ? 0x1p40f : 1.0f);
  };
  for (int i = 0; i < 20000; ++i) {
    const float a = draw(), b = draw(), c = generator() & 1 ? draw() : -a * b * (1 + 0x1p-20f);
    if (!std::isfinite(a) || !std::isfinite(b) || !std::isfinite(c)) continue;
    const auto host = [&](int mode) {
      std::fesetround(mode);
      volatile float x = a, y = b, z = c;
      const volatile float sum = std::fma(x, y, z);
      std::fesetround(FE_TONEAREST);
      return bits(float{sum});
    };
    ASSERT_EQ(bits(multiply_add<Rounding::nearest>(a, b, c)), host(FE_TONEAREST))
        << a << " " << b << " " << c;
    ASSERT_EQ(bits(multiply_add<Rounding::zero>(a, b, c)), host(FE_TOWARDZERO))
        << a << " " << b << " " << c;
    ASSERT_EQ(bits(multiply_add<Rounding::down>(a, b, c)), host(FE_DOWNWARD))
        << a << " " << b << " " << c;
    ASSERT_EQ(bits(multiply_add<Rounding::up>(a, b, c)), host(FE_UPWARD))
        << a << " " << b << " " << c;
  }
}

TEST(Float, NanIsCanonicalAndLosesAgainstNumbers) {
  EXPECT_EQ(bits(evaluate<float>("add.f32", infinity, -infinity)), 0x7fffffffu);
  EXPECT_EQ(bits(evaluate<float>("mul.f32", 0.0f, infinity)), 0x7fffffffu);
  EXPECT_EQ(evaluate<float>("max.f32", nan_f, 1.0f), 1.0f);
  EXPECT_EQ(evaluate<float>("min.f32", 1.0f, nan_f), 1.0f);
  EXPECT_EQ(bits(evaluate<float>("max.f32", nan_f, nan_f)), 0x7fffffffu);
  EXPECT_EQ(bits(evaluate<float>("max.NaN.f32", nan_f, 1.0f)), 0x7fffffffu);
  EXPECT_EQ(bits(evaluate<float>("min.f32", 0.0f, -0.0f)), 0x80000000u);
  EXPECT_EQ(bits(evaluate<float>("max.f32", -0.0f, 0.0f)), 0u);
  EXPECT_EQ(evaluate<double>("max.f64", nan_d, 2.0), 2.0);
}

TEST(Float, ComparisonsWithAndWithoutNan) {
  const auto holds = [](const char* opcode, float a, float b) {
    return evaluate<Predicate>(opcode, a, b).value;
  };
  EXPECT_FALSE(holds("setp.lt.f32", nan_f, 1));
  EXPECT_TRUE(holds("setp.ltu.f32", nan_f, 1));
  EXPECT_FALSE(holds("setp.ne.f32", nan_f, 1));
  EXPECT_TRUE(holds("setp.neu.f32", nan_f, 1));
  EXPECT_FALSE(holds("setp.eq.f32", nan_f, nan_f));
  EXPECT_TRUE(holds("setp.equ.f32", nan_f, 1));
  EXPECT_TRUE(holds("setp.leu.f32", 1, 1));
  EXPECT_FALSE(holds("setp.leu.f32", 2, 1));
  EXPECT_TRUE(holds("setp.geu.f32", 2, 1));
  EXPECT_FALSE(holds("setp.geu.f32", 0, 1));
  EXPECT_FALSE(holds("setp.gtu.f32", 1, 1));
  EXPECT_TRUE(holds("setp.num.f32", 1, 2));
  EXPECT_FALSE(holds("setp.num.f32", nan_f, 2));
  EXPECT_TRUE(holds("setp.nan.f32", 1, nan_f));
  EXPECT_TRUE(evaluate<Predicate>("setp.gtu.f64", nan_d, 2.0).value);
}

TEST(Float, FtzAndSat) {
  const float tiny = 0x1p-130f;
  EXPECT_EQ(evaluate<float>("mul.f32", tiny, 1.0f), tiny);
  EXPECT_EQ(bits(evaluate<float>("mul.ftz.f32", -tiny, 1.0f)), 0x80000000u);
  EXPECT_EQ(evaluate<float>("add.sat.f32", 0.75f, 0.5f), 1.0f);
  EXPECT_EQ(bits(evaluate<float>("cvt.sat.f32.f32", -3.0f)), 0u);
  EXPECT_EQ(bits(evaluate<float>("cvt.sat.f32.f32", nan_f)), 0u);
  EXPECT_EQ(evaluate<float>("ex2.approx.ftz.f32", -127.5f), 0.0f);
  EXPECT_GT(evaluate<float>("ex2.approx.f32", -127.5f), 0.0f);
  EXPECT_EQ(evaluate<float>("ex2.approx.ftz.f32", 10.0f), 1024.0f);
  EXPECT_EQ(evaluate<float>("ex2.approx.ftz.f32", -infinity), 0.0f);
  EXPECT_EQ(evaluate<float>("rcp.approx.ftz.f32", 4.0f), 0.25f);
  EXPECT_EQ(evaluate<float>("rcp.approx.ftz.f32", tiny), infinity);
}

TEST(Float, SignsAndRoots) {
  EXPECT_EQ(evaluate<float>("copysign.f32", -1.0f, 3.0f), -3.0f)
      << "the sign is the first operand's";
  EXPECT_EQ(evaluate<float>("copysign.f32", 1.0f, -3.0f), 3.0f);
  EXPECT_EQ(evaluate<float>("neg.f32", 2.0f), -2.0f);
  EXPECT_EQ(evaluate<double>("abs.f64", -2.0), 2.0);
  EXPECT_EQ(evaluate<float>("sqrt.rn.f32", 9.0f), 3.0f);
  EXPECT_EQ(evaluate<float>("rcp.rn.f32", -2.0f), -0.5f);
  EXPECT_EQ(evaluate<double>("div.rn.f64", 1.0, 4.0), 0.25);
  const double gross = evaluate<double>("rcp.approx.ftz.f64", 3.0);
  EXPECT_NEAR(gross, 1 / 3.0, 0x1p-21);
  EXPECT_EQ(bits(gross) & 0xffffffffu, 0u) << "only the upper half is computed";
}

TEST(Float, ConversionsToIntegersSaturate) {
  EXPECT_EQ(evaluate<float>("cvt.rni.f32.f32", 2.5f), 2.0f);
  EXPECT_EQ(evaluate<float>("cvt.rmi.f32.f32", -2.5f), -3.0f);
  EXPECT_EQ(evaluate<std::int32_t>("cvt.rzi.s32.f32", -2.9f), -2);
  EXPECT_EQ(evaluate<std::int32_t>("cvt.rzi.s32.f32", 3e9f),
            std::numeric_limits<std::int32_t>::max());
  EXPECT_EQ(evaluate<U32>("cvt.rzi.u32.f32", -1.0f), 0u);
  EXPECT_EQ(evaluate<U32>("cvt.rzi.u32.f32", 4294967040.0f), 4294967040u);
  EXPECT_EQ(evaluate<std::int32_t>("cvt.rni.s32.f32", nan_f), 0);
  EXPECT_EQ(evaluate<float>("cvt.rn.f32.s32", std::int32_t{16777217}), 16777216.0f);
  EXPECT_EQ(evaluate<double>("cvt.rn.f64.s64", std::int64_t{-3}), -3.0);
  EXPECT_EQ(evaluate<float>("cvt.rn.f32.f64", 1 + 0x1p-24 + 0x1p-50), 1 + 0x1p-23f);
  EXPECT_EQ(evaluate<float>("cvt.rz.f32.f64", 1 + 0x1p-24 + 0x1p-50), 1.0f);
  EXPECT_EQ(evaluate<double>("cvt.f64.f32", 0.1f), double{0.1f});
}

TEST(Float, SmallFormats) {
  EXPECT_EQ(evaluate<U16>("cvt.rn.f16.f32", 1.0f), 0x3c00);
  EXPECT_EQ(evaluate<U16>("cvt.rn.f16.f32", 65519.0f), 0x7bff);
  EXPECT_EQ(evaluate<U16>("cvt.rn.f16.f32", 65520.0f), 0x7c00)
      << "halfway to the next goes to infinity";
  EXPECT_EQ(evaluate<U16>("cvt.rn.f16.f32", -0x1p-24f), 0x8001) << "the least subnormal";
  EXPECT_EQ(evaluate<U16>("cvt.rn.f16.f32", 0x1p-25f), 0) << "a tie goes to even";
  EXPECT_EQ(evaluate<U16>("cvt.rn.f16.f32", 0x1.8p-25f), 1);
  EXPECT_EQ(evaluate<U16>("cvt.rn.f16.f32", nan_f), 0x7fff);
  EXPECT_EQ(evaluate<U16>("cvt.rn.bf16.f32", single(0x3f808000u)), 0x3f80) << "a tie goes to even";
  EXPECT_EQ(evaluate<U16>("cvt.rn.bf16.f32", single(0x3f818000u)), 0x3f82);
  EXPECT_EQ(evaluate<U16>("cvt.rn.bf16.f32", std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(evaluate<float>("cvt.f32.f16", U16{0x0001}), 0x1p-24f);
  EXPECT_EQ(evaluate<float>("cvt.f32.f16", U16{0xfbff}), -65504.0f);
  EXPECT_EQ(evaluate<float>("cvt.f32.f16", U16{0xfc00}), -infinity);
  EXPECT_EQ(evaluate<U32>("cvt.rn.f16x2.f32", 1.0f, 2.0f), 0x3c004000u)
      << "the first operand goes into the upper half";
  EXPECT_EQ(evaluate<U32>("cvt.rn.bf16x2.f32", 1.0f, 2.0f), 0x3f804000u);
  EXPECT_EQ(evaluate<U32>("cvt.rna.tf32.f32", single(0x3f801000u)), 0x3f802000u)
      << "a tie goes away from zero";
  EXPECT_EQ(evaluate<U32>("cvt.rna.tf32.f32", single(0xbf801000u)), 0xbf802000u);
  EXPECT_EQ(evaluate<U32>("cvt.rna.tf32.f32", single(0x3f800fffu)), 0x3f800000u);
}

// All 65536: to f32 and back is the identity.
TEST(Float, SmallFormatsSurviveTheWayThroughF32) {
  for (unsigned x = 0; x < 65536; ++x) {
    const auto h = static_cast<U16>(x);
    if ((h & 0x7fff) <= 0x7c00) {
      EXPECT_EQ(to_f16(from_f16(h)), h);
    }
    if ((h & 0x7fff) <= 0x7f80) {
      EXPECT_EQ(to_bf16(from_bf16(h)), h);
    }
  }
}

}  // namespace
}  // namespace lacuna::ptx::testing
