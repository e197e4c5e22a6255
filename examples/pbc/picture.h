// The picture that the example ends with: how the models learned, how they rank patients they have
// not seen, and what they made of one of these.
#pragma once

#include <string>
#include <vector>

#include "examples/common/plot.h"

namespace pbc {

struct Curve {
  std::string name;
  examples::LineStyle style;
  std::vector<examples::Point> points;
  std::string remark{};
};

// One test of the patient: what was measured, and what models read in between.
struct Strip {
  std::string title;
  std::vector<examples::Point> measured;
  std::vector<Curve> imputed;
  double mean = 0;  // what imputation falls back to
};

struct Picture {
  std::string title, details;
  std::vector<Curve> training_loss, validation_auc, roc;

  std::string patient;
  std::vector<Strip> strips;
  std::vector<Curve> risk;
  double followed_years = 0;
  std::string outcome;
  int horizon = 0;

  void save(const std::string& path) const;
};

}  // namespace pbc
