// Parameters, their gradients and states of one layer, as calls on layers and on stacks check them. `group` is how the
// caller wrote what holds them: "parameters." or "parameters[3].".
#pragma once

#include "host/api/arrays.h"
#include "host/plan/recipe.h"

namespace lacuna::api {

void check_parameters(const lacuna_layer& layer, std::string_view group,
                      const lacuna_parameters& parameters, Arrays& arrays);
void check_gradients(const lacuna_layer& layer, std::string_view group,
                     const lacuna_parameter_gradients& gradients, Arrays& arrays);
// Arrays about c belong to an LSTM.
void check_cell(const lacuna_layer& layer, const void* array, Name name);

}  // namespace lacuna::api
