// Puts features on a common scale. The scale is learned on training records alone: a test record that
// helped to choose it would have been seen.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "examples/common/records.h"

namespace examples {

class Standardiser {
 public:
  Standardiser(const std::vector<Record>& records, const std::vector<std::size_t>& training,
               std::size_t features)
      : mean_(features, 0.0), sd_(features, 0.0) {
    std::vector<double> count(features, 0.0);
    const auto visit = [&](auto&& use) {
      for (const std::size_t r : training)
        for (std::size_t i = 0; i < records[r].values.size(); ++i)
          if (const double value = records[r].values[i]; !std::isnan(value))
            use(i % features, value);
    };
    visit([&](std::size_t d, double value) { mean_[d] += value, count[d] += 1; });
    for (std::size_t d = 0; d < features; ++d) mean_[d] /= std::max(1.0, count[d]);
    visit([&](std::size_t d, double value) { sd_[d] += (value - mean_[d]) * (value - mean_[d]); });
    for (std::size_t d = 0; d < features; ++d) {
      sd_[d] = std::sqrt(sd_[d] / std::max(1.0, count[d]));
      // A feature whose mere presence is the message is left at 0 or 1 instead of being blown up.
      if (sd_[d] < 1e-6) mean_[d] = 0, sd_[d] = 1;
    }
  }

  // NaN stays NaN. Values further than `limit` standard deviations out are drawn in to it, so that one
  // slip of a keyboard (a pH of 735) does not drown its neighbours.
  void apply(Record& record, double limit) const {
    for (std::size_t i = 0; i < record.values.size(); ++i) {
      float& value = record.values[i];
      if (std::isnan(value)) continue;
      const std::size_t d = i % mean_.size();
      value = static_cast<float>(std::clamp((value - mean_[d]) / sd_[d], -limit, limit));
    }
  }

  // Back to the feature's own units.
  double restore(std::size_t feature, double value) const {
    return mean_[feature] + sd_[feature] * value;
  }

 private:
  std::vector<double> mean_, sd_;
};

}  // namespace examples
