// The orders of threads that tests try a kernel in.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/emulator.h"

namespace lacuna::emulator {

// Forward, reverse and `random` seeds.
inline std::vector<Settings> thread_orders(int random = 12) {
  std::vector<Settings> all(2);
  all[1].order = Order::reverse;
  for (int seed = 1; seed <= random; ++seed) {
    all.emplace_back().order = Order::random;
    all.back().seed = static_cast<std::uint64_t>(seed);
  }
  return all;
}

}  // namespace lacuna::emulator
