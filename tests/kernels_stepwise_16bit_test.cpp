// The stepwise recurrence in fp16 and bf16 against the oracle, which reads the same rounded inputs.
//
// Only what is stored is rounded, to u = 2^-11 or 2^-8 relative: of a step the product's operand, the tape's h and its
// gates, and the gates' gradients. Four independent roundings of each number that goes from one step to the next make 2 u,
// and errors live on for mixing_steps(). Sums over tokens add numbers of both signs, whose errors belong to their sizes:
// sqrt(tokens) more.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>

#include "emulator/emulator.h"
#include "support/against_oracle.h"
#include "support/stepwise_run.h"

namespace support {
namespace {

using lacuna::simt::Bf16;
using lacuna::simt::Fp16;

template <class T>
constexpr double unit_roundoff = std::is_same_v<T, Fp16> ? 0x1p-11 : 0x1p-8;

template <class T>
void round_all(std::vector<double>& values) {
  for (double& value : values)
    value = static_cast<double>(
        lacuna::simt::to_float(lacuna::simt::from_float<T>(static_cast<float>(value))));
}

// A relu whose argument is within rounding of 0 may be on the other side of its kink, and then has another gradient.
template <class T>
bool same_sides(const StepwiseRun<T>& run, const reference::Forward& oracle, std::size_t hidden) {
  const auto& gates = run.values.at("gates");
  for (std::size_t at = 0; at < gates.size(); ++at) {
    const double kept = oracle.kept[at / hidden * 4 * hidden + at % hidden];
    if ((static_cast<double>(gates[at]) > 0) != (kept > 0)) return false;
  }
  return true;
}

// Whether gradients were compared too.
template <class T>
bool expect_stepwise_agreement(const std::string& text, const StepwiseOptions& options) {
  SCOPED_TRACE(text);
  const Case c = parse_case(text);
  const auto parameters = make_parameters(c);
  auto batch = make_batch(c);
  auto upstream = make_upstream(c);
  for (auto* values : {&batch.initial_hidden, &batch.initial_cell, &upstream.d_hidden,
                       &upstream.d_cell, &upstream.d_final_hidden, &upstream.d_final_cell})
    round_all<T>(*values);
  StepwiseRun<T> run(c.layer, parameters, batch, upstream, options);
  run.run();
  const auto expected = expect_from_oracle<double>(c, parameters, batch, upstream);
  const double tolerance = 2 * unit_roundoff<T> * static_cast<double>(mixing_steps(c.max_length()));
  const double tokens = static_cast<double>(std::max<std::int64_t>(1, batch.tokens()));
  const bool gradients = c.layer.cell != reference::Cell::rnn_relu ||
                         same_sides(run, reference::forward(c.layer, parameters, batch),
                                    static_cast<std::size_t>(c.layer.hidden));
  for (const std::string& name : support::stepwise_results(c.layer)) {
    const std::size_t width = row_width(name, c);
    if (name[0] == 'd' && !gradients) continue;
    // A single sum whose terms cancel has no others beside it to tell their scale.
    if (width == 0 && c.layer.hidden == 1) continue;
    const Comparison comparison =
        compare<float>(run.values.at(name), expected.values.at(name),
                       width == 0 ? tolerance * std::sqrt(tokens) : tolerance, width);
    EXPECT_TRUE(agrees(name, comparison));
  }
  return gradients;
}

class Stepwise16Bit : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

template <class T>
void expect_all_variants(const char* cell, const char* evolve) {
  int compared = 0, cases = 0;
  for (const int hidden : {1, 3, 8, 17, 33, 65})
    for (int variant = 0; variant < 4; ++variant) {
      const bool evolve_only = variant & 1, reverse = variant & 2;
      ++cases;
      compared += expect_stepwise_agreement<T>(
          std::string(cell) + (evolve_only ? "+forward+" : "+none+") + evolve + "_f32_n6_d3_h" +
              std::to_string(hidden) + "_len0-4+9" + (evolve_only ? "_miss75_eo" : "") +
              (reverse ? "_rev" : "") + (variant > 0 ? "_init" : "") + "_seed" +
              std::to_string(8 * hidden + variant),
          {.misaligned = (hidden + variant) % 3 == 0, .all_rows = reverse});
    }
  EXPECT_GE(2 * compared, cases);
}

TEST_P(Stepwise16Bit, Fp16) {
  expect_all_variants<Fp16>(std::get<0>(GetParam()), std::get<1>(GetParam()));
}
TEST_P(Stepwise16Bit, Bf16) {
  expect_all_variants<Bf16>(std::get<0>(GetParam()), std::get<1>(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Models, Stepwise16Bit, stepwise_models(), stepwise_model_name);

}  // namespace
}  // namespace support
