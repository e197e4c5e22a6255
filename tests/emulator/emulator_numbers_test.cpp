// fp16, bf16 and tf32 conversions against the definitions of the formats, for every 16-bit value
// and every point halfway between two neighbours.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/simt/simt.h"

namespace lacuna::simt {
namespace {

template <class T>
struct Format;
template <>
struct Format<Fp16> {
  static constexpr int mantissa_bits = 10, bias = 15;
  static constexpr unsigned infinity = 0x7c00;
};
template <>
struct Format<Bf16> {
  static constexpr int mantissa_bits = 7, bias = 127;
  static constexpr unsigned infinity = 0x7f80;
};

// The value of finite bits, by the definition of the format; one beyond the largest for infinity's.
template <class T>
double value_of(unsigned bits) {
  constexpr int m = Format<T>::mantissa_bits;
  const int exponent = static_cast<int>(bits & 0x7fffu) >> m;
  const double mantissa = bits & ((1u << m) - 1);
  const double magnitude = exponent == 0
                               ? std::ldexp(mantissa, 1 - Format<T>::bias - m)
                               : std::ldexp(mantissa + (1 << m), exponent - Format<T>::bias - m);
  return bits & 0x8000u ? -magnitude : magnitude;
}

template <class T>
class Numbers : public testing::Test {};
using Types = testing::Types<Fp16, Bf16>;
TYPED_TEST_SUITE(Numbers, Types);

TYPED_TEST(Numbers, EveryValueIsReadAsTheFormatSays) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const float value = to_float(TypeParam{static_cast<std::uint16_t>(bits)});
    const unsigned magnitude = bits & 0x7fffu;
    if (magnitude > Format<TypeParam>::infinity) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      continue;
    }
    const bool infinite = magnitude == Format<TypeParam>::infinity;
    const double want = infinite ? INFINITY : std::abs(value_of<TypeParam>(bits));
    ASSERT_EQ(static_cast<double>(value), bits & 0x8000u ? -want : want) << bits;
    ASSERT_EQ(from_float<TypeParam>(value).bits, bits);
  }
}

// Between neighbours a < b: below the middle is a, above is b, the middle itself the even one. The
// value after the largest rounds as if it existed, and is infinity's bits.
TYPED_TEST(Numbers, RoundsToTheNearestAndToEven) {
  for (unsigned sign : {0u, 0x8000u})
    for (unsigned bits = 0; bits < Format<TypeParam>::infinity; ++bits) {
      const double low = value_of<TypeParam>(bits), high = value_of<TypeParam>(bits + 1);
      const auto middle = static_cast<float>((low + high) / 2);
      if (static_cast<double>(middle) != (low + high) / 2) continue;  // beneath fp32's subnormals
      const auto rounded = [&](float v) { return from_float<TypeParam>(sign ? -v : v).bits; };
      ASSERT_EQ(rounded(middle), (bits + (bits & 1)) | sign) << bits;
      ASSERT_EQ(rounded(std::nextafter(middle, 0.0f)), bits | sign);
      ASSERT_EQ(rounded(std::nextafter(middle, INFINITY)), (bits + 1) | sign);
    }
}

TYPED_TEST(Numbers, InfinityAndNanStayWhatTheyAre) {
  EXPECT_EQ(from_float<TypeParam>(INFINITY).bits, Format<TypeParam>::infinity);
  EXPECT_EQ(from_float<TypeParam>(-INFINITY).bits, Format<TypeParam>::infinity | 0x8000u);
  for (std::uint32_t nan : {0x7f800001u, 0x7fc00000u, 0xffffffffu, 0xff800001u})
    EXPECT_EQ(from_float<TypeParam>(bits_as<float>(nan)).bits, 0x7fff);
}

TYPED_TEST(Numbers, PackPutsTheFirstInTheLowHalf) {
  const std::uint32_t two = pack<TypeParam>(1.5f, -2.0f);
  EXPECT_EQ(unpack_low<TypeParam>(two), 1.5f);
  EXPECT_EQ(unpack_high<TypeParam>(two), -2.0f);
  EXPECT_EQ(two & 0xffff, from_float<TypeParam>(1.5f).bits);
}

TEST(Tf32, RoundsTiesAwayFromZero) {
  const auto rounded = [](float v) { return bits_as<float>(to_tf32(v)); };
  const float step = 0x1p-10f;
  for (float sign : {1.0f, -1.0f}) {
    EXPECT_EQ(rounded(sign * (1 + step / 2)), sign * (1 + step));
    EXPECT_EQ(rounded(sign * (1 + step / 2 - 0x1p-23f)), sign);
    EXPECT_EQ(rounded(sign * (1 + 3 * step / 2)), sign * (1 + 2 * step));
    EXPECT_EQ(rounded(sign * 0.0f), 0.0f);
    EXPECT_EQ(rounded(sign * INFINITY), sign * INFINITY);
    EXPECT_EQ(rounded(sign * 3.4028235e38f), sign * INFINITY);
  }
  EXPECT_TRUE(std::isnan(rounded(NAN)));
  EXPECT_TRUE(std::isnan(rounded(bits_as<float>(0x7f800001u))));
}

}  // namespace
}  // namespace lacuna::simt
