// Groups of blocks that hold W_h together, as parameters of tests; and an emulated device on which they walk while threads and
// blocks run in random order and drift apart.
#pragma once

#include <ostream>

#include "lacuna/lacuna.h"
#ifndef LACUNA_TEST_ON_DEVICE
#include "emulator/backend/backend.h"
#include "emulator/emulator.h"
#endif

namespace support {

struct Group {
  lacuna_regime regime;
  int blocks;
};
inline void PrintTo(const Group& group, std::ostream* out) {
  *out << (group.regime == LACUNA_REGIME_CLUSTER    ? "cluster"
           : group.regime == LACUNA_REGIME_RESIDENT ? "resident"
                                                    : "grid")
       << group.blocks;
}
constexpr Group cluster(int blocks) { return {LACUNA_REGIME_CLUSTER, blocks}; }
constexpr Group grid(int blocks) { return {LACUNA_REGIME_GRID, blocks}; }

#ifdef LACUNA_TEST_ON_DEVICE
// A device has as many as it has.
struct InGroups {
  InGroups(int, unsigned) {}
};
#else
// Groups of so many blocks, two of them at once.
class InGroups {
 public:
  InGroups(int blocks, unsigned seed) : random_(in_random_order(seed)) {
    namespace device = lacuna::emulated_backend;
    device::multiprocessors = 2 * blocks;
    device::fewest_blocks = device::most_blocks = blocks;
  }
  ~InGroups() {
    namespace device = lacuna::emulated_backend;
    device::multiprocessors = 2;
    device::fewest_blocks = 2;
    device::most_blocks = 128;
  }
  InGroups(const InGroups&) = delete;
  InGroups& operator=(const InGroups&) = delete;

 private:
  static lacuna::emulator::Settings in_random_order(unsigned seed) {
    auto settings = lacuna::emulator::settings();
    settings.order = lacuna::emulator::Order::random;
    settings.seed = seed;
    return settings;
  }
  lacuna::emulator::WithSettings random_;
};
#endif

}  // namespace support
