// What must not change a bit of the stepwise recurrence: the alignment of the caller's arrays, how
// many rows a launch covers, which optional arrays there are. And how it is spread over blocks.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "emulator/emulator.h"
#include "support/stepwise_bits.h"

namespace support {
namespace {

using namespace stepwise;

template <class T>
class StepwiseArrays : public testing::Test {};
using Types = testing::Types<float, double, lacuna::simt::Fp16, lacuna::simt::Bf16>;
TYPED_TEST_SUITE(StepwiseArrays, Types);

TYPED_TEST(StepwiseArrays, AlignmentAndRowsLaunchedChangeNoBit) {
  for (const int hidden : {8, 11})
    for_each_model(hidden, [](const Data& data) {
      const Bits expected = data.bits<TypeParam>();
      expect_equal(data.bits<TypeParam>({.misaligned = true}), expected, "misaligned");
      expect_equal(data.bits<TypeParam>({.all_rows = true}), expected, "all rows");
    });
}

TYPED_TEST(StepwiseArrays, AnAbsentOutputChangesNoOther) {
  for_each_model(5, [](const Data& data) {
    const Bits all = data.bits<TypeParam>();
    for (const char* name : {"hidden", "cell", "evolved_hidden", "final_hidden", "final_cell",
                             "d_gates", "reset_operand", "d_euler", "d_exponent", "d_target",
                             "d_initial_hidden", "d_initial_cell"}) {
      const Bits others = data.bits<TypeParam>({.absent = {name}});
      EXPECT_FALSE(others.contains(name));
      EXPECT_EQ(others.size() + all.count(name), all.size()) << name;
      expect_equal(others, all, std::string("without ") + name);
    }
  });
}

TYPED_TEST(StepwiseArrays, InferenceEqualsTraining) {
  for_each_model(5, [](const Data& data) {
    const Bits expected = data.bits<TypeParam>();
    for (const std::set<std::string>& absent :
         {std::set<std::string>{"tape_h"}, {"tape_c"}, {"gates"}, {"tape_h", "tape_c", "gates"}}) {
      const Bits inference = data.bits<TypeParam>({.absent = absent});
      EXPECT_TRUE(inference.contains("final_hidden"));
      expect_equal(inference, expected, "without " + *absent.begin());
    }
  });
}

TYPED_TEST(StepwiseArrays, AnAbsentInputReadsAsZero) {
  for_each_model(5, [](const Data& data) {
    const auto zeroed = [&](const char* name, std::vector<double> reference::Batch::*in_batch,
                            std::vector<double> reference::Upstream::*in_upstream) {
      Data zero = data;
      auto& values = in_batch != nullptr ? zero.batch.*in_batch : zero.upstream.*in_upstream;
      std::fill(values.begin(), values.end(), 0.0);
      const Bits absent = data.bits<TypeParam>({.absent = {name}});
      EXPECT_FALSE(absent.empty());
      expect_equal(absent, zero.bits<TypeParam>(), std::string("without ") + name);
    };
    using reference::Batch, reference::Upstream;
    zeroed("initial_hidden", &Batch::initial_hidden, nullptr);
    zeroed("initial_cell", &Batch::initial_cell, nullptr);
    zeroed("d_hidden_out", nullptr, &Upstream::d_hidden);
    zeroed("d_cell_out", nullptr, &Upstream::d_cell);
    zeroed("d_final_hidden", nullptr, &Upstream::d_final_hidden);
    zeroed("d_final_cell", nullptr, &Upstream::d_final_cell);
  });
}

TYPED_TEST(StepwiseArrays, NothingToDoLaunchesNothing) {
  const auto before = lacuna::emulator::counters().launches.load();
  lacuna::StepForward<TypeParam> forward;
  lacuna::StepBackward<TypeParam> backward;
  forward.units = backward.units = 8;
  for (const lacuna_cell cell : {LACUNA_LSTM, LACUNA_GRU_RESET_BEFORE}) {
    forward.cell = backward.cell = cell;
    lacuna::begin_forward(nullptr, forward);
    lacuna::reset_forward(nullptr, forward, 0, 0);
    lacuna::step_forward(nullptr, forward, 0, 0);
    lacuna::step_backward(nullptr, backward, 0, 0);
    lacuna::reset_backward(nullptr, backward, 0, 0);
    lacuna::end_backward(nullptr, backward);
  }
  EXPECT_EQ(lacuna::emulator::counters().launches.load(), before);
}

TEST(StepwiseSpread, CoversEveryRowAndUnitWithinTheDevicesLimits) {
  for (const std::int64_t units : {8L, 16L, 40L, 72L, 512L, 520L, 4096L, 1L << 24})
    for (const std::int64_t rows : {1L, 2L, 63L, 64L, 1000L, (1L << 31) - 1}) {
      const auto launch = lacuna::stepwise::spread<2>(rows, units);
      const auto across = static_cast<std::int64_t>(launch.grid.y) * launch.block.x * 2;
      const auto down = static_cast<std::int64_t>(launch.grid.x) * launch.block.y;
      EXPECT_LE(launch.block.count(), 128u);
      EXPECT_TRUE(2 * launch.block.count() > 128u || rows < 64) << units;
      EXPECT_LE(launch.grid.y, 65535u);
      EXPECT_LE(launch.grid.x, 0x7fffffffu);
      EXPECT_GE(down, rows);
      // Only the widest of all goes round more than once.
      EXPECT_TRUE(across >= units || launch.grid.y == 65535u) << units;
    }
}

SIMT_KERNEL(lacuna::stepwise::threads_per_block)
void count_visits(int* visits, std::int64_t rows, std::int64_t units) {
  lacuna::stepwise::for_each_group<float>(rows, units, [&](std::int64_t row, std::int64_t unit) {
    for (int i = 0; i < lacuna::units_per_thread<float>; ++i) ++visits[row * units + unit + i];
  });
}

TEST(StepwiseSpread, AGridThatIsTooSmallGoesRound) {
  const std::int64_t rows = 11, units = 40;
  std::vector<int> visits(static_cast<std::size_t>(rows * units));
  lacuna::simt::launch({.grid = {2, 2}, .block = {3, 2}}, nullptr, count_visits, visits.data(),
                       rows, units);
  EXPECT_EQ(visits, std::vector<int>(visits.size(), 1));
}

}  // namespace
}  // namespace support
