// Padded batches at the door: packed rows, offsets, and the way back; padding is neither read nor
// left dirty.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "lacuna/lacuna.hpp"

namespace {

const lacuna::Context& context() {
  static const lacuna::Context two_threads = lacuna::Context::cpu({.threads = 2});
  return two_threads;
}

TEST(PaddedApi, PacksAndUnpacks) {
  std::mt19937 random(3);
  for (const std::int64_t sequences : {0, 1, 7, 60}) {
    for (const std::int64_t max_length : {0, 1, 9}) {
      for (const std::int64_t columns : {1, 5}) {
        std::vector<std::int64_t> lengths;
        for (std::int64_t b = 0; b < sequences; ++b)
          lengths.push_back(
              static_cast<std::int64_t>(random() % static_cast<unsigned>(max_length + 1)));
        const auto offsets = lacuna::offsets_of(lengths);
        std::vector<double> padded(static_cast<std::size_t>(sequences * max_length * columns),
                                   std::nan(""));
        std::vector<double> expected;
        for (std::int64_t b = 0; b < sequences; ++b)
          for (std::int64_t i = 0; i < lengths[static_cast<std::size_t>(b)] * columns; ++i)
            expected.push_back(padded[static_cast<std::size_t>(b * max_length * columns + i)] =
                                   random());
        std::vector<double> packed(expected.size()), again(padded.size(), -1);
        lacuna::pack<double>(context(), max_length, columns, lengths, padded, packed);
        EXPECT_EQ(packed, expected);
        lacuna::unpack<double>(context(), max_length, columns, offsets, packed, again);
        for (std::size_t i = 0; i < padded.size(); ++i)
          EXPECT_EQ(again[i], std::isnan(padded[i]) ? 0 : padded[i]);
      }
    }
  }
}

TEST(PaddedApi, OffsetsAlone) {
  const std::int64_t lengths[] = {2, 0, 5};
  std::int64_t offsets[4];
  ASSERT_EQ(lacuna_pack(context().get(), 3, 5, 8, lengths, nullptr, offsets, nullptr, nullptr),
            LACUNA_OK);
  EXPECT_EQ(std::vector<std::int64_t>(offsets, offsets + 4),
            (std::vector<std::int64_t>{0, 2, 2, 7}));
}

// The whole way: a padded batch gives what its ragged form gives, whatever the padding holds.
TEST(PaddedApi, APaddedBatchRuns) {
  const std::int64_t B = 3, T = 4, D = 2, H = 3;
  const std::vector<std::int64_t> lengths{4, 0, 2};
  std::vector<float> values(B * T * D, std::nanf("")), ragged_values;
  std::vector<double> times(B * T, -std::numeric_limits<double>::infinity()), ragged_times;
  std::vector<std::uint8_t> mask(B * T * D, 1), ragged_mask;
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t t = 0; t < lengths[static_cast<std::size_t>(b)]; ++t) {
      const auto row = static_cast<std::size_t>(b * T + t);
      ragged_times.push_back(times[row] = 10.0 + 0.5 * static_cast<double>(t));
      for (std::size_t d = 0; d < D; ++d) {
        ragged_mask.push_back(mask[row * D + d] = (b + t) % 3 != static_cast<std::int64_t>(d));
        values[row * D + d] = mask[row * D + d] ? 0.1f * static_cast<float>(row) : std::nanf("");
        ragged_values.push_back(values[row * D + d]);
      }
    }
  }
  const lacuna::RaggedBatch<float> packed = lacuna::pack<float>(context(), {.lengths = lengths,
                                                                            .max_length = T,
                                                                            .features = D,
                                                                            .values = values,
                                                                            .mask = mask,
                                                                            .times = times});
  EXPECT_EQ(packed.sequences(), 3);
  EXPECT_EQ(packed.tokens(), 6);
  EXPECT_EQ(packed.mask, ragged_mask);
  EXPECT_EQ(packed.times, ragged_times);
  EXPECT_TRUE(packed.delta_t.empty());

  const lacuna::Layer layer = lacuna::gru_d(D, H);
  const lacuna::Parameters<float> parameters(layer, 2);
  lacuna::Plan plan(context(), layer, {.tokens = B * T, .sequences = B});
  std::vector<float> hidden(6 * H), expected(6 * H), padded_hidden(B * T * H, -1);
  plan.forward(parameters, packed.view(), {.hidden = hidden});
  const std::vector<std::int64_t> offsets{0, 4, 4, 6};
  plan.forward(
      parameters,
      {.offsets = offsets, .values = ragged_values, .mask = ragged_mask, .times = ragged_times},
      {.hidden = expected});
  EXPECT_EQ(hidden, expected);
  lacuna::unpack<float>(context(), T, H, packed.offsets, hidden, padded_hidden);
  for (std::size_t i = 0; i < 4 * H; ++i) EXPECT_EQ(padded_hidden[i], hidden[i]);
  for (std::size_t i = 4 * H; i < 8 * H; ++i) EXPECT_EQ(padded_hidden[i], 0);
}

// Whether the cell fires, states, and what is drawn come along.
TEST(PaddedApi, APaddedBatchOfALayerThatOnlyEvolves) {
  lacuna::Layer layer = lacuna::gru(2, 3);
  layer.evolve = lacuna::Evolve::decay_step;
  layer.empty_rows = lacuna::EmptyRows::evolve_only;
  layer.zoneout_hidden = 0.5;
  const lacuna::Parameters<float> parameters(layer, 2);
  lacuna::Plan plan(context(), layer, {.tokens = 6, .sequences = 2});
  lacuna::Tape tape(plan);
  const std::vector<std::int64_t> lengths{3, 1}, offsets{0, 3, 4}, names{7, 9};
  const std::vector<float> values{1, 2, 3, 4, 5, 6, 7, 8, -1, -1, -1, -1},
      gaps{0, 1, 2, 0.5f, -1, -1}, initial{.1f, .2f, .3f, .4f, .5f, .6f};
  const std::vector<std::uint8_t> fires{1, 0, 1, 0, 9, 9};
  const auto packed = lacuna::pack<float>(context(), {.lengths = lengths,
                                                      .max_length = 3,
                                                      .features = 2,
                                                      .values = values,
                                                      .fires = fires,
                                                      .delta_t = gaps,
                                                      .initial_hidden = initial,
                                                      .noise = {.seed = 5, .sequence = names}});
  EXPECT_EQ(packed.fires, (std::vector<std::uint8_t>{1, 0, 1, 0}));
  std::vector<float> hidden(12), expected(12);
  plan.forward(parameters, packed.view(), {.hidden = hidden}, tape);
  plan.forward(parameters,
               {.offsets = offsets,
                .values = std::span(values).first(8),
                .fires = std::span(fires).first(4),
                .delta_t = std::span(gaps).first(4),
                .initial_hidden = initial,
                .noise = {.seed = 5, .sequence = names}},
               {.hidden = expected}, tape);
  EXPECT_EQ(hidden, expected);
}

}  // namespace
