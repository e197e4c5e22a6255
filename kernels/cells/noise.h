// Zoneout, recurrent dropout and dropout between the layers of a stack: which random number is whose, for all backends. A
// number is a function of seed, sequence, position, unit and use alone; between layers, of the layer and its column.
//
// Philox's key is the seed, its counter
//   word 0   sequence, bits 0 .. 31
//   word 1   position, bits 0 .. 31
//   word 2   sequence, bits 32 .. 47, and above them position, bits 32 .. 47
//   word 3   in a layer         unit / 4 (bits 0 .. 21), use (22, 23), 1 (31)
//            between layers     column / 4 (bits 0 .. 21), layer (22 .. 28), 1 (29)
//            seed of a place    1 (30); word 0 is the place, words 1 and 2 are 0
// Four neighbouring units or columns share one draw: number u has its word u % 4. What stays the same over a sequence has
// position 0.
#pragma once

#include <cstdint>

#include "kernels/cells/philox.h"

namespace lacuna {

enum class NoiseUse : std::uint32_t { zoneout_hidden = 0, zoneout_cell = 1, recurrent_dropout = 2 };

// Sequences and positions are below it.
inline constexpr std::int64_t noise_limit = std::int64_t{1} << 47;

// `what`: word 3.
LACUNA_FN PhiloxNumbers noise_counter(std::int64_t sequence, std::int64_t position,
                                      std::uint32_t what) {
  const auto s = static_cast<std::uint64_t>(sequence), p = static_cast<std::uint64_t>(position);
  return {{static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(p),
           static_cast<std::uint32_t>((s >> 32 & 0xffffu) | (p >> 32 & 0xffffu) << 16), what}};
}

LACUNA_FN PhiloxNumbers philox(std::uint64_t key, const PhiloxNumbers& counter) {
  return philox(key, counter.word[0], counter.word[1], counter.word[2], counter.word[3]);
}

// What a batch calls its sequences, and what was read of them before, as lacuna_noise has it.
struct NoiseNames {
  const std::int64_t* sequence = nullptr;  // [B]; null: 0 .. B-1
  const std::int64_t* position = nullptr;  // [B]; null: 0

  LACUNA_FN std::int64_t name(std::int64_t b) const {
    return sequence != nullptr ? sequence[b] : b;
  }
  LACUNA_FN std::int64_t first_position(std::int64_t b) const {
    return position != nullptr ? position[b] : 0;
  }
};

struct Noise {
  std::uint64_t seed = 0;

  // Those of units 0 .. 3; each four units further add 1 to word 3.
  LACUNA_FN static PhiloxNumbers counter(NoiseUse use, std::int64_t sequence,
                                         std::int64_t position) {
    return noise_counter(sequence, position, static_cast<std::uint32_t>(use) << 22 | 1u << 31);
  }
  LACUNA_FN PhiloxNumbers draw(NoiseUse use, std::int64_t sequence, std::int64_t position,
                               std::int64_t unit) const {
    PhiloxNumbers at = counter(use, sequence, position);
    at.word[3] += static_cast<std::uint32_t>(unit / 4);
    return philox(seed, at);
  }
};

// Dropout between layers: each number is kept with probability 1 - p, and then divided by it.
struct Dropout {
  double probability = 0;  // 0: nothing is dropped
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;

  LACUNA_FN bool active() const { return probability > 0; }
  // Dropped are words below it.
  LACUNA_FN std::uint32_t threshold() const { return threshold_of(probability); }
  LACUNA_FN PhiloxNumbers draw(std::int64_t sequence, std::int64_t position,
                               std::int64_t column) const {
    return philox(seed,
                  noise_counter(sequence, position,
                                static_cast<std::uint32_t>(column / 4) | layer << 22 | 1u << 29));
  }
};

// The seed of a stack's layer and direction number `place`. The first one's is the run's own.
LACUNA_FN std::uint64_t seed_of_place(std::uint64_t seed, std::uint32_t place) {
  if (place == 0) return seed;
  const PhiloxNumbers numbers = philox(seed, place, 0, 0, 1u << 30);
  return numbers.word[0] | static_cast<std::uint64_t>(numbers.word[1]) << 32;
}

}  // namespace lacuna
