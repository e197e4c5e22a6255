#include "examples/physionet2012/challenge.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>

#include "examples/common/csv.h"

namespace physionet2012 {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// What a patient's file may hold, and how it is read.
struct Parameter {
  // What lies outside counts as not measured: a sensor that fell off, a slip of a keyboard. The limits
  // are round numbers beyond what living adults have; no outcome went into them.
  double lowest = -infinity, highest = infinity;
  // Of what spreads over orders of magnitude, log(value + log_offset) is read, which is defined at 0.
  std::optional<double> log_offset{};
};

template <class Value>
using ByName = std::map<std::string, Value, std::less<>>;

const ByName<Parameter> series{
    {"ALP", {.log_offset = 0.1}},
    {"ALT", {.log_offset = 0.1}},
    {"AST", {.log_offset = 0.1}},
    {"Albumin", {}},
    {"BUN", {.log_offset = 1}},
    {"Bilirubin", {.log_offset = 0.1}},
    {"Cholesterol", {}},
    {"Creatinine", {.log_offset = 0.1}},
    {"DiasABP", {.lowest = 10, .highest = 200}},
    {"FiO2", {}},
    {"GCS", {}},
    {"Glucose", {.log_offset = 0.1}},
    {"HCO3", {}},
    {"HCT", {}},
    {"HR", {.lowest = 15, .highest = 260}},
    {"K", {}},
    {"Lactate", {.log_offset = 0.1}},
    {"MAP", {.lowest = 15, .highest = 250}},
    {"MechVent", {}},
    {"Mg", {}},
    {"NIDiasABP", {.lowest = 10, .highest = 200}},
    {"NIMAP", {.lowest = 15, .highest = 250}},
    {"NISysABP", {.lowest = 30, .highest = 300}},
    {"Na", {}},
    {"PaCO2", {.lowest = 5, .highest = 150}},
    {"PaO2", {.log_offset = 0.1}},
    {"Platelets", {.log_offset = 0.1}},
    {"RespRate", {.lowest = 2, .highest = 80}},
    {"SaO2", {}},
    {"SysABP", {.lowest = 30, .highest = 300}},
    {"Temp", {.lowest = 28, .highest = 43}},
    {"TroponinI", {.log_offset = 0.01}},
    {"TroponinT", {.log_offset = 0.01}},
    {"Urine", {.log_offset = 1}},
    {"WBC", {.log_offset = 0.1}},
    {"Weight", {.lowest = 25, .highest = 300}},
    {"pH", {.lowest = 6.5, .highest = 8}},
};

// The kinds of intensive care unit are columns of their own, 0 or 1: their numbers mean nothing.
const ByName<Parameter> statics{
    {"Age", {}},
    {"Gender", {.lowest = 0, .highest = 1}},
    {"Height", {.lowest = 100, .highest = 230}},
    {"ICUType1", {}},
    {"ICUType2", {}},
    {"ICUType3", {}},
    {"ICUType4", {}},
};

struct Column {
  std::size_t index;
  Parameter parameter;
};

// Alphabetical, the statics after the series.
ByName<Column> make_columns(bool with_statics) {
  ByName<Column> columns;
  for (const auto& [name, parameter] : series)
    columns.emplace(name, Column{columns.size(), parameter});
  if (with_statics)
    for (const auto& [name, parameter] : statics)
      columns.emplace(name, Column{columns.size(), parameter});
  return columns;
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

examples::Record read_record(const std::string& path, const ByName<Column>& columns) {
  static constexpr float not_measured = std::numeric_limits<float>::quiet_NaN();
  const auto table = examples::read_csv(path);
  const std::size_t time = table.column("Time"), name = table.column("Parameter"),
                    value = table.column("Value");

  examples::Record record;
  const auto set = [&](std::string_view what, double measured) {
    const auto found = columns.find(what);
    if (found == columns.end()) return;  // RecordID, or statics that are not wanted
    const auto& [index, parameter] = found->second;
    if (!(measured >= parameter.lowest && measured <= parameter.highest)) return;
    if (parameter.log_offset) measured = std::log(measured + *parameter.log_offset);
    record.values[record.values.size() - columns.size() + index] = static_cast<float>(measured);
  };
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
    set(table.text(row, name), measured);
    if (table.text(row, name) == "ICUType")
      for (int unit = 1; unit <= 4; ++unit)
        set("ICUType" + std::to_string(unit), measured == unit ? 1 : 0);
  }
  return record;
}

}  // namespace

std::size_t feature_count(const ReadOptions& options) {
  return series.size() + (options.statics ? statics.size() : 0);
}

std::vector<Patient> read_patients(const std::string& folder, const ReadOptions& options) {
  const std::filesystem::path root(folder);
  if (!std::filesystem::is_directory(root / "set-a"))
    throw std::runtime_error(folder +
                             " has no folder set-a; expected set-a/*.txt and Outcomes-a.txt");
  const auto outcomes = examples::read_csv((root / "Outcomes-a.txt").string());
  const std::size_t id = outcomes.column("RecordID"), died = outcomes.column("In-hospital_death");

  const auto columns = make_columns(options.statics);
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
    patient.record = read_record(file.string(), columns);
    patients.push_back(std::move(patient));
  }
  return patients;
}

}  // namespace physionet2012
