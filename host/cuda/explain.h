// What a plan has decided, for people.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "host/plan/recipe.h"

namespace lacuna::cuda {

std::string explain(const Recipe& recipe, const std::string& device);
// What becomes of a batch with these offsets, [B+1], where the host knows them.
std::string explain_batch(const Recipe& recipe, std::span<const std::int64_t> offsets);

// The regime's part of either. `lengths`: longest first.
std::string explain_regime(const Recipe& recipe);
std::string explain_lanes(const DeviceLayout& lay, std::span<const std::int64_t> lengths);

const char* name_of(lacuna_regime regime);
std::string microseconds(double us);

}  // namespace lacuna::cuda
