// The training loop: epochs of shuffled batches, stopped by the validation set if there is one.
#pragma once

#include <algorithm>
#include <functional>
#include <numbers>
#include <vector>

#include "examples/common/classifier.h"
#include "examples/common/metrics.h"
#include "examples/common/records.h"

namespace examples {

struct FitOptions {
  int epochs = 20;
  int patience = 5;  // epochs without a better validation AUC before training ends
  std::size_t batch_size = 64;
  double feature_dropout = 0;
  double learning_rate = 1e-3;  // at first; falls to a tenth along half a cosine
};

struct History {
  std::vector<double> training_loss;   // per epoch
  std::vector<double> validation_auc;  // per epoch; empty without validation records
  int best_epoch = 0;
};

using AfterEpoch = std::function<void(const History&, int epochs_done_with)>;

// What a model says where the truth is known, token by token.
struct Scores {
  std::vector<double> logits;
  std::vector<int> labels;

  double auc() const { return roc_auc(logits, labels); }
};

inline Scores evaluate(Classifier& model, const std::vector<Record>& records,
                       const std::vector<std::size_t>& which, std::size_t batch_size) {
  Scores scores;
  for_each_batch(records, which, batch_size, [&](const RaggedBatch& batch) {
    const auto& logits = model.logits(batch);
    for (std::size_t s = 0; s < batch.tokens(); ++s) {
      if (!batch.target_mask[s]) continue;
      scores.logits.push_back(logits[s]);
      scores.labels.push_back(batch.targets[s] > 0.5f);
    }
  });
  return scores;
}

// Leaves the model as it was after its best epoch, or after the last one if `validation` is empty.
// `after_epoch` is told after each, and how many of the planned epochs are done with: all the rest, when
// there will be no more.
inline History fit(Classifier& model, const std::vector<Record>& training_records,
                   std::vector<std::size_t> training, const std::vector<Record>& records,
                   const std::vector<std::size_t>& validation, const FitOptions& options,
                   std::uint64_t seed, const AfterEpoch& after_epoch = {}) {
  History history;
  Random random(seed);
  std::vector<float> best;
  for (int epoch = 0; epoch < options.epochs; ++epoch) {
    const double progress = static_cast<double>(epoch) / options.epochs;
    model.set_learning_rate(options.learning_rate *
                            (0.1 + 0.9 * 0.5 * (1 + std::cos(std::numbers::pi * progress))));
    random.shuffle(training);
    double loss = 0, batches = 0;
    for_each_batch(training_records, training, options.batch_size, [&](RaggedBatch& batch) {
      hide_features(batch, options.feature_dropout, random);
      loss += model.train(batch);
      batches += 1;
    });
    history.training_loss.push_back(loss / batches);
    bool last = false;
    if (!validation.empty()) {
      auto& auc = history.validation_auc;
      auc.push_back(evaluate(model, records, validation, options.batch_size).auc());
      if (best.empty() || auc.back() > auc[static_cast<std::size_t>(history.best_epoch)]) {
        history.best_epoch = epoch;
        best = model.snapshot();
      }
      last = epoch - history.best_epoch >= options.patience;
    }
    if (after_epoch) after_epoch(history, last ? options.epochs - epoch : 1);
    if (last) break;
  }
  if (!best.empty()) model.restore(best);
  return history;
}

}  // namespace examples
