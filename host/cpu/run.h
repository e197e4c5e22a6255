// The CPU backend's two runs. Arguments have been checked by host/api; nothing here allocates, throws or fails.
#pragma once

#include <cstddef>

#include "host/cpu/team.h"
#include "host/plan/recipe.h"

namespace lacuna::cpu {

// `tape` is null for inference. Both blocks are 64-byte aligned and as large as the recipe says.
void forward(const Recipe& recipe, Team& team, const lacuna_parameters& parameters,
             const lacuna_batch& batch, const lacuna_outputs& outputs, std::byte* tape,
             std::byte* workspace);

void backward(const Recipe& recipe, Team& team, const lacuna_parameters& parameters,
              const lacuna_batch& batch, const lacuna_output_gradients& d_outputs,
              const std::byte* tape, const lacuna_parameter_gradients& d_parameters,
              const lacuna_input_gradients& d_inputs, std::byte* workspace);

}  // namespace lacuna::cpu
