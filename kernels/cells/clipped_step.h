// What a step of Adam over all gradients of a model takes from their norm, and, where their loss was scaled, what it makes
// of the scale (dynamic loss scaling, Micikevicius et al. 2018).
#pragma once

#include <cmath>

#include "kernels/cells/adam.h"

namespace lacuna {

// Normal floats, and so are their reciprocals: 1 / scale is exact where the scale is a power of two.
inline constexpr double least_loss_scale = 0x1p-126, most_loss_scale = 0x1p126;

// After a step whose norm was finite, or was not. A scale that would leave the range stays.
LACUNA_FN void update_loss_scale(const lacuna_loss_scaling& scaling, bool finite,
                                 lacuna_loss_scale& state) {
  double scale = state.scale;
  if (finite) {
    ++state.steps;
    if (++state.finite_steps < scaling.interval) return;
    scale *= scaling.growth;
  } else {
    scale *= scaling.backoff;
  }
  state.finite_steps = 0;
  if (scale >= least_loss_scale && scale <= most_loss_scale) state.scale = scale;
}

// What follows from the norm of all gradients.
struct AfterNorm {
  double norm;
  double factor;  // gradients are multiplied by it
  bool finite;    // the norm
  AdamCorrection correction;
};

struct ClippedStep {
  lacuna_adam adam;  // its step is not read with a loss_scale
  double max_norm;
  lacuna_loss_scaling scaling;
  lacuna_loss_scale* loss_scale;  // updated; null: the loss was not scaled

  // To be called once a step. `squares`: the sum over all gradients as they are.
  LACUNA_FN AfterNorm after(double squares) const {
    const double scale = loss_scale ? loss_scale->scale : 1;
    const std::int64_t step = loss_scale ? loss_scale->steps + 1 : adam.step;
    AfterNorm of;
    of.norm = std::sqrt(squares) / scale;
    of.finite = std::isfinite(of.norm);
    of.factor = (of.norm > max_norm ? max_norm / of.norm : 1) / scale;
    of.correction = adam_correction(adam, step);
    if (loss_scale) update_loss_scale(scaling, of.finite, *loss_scale);
    return of;
  }
};

}  // namespace lacuna
