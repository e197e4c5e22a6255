// The regimes in which a group of blocks holds W_h: clusters, and groups that exchange through global memory. Each cell and
// type against the oracle, in groups of every size, while threads and blocks run in random order and drift apart.
#include <string>
#include <tuple>

#include "support/against_oracle.h"
#include "support/cuda.h"
#ifndef LACUNA_TEST_ON_DEVICE
#include "emulator/backend/backend.h"
#include "emulator/emulator.h"
#endif

namespace {

using support::InPrecision;
using support::InRegime;

#ifdef LACUNA_TEST_ON_DEVICE
// A device has as many as it has.
struct InGroups {
  InGroups(int, unsigned, int = 2) {}
};
#else
// Groups of so many blocks, two of them at once.
class InGroups {
 public:
  InGroups(int blocks, unsigned seed, int groups = 2) : random_(in_random_order(seed)) {
    namespace device = lacuna::emulated_backend;
    device::multiprocessors = groups * blocks;
    device::fewest_blocks = device::most_blocks = blocks;
  }
  ~InGroups() {
    namespace device = lacuna::emulated_backend;
    device::multiprocessors = 2;
    device::fewest_blocks = 2;
    device::most_blocks = 64;
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

struct Group {
  lacuna_regime regime;
  int blocks;
};
void PrintTo(const Group& group, std::ostream* out) {
  *out << (group.regime == LACUNA_REGIME_CLUSTER ? "cluster" : "grid") << group.blocks;
}
constexpr Group cluster(int blocks) { return {LACUNA_REGIME_CLUSTER, blocks}; }
constexpr Group grid(int blocks) { return {LACUNA_REGIME_GRID, blocks}; }

// ---- Against the oracle ----

using Model = std::tuple<const char*, const char*, Group>;

class Split : public testing::TestWithParam<Model> {};

TEST_P(Split, Agrees) {
  const auto [model, type, group] = GetParam();
  // One unit, one warp to a block and less, several, and slices that end in the middle of a warp.
  unsigned seed = 1;
  for (const int hidden : {1, 37, 100}) {
    const InRegime regime(group.regime);
    const InGroups groups(group.blocks, ++seed);
    support::expect_agreement(std::string(model) + "_" + type + "_n5_d3_h" +
                              std::to_string(hidden) + "_len0-4_init_seed" +
                              std::to_string(hidden));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, Split,
    testing::Combine(testing::Values("rnn", "rnn_relu", "lstm", "gru", "gru_reset_before",
                                     "rnn_euler+none+none", "lstm+none+relax", "gru+none+relax",
                                     "gru_reset_before+none+decay", "gru+none+decay_step"),
                     testing::Values("f32", "f16", "bf16"),
                     testing::Values(cluster(2), cluster(4), grid(4))));

}  // namespace
