// The stepwise recurrence in float and double against the oracle: every cell with every evolve, rows that do not fire,
// both directions, widths that are no multiple of a vector, sequences of no and of one token.
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "emulator/emulator.h"
#include "support/against_oracle.h"
#include "support/stepwise_run.h"

namespace support {
namespace {

// What the tape must hold, under the names of StepwiseRun.
template <class Real>
void expect_tape(const Case& c, const reference::Parameters& parameters,
                 const reference::Batch& batch, const StepwiseRun<Real>& run) {
  const auto oracle = reference::forward(c.layer, parameters, batch);
  const auto plain = reference::forward(c.layer, convert<Real>(parameters), convert<Real>(batch));
  const double tolerance = rounding_tolerance<Real>(c.layer.hidden + c.layer.input_width(),
                                                    mixing_steps(c.max_length()));
  const auto H = static_cast<std::size_t>(c.layer.hidden);
  const auto expect = [&](const char* name, const std::vector<Real>& baseline,
                          const std::vector<double>& expected) {
    EXPECT_TRUE(agrees(
        name, compare_with_baseline<Real>(run.values.at(name), baseline, expected, tolerance, H)));
  };
  expect("tape_h", plain.evolved_hidden, oracle.evolved_hidden);
  if (c.layer.has_cell_state()) expect("tape_c", plain.evolved_cell, oracle.evolved_cell);
  // The oracle keeps four gates of every cell.
  const std::size_t saved = run.values.at("gates").size(), tokens = oracle.hidden.size();
  const std::size_t gates = tokens == 0 ? 0 : saved / tokens;
  const auto first_gates = [&](const auto& kept) {
    std::remove_cvref_t<decltype(kept)> first;
    for (std::size_t at = 0; at < kept.size(); ++at)
      if (at / H % 4 < gates) first.push_back(kept[at]);
    return first;
  };
  expect("gates", first_gates(plain.kept), first_gates(oracle.kept));
}

template <class Real>
void expect_stepwise_agreement(const Case& c, const StepwiseOptions& options) {
  SCOPED_TRACE(to_string(c));
  const auto parameters = make_parameters(c);
  const auto batch = make_batch(c);
  const auto upstream = make_upstream(c);
  StepwiseRun<Real> run(c.layer, parameters, batch, upstream, options);
  run.run();
  expect_tape(c, parameters, batch, run);
  const Verdict<Real> verdict(c, parameters, batch, upstream);
  for (const std::string& name : support::stepwise_results(c.layer))
    EXPECT_TRUE(verdict.on(name, run.values.at(name)));
}

using Model = std::tuple<const char*, const char*>;

class StepwiseOracle : public testing::TestWithParam<Model> {};

// Sequences of every length from 0; a first one longer than the rest.
std::string case_of(const Model& model, const char* type, int hidden, int variant) {
  const auto [cell, evolve] = model;
  const bool evolve_only = variant & 1, reverse = variant & 2, initial = variant & 4;
  return std::string(cell) + (evolve_only ? "+forward+" : "+none+") + evolve + "_" + type +
         "_n6_d3_h" + std::to_string(hidden) + "_len0-4+9" + (evolve_only ? "_miss75_eo" : "") +
         (reverse ? "_rev" : "") + (initial ? "_init" : "") + "_seed" +
         std::to_string(8 * hidden + variant);
}

template <class Real>
void expect_all_variants(const Model& model, const char* type) {
  for (const int hidden : {1, 3, 8, 17, 33, 65})
    for (int variant = 0; variant < 8; ++variant)
      expect_stepwise_agreement<Real>(
          parse_case(case_of(model, type, hidden, variant)),
          {.misaligned = (hidden + variant) % 3 == 0,
           .all_rows = (variant & 1) != 0,
           .parts = 1 + (hidden + variant) % lacuna::most_product_parts});
}

TEST_P(StepwiseOracle, Float) { expect_all_variants<float>(GetParam(), "f32"); }
TEST_P(StepwiseOracle, Double) { expect_all_variants<double>(GetParam(), "f64"); }

TEST_P(StepwiseOracle, SequencesOfOneToken) {
  const auto [cell, evolve] = GetParam();
  for (const char* sizes : {"_n4_h5_len1", "_n1_h5_len1_init", "_n5_h16_len0-1_rev_init"})
    expect_stepwise_agreement<float>(
        parse_case(std::string(cell) + "+none+" + evolve + "_f32" + sizes), {});
}

TEST_P(StepwiseOracle, NoTokensAtAll) {
  const auto [cell, evolve] = GetParam();
  const Case c = parse_case(std::string(cell) + "+none+" + evolve + "_f32_n3_h5_len0_init");
  const auto parameters = make_parameters(c);
  const auto batch = make_batch(c);
  const auto upstream = make_upstream(c);
  StepwiseRun<float> run(c.layer, parameters, batch, upstream);
  run.run();
  EXPECT_EQ(run.values["final_hidden"], convert<float>(batch.initial_hidden));
  EXPECT_EQ(run.values["final_cell"], convert<float>(batch.initial_cell));
  EXPECT_EQ(run.values["d_initial_hidden"], convert<float>(upstream.d_final_hidden));
  EXPECT_EQ(run.values["d_initial_cell"], convert<float>(upstream.d_final_cell));
}

TEST_P(StepwiseOracle, LongerThanOneBlockIsWide) {
  const auto [cell, evolve] = GetParam();
  // 150 groups of four units, in two blocks of 128 threads.
  expect_stepwise_agreement<float>(
      parse_case(std::string(cell) + "+none+" + evolve + "_f32_n2_d2_h597_len2-3"), {});
}

TEST_P(StepwiseOracle, ManyRows) {
  const auto [cell, evolve] = GetParam();
  expect_stepwise_agreement<float>(
      parse_case(std::string(cell) + "+none+" + evolve + "_f32_n150_d2_h3_len0-3_init"),
      {.all_rows = true});
}

INSTANTIATE_TEST_SUITE_P(Models, StepwiseOracle, stepwise_models(), stepwise_model_name);

}  // namespace
}  // namespace support
