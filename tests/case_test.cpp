// Case strings and the data they stand for: what is written is what is meant, on every machine.
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/case.h"
#include "support/generate.h"
#include "support/random.h"

namespace {

using reference::Cell;
using reference::EmptyRows;
using reference::Evolve;
using reference::Impute;
using reference::Layer;
using support::Case;
using support::parse_case;

TEST(CaseString, NamesAPreset) {
  const Case c = parse_case("grud_f32_n7_h34_len0-19_miss80_seed3");
  EXPECT_EQ(c.layer, (Layer{Cell::gru_reset_before, Impute::decay, Evolve::decay, EmptyRows::update,
                            5, 34, true}));
  EXPECT_EQ(c.type, support::Type::f32);
  EXPECT_EQ(c.sequences, 7);
  EXPECT_EQ(c.shortest, 0);
  EXPECT_EQ(c.longest, 19);
  EXPECT_EQ(c.missing_percent, 80);
  EXPECT_EQ(c.seed, 3u);
}

TEST(CaseString, NamesAModelByItsParts) {
  const Case c =
      parse_case("lstm+forward+relax_f64_n5_d3_h17_len1-30+70000_miss50_eo_mask_gap_rev_seed9");
  EXPECT_EQ(c.layer, (Layer{Cell::lstm, Impute::forward, Evolve::relax, EmptyRows::evolve_only, 3,
                            17, true, true, true}));
  EXPECT_EQ(c.type, support::Type::f64);
  EXPECT_EQ(c.first_length, 70000);
  EXPECT_EQ(c.max_length(), 70000);
}

TEST(CaseString, ReadsBackWhatItWrites) {
  for (const char* text :
       {"grud_f32_n7_d5_h34_len0-19_miss80_seed3", "grud_relax_f64_n1_d1_h1_len0_miss100_rev_seed0",
        "lstm+forward+relax_f64_n5_d3_h17_len1-30_miss50_eo_mask_gap_rev_seed9",
        "rnn_f32_n3_d5_h8_len1-9_times_init_seed18446744073709551615",
        "gru_reset_before+mean_f32_n3_d5_h8_len4+70000_miss5_nan_delta_carry_seed2",
        "gru_decay_f32_n64_d41_h64_len200_eo_gap_seed1", "gru_f32_n64_d41_h64_len50-200_seed1",
        "ode_euler_f64_n3_d5_h8_len1-9_miss50_seed1",
        "rnn_relu+none+decay_f64_n0_d5_h8_len0_seed1"}) {
    EXPECT_EQ(to_string(parse_case(text)), text);
    EXPECT_EQ(parse_case(to_string(parse_case(text))), parse_case(text));
  }
}

TEST(CaseString, WritesTheShortestName) {
  EXPECT_EQ(to_string(parse_case("gru_reset_before+decay+decay_f32_mask_miss9_seed1")),
            "grud_f32_n3_d5_h8_len1-9_miss9_seed1");
  EXPECT_EQ(to_string(parse_case("gru_reset_before+decay+decay_f32_miss9_seed1")),
            "gru_reset_before+decay+decay_f32_n3_d5_h8_len1-9_miss9_seed1");
  EXPECT_EQ(to_string(parse_case("lstm+none+none_f32_seed1_h9")), "lstm_f32_n3_d5_h9_len1-9_seed1");
}

TEST(CaseString, CoversEveryCombination) {
  for (const char* cell :
       {"rnn_tanh", "rnn_relu", "rnn_euler", "lstm", "gru", "gru_reset_before"}) {
    for (const char* impute : {"none", "mean", "forward", "decay", "relax"}) {
      for (const char* evolve : {"none", "decay", "decay_step", "relax"}) {
        const std::string text = std::string(cell) + "+" + impute + "+" + evolve + "_f64_seed1";
        const Case c = parse_case(text);
        EXPECT_EQ(parse_case(to_string(c)), c) << text;
      }
    }
  }
}

TEST(CaseString, SaysWhatIsWrong) {
  const struct {
    const char* text;
    const char* part;
  } wrong[] = {{"", "lacks the type"},
               {"grud", "lacks the type"},
               {"grux_f32", "'grux' is no preset or cell"},
               {"gru+decays_f32", "'decays' is no impute; there are none, mean"},
               {"gru+decay+later_f32", "'later' is no evolve"},
               {"gru+decay+decay+decay_f32", "more parts"},
               {"gru_f32_", "'' is no field"},
               {"gru_f32x", "underscore"},
               {"gru_f32_q7", "'q7' is no field"},
               {"gru_f32_n", "whole number"},
               {"gru_f32_h3.5", "whole number"},
               {"gru_f32_n99999999999999999999", "whole number"},
               {"gru_f32_len-3", "'len-3' is no field"},
               {"gru_f32_len3-", "whole number"},
               {"gru_f32_len5-4", "shorter length behind"},
               {"gru_f32_n3_n4", "'n4' comes twice"},
               {"gru_f32_rev_rev", "'rev' comes twice"},
               {"gru_f32_h0", "at least h1"},
               {"gru_f32_d0", "at least d1"},
               {"grud_f32_miss101", "at most 100"},
               {"gru_f32_miss10", "needs an impute"},
               {"gru_f32_mask", "needs an impute"},
               {"gru_f32_nan", "needs an impute"}};
  for (const auto& [text, part] : wrong) {
    try {
      (void)parse_case(text);
      ADD_FAILURE() << "'" << text << "' was understood";
    } catch (const std::invalid_argument& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(part), std::string::npos) << message;
      EXPECT_EQ(message.rfind("case '" + std::string(text) + "'", 0), 0u) << message;
    }
  }
}

