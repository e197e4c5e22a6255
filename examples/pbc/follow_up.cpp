#include "examples/pbc/follow_up.h"

#include <cmath>
#include <limits>
#include <stdexcept>

#include "examples/common/csv.h"

namespace pbc {

const std::vector<Feature>& features() {
  static const std::vector<Feature> list{
      {"bili", "bilirubin, mg/dl", true},
      {"albumin", "albumin, g/dl", false},
      {"protime", "prothrombin time, s", true},
      {"alk.phos", "alkaline phosphatase, U/l", true},
      {"ast", "aspartate aminotransferase, U/ml", true},
      {"chol", "cholesterol, mg/dl", true},
      {"platelet", "platelets, 1000/ml", true},
      {"ascites", "ascites", false},
      {"hepato", "enlarged liver", false},
      {"spiders", "spider naevi", false},
      {"edema", "edema", false},
      {"stage", "histologic stage", false},
      {"age", "age at entry, years", false},
      {"sex", "female", false},
      {"trt", "placebo", false},
  };
  return list;
}

std::size_t feature_index(const std::string& column) {
  for (std::size_t d = 0; d < features().size(); ++d)
    if (features()[d].column == column) return d;
  throw std::invalid_argument("no feature " + column);
}

namespace {

float read_feature(const examples::CsvTable& table, std::size_t row, std::size_t column,
                   const Feature& feature) {
  const std::string name = feature.column;
  if (name == "sex") {
    const auto sex = table.text(row, column);
    if (sex != "f" && sex != "m") table.complain(row, "sex is neither f nor m");
    return sex == "f";
  }
  const double value = table.number(row, column);
  if (feature.logarithm && value <= 0) table.complain(row, name + " is not positive");
  if (name == "trt") return static_cast<float>(value - 1);  // 1 D-penicillamine, 2 placebo
  return static_cast<float>(feature.logarithm ? std::log(value) : value);
}

}  // namespace

std::vector<Patient> read_patients(const std::string& csv_path) {
  const auto table = examples::read_csv(csv_path);
  const std::size_t id = table.column("id"), futime = table.column("futime"),
                    status = table.column("status"), day = table.column("day");
  std::vector<std::size_t> columns;
  for (const Feature& feature : features()) columns.push_back(table.column(feature.column));

  std::vector<Patient> patients;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const int row_id = static_cast<int>(table.number(row, id));
    if (patients.empty() || patients.back().id != row_id) {
      Patient patient;
      patient.id = row_id;
      patient.followed_years = table.number(row, futime) / days_per_year;
      const double code = table.number(row, status);
      patient.had_event = code == 1 || code == 2;
      patient.outcome = code == 2 ? "died" : code == 1 ? "transplant" : "alive";
      patients.push_back(std::move(patient));
    }
    Patient& patient = patients.back();
    const double years = table.number(row, day) / days_per_year;
    if (!(years <= patient.followed_years) ||
        (!patient.record.times.empty() && years < patient.record.times.back()))
      table.complain(row, "day lies before the visit above it, or after the end of follow-up");
    patient.record.times.push_back(years);
    for (std::size_t d = 0; d < columns.size(); ++d)
      patient.record.values.push_back(read_feature(table, row, columns[d], features()[d]));
  }
  return patients;
}

float outcome_within(const Patient& patient, double time, double horizon) {
  const double known_for = patient.followed_years - time;
  if (known_for > horizon) return 0;
  return patient.had_event ? 1 : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace pbc
