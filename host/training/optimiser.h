// What follows the gradients in a training step: clipping by their global norm, and Adam.
#pragma once

#include <cstdint>

#include "host/cpu/team.h"
#include "kernels/cells/clipped_step.h"
#include "lacuna/lacuna.h"

namespace lacuna::training {

// Returns the norm before. One that is not finite changes nothing.
template <class Real>
double clip_gradient_norm(cpu::Team& team, std::int64_t arrays, void* const* gradients,
                          const std::int64_t* counts, double max_norm);

// Kingma & Ba 2015, algorithm 1, with the decoupled weight decay of Loshchilov & Hutter 2019.
template <class Real>
void adam_step(cpu::Team& team, const lacuna_adam& adam, std::int64_t count, const Real* gradients,
               Real* parameters, Real* first_moment, Real* second_moment);

// Both, over all arrays, without writing gradients. Returns the norm before; where it is not finite, arrays stay as
// they are.
template <class Real>
double adam_step_clipped(cpu::Team& team, const ClippedStep& step, std::int64_t arrays,
                         const lacuna_adam_array* list);

}  // namespace lacuna::training
