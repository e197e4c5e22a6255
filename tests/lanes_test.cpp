// How sequences are dealt to groups and lanes, where the CPU backend keeps what, and what a plan
// says of itself.
#include "host/plan/lanes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "host/plan/layout.h"
#include "host/plan/recipe.h"
#include "support/guarded_buffer.h"
#include "support/random.h"

namespace {

using lacuna::Lane;
using lacuna::Lanes;
using Numbers = std::vector<std::int64_t>;

// Lanes in memory of exactly the size that lanes_bytes reports, between guards.
class Dealt {
 public:
  Dealt(const Numbers& lengths, std::int64_t groups, std::int64_t lanes_per_group)
      : lengths_(lengths),
        memory_(lacuna::lanes_bytes(count(), groups, lanes_per_group)),
        lanes_(lacuna::place_lanes(reinterpret_cast<std::byte*>(memory_.data()), count(), groups,
                                   lanes_per_group)) {
    Numbers offsets = {0};
    for (const std::int64_t length : lengths) offsets.push_back(offsets.back() + length);
    lacuna::deal(lanes_, offsets);
  }

  const Lanes* operator->() const { return &lanes_; }
  std::int64_t count() const { return static_cast<std::int64_t>(lengths_.size()); }
  std::int64_t length(std::int64_t position) const {
    return lengths_[static_cast<std::size_t>(lanes_.order[position])];
  }
  Numbers order() const { return {lanes_.order, lanes_.order + count()}; }
  std::string damage() const { return memory_.damage(); }

  // Tokens of a group, and the longest of its sequences.
  std::pair<std::int64_t, std::int64_t> load(std::int64_t group) const {
    std::int64_t tokens = 0, longest = 0;
    for (const Lane& lane : lanes_.of(group)) {
      tokens += lane.tokens;
      for (std::int64_t at = lane.first; at < lane.last; ++at)
        longest = std::max(longest, length(at));
    }
    return {tokens, longest};
  }

 private:
  Numbers lengths_;
  support::GuardedBuffer<unsigned char> memory_;
  Lanes lanes_;
};

Numbers draw_lengths(support::Random& random) {
  Numbers lengths(static_cast<std::size_t>(random.below(random.chance(0.3) ? 300 : 20)));
  const std::int64_t longest = random.chance(0.3) ? 2 : 100;
  for (auto& length : lengths) length = random.below(longest + 1);
  if (!lengths.empty() && random.chance(0.3)) lengths.front() = 5000;
  return lengths;
}

TEST(Lanes, HoldEverySequenceOnce) {
  support::Random random(1);
  for (int round = 0; round < 400; ++round) {
    const Numbers lengths = draw_lengths(random);
    const std::int64_t groups = 1 + random.below(16), per_group = 1 + random.below(32);
    const Dealt dealt(lengths, groups, per_group);
    EXPECT_EQ(dealt.damage(), "");
    Numbers order = dealt.order(), all(lengths.size());
    std::sort(order.begin(), order.end());
    std::iota(all.begin(), all.end(), std::int64_t{0});
    ASSERT_EQ(order, all);
    // Lanes follow one another in the order: no position is left out and none is in two.
    std::vector<std::pair<std::int64_t, std::int64_t>> ranges;
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto lanes = dealt->of(g);
      ASSERT_LE(static_cast<std::int64_t>(lanes.size()), per_group);
      for (std::size_t l = 0; l < lanes.size(); ++l) {
        std::int64_t tokens = 0;
        for (std::int64_t at = lanes[l].first; at < lanes[l].last; ++at) {
          ASSERT_GT(dealt.length(at), 0);
          tokens += dealt.length(at);
        }
        ASSERT_EQ(lanes[l].tokens, tokens);
        ASSERT_GT(tokens, 0);
        // The engine drops lanes from the end as they finish.
        if (l > 0) {
          ASSERT_LE(lanes[l].tokens, lanes[l - 1].tokens);
        }
        ranges.emplace_back(lanes[l].first, lanes[l].last);
      }
    }
    std::sort(ranges.begin(), ranges.end());
    std::int64_t end = 0;
    for (const auto& [first, last] : ranges) {
      ASSERT_EQ(first, end);
      end = last;
    }
    ASSERT_EQ(end, dealt->empty_first);
    for (std::int64_t at = end; at < dealt.count(); ++at) ASSERT_EQ(dealt.length(at), 0);
  }
}

