// One step of Adam (Kingma & Ba 2015) with decoupled weight decay (AdamW) for one parameter.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cells/function.h"
#include "lacuna/lacuna.h"

namespace lacuna {

// What does not depend on the element, computed once, in double: 1 - beta^t of a first step loses
// digits in float.
template <class R>
struct AdamFactors {
  explicit AdamFactors(const lacuna_adam& adam)
      : beta1(static_cast<R>(adam.beta1)),
        rest1(static_cast<R>(1 - adam.beta1)),
        beta2(static_cast<R>(adam.beta2)),
        rest2(static_cast<R>(1 - adam.beta2)),
        keep(static_cast<R>(1 - adam.learning_rate * adam.weight_decay)) {
    const auto t = static_cast<double>(adam.step);
    const double root_correction = std::sqrt(1 - std::pow(adam.beta2, t));
    rate = static_cast<R>(adam.learning_rate * root_correction / (1 - std::pow(adam.beta1, t)));
    // Not rounded to 0, which would divide by 0 wherever a gradient has always been 0.
    epsilon =
        std::max(static_cast<R>(adam.epsilon * root_correction), std::numeric_limits<R>::min());
  }

  LACUNA_FN void step(R g, R& parameter, R& first_moment, R& second_moment) const {
    first_moment = beta1 * first_moment + rest1 * g;
    second_moment = beta2 * second_moment + rest2 * g * g;
    parameter = keep * parameter - rate * first_moment / (std::sqrt(second_moment) + epsilon);
  }

  R beta1, rest1, beta2, rest2, keep, rate, epsilon;
};

}  // namespace lacuna
