// Stratified k-fold splitting: every fold gets its share of each class, so that no fold of a small or
// unbalanced set is left without positives.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "examples/common/random.h"

namespace examples {

// For each sample the fold it is tested in, 0 .. folds-1. `strata` holds any small integers, one per
// sample. Within a stratum the fold sizes differ by at most one; so they do overall.
inline std::vector<int> stratified_folds(const std::vector<int>& strata, int folds,
                                         std::uint64_t seed) {
  if (folds < 2 || static_cast<std::size_t>(folds) > strata.size())
    throw std::invalid_argument("folds is " + std::to_string(folds) + "; expected 2 .. " +
                                std::to_string(strata.size()) + ", the number of samples");
  std::vector<std::size_t> order(strata.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  Random random(seed);
  random.shuffle(order);

  // Deal the shuffled samples out like cards, stratum after stratum, without starting over at fold 0:
  // that keeps the overall sizes even as well.
  std::vector<int> fold_of(strata.size(), -1);
  int next = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (fold_of[order[i]] >= 0) continue;
    const int stratum = strata[order[i]];
    for (std::size_t j = i; j < order.size(); ++j) {
      if (strata[order[j]] != stratum) continue;
      fold_of[order[j]] = next;
      next = (next + 1) % folds;
    }
  }
  return fold_of;
}

}  // namespace examples
