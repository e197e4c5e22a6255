#include "examples/long_sequence/budget.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace long_sequence {

static bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

static bool same_parameters(const Model& a, const Model& b) {
  for (std::size_t layer = 0; layer < a.parameters().size(); ++layer)
    if (!same_bits(a.parameters()[layer].flat(), b.parameters()[layer].flat())) return false;
  return same_bits(a.head().flat(), b.head().flat());
}

BudgetReport compare_budgets(const lacuna::Context& context, const Rules& rules,
                             const Contestant& contestant, int fraction, int steps,
                             const std::function<void()>& after_step) {
  Model without = make_model(context, rules, contestant, no_budget);
  Model within = make_model(context, rules, contestant, fraction);
  BudgetReport report{};
  report.same_losses = true;
  std::vector<double> seconds_without, seconds_within;
  const auto step = [&](Model& model, const Sequences& batch, std::vector<double>& seconds) {
    const auto begin = std::chrono::steady_clock::now();
    const double loss = model.train(batch);
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    after_step();
    return loss;
  };
  // In turns, so that whatever else the machine does slows both.
  for (int i = 0; i < steps; ++i) {
    const Sequences batch = rules.training_batch(i);
    const double loss = step(without, batch, seconds_without);
    report.same_losses &= step(within, batch, seconds_within) == loss;
    report.losses.push_back(loss);
  }
  report.same_parameters = same_parameters(without, within);
  report.seconds_without = median(seconds_without);
  report.seconds_within = median(seconds_within);
  report.without = without.plan().info();
  report.within = within.plan().info();
  report.explanation = within.plan().explain();
  return report;
}

std::string draw_small_plan(const lacuna::Context& context, const Rules& rules) {
  const lacuna::Stack stack = stack_of(rules, lacuna::Cell::gru);
  const lacuna::Capacity capacity{.tokens = 32 * 640, .sequences = 32, .max_length = 640};
  lacuna::StackOptions options{.segment = 40};
  const auto all = lacuna::measure(context, stack, capacity, options);
  options.memory_budget = std::max(all.memory_without_budget / 4, all.memory_least);
  return lacuna::StackPlan(context, stack, capacity, options).timeline();
}

}  // namespace long_sequence
