#include "host/cuda/measured_chips.h"

#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <utility>

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
  const MeasuredChip* nearest = nullptr;
  // Of the same capability before others, then with the nearest number of multiprocessors.
  const auto distance = [&](const MeasuredChip& chip) {
    return std::pair(chip.capability != capability,
                     std::abs(chip.multiprocessors - multiprocessors));
  };
  for (const MeasuredChip& chip : table)
    if (!nearest || distance(chip) < distance(*nearest)) nearest = &chip;
  if (!nearest || capability == 0) return {};
  const bool same = distance(*nearest) == std::pair(false, 0);
  return {.constants = nearest->constants,
          .measured = same,
          .source = std::string("measured on ") + nearest->name + " at commit " + nearest->commit +
                    (same ? "" : ", not on this chip") + left_out(nearest->constants)};
}

}  // namespace lacuna::cuda
