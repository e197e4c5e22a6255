// lacuna::Half and lacuna::BFloat16: the library's own conversions bit by bit, and layers that store
// them as far as the CPU knows them.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/simt/simt.h"
#include "lacuna/lacuna.hpp"
#include "support/refusal.h"

namespace {

using lacuna::BFloat16;
using lacuna::Half;
using support::refusal;
namespace portable = lacuna::simt::portable;

static_assert(float(Half(1.5f)) == 1.5f && float(BFloat16(-2.0f)) == -2.0f);
static_assert(sizeof(Half) == 2 && std::is_trivially_copyable_v<Half>);
static_assert(sizeof(BFloat16) == 2 && std::is_trivially_copyable_v<BFloat16>);
static_assert(!std::is_convertible_v<float, Half> && std::is_convertible_v<Half, float>);

void expect_same_bits(float value) {
  ASSERT_EQ(Half(value).bits, portable::fp16_from_float(value)) << value;
  ASSERT_EQ(BFloat16(value).bits, portable::bf16_from_float(value)) << value;
}

TEST(Numbers, EveryOneIsReadAsTheKernelsReadIt) {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const float half = std::bit_cast<Half>(bits), bfloat = std::bit_cast<BFloat16>(bits);
    const float expected = portable::fp16_to_float(bits);
    if (std::isnan(expected))
      ASSERT_TRUE(std::isnan(half)) << bits;
    else
      ASSERT_EQ(std::bit_cast<std::uint32_t>(half), std::bit_cast<std::uint32_t>(expected)) << bits;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(bfloat), i << 16);
  }
}

// Every fp16 and bf16, the middle between neighbours, and the floats on both sides of these.
TEST(Numbers, FloatsAreRoundedAsTheKernelsRoundThem) {
  for (std::uint32_t i = 0; i < 0x10000; ++i)
    for (const std::uint32_t base :
         {std::bit_cast<std::uint32_t>(portable::fp16_to_float(static_cast<std::uint16_t>(i))),
          i << 16})
      for (const std::uint32_t middle : {0u, 0x1000u, 0x8000u})
        for (const std::uint32_t step : {0xffffffffu, 0u, 1u})
          expect_same_bits(std::bit_cast<float>(base + middle + step));
  // Between subnormals of fp16, whose middles lie elsewhere.
  for (int i = 0; i < 2048; ++i)
    for (const float value : {(static_cast<float>(i) + 0.5f) * 0x1p-24f})
      for (const float near : {value, std::nextafter(value, 0.0f), std::nextafter(value, 1.0f)}) {
        expect_same_bits(near);
        expect_same_bits(-near);
      }
}

template <class Real>
class Layers16 : public testing::Test {};
using Types = testing::Types<Half, BFloat16>;
TYPED_TEST_SUITE(Layers16, Types);

TYPED_TEST(Layers16, HaveParametersInFloat) {
  const lacuna::Layer layer = lacuna::gru(3, 4, lacuna::type_of<TypeParam>);
  const lacuna::Parameters<TypeParam> parameters(layer, 7);
  const lacuna::Parameters<float> same(lacuna::gru(3, 4), 7);
  EXPECT_EQ(std::vector<float>(parameters.flat().begin(), parameters.flat().end()),
            std::vector<float>(same.flat().begin(), same.flat().end()));
}

TYPED_TEST(Layers16, TakeAndGiveOtherLibrariesWeightsInFloat) {
  const lacuna::Layer layer = lacuna::lstm(2, 1, lacuna::type_of<TypeParam>);
  const std::vector<float> x{1, 2, 3, 4, 5, 6, 7, 8}, h{0.1f, 0.2f, 0.3f, 0.4f},
      bias{9, 10, 11, 12};
  lacuna::Parameters<TypeParam> parameters(layer);
  lacuna::import_weights<TypeParam>(lacuna::Convention::pytorch, {x, h, bias}, parameters);
  const auto weights_h = parameters[lacuna::Parameter::weights_h];
  EXPECT_EQ(std::vector<float>(weights_h.begin(), weights_h.end()), h);
  std::vector<float> x_again(8), h_again(4), bias_again(4);
  lacuna::export_weights<TypeParam>(lacuna::Convention::pytorch, parameters,
                                    {x_again, h_again, bias_again});
  EXPECT_EQ(x_again, x);
  EXPECT_EQ(h_again, h);
  EXPECT_EQ(bias_again, bias);
}

TYPED_TEST(Layers16, AreRefusedByTheCpuAndByArraysOfAnotherType) {
  const lacuna::Type type = lacuna::type_of<TypeParam>;
  const std::string name = type == lacuna::Type::f16 ? "f16" : "bf16";
  const lacuna::Layer layer = lacuna::gru_d(3, 4, type);
  const auto context = lacuna::Context::cpu();
  EXPECT_NE(refusal([&] { lacuna::Plan(context, layer, {.tokens = 5, .sequences = 2}); },
                    lacuna::Status::unsupported)
                .find("the CPU backend computes in LACUNA_F32 and LACUNA_F64 only"),
            std::string::npos);
  EXPECT_EQ(refusal([&] { lacuna::Parameters<float> wrong(layer); }),
            "layer.type: " + name + ", expected f32, as the array's own type says");
  EXPECT_EQ(refusal([&] { lacuna::Parameters<TypeParam> wrong(lacuna::gru_d(3, 4)); }),
            "layer.type: f32, expected " + name + ", as the array's own type says");
  const std::vector<TypeParam> x(6);
  std::vector<TypeParam> y(2);
  EXPECT_NE(refusal([&] { lacuna::Linear<TypeParam>(3, 1).forward(context, x, y); },
                    lacuna::Status::unsupported)
                .find("the CPU backend"),
            std::string::npos);
}

}  // namespace
