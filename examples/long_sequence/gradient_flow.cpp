#include "examples/long_sequence/gradient_flow.h"

#include <algorithm>
#include <cmath>

namespace long_sequence {

static lacuna::Stack in_double(lacuna::Stack stack) {
  for (lacuna::Layer& layer : stack.layers) layer.type = lacuna::Type::f64;
  return stack;
}

// Norms [N] of one layer each -> norms by distance from the end.
static std::vector<double> by_distance(const std::vector<std::vector<double>>& norms,
                                       const Sequences& batch) {
  auto shortest = static_cast<std::int64_t>(batch.tokens());
  for (std::size_t b = 0; b < batch.count(); ++b)
    shortest = std::min(shortest, batch.offsets[b + 1] - batch.offsets[b]);
  std::vector<double> flow;
  for (std::int64_t distance = 0; distance < shortest; ++distance) {
    double log_sum = 0;
    for (std::size_t b = 0; b < batch.count(); ++b) {
      const auto row = static_cast<std::size_t>(batch.offsets[b + 1] - 1 - distance);
      double norm = 0;
      // hypot, because the squares of tiny norms are 0.
      for (const auto& layer : norms) norm = std::hypot(norm, layer[row]);
      log_sum += std::log(norm);
    }
    flow.push_back(std::exp(log_sum / static_cast<double>(batch.count())));
  }
  return flow;
}

std::vector<double> gradient_flow(const lacuna::Context& context, const Model& model,
                                  const Sequences& batch) {
  const lacuna::Stack stack = in_double(model.plan().stack());
  lacuna::StackParameters<double> parameters(stack);
  for (std::size_t place = 0; place < parameters.size(); ++place)
    std::ranges::copy(model.parameters()[place].flat(), parameters[place].flat().begin());
  lacuna::Linear<double> head(model.head().in(), model.head().out());
  std::ranges::copy(model.head().flat(), head.flat().begin());

  const std::vector<double> values(batch.values.begin(), batch.values.end());
  const lacuna::Batch<double> view{
      .offsets = batch.offsets, .values = values, .times = batch.times};
  lacuna::StackPlan plan(context, stack, {.tokens = view.tokens(), .sequences = view.sequences()});

  const std::size_t rows = batch.count();
  std::vector<double> state(rows * static_cast<std::size_t>(head.in())), d_state(state.size());
  std::vector<double> logits(rows * static_cast<std::size_t>(head.out())), d_logits(logits.size());
  plan.forward<double>(parameters, view, {.final_states = at_the_top<double>(stack, state)});
  head.forward(context, state, logits);
  lacuna::cross_entropy(context, head.out(), logits, batch.codes,
                        {.scale = 1 / static_cast<double>(rows), .d_predictions = d_logits});
  lacuna::AlignedVector<double> d_head(head.count());
  head.backward(context, state, d_logits, d_state, d_head);

  std::vector<std::vector<double>> norms(stack.places(), std::vector<double>(batch.tokens()));
  lacuna::StackGradients<double> d_parameters(parameters);
  plan.backward<double>(parameters, view,
                        {.d_final_states = at_the_top<const double>(stack, d_state)}, d_parameters,
                        {.d_hidden_norms = {norms.begin(), norms.end()}});
  return by_distance(norms, batch);
}

}  // namespace long_sequence
