#include "examples/pbc/task.h"

#include <algorithm>
#include <limits>

namespace pbc {

using examples::Record;

static constexpr float nothing = std::numeric_limits<float>::quiet_NaN();

// A copy of `patient`'s visits with a row at a random time in half of the gaps. The gap after the last
// visit is one of them, and taken to be a year long at most.
static Record with_questions(const Patient& patient, double horizon, examples::Random& random) {
  const Record& visits = patient.record;
  const std::size_t width = features().size();
  Record asked;
  for (std::size_t s = 0; s < visits.length(); ++s) {
    const double time = visits.times[s];
    const auto row = visits.values.begin() + static_cast<std::ptrdiff_t>(s * width);
    asked.times.push_back(time);
    asked.values.insert(asked.values.end(), row, row + static_cast<std::ptrdiff_t>(width));
    asked.targets.push_back(outcome_within(patient, time, horizon));

    const double next =
        s + 1 < visits.length() ? visits.times[s + 1] : std::min(time + 1, patient.followed_years);
    const double question = time + random.uniform() * (next - time);
    if (random.uniform() < 0.5) continue;
    asked.times.push_back(question);
    asked.values.insert(asked.values.end(), width, nothing);
    asked.targets.push_back(outcome_within(patient, question, horizon));
  }
  return asked;
}

examples::Task make_task(const std::vector<Patient>& patients, double horizon, int folds,
                         std::uint64_t seed) {
  std::vector<Record> records, training_records;
  std::vector<int> outcomes;
  examples::Random random(examples::mix_seed(seed, 1));
  for (const Patient& patient : patients) {
    records.push_back(patient.record);
    for (const double time : patient.record.times)
      records.back().targets.push_back(outcome_within(patient, time, horizon));
    training_records.push_back(with_questions(patient, horizon, random));
    outcomes.push_back(patient.had_event);
  }
  examples::Task task(std::move(records), std::move(outcomes), folds, seed);
  task.training_records = std::move(training_records);
  return task;
}

Record history_until(const Patient& patient, double time) {
  const std::size_t width = features().size();
  Record known = patient.record;
  const auto visits = static_cast<std::size_t>(
      std::upper_bound(known.times.begin(), known.times.end(), time) - known.times.begin());
  known.times.resize(visits);
  known.values.resize(visits * width);
  if (known.times.empty() || known.times.back() < time) {
    known.times.push_back(time);
    known.values.resize(known.times.size() * width, nothing);
  }
  known.targets.assign(known.length(), nothing);
  known.targets.back() = 0;
  return known;
}

}  // namespace pbc
