// The model that any other has to beat: logistic regression on what was last measured.
#pragma once

#include <memory>

#include "examples/common/committee.h"
#include "examples/common/logistic.h"

namespace pbc {

// It sees the latest value of each test (the training mean where there is none yet) and the time since
// entry. The strength of the penalty is chosen on the other folds in turn, then all are learned from.
class LastValues {
 public:
  LastValues(const examples::Task& task, int test_fold);

  examples::Verdicts judge(const std::vector<examples::Record>& records) const;

 private:
  struct Model {
    examples::Standardiser scale;
    examples::LogisticRegression regression;
  };
  static Model learn(const examples::Task& task, const std::vector<std::size_t>& training,
                     double l2);
  static examples::Verdicts judge(const Model& model, const std::vector<examples::Record>& records);
  std::unique_ptr<Model> model_;
};

}  // namespace pbc
