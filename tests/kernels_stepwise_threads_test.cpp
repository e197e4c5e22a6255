// The stepwise recurrence gives the same bits in every order of threads.
#include <gtest/gtest.h>

#include <string>

#include "emulator/emulator.h"
#include "support/stepwise_bits.h"

namespace support {
namespace {

using namespace stepwise;

template <class T>
void expect_same_bits_in_any_order() {
  for_each_model(9, [](const Data& data) {
    const Bits expected = data.bits<T>();
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      lacuna::emulator::Settings settings;
      settings.order =
          seed == 0 ? lacuna::emulator::Order::reverse : lacuna::emulator::Order::random;
      settings.seed = seed + 1;
      const lacuna::emulator::WithSettings with(settings);
      expect_equal(data.bits<T>(), expected, "order " + std::to_string(seed));
    }
  });
}

TEST(StepwiseThreads, InAnyOrderFloat) { expect_same_bits_in_any_order<float>(); }
TEST(StepwiseThreads, InAnyOrderDouble) { expect_same_bits_in_any_order<double>(); }
TEST(StepwiseThreads, InAnyOrderFp16) { expect_same_bits_in_any_order<lacuna::simt::Fp16>(); }
TEST(StepwiseThreads, InAnyOrderBf16) { expect_same_bits_in_any_order<lacuna::simt::Bf16>(); }

}  // namespace
}  // namespace support
