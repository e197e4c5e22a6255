// One step of Adam (Kingma & Ba 2015) with decoupled weight decay (AdamW) for one parameter.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cells/function.h"
#include "lacuna/lacuna.h"

namespace lacuna {

// By squaring: multiplications alone, which round alike on the host and on a device. For Adam's
// 1 - beta^t a relative error of 1e-16 / (1 - beta) at most.
LACUNA_FN double power_of(double base, std::int64_t exponent) {
  double power = 1;
  for (; exponent > 0; exponent /= 2, base *= base)
    if (exponent % 2 == 1) power *= base;
  return power;
}

// What depends on the step's number, in double: 1 - beta^t of a first step loses digits in float.
struct AdamCorrection {
  double rate, epsilon;
};

LACUNA_FN AdamCorrection adam_correction(const lacuna_adam& adam, std::int64_t step) {
  const double root = std::sqrt(1 - power_of(adam.beta2, step));
  return {adam.learning_rate * root / (1 - power_of(adam.beta1, step)), adam.epsilon * root};
}

// A constant of its own: device code may not call what it is made from.
template <class R>
inline constexpr R least_epsilon = std::numeric_limits<R>::min();

// What does not depend on the element.
template <class R>
struct AdamFactors {
  // To be given its correction later.
  explicit AdamFactors(const lacuna_adam& adam)
      : beta1(static_cast<R>(adam.beta1)),
        rest1(static_cast<R>(1 - adam.beta1)),
        beta2(static_cast<R>(adam.beta2)),
        rest2(static_cast<R>(1 - adam.beta2)),
        keep(static_cast<R>(1 - adam.learning_rate * adam.weight_decay)) {}
  AdamFactors(const lacuna_adam& adam, std::int64_t step) : AdamFactors(adam) {
    correct(adam_correction(adam, step));
  }

  LACUNA_FN void correct(const AdamCorrection& by) {
    rate = static_cast<R>(by.rate);
    // Not rounded to 0, which would divide by 0 wherever a gradient has always been 0.
    epsilon = static_cast<R>(by.epsilon);
    if (epsilon < least_epsilon<R>) epsilon = least_epsilon<R>;
  }

  LACUNA_FN void step(R g, R& parameter, R& first_moment, R& second_moment) const {
    first_moment = beta1 * first_moment + rest1 * g;
    second_moment = beta2 * second_moment + rest2 * g * g;
    parameter = keep * parameter - rate * first_moment / (std::sqrt(second_moment) + epsilon);
  }

  R beta1, rest1, beta2, rest2, keep, rate = 0, epsilon = 1;
};

}  // namespace lacuna
