// What a stack's layers are asked to be: options of plans, for each layer in both of its directions. Against the oracle, and
// against plans of single layers with the same options.
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "support/compare.h"
#include "support/cuda.h"
#include "support/refusal.h"
#include "support/rounded_loops.h"
#include "support/stack_by_layers.h"
#include "support/stack_by_oracle.h"
#include "support/stack_expect.h"

namespace {

using lacuna::PlanOptions;
using lacuna::Precision;
using lacuna::Regime;
using lacuna::TapeKind;
using support::capacity_of;
using support::expect_same_bits;
using support::generate;
using support::run_by_layers;
using support::run_stack;
using support::StackCase;

StackCase small_case(const lacuna::Layer& first, const lacuna::StackShape& shape) {
  StackCase c;
  c.stack = lacuna::stacked(first, shape);
  c.lengths = {9, 0, 4, 13, 1};
  return c;
}

bool serves(const PlanOptions& options) {
  return options.regime == Regime::best ||
         (!support::on_cpu && support::serves(static_cast<lacuna_regime>(options.regime)));
}

std::string name_of(const PlanOptions& options) {
  static constexpr const char* regimes[] = {"best",    "stepwise", "resident",
                                            "cluster", "grid",     "lone"};
  return std::string(regimes[static_cast<int>(options.regime)]) +
         (options.precision == Precision::tf32 ? "_tf32" : "") +
         (options.tape == TapeKind::states ? "_states" : "");
}

// On the CPU, which has no choice, what it has.
std::vector<PlanOptions> all_options() {
  if (support::on_cpu) return {{}};
  std::vector<PlanOptions> all;
  for (const Regime regime : {Regime::best, Regime::stepwise, Regime::resident, Regime::lone,
                              Regime::cluster, Regime::grid})
    for (const Precision precision : {Precision::of_type, Precision::tf32})
      all.push_back({.regime = regime, .precision = precision});
  all.push_back({.tape = TapeKind::states});
  return all;
}

class StackLayersAsked : public testing::TestWithParam<PlanOptions> {
 protected:
  void SetUp() override {
    if (!serves(GetParam())) GTEST_SKIP() << "this device has no such regime";
  }
};
INSTANTIATE_TEST_SUITE_P(Options, StackLayersAsked, testing::ValuesIn(all_options()),
                         [](const auto& tested) { return name_of(tested.param); });

// Two layers round twice what one does. Without plain loops that round as tf32 does, sums are allowed what errors of one sign
// come to.
double tolerance(const std::string& name, const StackCase& c, std::int64_t tokens,
                 const PlanOptions& options) {
  const bool summed = name.starts_with("d_parameters") || name == "d_delta_t";
  std::int64_t wide = 0;
  for (const lacuna::Layer& layer : c.stack.layers)
    wide = std::max(wide, layer.hidden + layer.input_width());
  const std::int64_t mixing =
      support::mixing_steps(*std::max_element(c.lengths.begin(), c.lengths.end()));
  const double unit = options.precision == Precision::tf32 ? support::rounding_of_tf32().unit : 0;
  const double one =
      support::rounding_tolerance<float>(summed ? std::max(tokens, wide) : wide, mixing) +
      support::stored_tolerance(unit, mixing);
  return static_cast<double>(c.stack.layers.size()) * one *
         (summed ? std::sqrt(static_cast<double>(tokens)) : 1);
}

TEST_P(StackLayersAsked, AgreeWithTheOracle) {
  const auto context = support::stack_context();
  for (const lacuna::Layer& first : {lacuna::gru_d(3, 17), lacuna::lstm(3, 20)}) {
    const StackCase c = small_case(first, {.depth = 2, .bidirectional = true});
    const auto data = generate<float>(c);
    const lacuna::StackParameters<float> weights(c.stack, 1);
    const auto expected = support::arrays_of(support::run_by_oracle(c.stack, weights, data));
    for (const std::int64_t segment : {data.longest(), std::int64_t{5}}) {
      lacuna::StackPlan plan(context, c.stack, capacity_of(data),
                             {.segment = segment, .layer_options = {GetParam(), GetParam()}});
      const auto found = support::arrays_of(run_stack(plan, weights, data));
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) {
        const auto& [name, array] = found[i];
        ASSERT_EQ(name, expected[i].first);
        const auto verdict = support::compare<float>(array, expected[i].second,
                                                     tolerance(name, c, data.tokens(), GetParam()));
        EXPECT_TRUE(verdict.passed) << name << " " << verdict.message << ", segment " << segment;
      }
    }
  }
}

TEST_P(StackLayersAsked, HaveTheBitsOfPlansOfTheirOwn) {
  const auto context = support::stack_context();
  for (const int depth : {1, 2}) {
    const StackCase c =
        small_case(lacuna::gru_d(3, 17), {.depth = depth, .bidirectional = depth > 1});
    const auto data = generate<float>(c);
    const lacuna::StackParameters<float> weights(c.stack, 1);
    const std::vector<PlanOptions> asked(c.stack.layers.size(), GetParam());
    lacuna::StackPlan plan(context, c.stack, capacity_of(data),
                           {.segment = data.longest(), .layer_options = asked});
    expect_same_bits(run_stack(plan, weights, data),
                     run_by_layers(context, c.stack, weights, data, 0, asked),
                     std::to_string(depth) + " layer(s)");
  }
}