// ---- the data behind a case ---------------------------------------------------------------------

TEST(Generator, IsTheSameEverywhere) {
  support::Random random(42);
  EXPECT_EQ(random.next(), 13679457532755275413u);
  const auto batch = make_batch(parse_case("grud_f32_n3_d2_h3_len1-9_miss50_seed1"));
  EXPECT_EQ(batch.offsets, make_batch(parse_case("grud_f64_n3_d2_h3_len1-9_miss50_seed1")).offsets);
}

TEST(Generator, RoundsToTheTestedType) {
  const Case c = parse_case("grud_f32_n5_h7_len0-19_miss50_init_carry_seed1");
  const auto batch = make_batch(c);
  const auto parameters = make_parameters(c);
  const auto is_float = [](const std::vector<double>& x) {
    for (const double value : x) {
      if (std::isfinite(value) && value != static_cast<double>(static_cast<float>(value))) {
        return false;
      }
    }
    return true;
  };
  for (const auto& [name, tensor] : named_tensors(parameters))
    EXPECT_TRUE(is_float(*tensor)) << name;
  EXPECT_TRUE(is_float(batch.values));
  EXPECT_TRUE(is_float(batch.delta_t));
  EXPECT_TRUE(is_float(batch.initial_hidden));
  EXPECT_TRUE(is_float(batch.context.last_value));
  EXPECT_TRUE(is_float(make_upstream(c).d_hidden));
  EXPECT_FALSE(is_float(make_batch(parse_case("grud_f64_seed1")).values));
}

TEST(Generator, PoisonsWhatIsUnmeasured) {
  const auto given = make_batch(parse_case("grud_f32_n5_len0-19_miss60_seed1"));
  int nans = 0, infinities = 0;
  for (std::size_t at = 0; at < given.values.size(); ++at) {
    EXPECT_EQ(std::isfinite(given.values[at]), given.mask[at] != 0);
    nans += std::isnan(given.values[at]);
    infinities += std::isinf(given.values[at]);
  }
  EXPECT_GT(nans, 0);
  EXPECT_GT(infinities, 0);
  const auto from_nan = make_batch(parse_case("grud_f32_n5_len0-19_miss60_nan_seed1"));
  EXPECT_TRUE(from_nan.mask.empty());
  for (std::size_t at = 0; at < given.values.size(); ++at) {
    EXPECT_EQ(std::isnan(from_nan.values[at]), given.mask[at] == 0);
  }
}

TEST(Generator, MissesWhatTheCaseSays) {
  for (const int percent : {0, 20, 80, 100}) {
    const std::string text = "grud_f32_n50_d7_len100_seed1_miss" + std::to_string(percent);
    const auto batch = make_batch(parse_case(text));
    double missing = 0, empty_rows = 0;
    for (std::size_t s = 0; s < batch.mask.size() / 7; ++s) {
      int measured = 0;
      for (std::size_t d = 0; d < 7; ++d) measured += batch.mask[s * 7 + d];
      missing += 7 - measured;
      empty_rows += measured == 0;
    }
    EXPECT_NEAR(missing / static_cast<double>(batch.mask.size()), percent / 100.0, 0.02) << text;
    EXPECT_GE(empty_rows / 5000, percent / 400.0 - 0.02) << text;
  }
}

TEST(Generator, MakesTheLengthsOfTheCase) {
  const auto batch = make_batch(parse_case("gru_f32_n40_len2-9+70_seed1"));
  const auto length = [&](std::size_t b) { return batch.offsets[b + 1] - batch.offsets[b]; };
  EXPECT_EQ(length(0), 70);
  EXPECT_EQ(length(38), 9);
  EXPECT_EQ(length(39), 2);
  for (std::size_t b = 1; b < 40; ++b) {
    EXPECT_GE(length(b), 2);
    EXPECT_LE(length(b), 9);
  }
  EXPECT_EQ(make_batch(parse_case("gru_f32_n0_seed1")).tokens(), 0);
}

}  // namespace
