// How good a ranking is: the ROC curve and the area under it, and the mean and spread over folds.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace examples {

struct RocPoint {
  double false_positive_rate;
  double true_positive_rate;
};

// From (0,0) to (1,1), one point per distinct score: tied samples move the curve together.
inline std::vector<RocPoint> roc_curve(const std::vector<double>& scores,
                                       const std::vector<int>& labels) {
  if (scores.size() != labels.size())
    throw std::invalid_argument("roc_curve: as many scores as labels are expected");
  if (std::any_of(scores.begin(), scores.end(), [](double s) { return std::isnan(s); }))
    throw std::invalid_argument("roc_curve: a score is NaN");
  const auto positives = std::count(labels.begin(), labels.end(), 1);
  const auto negatives = std::count(labels.begin(), labels.end(), 0);
  if (positives == 0 || negatives == 0 ||
      positives + negatives != static_cast<std::ptrdiff_t>(labels.size()))
    throw std::invalid_argument("roc_curve: labels must be 0 or 1, and both must occur");

  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });

  std::vector<RocPoint> curve{{0, 0}};
  double hits = 0, false_alarms = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    (labels[order[i]] == 1 ? hits : false_alarms) += 1;
    const bool tied_with_next = i + 1 < order.size() && scores[order[i + 1]] == scores[order[i]];
    if (!tied_with_next)
      curve.push_back(
          {false_alarms / static_cast<double>(negatives), hits / static_cast<double>(positives)});
  }
  return curve;
}

// The probability that a positive scores above a negative, a tie counting half (Mann and Whitney).
inline double roc_auc(const std::vector<double>& scores, const std::vector<int>& labels) {
  const auto curve = roc_curve(scores, labels);
  double area = 0;
  for (std::size_t i = 1; i < curve.size(); ++i)
    area += (curve[i].false_positive_rate - curve[i - 1].false_positive_rate) *
            (curve[i].true_positive_rate + curve[i - 1].true_positive_rate) / 2;
  return area;
}

struct MeanSd {
  double mean = 0;
  double sd = 0;  // of a sample, n - 1; 0 for a single value
};

inline MeanSd mean_sd(const std::vector<double>& values) {
  if (values.empty()) throw std::invalid_argument("mean_sd: no values");
  const auto n = static_cast<double>(values.size());
  MeanSd result;
  for (const double value : values) result.mean += value / n;
  for (const double value : values) result.sd += (value - result.mean) * (value - result.mean);
  result.sd = values.size() > 1 ? std::sqrt(result.sd / (n - 1)) : 0;
  return result;
}

}  // namespace examples
