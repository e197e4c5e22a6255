// Reads PhysioNet/CC 2012 set A in its published form: one text file of "Time,Parameter,Value" lines
// per patient, and a table of outcomes.
#pragma once

#include <string>
#include <vector>

#include "examples/common/records.h"

namespace physionet2012 {

// The 37 time series, in the order of their columns.
const std::vector<std::string>& series_names();
// What is known on admission. It stands in the files as measurements at 00:00, and is read that way.
const std::vector<std::string>& static_names();

struct Patient {
  int record_id = 0;
  int died_in_hospital = 0;
  examples::Record
      record;  // times in hours; values [T, 37 + statics], the skewed ones as logarithms
};

struct ReadOptions {
  bool statics = false;
  int limit = 0;  // read this many patients at most; 0: all
};

// `folder` holds set-a/ and Outcomes-a.txt. Patients come in the order of the outcome table.
std::vector<Patient> read_patients(const std::string& folder, const ReadOptions& options);

}  // namespace physionet2012