// Longest first to the least loaded: a classic list schedule, never worse than the mean and one
// sequence more (Graham 1969).
TEST(Lanes, AreLevel) {
  support::Random random(2);
  for (int round = 0; round < 400; ++round) {
    const Numbers lengths = draw_lengths(random);
    const std::int64_t groups = 1 + random.below(16), per_group = 1 + random.below(32);
    const Dealt dealt(lengths, groups, per_group);
    const std::int64_t total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto [tokens, longest] = dealt.load(g);
      EXPECT_LE(tokens, total / groups + longest);
      const auto lanes = dealt->of(g);
      if (lanes.empty()) continue;
      const auto count = static_cast<std::int64_t>(lanes.size());
      EXPECT_LE(lanes[0].tokens, tokens / count + longest);
      // No more lanes than finish about as soon as the longest sequence does by itself.
      EXPECT_LE((count - 1) * longest, tokens);
    }
  }
}

TEST(Lanes, DependOnLengthsAlone) {
  support::Random random(3);
  for (int round = 0; round < 50; ++round) {
    const Numbers lengths = draw_lengths(random);
    const Dealt once(lengths, 5, 7), again(lengths, 5, 7);
    EXPECT_EQ(once.order(), again.order());
  }
}

TEST(Lanes, ALongSequenceHasALaneToItself) {
  Numbers lengths(41, 3);
  lengths[17] = 70000;
  const Dealt dealt(lengths, 1, 16);
  const auto lanes = dealt->of(0);
  // 40 short ones fit beside it in one other lane.
  ASSERT_EQ(lanes.size(), 2u);
  EXPECT_EQ(lanes[0].tokens, 70000);
  EXPECT_EQ(lanes[0].last - lanes[0].first, 1);
  EXPECT_EQ(dealt->order[lanes[0].first], 17);
  EXPECT_EQ(lanes[1].tokens, 120);
}

TEST(Lanes, OfEqualLengthsAreFilledInTurn) {
  const Dealt dealt(Numbers(64, 10), 2, 16);
  for (std::int64_t g = 0; g < 2; ++g) {
    ASSERT_EQ(dealt->of(g).size(), 16u);
    for (const Lane& lane : dealt->of(g)) EXPECT_EQ(lane.tokens, 20);
  }
}

TEST(Lanes, OfNothing) {
  for (const Numbers& lengths : {Numbers{}, Numbers{0}, Numbers{0, 0, 0}}) {
    const Dealt dealt(lengths, 3, 2);
    EXPECT_EQ(dealt->empty_first, 0);
    for (std::int64_t g = 0; g < 3; ++g) EXPECT_TRUE(dealt->of(g).empty());
    EXPECT_EQ(dealt.damage(), "");
  }
  Lanes none = lacuna::place_lanes(nullptr, 0, 0, 0);
  lacuna::deal(none, {});
  EXPECT_EQ(none.empty_first, 0);
}

lacuna_layer layer_of(lacuna_cell cell, lacuna_impute impute, lacuna_evolve evolve,
                      std::int64_t features, std::int64_t hidden, lacuna_type type = LACUNA_F32) {
  lacuna_layer layer{};
  layer.cell = cell;
  layer.impute = impute;
  layer.evolve = evolve;
  layer.features = features;
  layer.hidden = hidden;
  layer.type = type;
  return layer;
}

template <class Test>
void for_every_model(Test test) {
  for (int cell = 0; cell < 6; ++cell)
    for (int impute = 0; impute < 5; ++impute)
      for (int evolve = 0; evolve < 4; ++evolve)
        for (const auto type : {LACUNA_F32, LACUNA_F64})
          for (const std::int64_t hidden : {1, 17, 64, 500})
            for (const std::int64_t features : {1, 37}) {
              lacuna_layer layer =
                  layer_of(static_cast<lacuna_cell>(cell), static_cast<lacuna_impute>(impute),
                           static_cast<lacuna_evolve>(evolve), features, hidden, type);
              layer.mask_input = impute > 0 && hidden > 1;
              layer.gap_input = features > 1;
              test(layer);
            }
}

