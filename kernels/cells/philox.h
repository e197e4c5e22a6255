// Philox4x32-10 (Salmon et al., SC 2011): random numbers as a function of where they are used, so that a step that is run
// again, in another window or on another backend, sees the same ones.
#pragma once

#include <cstdint>

#include "kernels/cells/function.h"

namespace lacuna {

struct PhiloxNumbers {
  std::uint32_t word[4];
};

// One round of its ten. The key's words k0, k1 grow from round to round by philox_step0, philox_step1.
LACUNA_FN void philox_round(std::uint32_t k0, std::uint32_t k1, std::uint32_t& c0,
                            std::uint32_t& c1, std::uint32_t& c2, std::uint32_t& c3) {
  const std::uint64_t a = std::uint64_t{0xD2511F53u} * c0;
  const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c2;
  const std::uint32_t n0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0;
  const std::uint32_t n2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
  c1 = static_cast<std::uint32_t>(b);
  c3 = static_cast<std::uint32_t>(a);
  c0 = n0;
  c2 = n2;
}
inline constexpr int philox_rounds = 10;
inline constexpr std::uint32_t philox_step0 = 0x9E3779B9u, philox_step1 = 0xBB67AE85u;

LACUNA_FN PhiloxNumbers philox(std::uint64_t key, std::uint32_t c0, std::uint32_t c1,
                               std::uint32_t c2, std::uint32_t c3) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key);
  std::uint32_t k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < philox_rounds; ++round) {
    philox_round(k0, k1, c0, c1, c2, c3);
    k0 += philox_step0;
    k1 += philox_step1;
  }
  return {{c0, c1, c2, c3}};
}

// A word is drawn with this probability where it lies below the threshold.
LACUNA_FN std::uint32_t threshold_of(double probability) {
  return static_cast<std::uint32_t>(probability * 4294967296.0);
}

}  // namespace lacuna
