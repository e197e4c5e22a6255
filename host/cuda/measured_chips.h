// The constants of the cost model (step_cost.h) for the chip at hand: from the table of those that `./dev gpu tune` has been
// run on. A chip that is not there has the nearest one's: what these kernels wait for is nearer to the truth than what is
// published of single instructions.
#pragma once

#include <span>
#include <string>

#include "host/cuda/step_cost.h"

namespace lacuna::cuda {

struct MeasuredChip {
  const char* name = "";
  int capability = 0;  // 90: 9.0
  int multiprocessors = 0;
  const char* commit = "";  // of the kernels that were timed
  StepConstants constants;
};

std::span<const MeasuredChip> measured_chips();

struct ChipConstants {
  StepConstants constants;
  bool measured = false;                                              // on this chip
  std::string source = "defaults, published for an H100 or guessed";  // for people

  // Of all others, but not of lone lanes, whose default is a guess.
  bool lacks_lone() const { return measured && constants.lone_gates == StepConstants{}.lone_gates; }
};
// capability 0, of no GPU, has the defaults.
ChipConstants constants_of(int capability, int multiprocessors,
                           std::span<const MeasuredChip> chips = measured_chips());

}  // namespace lacuna::cuda
