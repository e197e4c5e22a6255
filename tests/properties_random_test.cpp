// Cases drawn at random from the whole grammar, against the oracle: what nobody thought of.
#include <algorithm>

#include "support/against_oracle.h"
#include "support/random.h"

namespace {

using support::Case;
using support::Random;

// Mostly small, now and then just past the width of a vector or of a panel.
int draw_width(Random& random) {
  constexpr int borders[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97};
  return borders[random.below(random.chance(0.7) ? 9 : 17)];
}

Case draw(std::uint64_t seed) {
  Random random(seed);
  const auto flag = [&](double chance) { return random.chance(chance); };
  Case c;
  c.layer.cell = static_cast<reference::Cell>(random.below(6));
  c.layer.impute = static_cast<reference::Impute>(random.below(5));
  c.layer.evolve = static_cast<reference::Evolve>(random.below(4));
  c.layer.features = draw_width(random);
  c.layer.hidden = draw_width(random);
  // Few units with many inputs are saturated, and a slope 1 - h^2 there is mostly rounding errors of
  // h: more than the bound allows, which knows nothing of conditioning.
  c.layer.features = std::min(c.layer.features, 4 * c.layer.hidden);
  c.layer.gap_input = flag(0.3);
  c.layer.reverse = flag(0.4);
  if (c.layer.impute != reference::Impute::none) {
    c.layer.empty_rows = static_cast<reference::EmptyRows>(flag(0.4));
    c.layer.mask_input = flag(0.5);
    c.mask_from_nan = flag(0.4);
    constexpr int percents[] = {0, 20, 50, 80, 95, 100};
    c.missing_percent = percents[random.below(6)];
  }
  c.type = flag(0.5) ? support::Type::f32 : support::Type::f64;
  c.sequences = flag(0.1) ? random.below(3) : random.below(flag(0.2) ? 60 : 12);
  c.shortest = random.below(3);
  c.longest = c.shortest + random.below(flag(0.2) ? 30 : 7);
  if (c.sequences > 0 && flag(0.2)) c.first_length = random.below(80);
  c.times = flag(0.4);
  c.delta = flag(0.2);
  c.initial_state = flag(0.5);
  c.carry = flag(0.4);
  c.seed = seed;
  Random noise(seed + (std::uint64_t{1} << 32));
  if (noise.chance(0.3)) c.layer.zoneout_hidden_percent = 1 + noise.below(60);
  if (noise.chance(0.3) && c.layer.has_cell_state())
    c.layer.zoneout_cell_percent = 1 + noise.below(60);
  if (noise.chance(0.3)) c.layer.recurrent_dropout_percent = 1 + noise.below(60);
  if (c.layer.cell == reference::Cell::lstm && flag(0.4))
    c.layer.projection = 1 + static_cast<int>(random.below(c.layer.hidden));
  c.layer.layer_norm = flag(0.25);
  if (c.layer.impute == reference::Impute::none && noise.chance(0.4)) {
    c.layer.empty_rows = reference::EmptyRows::evolve_only;
    c.missing_percent = noise.below(101);
  }
  return c;
}

class Drawn : public testing::TestWithParam<int> {};

TEST_P(Drawn, AgreesWithTheOracle) {
  constexpr int each = 20;
  for (int i = 0; i < each; ++i) {
    const Case c = draw(static_cast<std::uint64_t>(GetParam() * each + i));
    ASSERT_EQ(support::parse_case(support::to_string(c)), c);
    support::expect_agreement(c);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Twenty, Drawn, testing::Range(0, 24));

}  // namespace
