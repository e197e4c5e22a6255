// The stepwise recurrence in fp16 and bf16 against the oracle, which reads the same rounded inputs.
//
// Only what is stored is rounded: of a step the product's operand, the tape's h and its gates, and the gates' gradients.
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <type_traits>

#include "emulator/emulator.h"
#include "support/against_oracle.h"
#include "support/stepwise_run.h"

namespace support {
namespace {

using lacuna::simt::Bf16;
using lacuna::simt::Fp16;

template <class T>
void expect_stepwise_agreement(const std::string& text, const StepwiseOptions& options) {
  SCOPED_TRACE(text);
  const Case c = parse_case(text);
  const Rounding rounding =
      std::is_same_v<T, Fp16> ? rounding_of<support::Fp16>() : rounding_of<support::Bf16>();
  const auto parameters = make_parameters(c);
  auto batch = make_batch(c);
  auto upstream = make_upstream(c);
  for (auto* values : {&batch.initial_hidden, &batch.initial_cell, &upstream.d_hidden,
                       &upstream.d_cell, &upstream.d_final_hidden, &upstream.d_final_cell})
    round_all(rounding, *values);
  StepwiseRun<T> run(c.layer, parameters, batch, upstream, options);
  run.run();
  Verdict<float> verdict(c, parameters, batch, upstream, rounding);
  verdict.take_sides_of(run.values.at("hidden"));
  for (const std::string& name : support::stepwise_results(c.layer)) {
    // A single sum whose terms cancel has no others beside it to tell their scale.
    if (row_width(name, c) == 0 && c.layer.hidden == 1) continue;
    EXPECT_TRUE(verdict.on(name, run.values.at(name)));
  }
}

class Stepwise16Bit : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

template <class T>
void expect_all_variants(const char* cell, const char* evolve) {
  for (const int hidden : {1, 3, 8, 17, 33, 65})
    for (int variant = 0; variant < 4; ++variant) {
      const bool evolve_only = variant & 1, reverse = variant & 2;
      expect_stepwise_agreement<T>(
          std::string(cell) + (evolve_only ? "+forward+" : "+none+") + evolve + "_f32_n6_d3_h" +
              std::to_string(hidden) + "_len0-4+9" + (evolve_only ? "_miss75_eo" : "") +
              (reverse ? "_rev" : "") + (variant > 0 ? "_init" : "") + "_seed" +
              std::to_string(8 * hidden + variant),
          {.misaligned = (hidden + variant) % 3 == 0, .all_rows = reverse});
    }
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