// Columns that do not overlap, on the borders of cache lines where a vector is loaded from them.
TEST(Layout, RowsHoldTheirColumnsSideBySide) {
  for_every_model([](const lacuna_layer& layer) {
    const lacuna::Layout lay = lacuna::make_layout(layer, {100, 10}, false, 2);
    const std::int64_t line = layer.type == LACUNA_F64 ? 8 : 16;
    EXPECT_EQ(lay.units % line, 0);
    EXPECT_EQ(lay.h % line, 0);
    EXPECT_EQ(lay.operand_stride % line, 0);
    EXPECT_EQ(lay.gradient_stride % line, 0);
    EXPECT_GE(lay.x, 0);
    EXPECT_EQ(lay.one, lay.x + lay.input);
    EXPECT_EQ(lay.h, lay.one + 1);
    EXPECT_EQ(lay.delta, lay.h + lay.units);
    EXPECT_GE(lay.operand_stride, lay.step);
    if (lay.elapsed_width > 0) {
      EXPECT_LE(lay.elapsed + lay.elapsed_width + 1, lay.operand_stride);
    }
    EXPECT_GE(lay.gradient_stride,
              (lay.gradient_gates + (lay.elapsed_width > 0 ? 1 : 0)) * lay.units);
    std::int64_t offset = 0;
    for (int p = 0; p < lay.product_count; ++p) {
      const auto& product = lay.products[static_cast<std::size_t>(p)];
      EXPECT_EQ(product.offset, offset);
      EXPECT_GE(product.stride, product.columns);
      EXPECT_LE(product.first_column + product.columns, lay.operand_stride);
      EXPECT_LE((product.first_gate + product.gates) * lay.units, lay.gradient_stride);
      offset += product.gates * lay.hidden * product.stride;
    }
    EXPECT_EQ(lay.weight_sums, offset);
  });
}

// So that sums have one order: groups, lanes and windows are the same for any number of threads.
TEST(Layout, WorkIsSplitByShapeAlone) {
  for (const std::int64_t sequences : {0, 1, 7, 8, 31, 64, 500, 100000}) {
    const auto layer = layer_of(LACUNA_GRU, LACUNA_IMPUTE_NONE, LACUNA_EVOLVE_NONE, 5, 200);
    const auto one = lacuna::make_layout(layer, {5000, sequences}, false, 1);
    EXPECT_GE(one.groups * std::min<std::int64_t>(one.max_lanes, sequences), sequences > 0);
    EXPECT_LE(one.max_lanes, lacuna::most_lanes);
    EXPECT_LE(one.window, lacuna::most_window);
    EXPECT_GE(one.window, one.max_lanes);
    EXPECT_GE(one.groups, sequences >= 8 ? 2 : 1);
    for (const int threads : {2, 3, 64}) {
      const auto more = lacuna::make_layout(layer, {5000, sequences}, false, threads);
      EXPECT_EQ(more.groups, one.groups);
      EXPECT_EQ(more.max_lanes, one.max_lanes);
      EXPECT_EQ(more.windowed, one.windowed);
      EXPECT_EQ(more.window, one.window);
      EXPECT_EQ(more.tape.bytes, one.tape.bytes);
      EXPECT_GE(more.workspace.bytes, one.workspace.bytes);
    }
  }
}

TEST(Layout, GrowsWithTheCapacityAndShrinksWithoutABackward) {
  for_every_model([](const lacuna_layer& layer) {
    const auto small = lacuna::make_layout(layer, {100, 10}, false, 2);
    const auto large = lacuna::make_layout(layer, {200, 10}, false, 2);
    const auto inference = lacuna::make_layout(layer, {100, 10}, true, 2);
    EXPECT_GT(large.tape.bytes, small.tape.bytes);
    EXPECT_GE(large.workspace.bytes, small.workspace.bytes);
    EXPECT_LE(inference.workspace.bytes, small.workspace.bytes);
    // An inference plan's memory does not depend on the number of tokens.
    EXPECT_EQ(lacuna::make_layout(layer, {1 << 20, 10}, true, 2).workspace.bytes,
              inference.workspace.bytes);
  });
}

