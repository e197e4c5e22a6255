// The question put to every model: at each visit, will this patient die or need a transplant within
// the horizon?
#pragma once

#include "examples/common/committee.h"
#include "examples/pbc/follow_up.h"

namespace pbc {

// Folds are over patients, stratified by outcome. In training, half of the gaps between visits hold
// one more row with nothing measured, at a random time: so the models learn to be asked on any day.
examples::Task make_task(const std::vector<Patient>& patients, double horizon, int folds,
                         std::uint64_t seed);

// What is known of one patient at one moment: the visits up to `time`, and if there is none at just
// that time, a row with nothing measured. The target of the last row counts as known.
examples::Record history_until(const Patient& patient, double time);

}  // namespace pbc
