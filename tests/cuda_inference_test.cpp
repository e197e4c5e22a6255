// Inference in every regime: walks that keep no tape, and those that are asked for final states alone, have code of their own,
// and the bits of training. Each test in the orders of threads that its case draws; groups of blocks in random ones.
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "support/cuda.h"
#include "support/groups.h"
#include "support/properties.h"
#include "support/stack_run.h"

namespace {

using support::Case;
using support::InGroups;
using support::InRegime;

// A regime, and of how many blocks its groups are.
struct Way {
  const char* name;
  lacuna_regime regime;
  int blocks;
};
void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

constexpr Way ways[] = {
    {"stepwise", LACUNA_REGIME_STEPWISE, 0}, {"resident", LACUNA_REGIME_RESIDENT, 0},
    {"lone", LACUNA_REGIME_LONE, 0},         {"cluster2", LACUNA_REGIME_CLUSTER, 2},
    {"cluster4", LACUNA_REGIME_CLUSTER, 4},  {"grid2", LACUNA_REGIME_GRID, 2},
    {"grid4", LACUNA_REGIME_GRID, 4},
};

class In {
 public:
  explicit In(const Way& way) : regime_(way.regime) {
    if (way.blocks > 0) groups_.emplace(way.blocks, 17);
  }

 private:
  InRegime regime_;
  std::optional<InGroups> groups_;
};

// A model, what it is stored in, and the rest of a case.
using Model = std::tuple<const char*, const char*>;

class Inference : public testing::TestWithParam<std::tuple<Model, const char*, Way>> {
 protected:
  Case tested() const {
    const auto& [model, type, way] = GetParam();
    return support::parse_case(std::string(std::get<0>(model)) + "_" + type + std::get<1>(model));
  }
  static Way way() { return std::get<2>(GetParam()); }
  static bool is_f16() { return std::get<1>(GetParam()) == std::string("f16"); }
};

INSTANTIATE_TEST_SUITE_P(
    Each, Inference,
    testing::Combine(
        testing::Values(Model{"rnn_relu", "_n5_d3_h37_len0-6_init_seed1"},
                        Model{"rnn_euler+none+none", "_n5_d3_h18_len0-6_init_seed2"},
                        Model{"lstm", "_n11_d3_h37_len0-6_init_seed3"},
                        Model{"lstm+none+relax", "_n7_d3_h20_len0-6_init_seed4"},
                        Model{"grud", "_n9_d5_h33_len0-6_miss70_eo_seed5"},
                        Model{"grud_relax", "_n5_d3_h17_len0-6_miss70_carry_init_seed6"},
                        Model{"gru_reset_before+none+decay", "_n7_d3_h37_len0-6_init_seed7"}),
        testing::Values("f32", "f16"), testing::ValuesIn(ways)));

template <class Stored>
using Run = support::LibraryRun<float, Stored>;

template <class Stored>
Run<Stored> run_of(const Case& c) {
  auto batch = support::make_batch(c);
  auto upstream = support::make_upstream(c);
  if constexpr (!std::is_same_v<Stored, float>) support::round_to<Stored>(batch, upstream);
  return {c, support::make_parameters(c), batch, upstream};
}

template <class Stored>
void expect_bits_of_training(Case c) {
  for (const bool reverse : {false, true}) {
    SCOPED_TRACE(reverse ? "reverse" : "forward");
    c.layer.reverse = reverse;
    const auto context = support::make_context();
    auto training = run_of<Stored>(c), no_tape = run_of<Stored>(c), inference = run_of<Stored>(c);
    support::expect_bits_of_training(context.get(), training, no_tape, inference);
  }
}

TEST_P(Inference, GivesTheBitsOfTraining) {
  const In in(way());
  is_f16() ? expect_bits_of_training<support::Fp16>(tested())
           : expect_bits_of_training<float>(tested());
}

template <class Stored>
void expect_bits_of_all(Case c) {
  for (const bool reverse : {false, true}) {
    SCOPED_TRACE(reverse ? "reverse" : "forward");
    c.layer.reverse = reverse;
    const auto context = support::make_context();
    auto all = run_of<Stored>(c), alone = run_of<Stored>(c), of_training = run_of<Stored>(c);
    all.run(context.get());
    alone.wanted =
        of_training.wanted = [](const std::string& name) { return name.starts_with("final"); };
    for (const bool inference : {true, false}) {
      auto& some = inference ? alone : of_training;
      const auto plan = support::make_plan(context.get(), some.layer(), some.capacity(), inference);
      some.forward(plan.get(), nullptr);
      support::expect_same_bits(some, all);
    }
  }
}

TEST_P(Inference, OfFinalStatesAloneGivesTheirBits) {
  const In in(way());
  is_f16() ? expect_bits_of_all<support::Fp16>(tested()) : expect_bits_of_all<float>(tested());
}

// Two directions beside each other, layer upon layer.
class StackInference : public testing::TestWithParam<Way> {};

INSTANTIATE_TEST_SUITE_P(Each, StackInference, testing::ValuesIn(ways));

TEST_P(StackInference, OfTwoDirectionsGivesTheBitsOfTraining) {
  const In in(GetParam());
  const auto context = support::stack_context();
  for (const lacuna::Layer& first : {lacuna::gru_d(3, 17), lacuna::lstm(3, 33)}) {
    support::StackCase c;
    c.stack = lacuna::stacked(first, {.depth = 2, .bidirectional = true});
    c.lengths = {9, 0, 4, 13, 1};
    const auto data = support::generate<float>(c);
    const lacuna::StackParameters<float> weights(c.stack, 1);
    const lacuna::PlanOptions asked{.regime = static_cast<lacuna::Regime>(GetParam().regime)};
    const auto forward = [&](bool inference, std::int64_t segment) {
      lacuna::StackPlan plan(
          context, c.stack, support::capacity_of(data),
          {.inference = inference, .segment = segment, .layer_options = {asked, asked}});
      support::StackResults<float> results(c.stack, data);
      plan.forward<float>(
          weights, data.batch(),
          {.hidden = results.hidden,
           .final_states = support::states(results.final_hidden, results.final_cell)},
          0, data.initial());
      return results;
    };
    for (const std::int64_t segment : {data.longest(), std::int64_t{5}}) {
      const auto training = forward(false, segment), inference = forward(true, segment);
      EXPECT_EQ(inference.hidden, training.hidden) << "segment " << segment;
      EXPECT_EQ(inference.final_hidden, training.final_hidden) << "segment " << segment;
      EXPECT_EQ(inference.final_cell, training.final_cell) << "segment " << segment;
    }
  }
}

}  // namespace
