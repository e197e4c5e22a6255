// What elapsed time does to one unit, computed before the state is there to apply it to: a factor and a target.
#pragma once

#include <cstdint>

#include "kernels/cells/evolve.h"
#include "kernels/recurrence/evolve_units.h"

namespace lacuna::resident {

struct UnitOfToken {
  std::int64_t token;
  int unit;
  std::int64_t hidden, units;

  SIMT_DEVICE bool is_present() const { return token >= 0 && unit < hidden; }
};

SIMT_DEVICE bool evolve_reads_gap(lacuna_evolve kind) {
  return kind == LACUNA_EVOLVE_DECAY_STEP || kind == LACUNA_EVOLVE_RELAX;
}

// s <- target + factor (s - target); a decay has no target, and where nothing happens the factor is 1.
struct Evolution {
  float factor = 1;
  float exponent = 0;  // of a decay, before its clamp
};

// `part`: 0 for h, 1 for c, which only relax changes.
SIMT_DEVICE Evolution evolution(const EvolveView<float>& evolve, const UnitOfToken& at, float dt,
                                int part) {
  Evolution result;
  if (evolve.kind == LACUNA_EVOLVE_NONE || !at.is_present()) return result;
  if (evolve.kind == LACUNA_EVOLVE_RELAX) {
    result.factor = relax_factor(evolve.rate[part * at.hidden + at.unit], dt);
  } else if (part == 0) {
    result.exponent = evolve.kind == LACUNA_EVOLVE_DECAY
                          ? evolve.exponent[at.token * at.units + at.unit]
                          : evolve.weight[at.unit] * dt;
    result.exponent += evolve.bias[at.unit];
    result.factor = decay_factor(result.exponent);
  }
  return result;
}

SIMT_DEVICE float target_of(const EvolveView<float>& evolve, const UnitOfToken& at, int part) {
  return evolve.kind == LACUNA_EVOLVE_RELAX && at.is_present()
             ? evolve.target[part * at.hidden + at.unit]
             : 0;
}

SIMT_DEVICE float evolved(const EvolveView<float>& evolve, const UnitOfToken& at,
                          const Evolution& time, int part, float state) {
  return relax(time.factor, target_of(evolve, at, part), state);
}

// From dL/d(evolved) to dL/d(state before), leaving what the parameters' gradients are summed from.
SIMT_DEVICE float evolution_backward(const EvolveView<float>& evolve,
                                     const EvolveGradients<float>& gradients, const UnitOfToken& at,
                                     const Evolution& time, int part, int parts, float evolved,
                                     float d) {
  if (evolve.kind == LACUNA_EVOLVE_NONE || at.unit >= at.units) return d;
  const bool relaxes = evolve.kind == LACUNA_EVOLVE_RELAX, inside = at.unit < at.hidden;
  if (part == 1 && !relaxes) return d;
  const std::int64_t to =
      relaxes ? (at.token * parts + part) * at.units + at.unit : at.token * at.units + at.unit;
  const float d_exponent = relaxes ? relax_d_exponent(target_of(evolve, at, part), evolved, d)
                                   : decay_d_pre(time.exponent, evolved, d);
  if (gradients.d_exponent) gradients.d_exponent[to] = inside ? d_exponent : 0;
  if (relaxes && gradients.d_target)
    gradients.d_target[to] = inside ? relax_d_target(time.factor, d) : 0;
  return time.factor * d;
}

}  // namespace lacuna::resident
