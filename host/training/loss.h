// Losses on targets of which some are missing: the sum, the count and the gradient in one pass,
// accumulated in double.
#pragma once

#include <cstdint>

#include "host/cpu/team.h"
#include "lacuna/lacuna.h"

namespace lacuna::training {

struct LossSum {
  double loss = 0;
  std::int64_t count = 0;
};

// Per element, all but cross entropy. `mask` null: all are measured. `d_predictions` "=" scale *
// slope, 0 where unmeasured; may be null. Targets and predictions where the mask is 0 are not read.
template <class Real>
LossSum elementwise_loss(cpu::Team& team, lacuna_loss kind, std::int64_t count,
                         const Real* predictions, const Real* targets, const std::uint8_t* mask,
                         double scale, Real* d_predictions);

// Per row of logits [rows, columns]; targets and mask [rows].
template <class Real>
LossSum cross_entropy(cpu::Team& team, std::int64_t rows, std::int64_t columns, const Real* logits,
                      const std::int32_t* targets, const std::uint8_t* mask, double scale,
                      Real* d_logits);

}  // namespace lacuna::training
