// Zoneout and recurrent dropout: which random number is whose, for all backends. A number is a function of seed, sequence,
// position, unit and use alone.
//
// Philox's key is the seed, its counter
//   word 0   sequence, bits 0 .. 31
//   word 1   position, bits 0 .. 31
//   word 2   sequence, bits 32 .. 47, and above them position, bits 32 .. 47
//   word 3   unit / 4 (bits 0 .. 21), use (22, 23), 1 (31): what is dropped between layers has a small number there
// Four neighbouring units share one draw: unit u has its word u % 4. What stays the same over a sequence has position 0.
#pragma once

#include <cstdint>

#include "kernels/cells/philox.h"

namespace lacuna {

enum class NoiseUse : std::uint32_t { zoneout_hidden = 0, zoneout_cell = 1, recurrent_dropout = 2 };

// Sequences and positions are below it.
inline constexpr std::int64_t noise_limit = std::int64_t{1} << 47;

struct Noise {
  std::uint64_t seed = 0;

  // Those of units 0 .. 3; each four units further add 1 to word 3.
  LACUNA_FN static PhiloxNumbers counter(NoiseUse use, std::int64_t sequence,
                                         std::int64_t position) {
    const auto s = static_cast<std::uint64_t>(sequence), p = static_cast<std::uint64_t>(position);
    return {{static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(p),
             static_cast<std::uint32_t>((s >> 32 & 0xffffu) | (p >> 32 & 0xffffu) << 16),
             static_cast<std::uint32_t>(use) << 22 | 1u << 31}};
  }
  LACUNA_FN PhiloxNumbers draw(NoiseUse use, std::int64_t sequence, std::int64_t position,
                               std::int64_t unit) const {
    const PhiloxNumbers c = counter(use, sequence, position);
    return philox(seed, c.word[0], c.word[1], c.word[2],
                  c.word[3] + static_cast<std::uint32_t>(unit / 4));
  }
};

// The seed of a stack's layer and direction number `place`. The first one's is the run's own.
LACUNA_FN std::uint64_t seed_of_place(std::uint64_t seed, std::uint32_t place) {
  if (place == 0) return seed;
  const PhiloxNumbers numbers = philox(seed, place, 0, 0, 1u << 30);
  return numbers.word[0] | static_cast<std::uint64_t>(numbers.word[1]) << 32;
}

}  // namespace lacuna
