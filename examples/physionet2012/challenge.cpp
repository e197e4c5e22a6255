#include "examples/physionet2012/challenge.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <stdexcept>

#include "examples/common/csv.h"

namespace physionet2012 {

const std::vector<std::string>& series_names() {
  static const std::vector<std::string> names{
      "ALP",        "ALT",      "AST",     "Albumin",   "BUN",       "Bilirubin", "Cholesterol",
      "Creatinine", "DiasABP",  "FiO2",    "GCS",       "Glucose",   "HCO3",      "HCT",
      "HR",         "K",        "Lactate", "MAP",       "MechVent",  "Mg",        "NIDiasABP",
      "NIMAP",      "NISysABP", "Na",      "PaCO2",     "PaO2",      "Platelets", "RespRate",
      "SaO2",       "SysABP",   "Temp",    "TroponinI", "TroponinT", "Urine",     "WBC",
      "Weight",     "pH"};
  return names;
}

const std::vector<std::string>& static_names() {
  // The four kinds of intensive care unit are columns of their own: their numbers mean nothing.
  static const std::vector<std::string> names{"Age",      "Gender",   "Height",  "ICUType1",
                                              "ICUType2", "ICUType3", "ICUType4"};
  return names;
}

namespace {

// Logarithms of what spreads over orders of magnitude. The number added keeps 0 in reach; it is about
// the smallest value that a laboratory reports.
double rescaled(std::string_view name, double value) {
  static const std::map<std::string_view, double> added{
      {"ALP", 0.1},        {"ALT", 0.1},        {"AST", 0.1},     {"BUN", 1},    {"Bilirubin", 0.1},
      {"Creatinine", 0.1}, {"Glucose", 0.1},    {"Lactate", 0.1}, {"PaO2", 0.1}, {"Platelets", 0.1},
      {"TroponinI", 0.01}, {"TroponinT", 0.01}, {"Urine", 1},     {"WBC", 0.1}};
  const auto found = added.find(name);
  return found == added.end() ? value : std::log(value + found->second);
}

// "hh:mm", hours since admission.
double parse_time(const examples::CsvTable& table, std::size_t row, std::size_t column) {
  const std::string_view text = table.text(row, column);
  const auto digit = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  if (text.size() != 5 || text[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4))
    table.complain(row, "time is \"" + std::string(text) + "\"; expected hh:mm");
  const auto number = [&](std::size_t i) { return 10 * (text[i] - '0') + (text[i + 1] - '0'); };
  return number(0) + number(3) / 60.0;
}

std::map<std::string, std::size_t, std::less<>> make_column_of(bool statics) {
  std::map<std::string, std::size_t, std::less<>> columns;
  for (const auto& name : series_names()) columns.emplace(name, columns.size());
  if (statics)
    for (const auto& name : static_names()) columns.emplace(name, columns.size());
  return columns;
}

examples::Record read_record(const std::string& path, bool statics) {
  static constexpr float not_measured = std::numeric_limits<float>::quiet_NaN();
  const auto table = examples::read_csv(path);
  const std::size_t time = table.column("Time"), parameter = table.column("Parameter"),
                    value = table.column("Value");
  const auto columns = make_column_of(statics);

  examples::Record record;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const double hours = parse_time(table, row, time);
    if (!record.times.empty() && hours < record.times.back())
      table.complain(row, "time falls; expected rows in order of time");
    // A time stamp makes a row even if nothing was measured: so every patient has one, at 00:00.
    if (record.times.empty() || hours != record.times.back()) {
      record.times.push_back(hours);
      record.values.resize(record.times.size() * columns.size(), not_measured);
    }
    const double measured = table.number(row, value);
    if (std::isnan(measured) || measured == -1) continue;  // -1 is how the files say "unknown"

    std::string name(table.text(row, parameter));
    const bool unit = statics && name == "ICUType";
    if (unit) name += std::to_string(static_cast<int>(measured));
    const auto found = columns.find(name);
    if (found == columns.end()) continue;  // RecordID, or statics that are not wanted

    float* const newest = record.values.data() + record.values.size() - columns.size();
    if (unit)
      for (int type = 1; type <= 4; ++type)
        newest[columns.find("ICUType" + std::to_string(type))->second] = 0;
    newest[found->second] = unit ? 1 : static_cast<float>(rescaled(name, measured));
  }
  return record;
}

}  // namespace

std::vector<Patient> read_patients(const std::string& folder, const ReadOptions& options) {
  const std::filesystem::path root(folder);
  if (!std::filesystem::is_directory(root / "set-a"))
    throw std::runtime_error(folder +
                             " has no folder set-a; expected set-a/*.txt and Outcomes-a.txt");
  const auto outcomes = examples::read_csv((root / "Outcomes-a.txt").string());
  const std::size_t id = outcomes.column("RecordID"), died = outcomes.column("In-hospital_death");

  std::vector<Patient> patients;
  for (std::size_t row = 0; row < outcomes.rows(); ++row) {
    if (options.limit > 0 && patients.size() == static_cast<std::size_t>(options.limit)) break;
    Patient patient;
    patient.record_id = static_cast<int>(outcomes.number(row, id));
    const double outcome = outcomes.number(row, died);
    if (outcome != 0 && outcome != 1)
      outcomes.complain(row, "In-hospital_death is neither 0 nor 1");
    patient.died_in_hospital = static_cast<int>(outcome);
    const auto file = root / "set-a" / (std::to_string(patient.record_id) + ".txt");
    patient.record = read_record(file.string(), options.statics);
    patients.push_back(std::move(patient));
  }
  return patients;
}

}  // namespace physionet2012
