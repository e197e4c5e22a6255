#include "host/training/loss.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "host/training/chunks.h"
#include "kernels/cells/losses.h"

namespace lacuna::training {
namespace {

using PartialSums = std::array<LossSum, Chunks::most>;

LossSum total(const PartialSums& partial, std::int64_t chunks) {
  LossSum sum;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    sum.loss += partial[static_cast<std::size_t>(chunk)].loss;
    sum.count += partial[static_cast<std::size_t>(chunk)].count;
  }
  return sum;
}

template <class Term, class Real>
LossSum sum_terms(cpu::Team& team, std::int64_t count, const Real* predictions, const Real* targets,
                  const std::uint8_t* mask, double scale, Real* d_predictions) {
  PartialSums partial;
  const Chunks chunks(count, 4096);
  chunks.run(team, [&](std::int64_t begin, std::int64_t end, std::int64_t chunk) {
    LossSum sum;
    for (std::int64_t i = begin; i < end; ++i) {
      if (mask && !mask[i]) {
        if (d_predictions) d_predictions[i] = 0;
        continue;
      }
      const LossTerm<double> term =
          Term::of(static_cast<double>(predictions[i]), static_cast<double>(targets[i]));
      sum.loss += term.loss;
      ++sum.count;
      if (d_predictions) d_predictions[i] = static_cast<Real>(scale * term.slope);
    }
    partial[static_cast<std::size_t>(chunk)] = sum;
  });
  return total(partial, chunks.number());
}

}  // namespace

template <class Real>
LossSum elementwise_loss(cpu::Team& team, lacuna_loss kind, std::int64_t count,
                         const Real* predictions, const Real* targets, const std::uint8_t* mask,
                         double scale, Real* d_predictions) {
  const auto sum = [&]<class Term>(Term) {
    return sum_terms<Term>(team, count, predictions, targets, mask, scale, d_predictions);
  };
  switch (kind) {
    case LACUNA_LOSS_BINARY_CROSS_ENTROPY: return sum(BinaryCrossEntropyTerm{});
    case LACUNA_LOSS_SQUARED_ERROR: return sum(SquaredErrorTerm{});
    case LACUNA_LOSS_ABSOLUTE_ERROR: return sum(AbsoluteErrorTerm{});
    case LACUNA_LOSS_CROSS_ENTROPY: break;
  }
  return {};
}

template <class Real>
LossSum cross_entropy(cpu::Team& team, std::int64_t rows, std::int64_t columns, const Real* logits,
                      const std::int32_t* targets, const std::uint8_t* mask, double scale,
                      Real* d_logits) {
  PartialSums partial;
  const Chunks chunks(rows, std::max<std::int64_t>(1, 4096 / columns));
  chunks.run(team, [&](std::int64_t begin, std::int64_t end, std::int64_t chunk) {
    LossSum sum;
    for (std::int64_t row = begin; row < end; ++row) {
      const Real* const z = logits + row * columns;
      Real* const d_z = d_logits ? d_logits + row * columns : nullptr;
      if (mask && !mask[row]) {
        if (d_z) std::fill(d_z, d_z + columns, Real(0));
        continue;
      }
      // log(sum e^z) = largest + log(sum e^(z - largest)): no exponent is positive.
      const auto largest = static_cast<double>(*std::max_element(z, z + columns));
      double exponentials = 0;
      for (std::int64_t k = 0; k < columns; ++k)
        exponentials += std::exp(static_cast<double>(z[k]) - largest);
      const std::int64_t target = targets[row];
      sum.loss += std::log(exponentials) + (largest - static_cast<double>(z[target]));
      ++sum.count;
      if (!d_z) continue;
      for (std::int64_t k = 0; k < columns; ++k) {
        const double probability = std::exp(static_cast<double>(z[k]) - largest) / exponentials;
        d_z[k] = static_cast<Real>(scale * (probability - static_cast<double>(k == target)));
      }
    }
    partial[static_cast<std::size_t>(chunk)] = sum;
  });
  return total(partial, chunks.number());
}

template LossSum elementwise_loss(cpu::Team&, lacuna_loss, std::int64_t, const float*, const float*,
                                  const std::uint8_t*, double, float*);
template LossSum elementwise_loss(cpu::Team&, lacuna_loss, std::int64_t, const double*,
                                  const double*, const std::uint8_t*, double, double*);
template LossSum cross_entropy(cpu::Team&, std::int64_t, std::int64_t, const float*,
                               const std::int32_t*, const std::uint8_t*, double, float*);
template LossSum cross_entropy(cpu::Team&, std::int64_t, std::int64_t, const double*,
                               const std::int32_t*, const std::uint8_t*, double, double*);

}  // namespace lacuna::training
