#include "examples/pbc/portrait.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "examples/pbc/task.h"

namespace pbc {

using examples::Point;

Portrait::Portrait(const Patient& patient) : patient_(patient), moments_(patient.record.times) {
  for (double time = 0; time < patient.followed_years; time += 14 / days_per_year)
    moments_.push_back(time);
  std::sort(moments_.begin(), moments_.end());
  moments_.erase(std::unique(moments_.begin(), moments_.end()), moments_.end());
  for (const double time : moments_) questions_.push_back(history_until(patient, time));
}

void Portrait::add_risk(const std::string& name, const examples::LineStyle& style,
                        const std::vector<double>& probabilities) {
  Curve curve{name, style, {}, {}};
  for (std::size_t i = 0; i < moments_.size(); ++i)
    curve.points.push_back({moments_[i], probabilities.at(i)});
  risk_.push_back(std::move(curve));
}

void Portrait::add_inputs(const std::string& name, const examples::LineStyle& style,
                          const std::vector<double>& inputs) {
  inputs_.push_back({name, style, inputs});
}

// From the scale that models see to the one people read.
static double readable(std::size_t feature, double value) {
  return features()[feature].logarithm ? std::exp(value) : value;
}

std::vector<Curve> Portrait::imputed(std::size_t feature) const {
  std::vector<Curve> curves;
  for (const Inputs& inputs : inputs_) {
    Curve curve{inputs.name, inputs.style, {}, {}};
    for (std::size_t i = 0; i < moments_.size(); ++i)
      curve.points.push_back(
          {moments_[i], readable(feature, inputs.values.at(i * features().size() + feature))});
    curves.push_back(std::move(curve));
  }
  return curves;
}

void Portrait::place_in(Picture& picture, const std::vector<Patient>& all) const {
  const std::size_t width = features().size();
  for (const char* column : {"bili", "chol"}) {
    const std::size_t feature = feature_index(column);
    Strip strip;
    strip.title = features()[feature].words;
    double sum = 0, count = 0;
    for (const Patient& patient : all)
      for (std::size_t s = 0; s < patient.record.length(); ++s)
        if (const float value = patient.record.values[s * width + feature]; !std::isnan(value))
          sum += value, count += 1;
    strip.mean = readable(feature, sum / count);
    const auto& record = patient_.record;
    for (std::size_t s = 0; s < record.length(); ++s)
      if (const float value = record.values[s * width + feature]; !std::isnan(value))
        strip.measured.push_back({record.times[s], readable(feature, value)});
    strip.imputed = imputed(feature);
    picture.strips.push_back(std::move(strip));
  }

  char words[200];
  std::snprintf(words, sizeof words,
                "Patient %d: %zu visits in %.1f years. Dots are measurements, lines are what the "
                "models read in between, from the past alone.",
                patient_.id, patient_.record.length(), patient_.followed_years);
  picture.patient = words;
  picture.risk = risk_;
  picture.followed_years = patient_.followed_years;
  picture.outcome = patient_.outcome;
}

}  // namespace pbc
