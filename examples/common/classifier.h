// A recurrent layer with one logit per token on top, and one step of training: what a user of Lacuna
// writes around a Plan.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "examples/common/records.h"
#include "examples/common/running_summary.h"
#include "lacuna/lacuna.hpp"

namespace examples {

struct ClassifierOptions {
  double learning_rate = 1e-3;
  double weight_decay = 0;
  bool summary = false;     // the head also sees the mean and the maximum of all states so far
  double head_dropout = 0;  // of what the head sees; the same units for all tokens of a sequence
  double clip_norm = 1;
  // How fast memory fades before anything has been learned, relative to Lacuna's customary start.
  double initial_decay = 1;
  std::uint64_t seed = 1;
};

class Classifier {
 public:
  Classifier(const lacuna::Context& context, const lacuna::Layer& layer,
             const lacuna::Capacity& capacity, const ClassifierOptions& options)
      : context_(context),
        options_(options),
        plan_(context, layer, capacity),
        tape_(plan_),
        parameters_(layer, options.seed),
        gradients_(parameters_),
        head_(layer.output_width() * (options.summary ? 3 : 1), 1),
        head_gradients_(head_.count()),
        adam_(parameters_.count(), adam_options()),
        head_adam_(head_.count(), adam_options()),
        random_(mix_seed(options.seed, 1)) {
    using lacuna::Parameter;
    // Inputs are standardised on the training set: their mean is 0, and stays it.
    parameters_.freeze(Parameter::x_mean);
    if (layer.impute == lacuna::Impute::decay) scale(Parameter::impute_weight);
    if (layer.evolve == lacuna::Evolve::decay) scale(Parameter::evolve_weight);
    const double bound = 1 / std::sqrt(static_cast<double>(head_.in()));
    for (float& weight : head_.weights())
      weight = static_cast<float>(bound * (2 * random_.uniform() - 1));
  }

  // Forward, backward and one step of Adam. Returns the mean loss over the known targets.
  double train(const RaggedBatch& batch) {
    resize(batch.tokens());
    plan_.forward(parameters_, batch.view(), {.hidden = hidden_}, tape_);
    show_head(batch);
    const std::vector<float> kept = draw_kept_units(batch.sequences());
    drop_units(batch, kept, seen_);
    head_.forward(context_, seen_, logits_);

    const auto known = std::count(batch.target_mask.begin(), batch.target_mask.end(), 1);
    const auto loss =
        lacuna::binary_cross_entropy(context_, logits_, batch.targets,
                                     {.mask = batch.target_mask,
                                      .scale = known > 0 ? 1.0 / static_cast<double>(known) : 0.0,
                                      .d_predictions = d_logits_});

    gradients_.set_zero();
    std::fill(head_gradients_.begin(), head_gradients_.end(), 0.0f);
    head_.backward(context_, seen_, d_logits_, d_seen_, head_gradients_);
    drop_units(batch, kept, d_seen_);
    show_head_backward(batch);
    plan_.backward(parameters_, batch.view(), {.d_hidden = d_hidden_}, tape_, gradients_);

    lacuna::clip_gradient_norm<float>(context_, {gradients_.flat(), head_gradients_},
                                      options_.clip_norm);
    adam_.step(context_, gradients_, parameters_);
    head_adam_.step(context_, head_gradients_, head_.flat());
    return loss.mean();
  }

  // One logit per token. `imputed`, if given, gets the inputs with their gaps filled, [N, D].
  const std::vector<float>& logits(const RaggedBatch& batch,
                                   std::vector<float>* imputed = nullptr) {
    resize(batch.tokens());
    if (imputed) imputed->resize(batch.values.size());
    plan_.forward(
        parameters_, batch.view(),
        {.hidden = hidden_, .imputed = imputed ? std::span(*imputed) : std::span<float>()});
    show_head(batch);
    head_.forward(context_, seen_, logits_);
    return logits_;
  }

  void set_learning_rate(double rate) {
    adam_.options.learning_rate = head_adam_.options.learning_rate = rate;
  }

  // All that is learned, to be kept while training goes on and put back when it has gone too far.
  std::vector<float> snapshot() const {
    std::vector<float> all(parameters_.flat().begin(), parameters_.flat().end());
    all.insert(all.end(), head_.flat().begin(), head_.flat().end());
    return all;
  }
  void restore(const std::vector<float>& snapshot) {
    const auto middle = snapshot.begin() + static_cast<std::ptrdiff_t>(parameters_.count());
    std::copy(snapshot.begin(), middle, parameters_.flat().begin());
    std::copy(middle, snapshot.end(), head_.flat().begin());
  }

 private:
  lacuna::AdamOptions adam_options() const {
    return {.learning_rate = options_.learning_rate, .weight_decay = options_.weight_decay};
  }

  void scale(lacuna::Parameter kind) {
    for (float& weight : parameters_[kind]) weight *= static_cast<float>(options_.initial_decay);
  }

  void resize(std::size_t tokens) {
    hidden_.resize(tokens * hidden());
    d_hidden_.resize(tokens * hidden());
    seen_.resize(tokens * seen());
    d_seen_.resize(tokens * seen());
    logits_.resize(tokens);
    d_logits_.resize(tokens);
  }

  std::size_t hidden() const { return static_cast<std::size_t>(plan_.layer().output_width()); }
  std::size_t seen() const { return static_cast<std::size_t>(head_.in()); }

  // hidden_ [N, H] -> seen_ [N, H or 3 H]
  void show_head(const RaggedBatch& batch) {
    if (options_.summary)
      summary_.forward(batch, hidden_, seen_);
    else
      seen_ = hidden_;
  }

  // d_seen_ -> d_hidden_
  void show_head_backward(const RaggedBatch& batch) {
    if (options_.summary)
      summary_.backward(batch, d_seen_, d_hidden_);
    else
      d_hidden_ = d_seen_;
  }

  // [B, seen]: 0 for a dropped unit, else what keeps the expected value as it is without dropout.
  std::vector<float> draw_kept_units(std::size_t sequences) {
    std::vector<float> kept(sequences * seen(), 1.0f);
    if (options_.head_dropout <= 0) return kept;
    const auto boost = static_cast<float>(1 / (1 - options_.head_dropout));
    for (float& unit : kept) unit = random_.uniform() < options_.head_dropout ? 0.0f : boost;
    return kept;
  }

  void drop_units(const RaggedBatch& batch, const std::vector<float>& kept,
                  std::vector<float>& rows) const {
    for_each_sequence(batch, [&](std::size_t b, std::size_t begin, std::size_t end) {
      for (std::size_t s = begin; s < end; ++s)
        for (std::size_t u = 0; u < seen(); ++u) rows[s * seen() + u] *= kept[b * seen() + u];
    });
  }

  const lacuna::Context& context_;
  ClassifierOptions options_;
  lacuna::Plan plan_;
  lacuna::Tape tape_;
  lacuna::Parameters<float> parameters_;
  lacuna::Gradients<float> gradients_;
  lacuna::Linear<float> head_;
  std::vector<float> head_gradients_;
  lacuna::Adam<float> adam_, head_adam_;
  Random random_;
  RunningSummary summary_;
  std::vector<float> hidden_, d_hidden_, seen_, d_seen_, logits_, d_logits_;
};

}  // namespace examples
