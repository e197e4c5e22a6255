// What a missing feature reads as: x = x_mean + factor (x_last - x_mean). The factor is 0 for `mean`, 1 for `forward`,
// decay_factor(w delta + b) for `decay` and relax_factor(softplus(w), delta) for `relax` (evolve.h).
#pragma once

#include "kernels/cells/evolve.h"

namespace lacuna {

template <class V>
LACUNA_FN V impute(V factor, V last, V mean) {
  return relax(factor, mean, last);
}

}  // namespace lacuna
