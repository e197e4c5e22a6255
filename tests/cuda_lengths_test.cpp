// Lengths that only the device knows, and limits of them.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "support/cuda.h"
#include "support/properties.h"

namespace {

using support::ContextHandle;
using support::GuardedBuffer;
using support::Mirror;
using support::must;

class OffsetsOnDevice : public testing::TestWithParam<std::tuple<const char*, lacuna_regime>> {};

// Where the host knows the lengths, steps have fewer rows.
TEST_P(OffsetsOnDevice, GiveTheSame) {
  const auto [text, asked] = GetParam();
  if (!support::serves(asked)) GTEST_SKIP() << "no clusters here";
  const support::InRegime regime(asked);
  const support::Case c = support::parse_case(text);
  const ContextHandle context = support::make_context();
  support::in_type(c, [&]<class Real>(Real) {
    support::LibraryRun<Real> known(c), unknown(c);
    lacuna_capacity room = known.capacity();
    room.max_length = c.max_length() + 3;  // steps in which nobody takes part
    known.run(context.get(), room);
    unknown.offsets_on_device = true;
    unknown.run(context.get(), room);
    for (const auto& [name, buffer] : known.results.entries())
      EXPECT_TRUE(support::are_alike(c, name, room.tokens, unknown.results.find(name)->vector(),
                                     buffer->vector()));
  });
}

INSTANTIATE_TEST_SUITE_P(
    Models, OffsetsOnDevice,
    testing::Combine(testing::Values("lstm_f32_n9_h31_len0-23_init_seed3",
                                     "lstm_f32_n9_d8_h16_len0-23_seed4",
                                     "grud_f64_n6_d5_h17_len0-19_miss80_nan_times_seed4",
                                     "grud_relax_f32_n7_h12_len0-19_miss80_rev_seed5",
                                     "ode_euler_f64_n5_d3_h7_len0-9_miss50_gap_seed6",
                                     "lstm+decay+relax_f32_n7_h12_p5_len0-19_miss80_eo_seed7",
                                     "gru+none+relax_f32_n7_h12_len0-19_miss40_eo_seed8",
                                     "lstm_f32_n9_h31_len0-23_ln_init_seed7",
                                     "lstm_f32_n9_h21_p8_len0-23_ln_seed9",
                                     "grud_f64_n6_d5_h17_len0-19_miss80_eo_ln_seed8"),
                     testing::Values(LACUNA_REGIME_BEST, LACUNA_REGIME_STEPWISE)));

INSTANTIATE_TEST_SUITE_P(
    Noisy, OffsetsOnDevice,
    testing::Combine(testing::Values("lstm_f32_n9_h31_len0-23_init_zone20_zonec30_rdrop40_seed3",
                                     "lstm_f32_n9_h31_p12_len0-23_zone20_zonec30_rdrop40_seed5",
                                     "grud_f64_n6_d5_h17_len0-19_miss80_rev_zone20_rdrop40_seed4"),
                     testing::Values(LACUNA_REGIME_BEST)));

INSTANTIATE_TEST_SUITE_P(
    Groups, OffsetsOnDevice,
    testing::Combine(testing::Values("grud_f32_n9_h31_len0-9_miss60_init_seed3"),
                     testing::Values(LACUNA_REGIME_CLUSTER, LACUNA_REGIME_GRID)));

// More than are ranked: a sort.
INSTANTIATE_TEST_SUITE_P(ManySequences, OffsetsOnDevice,
                         testing::Combine(testing::Values("rnn_tanh_f32_n4200_d1_h1_len0-3_seed3"),
                                          testing::Values(LACUNA_REGIME_STEPWISE)));

class OffsetsOfFewer
    : public testing::TestWithParam<std::tuple<const char*, lacuna_regime, lacuna_tape_kind>> {};

INSTANTIATE_TEST_SUITE_P(
    Regimes, OffsetsOfFewer,
    testing::Combine(testing::Values("grud_f32_n5_d3_h9_len0-9_miss60_seed8",
                                     "lstm_f32_n5_d3_h9_p4_len0-9_seed8"),
                     testing::Values(LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT,
                                     LACUNA_REGIME_LONE, LACUNA_REGIME_CLUSTER, LACUNA_REGIME_GRID),
                     testing::Values(LACUNA_TAPE_GATES, LACUNA_TAPE_STATES)));

// A batch in arrays that are larger than what is in use.
TEST_P(OffsetsOfFewer, LeaveRowsBehindTheLastTokenAlone) {
  const auto [text, asked, tape_kind] = GetParam();
  const support::Case c = support::parse_case(text);
  if (asked != LACUNA_REGIME_STEPWISE && c.layer.projection > 0) return;  // stepwise alone
  if (!support::serves(asked)) GTEST_SKIP() << "no clusters here";
  const support::InRegime regime(asked);
  const support::InTape kept(tape_kind);
  const ContextHandle context = support::make_context();
  support::LibraryRun<float> run(c);
  run.run(context.get());

  const lacuna_layer layer = run.layer();
  lacuna_batch batch = run.batch();
  const std::int64_t spare = 37, used = batch.tokens, all = used + spare;
  const auto n = static_cast<std::size_t>(all), d = static_cast<std::size_t>(layer.features),
             h = static_cast<std::size_t>(c.layer.output_width());
  const auto longer = [&]<class T>(const T* from, std::size_t width, T poison) {
    std::vector<T> to(n * width, poison);
    if (from == nullptr) return std::vector<T>();
    std::copy_n(from, static_cast<std::size_t>(used) * width, to.begin());
    return to;
  };
  const auto values = longer(static_cast<const float*>(batch.values), d, NAN);
  const auto mask = longer(batch.mask, d, std::uint8_t{1});
  const auto delta_t = longer(static_cast<const float*>(batch.delta_t), 1, NAN);
  const std::vector<float> ones(n * h, 1.0f);

  Mirror mirror;
  batch.tokens = all;
  batch.values = mirror.in(values.data(), values.size());
  batch.mask = mirror.in(mask.data(), mask.size());
  batch.delta_t = mirror.in(delta_t.data(), delta_t.size());
  batch.offsets = mirror.in(batch.offsets, static_cast<std::size_t>(batch.sequences) + 1);
  batch.offsets_on_device = 1;
  GuardedBuffer<float> hidden(n * h), d_values(n * d), d_delta_t(n);
  std::vector<std::unique_ptr<GuardedBuffer<float>>> d_weights;
  lacuna_outputs outputs{};
  outputs.hidden = mirror.out(hidden);
  lacuna_output_gradients given{};
  given.d_hidden = mirror.in(ones.data(), ones.size());
  lacuna_parameter_gradients gradients{};
  lacuna_input_gradients inputs{};
  inputs.d_values = mirror.out(d_values);
  inputs.d_delta_t = mirror.out(d_delta_t);
  lacuna_parameters parameters = run.parameters();
  for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
    lacuna_parameter_info info{};
    must(lacuna_layer_parameter(&layer, static_cast<lacuna_parameter>(kind), &info));
    parameters.tensor[kind] = mirror.in(static_cast<const float*>(parameters.tensor[kind]),
                                        static_cast<std::size_t>(info.rows * info.columns));
    if (info.rows == 0) continue;
    auto& buffer = *d_weights.emplace_back(
        std::make_unique<GuardedBuffer<float>>(static_cast<std::size_t>(info.rows * info.columns)));
    std::fill_n(buffer.data(), buffer.size(), 0.0f);
    gradients.tensor[kind] = mirror.out(buffer);
  }
  const auto plan = support::make_plan(context.get(), layer, {all, batch.sequences, 9});
  const auto tape = support::make_tape(plan.get());
  must(lacuna_forward(plan.get(), &parameters, &batch, &outputs, tape.get(), nullptr));
  must(lacuna_backward(plan.get(), &parameters, &batch, &given, tape.get(), &gradients, &inputs,
                       nullptr));
  mirror.bring_back();

