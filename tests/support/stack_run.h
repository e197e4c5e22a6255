// Runs a stack forward and backward by one plan, and keeps everything that is written in one place.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "support/stack_cases.h"

namespace support {

inline lacuna::Context stack_context(int threads = 1) {
  return lacuna::Context(
      {.backend = static_cast<lacuna::Backend>(tested_backend), .threads = on_cpu ? threads : 0});
}

// Everything that a forward and a backward run write, all NaN before.
template <class Real>
struct StackResults {
  std::vector<Real> hidden, d_values, d_delta_t;
  std::vector<std::vector<Real>> final_hidden, final_cell, d_initial_hidden, d_initial_cell;
  std::vector<std::vector<Real>> d_parameters;

  StackResults() = default;
  StackResults(const lacuna::Stack& stack, const StackData<Real>& data) {
    const auto nan = [](std::int64_t count) {
      return std::vector<Real>(static_cast<std::size_t>(count),
                               std::numeric_limits<Real>::quiet_NaN());
    };
    hidden = nan(data.tokens() * stack.output_width());
    d_values = nan(data.tokens() * stack.layers.front().features);
    d_delta_t = nan(data.tokens());
    for (std::size_t place = 0; place < stack.places(); ++place) {
      const lacuna::Layer& layer = stack.at(place);
      const std::int64_t count = data.sequences() * layer.output_width();
      const std::int64_t cells = layer.has_cell_state() ? data.sequences() * layer.hidden : 0;
      final_hidden.push_back(nan(count));
      final_cell.push_back(nan(cells));
      d_initial_hidden.push_back(nan(count));
      d_initial_cell.push_back(nan(cells));
    }
  }
  void take(const lacuna::StackGradients<Real>& gradients) {
    for (std::size_t place = 0; place < gradients.size(); ++place)
      d_parameters.emplace_back(gradients[place].flat().begin(), gradients[place].flat().end());
  }

  // Every array with its name.
  template <class Visit>
  void each(Visit&& visit) const {
    visit("hidden", hidden);
    visit("d_values", d_values);
    visit("d_delta_t", d_delta_t);
    const auto per_place = [&](const char* name, const auto& arrays) {
      for (std::size_t place = 0; place < arrays.size(); ++place)
        visit(std::string(name) + "[" + std::to_string(place) + "]", arrays[place]);
    };
    per_place("final_hidden", final_hidden);
    per_place("final_cell", final_cell);
    per_place("d_initial_hidden", d_initial_hidden);
    per_place("d_initial_cell", d_initial_cell);
    per_place("d_parameters", d_parameters);
  }
};

template <class Real>
std::vector<lacuna::State<Real>> states(std::vector<std::vector<Real>>& hidden,
                                        std::vector<std::vector<Real>>& cell) {
  std::vector<lacuna::State<Real>> out;
  for (std::size_t place = 0; place < hidden.size(); ++place)
    out.push_back({hidden[place], cell[place]});
  return out;
}
template <class Real>
std::vector<lacuna::State<const Real>> states(const std::vector<std::vector<Real>>& hidden,
                                              const std::vector<std::vector<Real>>& cell) {
  std::vector<lacuna::State<const Real>> out;
  for (std::size_t place = 0; place < hidden.size(); ++place)
    out.push_back({hidden[place], cell[place]});
  return out;
}

// Forward and backward by one plan.
template <class Real>
StackResults<Real> run_stack(lacuna::StackPlan& plan, const lacuna::StackParameters<Real>& weights,
                             const StackData<Real>& data, std::uint64_t seed = 0) {
  StackResults<Real> results(plan.stack(), data);
  plan.forward<Real>(
      weights, data.batch(),
      {.hidden = results.hidden, .final_states = states(results.final_hidden, results.final_cell)},
      seed, data.initial());
  lacuna::StackGradients<Real> gradients(weights);
  plan.backward<Real>(
      weights, data.batch(),
      {.d_hidden = data.d_hidden, .d_final_states = states(data.d_final_hidden, data.d_final_cell)},
      gradients,
      {.d_values = results.d_values,
       .d_delta_t = results.d_delta_t,
       .d_initial_states = states(results.d_initial_hidden, results.d_initial_cell)},
      data.initial());
  results.take(gradients);
  return results;
}

}  // namespace support