TEST(StackLayers, HaveOptionsOfTheirOwn) {
  if (support::on_cpu) GTEST_SKIP() << "the CPU has one way";
  const auto context = support::stack_context();
  const StackCase c = small_case(lacuna::gru_d(3, 17), {.depth = 3, .bidirectional = true});
  const auto data = generate<float>(c);
  const lacuna::StackParameters<float> weights(c.stack, 1);
  const std::vector<PlanOptions> asked{{.regime = Regime::resident, .precision = Precision::tf32},
                                       {.regime = Regime::grid, .blocks = 2},
                                       {.regime = Regime::stepwise, .tape = TapeKind::states}};
  lacuna::StackPlan plan(context, c.stack, capacity_of(data),
                         {.segment = data.longest(), .layer_options = asked});
  expect_same_bits(run_stack(plan, weights, data),
                   run_by_layers(context, c.stack, weights, data, 0, asked), "layers apart");

  const std::string text = plan.explain();
  std::size_t from = 0;
  for (const char* said :
       {"-- layer 0, in each window of each direction, by options.layer_options[0]\n",
        "resident: one kernel", "in tf32", "gates      taped", "by options.layer_options[1]\n",
        "groups (tiles) of 2 blocks", "gates      taped", "by options.layer_options[2]\n",
        "stepwise: ", "gates      not taped"}) {
    const std::size_t at = text.find(said, from);
    ASSERT_NE(at, std::string::npos) << said << " is not behind " << from << " in\n" << text;
    from = at;
  }
  lacuna::StackPlan plain(context, c.stack, capacity_of(data), {.segment = data.longest()});
  EXPECT_EQ(plain.explain().find("layer_options"), std::string::npos);
  EXPECT_EQ(plain.explain().find("tf32"), std::string::npos);
}

TEST(StackLayers, WithOptionsOfZerosAreAsWithoutAny) {
  const auto context = support::stack_context();
  const StackCase c = small_case(lacuna::gru_d(3, 17), {.depth = 2});
  const auto data = generate<float>(c);
  const lacuna::StackParameters<float> weights(c.stack, 1);
  lacuna::StackPlan with(context, c.stack, capacity_of(data),
                         {.segment = 5, .layer_options = {{}, {}}}),
      without(context, c.stack, capacity_of(data), {.segment = 5});
  EXPECT_EQ(with.info().memory_bytes, without.info().memory_bytes);
  expect_same_bits(run_stack(with, weights, data), run_stack(without, weights, data), "of zeros");
}

// The kind of tape is the caller's and not the budget's, so that no budget changes a bit.
TEST(StackLayers, KeepTheirKindOfTapeUnderABudget) {
  if (support::on_cpu) GTEST_SKIP() << "the CPU has one kind of tape";
  const auto context = support::stack_context();
  const StackCase c = small_case(lacuna::lstm(3, 17), {.depth = 2});
  const auto data = generate<float>(c);
  const lacuna::StackParameters<float> weights(c.stack, 1);
  const PlanOptions states{.tape = TapeKind::states};
  lacuna::StackOptions options{.segment = 3, .layer_options = {states, states}};
  lacuna::StackPlan unlimited(context, c.stack, capacity_of(data), options);
  const auto expected = run_stack(unlimited, weights, data);
  options.memory_budget = unlimited.info().memory_least;
  lacuna::StackPlan tight(context, c.stack, capacity_of(data), options);
  EXPECT_GT(tight.info().windows_again, 0);
  expect_same_bits(run_stack(tight, weights, data), expected, "in little memory");

  // Of many windows' tapes, gates are most.
  const lacuna::Capacity large{400'000, 4, 100'000};
  EXPECT_LT(lacuna::measure(context, c.stack, large, {.layer_options = {states, states}})
                .memory_without_budget,
            lacuna::measure(context, c.stack, large).memory_without_budget);
}

TEST(StackLayers, InInferenceTakeOptionsToo) {
  const auto context = support::stack_context();
  const StackCase c = small_case(lacuna::gru_d(3, 17), {.depth = 2});
  const auto data = generate<float>(c);
  const lacuna::StackParameters<float> weights(c.stack, 1);
  const auto hidden = [&](const lacuna::StackOptions& options) {
    lacuna::StackPlan plan(context, c.stack, capacity_of(data), options);
    std::vector<float> out(static_cast<std::size_t>(data.tokens() * c.stack.output_width()));
    plan.forward<float>(weights, data.batch(), {.hidden = out}, 0, data.initial());
    return out;
  };
  const PlanOptions stepwise{.regime = support::on_cpu ? Regime::best : Regime::stepwise};
  PlanOptions said = stepwise;
  said.inference = true;
  EXPECT_EQ(hidden({.inference = true, .layer_options = {stepwise, said}}),
            hidden({.layer_options = {stepwise, stepwise}}));
}

TEST(StackLayers, AreAsManyAsTheirOptions) {
  const auto context = support::stack_context();
  const StackCase c = small_case(lacuna::gru(3, 4), {.depth = 2});
  EXPECT_NE(support::refusal([&] {
              lacuna::measure(context, c.stack, {10, 2, 5}, {.layer_options = {{}, {}, {}}});
            }).find("options.layer_options: 3, expected none or one per layer, 2"),
            std::string::npos);
}

}  // namespace
