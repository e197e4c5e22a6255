// What most training steps have to do with: neither evolved states nor cells of every token. The walks on chip have code of
// their own for it, and for some sizes (kernels/recurrence/resident/forms.h), here against the oracle.
#include <string>
#include <tuple>

#include "support/against_oracle.h"
#include "support/cuda.h"
#include "support/groups.h"

namespace {

using support::cluster;
using support::grid;
using support::Group;
using support::InGroups;
using support::InPrecision;
using support::InRegime;

struct Size {
  int hidden, features;
};
void PrintTo(const Size& size, std::ostream* out) {
  *out << "h" << size.hidden << "_d" << size.features;
}

// `type`: a case string's, or tf32, the precision of an fp32 layer. `batch`: fields of the case.
void expect_agreement(const std::string& model, const std::string& type, const Size& size,
                      const std::string& batch, lacuna_regime walked) {
  const bool tf32 = type == "tf32";
  const InRegime regime(walked);
  const InPrecision precision(tf32 ? LACUNA_PRECISION_TF32 : LACUNA_PRECISION_DEFAULT);
  const support::WithOutputs usual(support::Outputs::usual);
  const support::Case c = support::parse_case(
      model + "_" + (tf32 ? "f32" : type) + batch + "_d" + std::to_string(size.features) + "_h" +
      std::to_string(size.hidden) + "_init_seed" + std::to_string(size.hidden));
  if (support::is_too_large(support::library_layer(c), walked))
    GTEST_SKIP() << "too little shared memory here";
  support::expect_agreement(c);
}

const auto models = testing::Values("rnn", "rnn_euler+none+none", "lstm", "lstm+none+decay", "gru",
                                    "gru_reset_before", "gru_reset_before+none+decay");
const auto types = testing::Values("f32", "tf32", "f16", "bf16");

// One block with all of W_h, for eight lanes or for one.
class UsualWhole
    : public testing::TestWithParam<std::tuple<const char*, const char*, Size, lacuna_regime>> {};

TEST_P(UsualWhole, Agrees) {
  const auto [model, type, size, walked] = GetParam();
  expect_agreement(model, type, size, "_n11_len0-5", walked);
}

// Odd sizes have no neighbours that go by one access, so that resident walks them as it walks anything; 64 and 128 have kernels
// that know them.
INSTANTIATE_TEST_SUITE_P(Sizes, UsualWhole,
                         testing::Combine(models, types,
                                          testing::Values(Size{16, 1}, Size{37, 127}, Size{64, 37},
                                                          Size{100, 64}, Size{128, 128}),
                                          testing::Values(LACUNA_REGIME_RESIDENT,
                                                          LACUNA_REGIME_LONE)));

// Of few features: among many inputs one lies so near the bend that rounding puts it on the other side.
INSTANTIATE_TEST_SUITE_P(
    Bend, UsualWhole,
    testing::Combine(testing::Values("rnn_relu"), types, testing::Values(Size{64, 3}),
                     testing::Values(LACUNA_REGIME_RESIDENT, LACUNA_REGIME_LONE)));

class UsualSplit
    : public testing::TestWithParam<std::tuple<const char*, const char*, std::tuple<Group, Size>>> {
};

TEST_P(UsualSplit, Agrees) {
  const auto& [model, type, shape] = GetParam();
  const auto& [group, size] = shape;
  if (!support::serves(group.regime)) GTEST_SKIP() << "no clusters here";
  const InGroups groups(group.blocks, 5);
  expect_agreement(model, type, size, "_n4_len0-3", group.regime);
}

using Shape = std::tuple<Group, Size>;
INSTANTIATE_TEST_SUITE_P(
    Shapes, UsualSplit,
    testing::Combine(models, types,
                     testing::Values(Shape{cluster(2), {130, 37}}, Shape{cluster(8), {173, 127}},
                                     Shape{grid(2), {129, 1}}, Shape{grid(4), {166, 127}})));
INSTANTIATE_TEST_SUITE_P(
    Large, UsualSplit,
    testing::Combine(testing::Values("rnn_euler+none+none", "lstm+none+decay", "gru",
                                     "gru_reset_before+none+decay"),
                     types,
                     testing::Values(Shape{cluster(4), {256, 1}}, Shape{cluster(16), {200, 5}},
                                     Shape{grid(8), {256, 3}}, Shape{grid(16), {199, 37}})));
INSTANTIATE_TEST_SUITE_P(Bend, UsualSplit,
                         testing::Combine(testing::Values("rnn_relu"), types,
                                          testing::Values(Shape{cluster(4), {130, 3}},
                                                          Shape{grid(2), {130, 3}})));

}  // namespace
