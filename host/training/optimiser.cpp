#include "host/training/optimiser.h"

#include <algorithm>
#include <array>
#include <cmath>

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

template <class Real>
Real scaled(double factor, Real value) {
  return static_cast<Real>(factor * static_cast<double>(value));
}

// `gradient(i)`: what the step takes for gradient i.
template <class Real, class Gradient>
void adam_chunk(const AdamFactors<Real> k, std::int64_t count, Gradient gradient,
                Real* __restrict parameters, Real* __restrict first_moment,
                Real* __restrict second_moment) {
  for (std::int64_t i = 0; i < count; ++i) {
    Real p = parameters[i], m = first_moment[i], v = second_moment[i];
    k.step(gradient(i), p, m, v);
    parameters[i] = p;
    first_moment[i] = m;
    second_moment[i] = v;
  }
}

template <class Real>
void adam_array(cpu::Team& team, const AdamFactors<Real>& factors, double factor,
                const lacuna_adam_array& array) {
  auto* const parameters = static_cast<Real*>(array.parameters);
  auto* const first = static_cast<Real*>(array.first_moment);
  auto* const second = static_cast<Real*>(array.second_moment);
  const auto run = [&](auto gradient) {
    Chunks(array.count, least_elements)
        .run(team, [&](std::int64_t begin, std::int64_t end, std::int64_t) {
          const Real* const __restrict from = static_cast<const Real*>(array.gradients) + begin;
          adam_chunk(
              factors, end - begin, [=](std::int64_t i) { return gradient(from[i]); },
              parameters + begin, first + begin, second + begin);
        });
  };
  if (factor == 1)
    run([](Real g) { return g; });
  else
    run([factor](Real g) { return scaled(factor, g); });
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
          for (std::int64_t i = begin; i < end; ++i) values[i] = scaled(factor, values[i]);
        });
  }
  return norm;
}

template <class Real>
void adam_step(cpu::Team& team, const lacuna_adam& adam, std::int64_t count, const Real* gradients,
               Real* parameters, Real* first_moment, Real* second_moment) {
  adam_array(team, AdamFactors<Real>(adam, adam.step), 1,
             {count, gradients, parameters, first_moment, second_moment});
}

template <class Real>
double adam_step_clipped(cpu::Team& team, const ClippedStep& step, std::int64_t arrays,
                         const lacuna_adam_array* list) {
  double squares = 0;
  for (std::int64_t a = 0; a < arrays; ++a)
    squares += sum_of_squares(team, static_cast<const Real*>(list[a].gradients), list[a].count);
  const AfterNorm of = step.after(squares);
  if (!of.finite) return of.norm;
  AdamFactors<Real> factors(step.adam);
  factors.correct(of.correction);
  for (std::int64_t a = 0; a < arrays; ++a) adam_array(team, factors, of.factor, list[a]);
  return of.norm;
}

template double clip_gradient_norm<float>(cpu::Team&, std::int64_t, void* const*,
                                          const std::int64_t*, double);
template double clip_gradient_norm<double>(cpu::Team&, std::int64_t, void* const*,
                                           const std::int64_t*, double);
template void adam_step(cpu::Team&, const lacuna_adam&, std::int64_t, const float*, float*, float*,
                        float*);
template void adam_step(cpu::Team&, const lacuna_adam&, std::int64_t, const double*, double*,
                        double*, double*);
template double adam_step_clipped<float>(cpu::Team&, const ClippedStep&, std::int64_t,
                                         const lacuna_adam_array*);
template double adam_step_clipped<double>(cpu::Team&, const ClippedStep&, std::int64_t,
                                          const lacuna_adam_array*);

}  // namespace lacuna::training
