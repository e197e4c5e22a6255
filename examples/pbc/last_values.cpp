#include "examples/pbc/last_values.h"

#include "examples/pbc/follow_up.h"

namespace pbc {

using examples::Record;

LastValues::LastValues(const examples::Task& task, int test_fold) {
  std::vector<std::size_t> outside;
  for (int fold = 0; fold < task.folds; ++fold) {
    if (fold == test_fold) continue;
    const auto members = task.members_of(fold);
    outside.insert(outside.end(), members.begin(), members.end());
  }
  double best_auc = -1, best_l2 = 0;
  for (const double l2 : {1e-4, 1e-3, 1e-2, 3e-2, 1e-1}) {
    double auc = 0;
    for (int fold = 0; fold < task.folds; ++fold) {
      if (fold == test_fold) continue;
      std::vector<std::size_t> training;
      for (const std::size_t i : outside)
        if (task.fold_of[i] != fold) training.push_back(i);
      const auto verdicts =
          judge(learn(task, training, l2), examples::select(task.records, task.members_of(fold)));
      auc += verdicts.auc();
    }
    if (auc > best_auc) best_auc = auc, best_l2 = l2;
  }
  model_ = std::make_unique<Model>(learn(task, outside, best_l2));
}

// One row per token with a known target: the latest values, 0 (the mean) where there is none yet.
template <class Use>
static void for_each_row(const examples::Standardiser& scale, Record record, Use use) {
  scale.apply(record, 4);
  const std::size_t width = features().size();
  std::vector<double> row(width + 1, 0.0);
  for (std::size_t s = 0; s < record.length(); ++s) {
    for (std::size_t d = 0; d < width; ++d)
      if (const float value = record.values[s * width + d]; !std::isnan(value)) row[d] = value;
    row[width] = record.times[s] / 5;  // in units of five years it is on the others' scale
    if (!std::isnan(record.targets[s])) use(row, record.targets[s] > 0.5f);
  }
}

LastValues::Model LastValues::learn(const examples::Task& task,
                                    const std::vector<std::size_t>& training, double l2) {
  const examples::Standardiser scale(task.records, training, features().size());
  std::vector<double> x;
  std::vector<int> y;
  for (const std::size_t i : training)
    for_each_row(scale, task.records[i], [&](const std::vector<double>& row, bool event) {
      x.insert(x.end(), row.begin(), row.end());
      y.push_back(event);
    });
  return {scale, examples::LogisticRegression(x, y, features().size() + 1, l2)};
}

examples::Verdicts LastValues::judge(const Model& model, const std::vector<Record>& records) {
  examples::Verdicts verdicts;
  for (const Record& record : records)
    for_each_row(model.scale, record, [&](const std::vector<double>& row, bool event) {
      verdicts.probabilities.push_back(examples::probability(model.regression.logit(row.data())));
      verdicts.labels.push_back(event);
    });
  return verdicts;
}

examples::Verdicts LastValues::judge(const std::vector<Record>& records) const {
  return judge(*model_, records);
}

}  // namespace pbc
