// Models of one kind that vote by their mean probability. Each may be stopped by a part of the records
// that it is not trained on, another part for each, so that few records are lost to validation.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "examples/common/folds.h"
#include "examples/common/scaling.h"
#include "examples/common/training.h"

namespace examples {

// What there is to learn, in the features' own units, and which fold each record is tested in.
struct Task {
  Task() = default;
  // Deals the records out to `folds` folds of the same mixture of strata.
  Task(std::vector<Record> all, std::vector<int> strata_of_all, int fold_count, std::uint64_t seed)
      : records(std::move(all)),
        strata(std::move(strata_of_all)),
        folds(fold_count),
        fold_of(stratified_folds(strata, folds, seed)) {}

  std::vector<Record> records;
  // What is trained on in place of `records`, one for one; empty: the records themselves.
  std::vector<Record> training_records;
  std::vector<int> strata;  // for example the outcome
  int folds = 0;
  std::vector<int> fold_of;

  std::vector<std::size_t> members_of(int fold) const {
    std::vector<std::size_t> which;
    for (std::size_t i = 0; i < records.size(); ++i)
      if (fold_of[i] == fold) which.push_back(i);
    return which;
  }
};

struct CommitteeOptions {
  ClassifierOptions classifier;
  FitOptions fit;
  // What lies outside the test fold is dealt out to so many parts, and member m is stopped by part m.
  // 0: every member is trained on all of it, for as many epochs as planned.
  int parts = 4;
  int members = 4;   // at most `parts`, unless that is 0
  double limit = 4;  // of standardised values, see Standardiser
};

// What was expected wherever the target is known, token by token, and what came.
struct Verdicts {
  std::vector<double> probabilities;
  std::vector<int> labels;

  double auc() const { return roc_auc(probabilities, labels); }
  void append(const Verdicts& other) {
    probabilities.insert(probabilities.end(), other.probabilities.begin(),
                         other.probabilities.end());
    labels.insert(labels.end(), other.labels.begin(), other.labels.end());
  }
};

inline double probability(double logit) { return 1 / (1 + std::exp(-logit)); }

class Committee {
 public:
  struct Member {
    Standardiser scale;
    std::unique_ptr<Classifier> model;
    History history;
  };

  // Nothing of `test_fold` is used.
  Committee(const lacuna::Context& context, const lacuna::Layer& layer, const Task& task,
            int test_fold, const CommitteeOptions& options, const AfterEpoch& after_epoch = {})
      : options_(options) {
    const auto& training_records =
        task.training_records.empty() ? task.records : task.training_records;
    std::vector<std::size_t> outside;
    std::vector<int> strata;
    for (std::size_t i = 0; i < task.records.size(); ++i) {
      if (task.fold_of[i] == test_fold) continue;
      outside.push_back(i);
      strata.push_back(task.strata[i]);
    }
    const auto seed = mix_seed(options.classifier.seed, static_cast<std::uint64_t>(test_fold));
    const auto part_of = options.parts > 0 ? stratified_folds(strata, options.parts, seed)
                                           : std::vector<int>(outside.size(), -1);
    for (int m = 0; m < options.members; ++m) {
      std::vector<std::size_t> training, validation;
      for (std::size_t i = 0; i < outside.size(); ++i)
        (part_of[i] == m ? validation : training).push_back(outside[i]);

      const Standardiser scale(training_records, training,
                               static_cast<std::size_t>(layer.features));
      const auto scaled_training = scaled(scale, training_records);
      const auto scaled_records = scaled(scale, task.records);

      ClassifierOptions own = options.classifier;
      own.seed =
          mix_seed(own.seed, static_cast<std::uint64_t>(test_fold), static_cast<std::uint64_t>(m));
      auto model = std::make_unique<Classifier>(context, layer, capacity(scaled_training), own);
      auto history = fit(*model, scaled_training, training, scaled_records, validation, options.fit,
                         mix_seed(own.seed, 2), after_epoch);
      members_.push_back({scale, std::move(model), std::move(history)});
    }
  }

  // The members' mean probability.
  Verdicts judge(const std::vector<Record>& records) {
    Verdicts verdicts;
    for (Member& member : members_) {
      const auto scores = evaluate(*member.model, scaled(member.scale, records),
                                   all(records.size()), options_.fit.batch_size);
      verdicts.labels = scores.labels;
      verdicts.probabilities.resize(scores.logits.size());
      for (std::size_t i = 0; i < scores.logits.size(); ++i)
        verdicts.probabilities[i] +=
            probability(scores.logits[i]) / static_cast<double>(members_.size());
    }
    return verdicts;
  }

  // What the models read at the last token of each record, in the features' own units: the measured
  // value, or the mean of their imputations. [records, D]
  std::vector<double> last_inputs(const std::vector<Record>& records) {
    std::vector<double> mean;
    for (Member& member : members_) {
      std::size_t next = 0;
      for_each_batch(scaled(member.scale, records), all(records.size()), options_.fit.batch_size,
                     [&](const RaggedBatch& batch) {
                       std::vector<float> imputed;
                       member.model->logits(batch, &imputed);
                       const std::size_t features = imputed.size() / batch.tokens();
                       mean.resize(records.size() * features);
                       for (std::size_t b = 0; b < batch.sequences(); ++b, ++next) {
                         const auto last = static_cast<std::size_t>(batch.offsets[b + 1]) - 1;
                         for (std::size_t d = 0; d < features; ++d)
                           mean[next * features + d] +=
                               member.scale.restore(d, imputed[last * features + d]) /
                               static_cast<double>(members_.size());
                       }
                     });
    }
    return mean;
  }

  const std::vector<Member>& members() const { return members_; }

 private:
  std::vector<Record> scaled(const Standardiser& scale, std::vector<Record> records) const {
    for (Record& record : records) scale.apply(record, options_.limit);
    return records;
  }

  static std::vector<std::size_t> all(std::size_t count) {
    std::vector<std::size_t> which(count);
    for (std::size_t i = 0; i < count; ++i) which[i] = i;
    return which;
  }

  // Room for any batch that can be drawn from these records.
  lacuna::Capacity capacity(const std::vector<Record>& records) const {
    std::vector<std::size_t> lengths;
    for (const Record& record : records) lengths.push_back(record.length());
    std::sort(lengths.rbegin(), lengths.rend());
    lengths.resize(std::min(lengths.size(), options_.fit.batch_size));
    lacuna::Capacity capacity{.tokens = 0,
                              .sequences = static_cast<std::int64_t>(options_.fit.batch_size)};
    for (const std::size_t length : lengths) capacity.tokens += static_cast<std::int64_t>(length);
    return capacity;
  }

  CommitteeOptions options_;
  std::vector<Member> members_;
};

}  // namespace examples
