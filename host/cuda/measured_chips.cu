#include "host/cuda/measured_chips.h"

#include <initializer_list>
#include <limits>

namespace lacuna::cuda {
namespace {

constexpr std::initializer_list<MeasuredChip> chips{
#include "host/cuda/measured_chips.inc"
};

constexpr bool all_serve() {
  for (const MeasuredChip& chip : chips) {
    if (chip.capability < 80 || chip.multiprocessors < 1) return false;
    for (const NamedConstant& constant : step_constants) {
      const double value = chip.constants.*constant.value;
      if (!(value > 0 && value <= std::numeric_limits<double>::max())) return false;
    }
  }
  return true;
}
static_assert(all_serve(),
              "measured_chips.inc: a constant is not positive, or a chip no GPU that is served");

// Constants that a chip's line does not have.
std::string left_out(const StepConstants& constants) {
  std::string names;
  for (const NamedConstant& constant : step_constants)
    if (constants.*constant.value == StepConstants{}.*constant.value)
      names += std::string(names.empty() ? ", but for " : ", ") + constant.name;
  return names;
}

}  // namespace

std::span<const MeasuredChip> measured_chips() { return {chips.begin(), chips.size()}; }

ChipConstants constants_of(int capability, int multiprocessors,
                           std::span<const MeasuredChip> table) {
  for (const MeasuredChip& chip : table)
    if (chip.capability == capability && chip.multiprocessors == multiprocessors)
      return {.constants = chip.constants,
              .measured = true,
              .source = std::string("measured on ") + chip.name + " at commit " + chip.commit +
                        left_out(chip.constants)};
  return {};
}

}  // namespace lacuna::cuda
