// What tests of properties share: the cases they run over, and comparisons of whole runs.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "support/against_oracle.h"
#include "support/expect.h"
#include "support/library_run.h"
#include "support/selection.h"

namespace support {

// Every impute, evolve, cell and flag at least once in either type; widths that end within and on
// the border of a vector; enough sequences for several groups and for more than one a lane.
inline const char* const property_cases[] = {
    "rnn_f32_n11_d1_h1_len0-9_gap_init_seed1",
    "rnn_relu+decay+relax_f64_n11_d3_h4_len0-9_miss60_mask_seed2",
    "rnn_relu+forward+decay_f32_n9_d7_h31_len0-12_miss70_eo_seed3",
    "ode_euler_f64_n4_d3_h7_len1-9_miss50_gap_seed4",
    "rnn_euler+relax+decay_f32_n9_d3_h16_len0-9_miss70_eo_carry_seed5",
    "lstm_f32_n37_d5_h29_len0-9_init_seed6",
    "lstm+none+relax_f64_n5_d5_h8_len0-9_init_seed7",
    "lstm_decay_f32_n9_d3_h67_len0-9_miss70_seed8",
    "lstm+decay+decay_f64_n9_d3_h17_len0-9_miss80_eo_init_carry_seed9",
    "lstm+relax+relax_f32_n11_d2_h33_len0-9_miss60_eo_gap_carry_seed10",
    "lstm+none+decay_step_f32_n37_d5_h29_p13_len0-9_init_seed23",
    "lstm+relax+relax_f64_n11_d2_h33_p9_len0-9+40_miss60_eo_gap_carry_seed24",
    "lstm+decay+decay_f32_n9_d3_h17_p17_len0-9_miss80_eo_init_seed25",
    "lstm+forward+relax_f64_n9_d3_h21_p6_len0-9_miss60_init_zone20_zonec40_rdrop30_seed26",
    "gru_f64_n33_d5_h32_len0-9_seed11",
    "gru_gap_f32_n9_d17_h23_len0-9_miss50_carry_seed12",
    "gru+mean+decay_step_f64_n5_d3_h5_len0-9_miss50_eo_mask_gap_seed13",
    "gru+none+decay_f32_n9_d19_h13_len0-9_seed14",
    "gru+relax+relax_f32_n9_d3_h64_len0-9_miss70_eo_mask_seed15",
    "gru_reset_before+mean+none_f32_n70_d3_h19_len0-5_miss40_seed16",
    "grud_f64_n13_d5_h11_len0-19_miss80_init_seed17",
    "grud_f32_n40_d37_h34_len0-19+60_miss80_carry_seed18",
    "grud_f32_n3_d5_h8_len1-9_miss100_seed19",
    "grud_f64_n3_d5_h8_len1-9_miss0_eo_seed20",
    "grud_relax_f64_n11_d3_h5_len0-19+61_miss70_carry_seed21",
    "grud_relax_f32_n17_d13_h48_len0-19_miss70_init_seed22",
    "lstm+forward+decay_f32_n13_d3_h21_len0-12_miss60_eo_init_zone20_zonec40_rdrop30_seed23",
    "gru_reset_before+mean+relax_f64_n9_d5_h19_len0-9_miss40_zone30_rdrop20_seed24",
    "ode_euler_f32_n7_d3_h9_len1-9_miss50_zone40_seed25",
    "lstm+decay+relax_f32_n9_d5_h33_len0-9_miss60_eo_gap_ln_init_carry_seed23",
    "gru_f64_n33_d5_h20_len0-9_ln_seed24",
    "grud_f64_n13_d5_h17_len0-19_miss80_ln_init_seed25",
    "rnn_euler+mean+decay_step_f64_n9_d4_h19_len0-9_miss50_ln_seed26",
};

struct PropertyTest : testing::TestWithParam<const char*> {
  Case c = parse_case(GetParam());
};

inline bool draws(const Case& c) {
  return c.layer.zoneout_hidden_percent > 0 || c.layer.zoneout_cell_percent > 0 ||
         c.layer.recurrent_dropout_percent > 0;
}

inline bool has_mask(const Case& c) { return c.layer.impute != reference::Impute::none; }

inline std::vector<const char*> property_cases_where(bool (*holds)(const Case&)) {
  std::vector<const char*> cases;
  for (const char* text : property_cases)
    if (holds(parse_case(text))) cases.push_back(text);
  return cases;
}

// in_type(c, [&]<class Real>(Real) { ... });
template <class Test>
void in_type(const Case& c, Test test) {
  if (c.type == Type::f64) {
    test(double{});
  } else {
    test(float{});
  }
}

template <class Real>
LibraryRun<Real> library_run(const Case& c, const Data& data) {
  return LibraryRun<Real>(c, data.parameters, data.batch, data.upstream);
}

// What a named result has a row for.
enum class Per { token, sequence, parameter };

inline Per rows_of(const std::string& name) {
  if (name == "hidden" || name == "cell" || name == "evolved_hidden" || name == "imputed" ||
      name == "d_values" || name == "d_delta_t")
    return Per::token;
  if (name.starts_with("final") || name.starts_with("carry") || name.starts_with("d_initial"))
    return Per::sequence;
  return Per::parameter;
}

// How far two runs may be apart that add up a parameter's gradient in different orders, or a state
// over different steps: each within the bound that holds against the oracle.
template <class Real>
double apart(const Case& c, const std::string& name, std::int64_t tokens) {
  const bool summed = rows_of(name) == Per::parameter || name == "d_delta_t";
  const std::int64_t wide = c.layer.hidden + c.layer.input_width();
  const double one = rounding_tolerance<Real>(summed ? std::max(tokens, wide) : wide,
                                              mixing_steps(c.max_length()));
  return 2 * one * (summed ? std::sqrt(static_cast<double>(std::max<std::int64_t>(tokens, 1))) : 1);
}

template <class Real>
testing::AssertionResult are_close(const Case& c, const std::string& name, std::int64_t tokens,
                                   const std::vector<Real>& result,
                                   const std::vector<Real>& expected) {
  const std::vector<double> wide(expected.begin(), expected.end());
  return agrees(name, compare<Real>(result, wide, apart<Real>(c, name, tokens),
                                    rows_of(name) == Per::parameter ? 0 : row_width(name, c)));
}

template <class Real>
testing::AssertionResult are_same_bits(const std::string& name, const std::vector<Real>& result,
                                       const std::vector<Real>& expected) {
  return agrees(name, compare_bits<Real>(result, expected));
}

// Rows of tokens or sequences that are computed in another company: the same bits; but the same up to rounding where the
// sizes of products decide, and one is behind them.
template <class Real>
testing::AssertionResult are_alike(const Case& c, const std::string& name, std::int64_t tokens,
                                   const std::vector<Real>& result,
                                   const std::vector<Real>& expected) {
  const bool selected = name == "imputed" || name.starts_with("carry");
  return sizes_decide_bits && !selected ? are_close(c, name, tokens, result, expected)
                                        : are_same_bits(name, result, expected);
}

// Every result that the first has is in the second, and agree(name, one, other); nothing lies beside it.
template <class Real, class Stored, class Agree>
void expect_each(const LibraryRun<Real, Stored>& result, const LibraryRun<Real, Stored>& expected,
                 Agree&& agree) {
  for (const auto& [name, buffer] : result.results.entries()) {
    EXPECT_TRUE(guards_are_whole(name, *buffer));
    const auto* other = expected.results.find(name);
    ASSERT_NE(other, nullptr) << name;
    EXPECT_TRUE(agree(name, buffer->vector(), other->vector()));
  }
  if (result.last_time && expected.last_time) {
    EXPECT_TRUE(
        are_same_bits("last_time", result.last_time->vector(), expected.last_time->vector()));
  }
}

// With the same bits.
template <class Real, class Stored>
void expect_same_bits(const LibraryRun<Real, Stored>& result,
                      const LibraryRun<Real, Stored>& expected) {
  EXPECT_FALSE(result.results.entries().empty());
  expect_each(result, expected, are_same_bits<Real>);
}

// Forward runs of one case: with a tape, without, and of a plan that is for inference alone.
template <class Run>
void expect_bits_of_training(lacuna_context* context, Run& training, Run& no_tape, Run& inference) {
  const auto plan = make_plan(context, training.layer(), training.capacity());
  const auto tape = make_tape(plan.get());
  training.forward(plan.get(), tape.get());
  no_tape.forward(plan.get(), nullptr);
  expect_same_bits(no_tape, training);
  const auto small = make_plan(context, training.layer(), training.capacity(), true);
  inference.forward(small.get(), nullptr);
  expect_same_bits(inference, training);
}

}  // namespace support
