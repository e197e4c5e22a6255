// A layer's description, checked, and the table of its parameters.
#pragma once

#include <cstdint>
#include <string_view>

#include "host/backend.h"
#include "host/plan/shape.h"
#include "lacuna/lacuna.h"

namespace lacuna::api {

// No product of a layer's sizes overflows below it.
inline constexpr std::int64_t most_units = std::int64_t{1} << 24;

// Refuses a description that makes no sense.
const lacuna_layer& checked(const lacuna_layer* layer);
// Refuses, too, a type that the backend does not compute in.
const lacuna_layer& checked(const lacuna_layer* layer, const Backend& backend);
// The same for a bare type: `argument` is what the message calls it.
void check_type(const lacuna_type& type, const Backend& backend, std::string_view argument);

std::string_view name_of(lacuna_cell cell);
std::string_view name_of(lacuna_impute impute);
std::string_view name_of(lacuna_evolve evolve);
std::string_view name_of(lacuna_parameter kind);

// In elements, all parameters lying back to back; of LACUNA_PARAMETERS: how many there are.
std::int64_t parameter_offset(const lacuna_layer& layer, lacuna_parameter kind);

}  // namespace lacuna::api
