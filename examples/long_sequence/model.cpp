#include "examples/long_sequence/model.h"

#include <algorithm>
#include <cmath>

#include "examples/common/random.h"

namespace long_sequence {

lacuna::Capacity capacity_of(const Task& task, std::size_t batch_size) {
  const auto sequences = static_cast<std::int64_t>(batch_size);
  return {
      .tokens = sequences * task.longest(), .sequences = sequences, .max_length = task.longest()};
}

Model::Model(const lacuna::Context& context, const lacuna::Stack& stack,
             const lacuna::Capacity& capacity, int classes, const lacuna::StackOptions& plan,
             const ModelOptions& options)
    : context_(context),
      options_(options),
      plan_(context, stack, capacity, plan),
      answering_(context, stack, capacity, {.inference = true}),
      parameters_(stack, options.seed),
      gradients_(parameters_),
      head_(stack.output_width(), classes),
      head_gradients_(head_.count()),
      adam_(arrays()) {
  examples::Random random(examples::mix_seed(options.seed, 1));
  const double bound = 1 / std::sqrt(static_cast<double>(head_.in()));
  for (float& weight : head_.weights())
    weight = static_cast<float>(bound * (2 * random.uniform() - 1));
  set_learning_rate(options.learning_rate);
}

double Model::train(const Sequences& batch) {
  const std::size_t rows = batch.count();
  resize(rows);
  plan_.forward<float>(parameters_, batch.view(),
                       {.final_states = at_the_top<float>(plan_.stack(), state_)});
  head_.forward(context_, state_, logits_);
  const auto loss =
      lacuna::cross_entropy(context_, head_.out(), logits_, batch.codes,
                            {.scale = 1 / static_cast<double>(rows), .d_predictions = d_logits_});

  gradients_.set_zero();
  std::fill(head_gradients_.begin(), head_gradients_.end(), 0.0f);
  head_.backward(context_, state_, d_logits_, d_state_, head_gradients_);
  plan_.backward<float>(parameters_, batch.view(),
                        {.d_final_states = at_the_top<const float>(plan_.stack(), d_state_)},
                        gradients_);

  if (!std::isfinite(adam_.step(context_, arrays(), options_.clip_norm))) ++skipped_steps_;
  return loss.mean();
}

const std::vector<float>& Model::answer(const Sequences& batch) {
  resize(batch.count());
  answering_.forward<float>(parameters_, batch.view(),
                            {.final_states = at_the_top<float>(plan_.stack(), state_)});
  head_.forward(context_, state_, logits_);
  return logits_;
}

void Model::set_learning_rate(double rate) { adam_.options.learning_rate = rate; }

void Model::resize(std::size_t sequences) {
  state_.resize(sequences * static_cast<std::size_t>(head_.in()));
  d_state_.resize(state_.size());
  logits_.resize(sequences * static_cast<std::size_t>(head_.out()));
  d_logits_.resize(logits_.size());
}

}  // namespace long_sequence