TEST(Layout, RowsAreAnOddNumberOfCacheLinesApart) {
  for_every_model([](const lacuna_layer& layer) {
    const lacuna::Layout lay = lacuna::make_layout(layer, {100, 10}, false, 2);
    const std::int64_t line = layer.type == LACUNA_F64 ? 8 : 16;
    EXPECT_EQ(lay.operand_stride / line % 2, 1);
    EXPECT_EQ(lay.gradient_stride / line % 2, 1);
  });
}

TEST(Layout, EightThreadsFindWorkWhereWeightsStayInTheCache) {
  const auto layer = layer_of(LACUNA_LSTM, LACUNA_IMPUTE_NONE, LACUNA_EVOLVE_NONE, 41, 64);
  const auto groups = [&](std::int64_t sequences) {
    return lacuna::make_layout(layer, {100 * sequences, sequences}, false, 1).groups;
  };
  EXPECT_EQ(groups(16), 2);
  EXPECT_EQ(groups(64), 8);
  EXPECT_EQ(groups(128), 8);
  EXPECT_EQ(groups(256), 16);
}

// Of groups' sums and all tokens' gradient rows, the smaller; sums that the caches hold are kept in any case.
TEST(Layout, GradientRowsAreKeptWhereTheyTakeLessRoomThanSums) {
  const auto windowed = [](std::int64_t hidden, std::int64_t tokens) {
    const auto layer = layer_of(LACUNA_GRU, LACUNA_IMPUTE_NONE, LACUNA_EVOLVE_NONE, hidden, hidden);
    return lacuna::make_layout(layer, {tokens, 16}, false, 1).windowed;
  };
  EXPECT_TRUE(windowed(64, 16));
  EXPECT_FALSE(windowed(512, 800));
  EXPECT_TRUE(windowed(512, 8000));
  EXPECT_FALSE(windowed(1024, 8000));
}

TEST(Layout, SizesThatDoNotFitAreRefused) {
  auto layer = layer_of(LACUNA_LSTM, LACUNA_IMPUTE_NONE, LACUNA_EVOLVE_NONE, 1 << 24, 1 << 24);
  EXPECT_THROW(lacuna::make_layout(layer, {std::int64_t{1} << 48, 1}, false, 1), std::length_error);
  EXPECT_NO_THROW(lacuna::make_layout(layer, {1, 1}, false, 1));
}

TEST(Recipe, SaysWhatWillRunAndWhy) {
  auto layer = layer_of(LACUNA_GRU_RESET_BEFORE, LACUNA_IMPUTE_DECAY, LACUNA_EVOLVE_DECAY, 37, 64);
  layer.mask_input = layer.reverse = 1;
  const auto has = [](const std::string& text, const std::string& word) {
    return text.find(word) != std::string::npos;
  };
  const auto recipe = lacuna::make_recipe(layer, {1000, 40}, false, LACUNA_ISA_AVX2, 3);
  const std::string text = lacuna::explain(recipe);
  EXPECT_TRUE(has(text, std::to_string(recipe.layout.groups) + " group")) << text;
  for (const char* word : {"decay -> decay -> gru_reset_before", "fp32", "37 features", "64 hidden",
                           "reverse", "input width 74", "1000 tokens", "40 sequences", "AVX2",
                           "3 thread", "rows at a time", "tape", "bytes a token", "workspace"})
    EXPECT_TRUE(has(text, word)) << word << " is not in\n" << text;

  layer = layer_of(LACUNA_LSTM, LACUNA_IMPUTE_NONE, LACUNA_EVOLVE_RELAX, 3, 512, LACUNA_F64);
  const std::string wide =
      lacuna::explain(lacuna::make_recipe(layer, {1000, 512}, false, LACUNA_ISA_BASELINE, 1));
  for (const char* word : {"none -> relax -> lstm", "fp64", "baseline", "one pass"})
    EXPECT_TRUE(has(wide, word)) << word << " is not in\n" << wide;

  const std::string inference =
      lacuna::explain(lacuna::make_recipe(layer, {0, 0}, true, LACUNA_ISA_AVX512, 1));
  EXPECT_TRUE(has(inference, "inference only"));
  EXPECT_FALSE(has(inference, "tape"));
}

}  // namespace
