#include "host/training/optimiser.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "host/training/chunks.h"

namespace lacuna::training {
namespace {

constexpr std::int64_t least_elements = 8192;  // worth a thread

template <class Real>
double sum_of_squares(cpu::Team& team, const Real* values, std::int64_t count) {
  constexpr std::int64_t lanes = 8;  // chains of additions that do not wait for one another
  std::array<double, Chunks::most> partial;
  const Chunks chunks(count, least_elements);
  chunks.run(team, [&](std::int64_t begin, std::int64_t end, std::int64_t chunk) {
    double sums[lanes] = {};
    std::int64_t i = begin;
    for (; i + lanes <= end; i += lanes)
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        const auto value = static_cast<double>(values[i + lane]);
        sums[lane] += value * value;
      }
    for (; i < end; ++i) sums[0] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    double sum = 0;
    for (const double part : sums) sum += part;
    partial[static_cast<std::size_t>(chunk)] = sum;
  });
  double sum = 0;
  for (std::int64_t chunk = 0; chunk < chunks.number(); ++chunk)
    sum += partial[static_cast<std::size_t>(chunk)];
  return sum;
}

// What does not depend on the element, computed once, in double: 1 - beta^t of a first step loses
// digits in float.
template <class Real>
struct AdamFactors {
  explicit AdamFactors(const lacuna_adam& adam)
      : beta1(static_cast<Real>(adam.beta1)),
        rest1(static_cast<Real>(1 - adam.beta1)),
        beta2(static_cast<Real>(adam.beta2)),
        rest2(static_cast<Real>(1 - adam.beta2)),
        keep(static_cast<Real>(1 - adam.learning_rate * adam.weight_decay)) {
    const auto t = static_cast<double>(adam.step);
    const double root_correction = std::sqrt(1 - std::pow(adam.beta2, t));
    rate = static_cast<Real>(adam.learning_rate * root_correction / (1 - std::pow(adam.beta1, t)));
    // Not rounded to 0, which would divide by 0 wherever a gradient has always been 0.
    epsilon = std::max(static_cast<Real>(adam.epsilon * root_correction),
                       std::numeric_limits<Real>::min());
  }
  Real beta1, rest1, beta2, rest2, keep, rate, epsilon;
};

template <class Real>
void adam_chunk(const AdamFactors<Real> k, std::int64_t count, const Real* __restrict gradients,
                Real* __restrict parameters, Real* __restrict first_moment,
                Real* __restrict second_moment) {
  for (std::int64_t i = 0; i < count; ++i) {
    const Real g = gradients[i];
    const Real m = k.beta1 * first_moment[i] + k.rest1 * g;
    const Real v = k.beta2 * second_moment[i] + k.rest2 * g * g;
    first_moment[i] = m;
    second_moment[i] = v;
    parameters[i] = k.keep * parameters[i] - k.rate * m / (std::sqrt(v) + k.epsilon);
  }
}

}  // namespace

template <class Real>
double clip_gradient_norm(cpu::Team& team, std::int64_t arrays, void* const* gradients,
                          const std::int64_t* counts, double max_norm) {
  double squares = 0;
  for (std::int64_t a = 0; a < arrays; ++a)
    squares += sum_of_squares(team, static_cast<const Real*>(gradients[a]), counts[a]);
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm) || norm <= max_norm) return norm;

  const double factor = max_norm / norm;
  for (std::int64_t a = 0; a < arrays; ++a) {
    Real* const values = static_cast<Real*>(gradients[a]);
    Chunks(counts[a], least_elements)
        .run(team, [&](std::int64_t begin, std::int64_t end, std::int64_t) {
          for (std::int64_t i = begin; i < end; ++i)
            values[i] = static_cast<Real>(factor * static_cast<double>(values[i]));
        });
  }
  return norm;
}

template <class Real>
void adam_step(cpu::Team& team, const lacuna_adam& adam, std::int64_t count, const Real* gradients,
               Real* parameters, Real* first_moment, Real* second_moment) {
  const AdamFactors<Real> factors(adam);
  Chunks(count, least_elements).run(team, [&](std::int64_t begin, std::int64_t end, std::int64_t) {
    adam_chunk(factors, end - begin, gradients + begin, parameters + begin, first_moment + begin,
               second_moment + begin);
  });
}

template double clip_gradient_norm<float>(cpu::Team&, std::int64_t, void* const*,
                                          const std::int64_t*, double);
template double clip_gradient_norm<double>(cpu::Team&, std::int64_t, void* const*,
                                           const std::int64_t*, double);
template void adam_step(cpu::Team&, const lacuna_adam&, std::int64_t, const float*, float*, float*,
                        float*);
template void adam_step(cpu::Team&, const lacuna_adam&, std::int64_t, const double*, double*,
                        double*, double*);

}  // namespace lacuna::training
