// The question that examples/pbc asks: outcomes that nobody knows must stay unknown, and what a model
// is shown at a moment must not hold what came later.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

// Examples are programs, not libraries: the files under test are compiled into this one.
#include "examples/pbc/follow_up.cpp"
#include "examples/pbc/last_values.cpp"
#include "examples/pbc/task.cpp"

namespace {

std::vector<pbc::Patient> all_patients() { return pbc::read_patients("examples/data/pbcseq.csv"); }

TEST(PbcFollowUp, IsTheWholeStudy) {
  const auto patients = all_patients();
  ASSERT_EQ(patients.size(), 312u);
  std::size_t visits = 0, events = 0, cholesterols = 0;
  const std::size_t cholesterol = pbc::feature_index("chol"), width = pbc::features().size();
  for (const auto& patient : patients) {
    visits += patient.record.length();
    events += patient.had_event;
    for (std::size_t s = 0; s < patient.record.length(); ++s)
      cholesterols += !std::isnan(patient.record.values[s * width + cholesterol]);
  }
  EXPECT_EQ(visits, 1945u);
  EXPECT_EQ(events, 169u);  // 140 deaths, 29 transplants
  EXPECT_EQ(cholesterols, 1945u - 821u);
}

TEST(PbcFollowUp, RefusesVisitsOutOfOrder) {
  const std::string path = testing::TempDir() + "lacuna_pbc_order.csv";
  std::ofstream(path) << "id,futime,status,trt,age,sex,day,ascites,hepato,spiders,edema,bili,chol,"
                         "albumin,alk.phos,ast,platelet,protime,stage\n"
                         "1,400,2,1,58,f,192,1,1,1,1,14.5,261,2.6,1718,138,190,12.2,4\n"
                         "1,400,2,1,58,f,0,1,1,1,1,21.3,,2.94,1612,6.2,183,11.2,4\n";
  try {
    pbc::read_patients(path);
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(path + ":3: day lies before"), std::string::npos)
        << error.what();
  }
}

TEST(PbcOutcome, UnknownWhenFollowUpEndedFirst) {
  pbc::Patient patient;
  patient.followed_years = 5;
  patient.had_event = false;
  EXPECT_EQ(pbc::outcome_within(patient, 2.9, 2), 0);
  EXPECT_TRUE(std::isnan(pbc::outcome_within(patient, 3.5, 2)));
  patient.had_event = true;
  EXPECT_EQ(pbc::outcome_within(patient, 2.9, 2), 0);
  EXPECT_EQ(pbc::outcome_within(patient, 3.5, 2), 1);
}

TEST(PbcHistory, HoldsNothingOfTheFuture) {
  const auto patients = all_patients();
  const auto& patient = patients[1];
  const std::size_t width = pbc::features().size();
  const double between = (patient.record.times[2] + patient.record.times[3]) / 2;
  const auto known = pbc::history_until(patient, between);
  ASSERT_EQ(known.length(), 4u);
  EXPECT_EQ(known.times.back(), between);
  for (std::size_t d = 0; d < width; ++d) {
    EXPECT_TRUE(std::isnan(known.values[3 * width + d]));
    const float shown = known.values[2 * width + d],
                true_value = patient.record.values[2 * width + d];
    EXPECT_TRUE(shown == true_value || (std::isnan(shown) && std::isnan(true_value)));
  }
  EXPECT_TRUE(std::isnan(known.targets[2]));
  EXPECT_FALSE(std::isnan(known.targets[3]));
  EXPECT_EQ(pbc::history_until(patient, patient.record.times[3]).length(), 4u);
}

TEST(PbcTask, TestFoldsHoldPatientsNotVisits) {
  const auto patients = all_patients();
  const auto task = pbc::make_task(patients, 2, 5, 1);
  std::size_t events[5] = {}, size[5] = {};
  for (std::size_t i = 0; i < patients.size(); ++i) {
    const auto fold = static_cast<std::size_t>(task.fold_of[i]);
    ++size[fold];
    events[fold] += patients[i].had_event;
    // Rows that only ask are for training; a model is tested at visits.
    EXPECT_EQ(task.records[i].length(), patients[i].record.length());
    EXPECT_GE(task.training_records[i].length(), patients[i].record.length());
  }
  for (int fold = 0; fold < 5; ++fold) {
    EXPECT_TRUE(size[fold] == 62 || size[fold] == 63);
    EXPECT_TRUE(events[fold] == 33 || events[fold] == 34);
  }
}

TEST(PbcLastValues, NeverLooksAtTheTestFold) {
  const auto patients = all_patients();
  auto task = pbc::make_task(patients, 2, 5, 1);
  const auto test = examples::select(task.records, task.members_of(3));
  const auto before = pbc::LastValues(task, 3).judge(test);
  for (const std::size_t i : task.members_of(3)) {
    for (float& value : task.records[i].values) value = 1e6f;
    for (float& target : task.records[i].targets) target = 1 - target;
  }
  EXPECT_EQ(pbc::LastValues(task, 3).judge(test).probabilities, before.probabilities);
}

}  // namespace
