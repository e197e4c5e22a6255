// What elapsed time does to one unit: s <- target + factor (s - target). A decay has no target.
#pragma once

#include <cstdint>

#include "kernels/cells/evolve.h"
#include "kernels/recurrence/evolve_units.h"
#include "kernels/recurrence/resident/tile.h"
#include "kernels/simt/shared.h"
#include "kernels/simt/sync.h"
#include "kernels/simt/vec.h"

namespace lacuna::resident {

SIMT_DEVICE bool evolve_reads_gap(lacuna_evolve kind) {
  return kind == LACUNA_EVOLVE_DECAY_STEP || kind == LACUNA_EVOLVE_RELAX;
}

// Four numbers for each of a warp's units, the same in every step, from shared memory: a load of 16 bytes instead of four
// with an address each. What is beyond `hidden` reads as 0.
class UnitNumbers {
 public:
  // Of all warps that have units.
  static void add_to(simt::SharedLayout& shared, const Division& division) {
    shared.add<simt::Float4>(static_cast<std::size_t>(division.slice));
  }
  SIMT_DEVICE UnitNumbers(simt::SharedCarver& shared, const Division& division)
      : numbers_(shared.take<simt::Float4>(static_cast<std::size_t>(division.slice))) {}

  // number(which, unit). By every warp that has units, which reads back what it has written.
  template <class Own, class F>
  SIMT_DEVICE void fill(const Own& own, int hidden, F&& number) {
    if (own.thread < units_per_warp) {
      const int unit = own.first_unit + own.thread;
      simt::Float4 all;
      SIMT_UNROLL
      for (int which = 0; which < 4; ++which) all[which] = unit < hidden ? number(which, unit) : 0;
      numbers_[own.row * units_per_warp + own.thread] = all;
    }
    simt::sync_warp();
  }
  template <class Own>
  SIMT_DEVICE simt::Float4 of(const Own& own, int pair) const {
    return numbers_[own.place(pair)];
  }

 private:
  simt::Float4* numbers_;
};

// A UnitNumbers' of the evolve. Decays: weight and bias. Relaxation: rate and target of h, rate and target of c.
SIMT_DEVICE float evolve_number(const EvolveView<float>& evolve, int which, int unit, int hidden,
                                bool has_cell) {
  switch (evolve.kind) {
    case LACUNA_EVOLVE_DECAY: return which == 1 ? evolve.bias[unit] : 0;
    case LACUNA_EVOLVE_DECAY_STEP:
      return which == 0 ? evolve.weight[unit] : which == 1 ? evolve.bias[unit] : 0;
    case LACUNA_EVOLVE_RELAX: {
      if (which / 2 == 1 && !has_cell) return 0;
      const int at = which / 2 * hidden + unit;
      return which % 2 == 0 ? evolve.rate[at] : evolve.target[at];
    }
    default: return 0;
  }
}

// Between two states of a unit.
struct Evolution {
  float factor, target;
  float exponent;  // of a decay, before its clamp
};

// Whether anything happens at all. `part`: 0 for h, 1 for c, which only relax changes.
SIMT_DEVICE bool does_evolve(lacuna_evolve kind, int part) {
  return part == 0 ? kind != LACUNA_EVOLVE_NONE : kind == LACUNA_EVOLVE_RELAX;
}

// Where it does. `numbers`: the unit's; `exponent`: decay's, of the token.
SIMT_DEVICE Evolution evolution(lacuna_evolve kind, const simt::Float4& numbers, float exponent,
                                float dt, int part) {
  if (kind == LACUNA_EVOLVE_RELAX)
    return {relax_factor(numbers[2 * part], dt), numbers[2 * part + 1], 0};
  if (kind == LACUNA_EVOLVE_DECAY_STEP) exponent = numbers[0] * dt;
  exponent += numbers[1];
  return {decay_factor(exponent), 0, exponent};
}

}  // namespace lacuna::resident
