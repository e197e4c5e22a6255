// Products of floats whose weights do not lie in two parts, for shared memory has no room for the second: each is split as it
// is needed. That is where states are large, and here where a block has a byte less than two parts would take.
#include <algorithm>
#include <string>
#include <tuple>

#include "emulator/emulator.h"
#include "support/against_oracle.h"
#include "support/block_bytes.h"
#include "support/cuda.h"
#include "support/groups.h"

namespace {

using support::cluster;
using support::grid;
using support::Group;

support::BlockBytes taken(const support::Case& c) {
  const auto context = support::make_context();
  const auto plan = support::make_plan(context.get(), support::library_layer(c),
                                       {c.sequences * c.max_length(), c.sequences, c.max_length()});
  return support::block_bytes(support::explained(plan.get()));
}

class OnePart : public testing::TestWithParam<std::tuple<const char*, Group>> {};

TEST_P(OnePart, Agrees) {
  const auto [model, group] = GetParam();
  const support::InRegime regime(group.regime);
  const support::InGroups groups(group.blocks, 3);
  const support::Case c =
      support::parse_case(std::string(model) + "_f32_n5_d3_h40_len0-4_init_seed2");
  const support::WithOutputs usual(
      c.layer.evolve == reference::Evolve::relax ? support::Outputs::all : support::Outputs::usual);
  support::expect_agreement(c);
  lacuna::emulator::Settings tight = lacuna::emulator::settings();
  const support::BlockBytes whole = taken(c);
  tight.device.shared_per_block = std::min(whole.forward, whole.backward) - 1;
  const lacuna::emulator::WithSettings settings(tight);
  const support::BlockBytes less = taken(c);
  EXPECT_LT(less.forward, whole.forward);
  EXPECT_LT(less.backward, whole.backward);
  support::expect_agreement(c);
}

INSTANTIATE_TEST_SUITE_P(
    Models, OnePart,
    testing::Combine(testing::Values("rnn", "rnn_relu", "rnn_euler+none+none",
                                     "rnn_tanh+none+relax", "lstm", "lstm+none+relax", "gru",
                                     "gru+none+relax", "gru_reset_before",
                                     "gru_reset_before+none+relax"),
                     testing::Values(Group{LACUNA_REGIME_RESIDENT, 2}, cluster(4), grid(4))));

}  // namespace
