// The picture that the example ends with: how the models rank patients they have not seen, fold by fold
// beside the paper's result, and whether their probabilities mean what they say.
#pragma once

#include <string>
#include <vector>

#include "examples/common/committee.h"

namespace physionet2012 {

struct Result {
  std::string name;
  const char* color;
  std::vector<double> auc{};  // one per test fold
  examples::Verdicts all{};   // of all test folds together
};

void save_picture(const std::vector<Result>& results, const std::string& details,
                  const std::string& path);

}  // namespace physionet2012
