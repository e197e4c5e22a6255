// Reads PhysioNet/CC 2012 set A in its published form: one text file of "Time,Parameter,Value" lines
// per patient, and a table of outcomes.
#pragma once

#include <string>
#include <vector>

#include "examples/common/records.h"

namespace physionet2012 {

struct Patient {
  int record_id = 0;
  int died_in_hospital = 0;
  // Times in hours; values [T, feature_count], the skewed ones as logarithms, implausible ones missing.
  examples::Record record;
};

struct ReadOptions {
  // Age, sex, height and four columns for the kind of intensive care unit. The files hold what is
  // known on admission as measurements at 00:00, and it is read that way.
  bool statics = false;
  int limit = 0;  // read this many patients at most; 0: all
};

// The 37 series, and the 7 columns of statics if they are wanted.
std::size_t feature_count(const ReadOptions& options);

// `folder` holds set-a/ and Outcomes-a.txt. Patients come in the order of the outcome table.
std::vector<Patient> read_patients(const std::string& folder, const ReadOptions& options);

}  // namespace physionet2012
