// One patient looked at closely: asks the models on every day of follow-up what they know and expect.
#pragma once

#include <string>
#include <vector>

#include "examples/common/records.h"
#include "examples/pbc/follow_up.h"
#include "examples/pbc/picture.h"

namespace pbc {

class Portrait {
 public:
  explicit Portrait(const Patient& patient);

  // One record per moment, two weeks apart and at each visit: what was known then. Only the last row
  // of each has a known target, so a model's verdicts are one per moment.
  const std::vector<examples::Record>& questions() const { return questions_; }

  // One probability per question.
  void add_risk(const std::string& name, const examples::LineStyle& style,
                const std::vector<double>& probabilities);
  // The rows that a model read, [questions, D], in the features' units.
  void add_inputs(const std::string& name, const examples::LineStyle& style,
                  const std::vector<double>& inputs);

  // Sets the patient's part of the picture. `all` are the patients whose mean is drawn.
  void place_in(Picture& picture, const std::vector<Patient>& all) const;

 private:
  std::vector<Curve> imputed(std::size_t feature) const;

  Patient patient_;
  std::vector<double> moments_;
  std::vector<examples::Record> questions_;
  std::vector<Curve> risk_;
  struct Inputs {
    std::string name;
    examples::LineStyle style;
    std::vector<double> values;
  };
  std::vector<Inputs> inputs_;
};

}  // namespace pbc
