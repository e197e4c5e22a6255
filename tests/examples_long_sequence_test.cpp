// The task of examples/long_sequence: the code must be there to be found, in the cue and nowhere else, and
// what is started and measured must be what the example says it is.
#include <gtest/gtest.h>

#include <cmath>

// Examples are programs, not libraries: the files under test are compiled into this one.
#include "examples/long_sequence/gradient_flow.cpp"
#include "examples/long_sequence/model.cpp"
#include "examples/long_sequence/start.cpp"
#include "examples/long_sequence/task.cpp"

namespace {

using long_sequence::Sequences;
using long_sequence::Task;

TEST(LongSequenceTask, IsRaggedAndRunsForwardInTime) {
  const Task task{.length = 200};
  const Sequences batch = long_sequence::draw(task, 50, 1);
  ASSERT_EQ(batch.count(), 50u);
  ASSERT_EQ(batch.values.size(), batch.tokens() * static_cast<std::size_t>(task.features()));
  std::int64_t shortest = 1000, longest = 0;
  for (std::size_t b = 0; b < batch.count(); ++b) {
    const std::int64_t begin = batch.offsets[b], end = batch.offsets[b + 1];
    shortest = std::min(shortest, end - begin);
    longest = std::max(longest, end - begin);
    EXPECT_EQ(batch.times[static_cast<std::size_t>(begin)], 0);
    for (std::int64_t s = begin + 1; s < end; ++s)
      EXPECT_GE(batch.times[static_cast<std::size_t>(s)],
                batch.times[static_cast<std::size_t>(s - 1)]);
  }
  EXPECT_GE(shortest, 180);
  EXPECT_LE(longest, task.longest());
  EXPECT_LT(shortest, longest);
}

TEST(LongSequenceTask, ShowsTheCodeInTheCueAndNowhereElse) {
  const Task task{.length = 300};
  const Sequences batch = long_sequence::draw(task, 200, 2);
  const auto width = static_cast<std::size_t>(task.features());
  double agreeing = 0, later = 0, missing = 0;
  for (std::size_t b = 0; b < batch.count(); ++b)
    for (auto s = static_cast<std::size_t>(batch.offsets[b]);
         s < static_cast<std::size_t>(batch.offsets[b + 1]); ++s) {
      const bool in_cue =
          s - static_cast<std::size_t>(batch.offsets[b]) < static_cast<std::size_t>(task.cue);
      const float* const row = batch.values.data() + s * width;
      const float flag = row[task.bits];
      if (in_cue) {
        EXPECT_EQ(flag, 1);
      } else {
        EXPECT_TRUE(flag == 0 || std::isnan(flag));
      }
      for (int bit = 0; bit < task.bits; ++bit) {
        const bool agrees = (row[bit] > 0) == ((batch.codes[b] >> bit & 1) != 0);
        if (in_cue) {
          EXPECT_TRUE(agrees);
        } else if (std::isnan(row[bit])) {
          ++missing;
        } else {
          agreeing += agrees;
          ++later;
        }
      }
    }
  // Five standard errors of about 100,000 draws.
  EXPECT_NEAR(agreeing / later, 0.5, 0.008);
  EXPECT_NEAR(missing / (missing + later), task.missing, 0.008);
}

TEST(LongSequenceTask, EveryCodeComesUpAndTheSeedDecides) {
  const Task task{.length = 20};
  const Sequences batch = long_sequence::draw(task, 400, 3);
  std::vector<int> seen(static_cast<std::size_t>(task.classes()));
  for (const std::int32_t code : batch.codes) ++seen.at(static_cast<std::size_t>(code));
  for (const int count : seen) EXPECT_NEAR(count, 50, 35);
  EXPECT_EQ(long_sequence::draw(task, 400, 3).times, batch.times);
  EXPECT_NE(long_sequence::draw(task, 400, 4).codes, batch.codes);
}

TEST(LongSequenceTask, AccuracyCountsRowsWhoseLargestEntryIsRight) {
  const std::vector<float> logits{1, 2, 0, 5, 4, 3, -3, -2, -1, 0, 9, 0};
  EXPECT_EQ(long_sequence::accuracy(logits, {1, 0, 2, 0}), 0.75);
  EXPECT_THROW(long_sequence::accuracy(logits, {}), std::invalid_argument);
  EXPECT_THROW(long_sequence::accuracy({1, 2, 3}, {0, 1}), std::invalid_argument);
}

TEST(LongSequenceStart, GatesForgetAfterOneToAllTokens) {
  const auto stack = lacuna::stacked(lacuna::lstm(3, 16), {.depth = 2});
  const lacuna::StackParameters<float> customary(stack, 5);
  lacuna::StackParameters<float> parameters(stack, 5);
  long_sequence::chrono_start(parameters, 1000, 1);
  for (std::size_t layer = 0; layer < 2; ++layer) {
    const auto bias = parameters[layer][lacuna::Parameter::bias];
    const auto before = customary[layer][lacuna::Parameter::bias];
    for (std::size_t unit = 0; unit < 16; ++unit) {
      const float input = bias[unit], forget = bias[16 + unit];
      EXPECT_GE(forget, 0);
      EXPECT_LE(forget, std::log(999.0f));
      EXPECT_EQ(input, -forget);
      EXPECT_EQ(bias[32 + unit], before[32 + unit]);
      EXPECT_EQ(bias[48 + unit], before[48 + unit]);
    }
  }
}

// One tanh layer whose gradient is known: with the recurrent weight w and a state near 0, dL/dh shrinks or
// grows by w at every token.
TEST(LongSequenceGradientFlow, IsThePowerOfTheRecurrentWeight) {
  const auto context = lacuna::Context::cpu({.threads = 1});
  const auto stack = lacuna::stacked(lacuna::rnn(1, 1), {.depth = long_sequence::depth});
  const Sequences batch{.offsets = {0, 400, 700},
                        .times = std::vector<double>(700),
                        .values = std::vector<float>(700),
                        .codes = {0, 1}};
  for (const float weight : {0.5f, 1.25f}) {
    long_sequence::Model model(context, stack, {.tokens = 700, .sequences = 2}, 2, {}, {});
    for (auto& layer : model.parameters()) {
      layer.fill(0);
      layer[lacuna::Parameter::weights_h][0] = weight;
    }
    const auto flow = long_sequence::gradient_flow(context, model, batch);
    ASSERT_EQ(flow.size(), 300u);
    for (std::size_t distance = 0; distance < flow.size(); ++distance)
      EXPECT_NEAR(
          flow[distance] / flow[0] / std::pow(double{weight}, static_cast<double>(distance)), 1,
          1e-10);
  }
}

TEST(LongSequenceModel, LearnsTheSameBitsWithinAnyBudget) {
  const Task task{.length = 100};
  const auto context = lacuna::Context::cpu({.threads = 1});
  lacuna::Layer layer = lacuna::gru_with_gaps(task.features(), 8);
  layer.impute = lacuna::Impute::mean;
  const auto stack = lacuna::stacked(layer, {.depth = long_sequence::depth});
  const auto capacity = long_sequence::capacity_of(task, 8);
  const auto least = lacuna::measure(context, stack, capacity, {.segment = 8}).memory_least;
  long_sequence::Model free(context, stack, capacity, task.classes(), {.segment = 8}, {});
  long_sequence::Model tight(context, stack, capacity, task.classes(),
                             {.memory_budget = least, .segment = 8}, {});
  EXPECT_LT(2 * tight.plan().info().memory_bytes, free.plan().info().memory_bytes);
  for (std::uint64_t step = 0; step < 5; ++step) {
    const Sequences batch = long_sequence::draw(task, 8, step);
    EXPECT_EQ(free.train(batch), tight.train(batch));
  }
  for (std::size_t place = 0; place < stack.places(); ++place)
    EXPECT_TRUE(
        std::ranges::equal(free.parameters()[place].flat(), tight.parameters()[place].flat()));
}

}  // namespace
