#include "examples/long_sequence/start.h"

#include <cmath>
#include <numbers>

#include "examples/common/random.h"

namespace long_sequence {

void chrono_start(lacuna::StackParameters<float>& parameters, double longest, std::uint64_t seed) {
  examples::Random random(examples::mix_seed(seed, 0xC4));
  for (auto& place : parameters) {
    const bool lstm = place.layer().cell == lacuna::Cell::lstm;
    if (!lstm && place.layer().cell != lacuna::Cell::gru) continue;
    const auto hidden = static_cast<std::size_t>(place.layer().hidden);
    // Gates in the order of docs/equations.md: (i, f, g, o) and (r, z, n), both with the keeping gate
    // second.
    const auto bias = place[lacuna::Parameter::bias];
    for (std::size_t unit = 0; unit < hidden; ++unit) {
      const auto keep = static_cast<float>(std::log(1 + (longest - 2) * random.uniform()));
      bias[hidden + unit] = keep;
      if (lstm) bias[unit] = -keep;
    }
  }
}

void recurrent_gain(lacuna::StackParameters<float>& parameters, double gain, std::uint64_t seed) {
  examples::Random random(examples::mix_seed(seed, 0x6A));
  for (auto& place : parameters) {
    const double sd = gain / std::sqrt(static_cast<double>(place.layer().hidden));
    for (float& weight : place[lacuna::Parameter::weights_h]) {
      // Box and Muller
      const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
      weight = static_cast<float>(sd * radius * std::cos(2 * std::numbers::pi * random.uniform()));
    }
  }
}

}  // namespace long_sequence
