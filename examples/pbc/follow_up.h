// The Mayo Clinic's follow-up of 312 patients with primary biliary cirrhosis: visits at irregular
// days, some tests missing, death or transplant as the outcome. See examples/data/README.md.
#pragma once

#include <string>
#include <vector>

#include "examples/common/records.h"

namespace pbc {

inline constexpr double days_per_year = 365.25;

struct Feature {
  const char* column;  // in the file
  const char* words;   // for people, with the unit
  bool logarithm;      // skewed: its logarithm is used
};

// In the order of the columns of Record::values.
const std::vector<Feature>& features();
std::size_t feature_index(const std::string& column);

struct Patient {
  int id = 0;
  double followed_years = 0;  // from entry to death, transplant or the end of the study
  bool had_event = false;     // death or transplant
  std::string outcome;        // at the end of follow-up: "died", "transplant" or "alive"
  examples::Record record;    // times in years since entry; targets not set
};

std::vector<Patient> read_patients(const std::string& csv_path);

// 1 when the patient died or had a transplant within `horizon` years of `time`, 0 when the patient is
// known to have lived beyond without one, NaN when follow-up ended before anyone could know.
float outcome_within(const Patient& patient, double time, double horizon);

}  // namespace pbc
