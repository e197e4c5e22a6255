// How examples/physionet2012 reads the published files: what was not measured must not become a number.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

// Examples are programs, not libraries: the file under test is compiled into this one.
#include "examples/physionet2012/challenge.cpp"

namespace {

// A folder of two patients, as published.
std::string small_folder(const std::string& name, const std::string& rows) {
  const auto folder = std::filesystem::path(testing::TempDir()) / name;
  std::filesystem::create_directories(folder / "set-a");
  std::ofstream(folder / "Outcomes-a.txt")
      << "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
         "132539,6,1,5,-1,0\n132540,16,8,8,-1,1\n";
  const std::string head = "Time,Parameter,Value\n00:00,RecordID,132539\n";
  std::ofstream(folder / "set-a" / "132539.txt") << head << rows;
  std::ofstream(folder / "set-a" / "132540.txt") << head << "47:30,pH,7.4\n";
  return folder.string();
}

constexpr std::size_t hr = 14, temp = 30, urine = 33, ph = 36;
constexpr std::size_t gender = 38, height = 39, unit = 40;

TEST(PhysioNet2012, ReadsSeriesAndOutcomes) {
  const auto folder =
      small_folder("lacuna_p12", "00:00,Age,54\n00:07,HR,73\n00:07,Urine,900\n01:30,pH,7.25\n");
  const auto patients = physionet2012::read_patients(folder, {});
  ASSERT_EQ(patients.size(), 2u);
  EXPECT_EQ(patients[0].record_id, 132539);
  EXPECT_EQ(patients[0].died_in_hospital, 0);
  EXPECT_EQ(patients[1].died_in_hospital, 1);

  const auto& record = patients[0].record;
  const std::size_t width = physionet2012::feature_count({});
  ASSERT_EQ(width, 37u);
  ASSERT_EQ(record.length(), 3u);
  ASSERT_EQ(record.values.size(), 3 * width);
  EXPECT_DOUBLE_EQ(record.times[1], 7 / 60.0);
  EXPECT_DOUBLE_EQ(record.times[2], 1.5);
  EXPECT_EQ(record.values[width + hr], 73);
  EXPECT_FLOAT_EQ(record.values[width + urine], std::log(901.0f));
  EXPECT_FLOAT_EQ(record.values[2 * width + ph], 7.25f);
  std::size_t measured = 0;
  for (const float value : record.values) measured += !std::isnan(value);
  EXPECT_EQ(measured, 3u);  // age is no series
}

TEST(PhysioNet2012, ImplausibleAndUnknownValuesAreMissing) {
  const auto folder = small_folder("lacuna_p12_odd",
                                   "00:00,Height,-1\n00:00,Gender,-1\n00:00,HR,-1\n"
                                   "00:10,HR,0\n00:10,Temp,-17.8\n00:10,pH,735\n");
  const auto patients = physionet2012::read_patients(folder, {.statics = true});
  ASSERT_EQ(patients[0].record.length(), 2u);
  for (const float value : patients[0].record.values) EXPECT_TRUE(std::isnan(value));
}

TEST(PhysioNet2012, AnImplausibleValueHidesNoEarlierOne) {
  const auto folder =
      small_folder("lacuna_p12_twice", "00:10,Temp,36.6\n00:10,Temp,1\n00:20,Temp,37\n");
  const auto patients = physionet2012::read_patients(folder, {});
  const auto& record = patients[0].record;
  EXPECT_FLOAT_EQ(record.values[37 + temp], 36.6f);
  EXPECT_FLOAT_EQ(record.values[2 * 37 + temp], 37.0f);
}

TEST(PhysioNet2012, KindsOfUnitAreColumns) {
  const auto folder = small_folder("lacuna_p12_unit", "00:00,Height,180\n00:00,ICUType,3\n");
  const physionet2012::ReadOptions options{.statics = true};
  const auto patients = physionet2012::read_patients(folder, options);
  const auto& values = patients[0].record.values;
  ASSERT_EQ(physionet2012::feature_count(options), 44u);
  EXPECT_TRUE(std::isnan(values[gender]));
  EXPECT_EQ(values[height], 180);
  const float* const columns = &values[unit];
  EXPECT_EQ(std::vector<float>(columns, columns + 4), (std::vector<float>{0, 0, 1, 0}));
}

TEST(PhysioNet2012, ComplaintsNameFileAndLine) {
  const auto message = [](const std::string& folder) -> std::string {
    try {
      physionet2012::read_patients(folder, {});
    } catch (const std::exception& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_NE(message(small_folder("lacuna_p12_time", "7:00,HR,80\n"))
                .find("132539.txt:3: time is \"7:00\"; expected hh:mm"),
            std::string::npos);
  EXPECT_NE(message(small_folder("lacuna_p12_order", "02:00,HR,80\n01:00,HR,80\n"))
                .find("132539.txt:4: time falls"),
            std::string::npos);
}

}  // namespace
