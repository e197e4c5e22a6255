// Losses of one prediction p (a logit z, where so named) and its target t: the loss and its slope. For the value types
// float and double; shared by the CPU's and the CUDA backend's sums.
#pragma once

#include <cmath>

#include "kernels/cells/function.h"

namespace lacuna {

template <class R>
struct LossTerm {
  R loss, slope;
};

// log(1 + e^z) - t z. Written so that no exponent is positive and nothing large is subtracted from
// anything large; the slope, sigmoid - t, keeps its accuracy where it is nearly 0.
struct BinaryCrossEntropyTerm {
  template <class R>
  LACUNA_FN static LossTerm<R> of(R z, R t) {
    const R decay = std::exp(-std::fabs(z));  // in (0, 1]
    const R tail = decay / (R(1) + decay);    // sigmoid of -|z|
    const R loss = (z > 0 ? z : R(0)) - t * z + std::log1p(decay);
    return {loss, z >= 0 ? (R(1) - t) - tail : tail - t};
  }
};

struct SquaredErrorTerm {
  template <class R>
  LACUNA_FN static LossTerm<R> of(R p, R t) {
    return {(p - t) * (p - t), 2 * (p - t)};
  }
};

// The slope where the two are equal is 0.
struct AbsoluteErrorTerm {
  template <class R>
  LACUNA_FN static LossTerm<R> of(R p, R t) {
    return {std::fabs(p - t), static_cast<R>(p > t) - static_cast<R>(p < t)};
  }
};

}  // namespace lacuna
