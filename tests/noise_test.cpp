// Zoneout and recurrent dropout beyond what the oracle's cases see: whose numbers are whose, how often they are drawn, and
// what inference makes of them.
#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "kernels/cells/noise.h"
#include "support/properties.h"

namespace {

using lacuna::Noise;
using lacuna::NoiseUse;
using support::Case;
using support::Data;
using support::in_type;
using support::library_run;

constexpr NoiseUse all_uses[] = {NoiseUse::zoneout_hidden, NoiseUse::zoneout_cell,
                                 NoiseUse::recurrent_dropout};

// One key never gives two counters the same numbers, so that equal ones would mean equal counters.
TEST(NoiseNumbers, AreSharedByNoTwoPlaces) {
  constexpr std::int64_t top = lacuna::noise_limit - 1;
  const std::int64_t numbers[] = {0,
                                  1,
                                  2,
                                  65535,
                                  65536,
                                  (std::int64_t{1} << 32) - 1,
                                  std::int64_t{1} << 32,
                                  (std::int64_t{1} << 32) + 1,
                                  top};
  std::set<std::array<std::uint32_t, 4>> seen;
  std::size_t drawn = 0;
  const auto draw = [&](const lacuna::PhiloxNumbers& block) {
    seen.insert({block.word[0], block.word[1], block.word[2], block.word[3]});
    ++drawn;
  };
  for (const std::uint32_t place : {0u, 1u, 2u, 127u}) {
    const Noise noise{lacuna::seed_of_place(17, place)};
    for (const NoiseUse use : all_uses)
      for (const std::int64_t sequence : numbers)
        for (const std::int64_t position : numbers)
          for (const std::int64_t unit : {0, 4, 8, 1 << 22, (1 << 24) - 4})
            draw(noise.draw(use, sequence, position, unit));
  }
  for (const std::uint32_t layer : {0u, 1u, 63u}) {
    const lacuna::Dropout dropout{.probability = 0.5, .seed = 17, .layer = layer};
    for (const std::int64_t sequence : numbers)
      for (const std::int64_t position : numbers)
        for (const std::int64_t column : {0, 4, 8, (1 << 24) - 4})
          draw(dropout.draw(sequence, position, column));
  }
  EXPECT_EQ(seen.size(), drawn);
}

TEST(NoiseNumbers, OfFourNeighboursAreOneBlock) {
  const Noise noise{3};
  for (const NoiseUse use : all_uses)
    for (int unit = 0; unit < 4; ++unit)
      EXPECT_EQ(noise.draw(use, 5, 6, 8).word[unit], noise.draw(use, 5, 6, 8 + unit).word[unit]);
}

TEST(NoiseNumbers, AreDrawnAsOftenAsAsked) {
  const Noise noise{23};
  for (const NoiseUse use : all_uses)
    for (const double probability : {0.01, 0.3, 0.9}) {
      constexpr std::int64_t sequences = 30, positions = 100, units = 32;
      std::int64_t drawn = 0;
      for (std::int64_t b = 0; b < sequences; ++b)
        for (std::int64_t p = 0; p < positions; ++p)
          for (std::int64_t u = 0; u < units; ++u)
            drawn += noise.draw(use, b, p, u).word[u % 4] < lacuna::threshold_of(probability);
      // Five standard deviations of a binomial share.
      constexpr double count = sequences * positions * units;
      EXPECT_NEAR(static_cast<double>(drawn) / count, probability,
                  5 * std::sqrt(probability * (1 - probability) / count));
    }
}

TEST(NoiseNumbers, BetweenLayersAreDrawnAsOftenAsAsked) {
  const lacuna::Dropout dropout{.probability = 0.3, .seed = 17, .layer = 2};
  constexpr std::int64_t sequences = 40, positions = 100, columns = 25;
  std::int64_t drawn = 0;
  for (std::int64_t b = 0; b < sequences; ++b)
    for (std::int64_t p = 0; p < positions; ++p)
      for (std::int64_t c = 0; c < columns; ++c)
        drawn += dropout.draw(b, p, c).word[c % 4] < dropout.threshold();
  // Five standard deviations of a binomial share.
  constexpr double count = sequences * positions * columns;
  EXPECT_NEAR(static_cast<double>(drawn) / count, 0.3, 5 * std::sqrt(0.3 * 0.7 / count));
}

// ---- The library ----

template <class Real>
std::vector<Real> result(const support::LibraryRun<Real>& run, const char* name) {
  return run.results.find(name)->vector();
}

// A unit that stays as it was has the bits of its evolved state.
TEST(Zoneout, KeepsTheShareThatWasAskedFor) {
  const Case c = support::parse_case("gru_f32_n40_d3_h32_len30_zone20_seed4");
  const auto context = support::make_context();
  support::LibraryRun<float> run(c);
  run.run(context.get());
  const auto hidden = result(run, "hidden"), evolved = result(run, "evolved_hidden");
  std::size_t stayed = 0;
  for (std::size_t i = 0; i < hidden.size(); ++i) stayed += hidden[i] == evolved[i];
  const auto count = static_cast<double>(hidden.size());
  EXPECT_NEAR(static_cast<double>(stayed) / count, 0.2, 5 * std::sqrt(0.2 * 0.8 / count));
}

// Of many sequences of one token, all alike: each unit is one of two numbers, and inference is their mean.
TEST(Zoneout, AveragesToWhatInferenceGives) {
  Case c = support::parse_case("lstm_f64_n4000_d3_h5_len1_init_zone30_zonec60_seed7");
  Data data(c);
  data.batch.noise.sequence.clear();
  const auto same = [&](std::vector<double>& rows, std::size_t width) {
    for (std::size_t i = width; i < rows.size(); ++i) rows[i] = rows[i % width];
  };
  same(data.batch.values, 3);
  same(data.batch.initial_hidden, 5);
  same(data.batch.initial_cell, 5);
  const auto context = support::make_context();
  auto training = library_run<double>(c, data), inference = library_run<double>(c, data);
  const auto plan = support::make_plan(context.get(), training.layer(), training.capacity());
  const auto tape = support::make_tape(plan.get());
  training.forward(plan.get(), tape.get());
  inference.forward(plan.get(), nullptr);
  const auto mean_is_expected = [&](const char* name, const std::vector<double>& initial,
                                    double probability) {
    const auto drawn = result(training, name), expected = result(inference, name);
    for (std::size_t u = 0; u < 5; ++u) {
      double sum = 0, other = initial[u];
      for (std::size_t b = 0; b < 4000; ++b) {
        sum += drawn[b * 5 + u];
        if (drawn[b * 5 + u] != initial[u]) other = drawn[b * 5 + u];
      }
      const double apart = std::abs(other - initial[u]);
      EXPECT_NEAR(sum / 4000, expected[u],
                  5 * apart * std::sqrt(probability * (1 - probability) / 4000) + 1e-15)
          << name << u;
    }
  };
  mean_is_expected("hidden", data.batch.initial_hidden, 0.3);
  mean_is_expected("cell", data.batch.initial_cell, 0.6);
}

class NoiseOf : public testing::TestWithParam<const char*> {
 protected:
  Case c = support::parse_case(GetParam());
};

INSTANTIATE_TEST_SUITE_P(
    Models, NoiseOf,
    testing::Values(
        "rnn_f32_n7_d3_h9_len0-9_zone30_rdrop40_seed1",
        "ode_euler_f64_n5_d3_h7_len0-9_miss50_rev_zone20_rdrop30_seed2",
        "lstm+forward+relax_f32_n9_d3_h18_len0-9_miss50_eo_zone30_zonec50_rdrop20_seed3",
        "lstm_f64_n9_d3_h17_len0-9_init_zonec50_seed4",
        "gru_f32_n9_d5_h33_len0-9_init_rdrop50_seed5",
        "grud_f64_n9_d5_h13_len0-9_miss60_zone10_rdrop50_seed6"),
    support::test_name);

// Of zoneout what can be expected of each step, of dropout nothing: as the oracle has it, with a plan for training and with
// one for inference.
TEST_P(NoiseOf, InferenceIsTheExpectationOfEachStep) {
  Data data(c);
  data.batch.noise.drawn = false;
  in_type(c, [&]<class Real>(Real) {
    const support::Verdict<Real> verdict(c, data.parameters, data.batch, data.upstream);
    for (const lacuna_isa isa : support::instruction_sets()) {
      const auto context = support::make_context(2, isa);
      for (const bool inference : {false, true}) {
        auto run = library_run<Real>(c, data);
        const auto plan = support::make_plan(context.get(), run.layer(), run.capacity(), inference);
        run.forward(plan.get(), nullptr);
        for (const auto& [name, buffer] : run.results.entries())
          EXPECT_TRUE(verdict.on(name, buffer->span()));
      }
    }
  });
}

TEST_P(NoiseOf, ASeedRepeatsItsBitsAndAnotherHasOthers) {
  in_type(c, [&]<class Real>(Real) {
    const auto context = support::make_context(2);
    const auto run_with = [&](std::uint64_t seed) {
      Data data(c);
      data.batch.noise.seed = seed;
      auto run = library_run<Real>(c, data);
      run.run(context.get());
      return run;
    };
    const auto first = run_with(1), again = run_with(1), other = run_with(2);
    support::expect_same_bits(again, first);
    EXPECT_NE(result(other, "hidden"), result(first, "hidden"));
  });
}

// What a layer does not draw, it does not look for: no bit depends on it.
TEST_P(NoiseOf, WithoutProbabilitiesThereIsNone) {
  c.layer.zoneout_hidden_percent = c.layer.zoneout_cell_percent = 0;
  c.layer.recurrent_dropout_percent = 0;
  in_type(c, [&]<class Real>(Real) {
    const auto context = support::make_context(2);
    Data named(c), plain(c);
    plain.batch.noise = {.seed = 99, .sequence = {}, .position = {}};
    auto one = library_run<Real>(c, named), other = library_run<Real>(c, plain);
    one.run(context.get());
    other.run(context.get());
    support::expect_same_bits(one, other);
  });
}

// Sequences of one name see the same numbers, wherever they stand.
TEST(NoiseNames, ThatAreAlikeDrawAlike) {
  const Case c = support::parse_case("gru_f64_n6_d3_h17_len5_zone40_rdrop40_seed3");
  Data data(c);
  const std::size_t row = 5 * 3;
  for (std::size_t i = 0; i < row; ++i) data.batch.values[4 * row + i] = data.batch.values[i];
  const auto context = support::make_context();
  const auto hidden_of = [&](std::vector<std::int64_t> names) {
    data.batch.noise.sequence = std::move(names);
    auto run = library_run<double>(c, data);
    run.run(context.get());
    return result(run, "hidden");
  };
  const auto rows_are_equal = [](const std::vector<double>& hidden) {
    constexpr std::size_t width = 5 * 17;
    return std::equal(hidden.begin(), hidden.begin() + width, hidden.begin() + 4 * width);
  };
  EXPECT_TRUE(rows_are_equal(hidden_of({7, 1, 2, 3, 7, 5})));
  EXPECT_FALSE(rows_are_equal(hidden_of({7, 1, 2, 3, 8, 5})));
}

TEST(NoisePlan, SaysWhatIsDrawn) {
  const Case c = support::parse_case("lstm_f32_n6_d3_h17_len5_zone40_zonec10_rdrop25");
  const auto context = support::make_context();
  const auto plan =
      support::make_plan(context.get(), support::library_layer(c), {.tokens = 30, .sequences = 6});
  char text[4096];
  std::size_t length = sizeof text;
  support::must(lacuna_plan_explain(plan.get(), text, &length));
  EXPECT_NE(std::string(text).find("zoneout 0.4 of h, 0.1 of c, recurrent dropout 0.25"),
            std::string::npos)
      << text;
}

}  // namespace
