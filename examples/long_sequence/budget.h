// One model trained twice at once, without a memory budget and within one: what is the same, what is not.
#pragma once

#include <string>
#include <vector>

#include "examples/long_sequence/contest.h"

namespace long_sequence {

struct BudgetReport {
  std::vector<double> losses;              // of the first steps, without a budget
  bool same_losses = true;                 // bit for bit, at every step
  bool same_parameters = true;             // all that was learned, after the last one
  double seconds_without, seconds_within;  // medians of steps that took turns
  lacuna::StackInfo without, within;
  std::string explanation;  // of the plan within the budget
};

BudgetReport compare_budgets(const lacuna::Context& context, const Rules& rules,
                             const Contestant& contestant, int fraction, int steps,
                             const std::function<void()>& after_step);

// The schedule of few enough windows for every task to be seen, within a quarter of the memory, as SVG.
std::string draw_small_plan(const lacuna::Context& context, const Rules& rules);

}  // namespace long_sequence