  const auto in_use = static_cast<std::size_t>(used);
  const std::span<const float> written = hidden.span().first(in_use * h);
  EXPECT_TRUE(support::are_alike(c, "hidden", used,
                                 std::vector<float>(written.begin(), written.end()),
                                 run.results.find("hidden")->vector()));
  for (std::size_t i = in_use * h; i < n * h; ++i) EXPECT_TRUE(std::isnan(hidden.data()[i])) << i;
  for (const auto& buffer : d_weights) {
    for (const float gradient : buffer->span()) EXPECT_TRUE(std::isfinite(gradient));
    EXPECT_EQ(buffer->damage(), "");
  }
  for (std::size_t i = 0; i < in_use; ++i) EXPECT_TRUE(std::isfinite(d_delta_t.data()[i])) << i;
  for (const auto* buffer : {&hidden, &d_values, &d_delta_t}) EXPECT_EQ(buffer->damage(), "");
}

TEST(OffsetsOnDevice, NeedALimitOfTheLengths) {
  const support::Case c = support::parse_case("gru_f32_n3_d2_h4_len1-5_seed1");
  const ContextHandle context = support::make_context();
  support::LibraryRun<float> run(c);
  run.offsets_on_device = true;
  const auto plan = support::make_plan(context.get(), run.layer(), run.capacity());
  try {
    run.forward(plan.get(), nullptr);
    FAIL() << "was not refused";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("max_length is 0"), std::string::npos) << error.what();
  }
  run.offsets_on_device = false;
  run.forward(plan.get(), nullptr);
}

TEST(Capacity, BoundsTheLongestSequence) {
  const support::Case c = support::parse_case("gru_f32_n3_d2_h4_len5_seed1");
  const ContextHandle context = support::make_context();
  support::LibraryRun<float> run(c);
  lacuna_capacity room = run.capacity();
  room.max_length = 4;
  const auto plan = support::make_plan(context.get(), run.layer(), room);
  try {
    run.forward(plan.get(), nullptr);
    FAIL() << "was not refused";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("batch.offsets[1]: sequence 0 has 5 tokens"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
