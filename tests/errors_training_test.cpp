// Every argument of the calls for the last mile of training, spoiled one at a time.
#include <functional>

#include "api/example.h"

namespace {

using api_tests::Context;
using api_tests::misaligned;
using api_tests::refused;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

// What is written keeps this value when a call is refused.
constexpr float untouched = -77;

class TrainingErrors : public testing::Test {
 protected:
  // `spoil` changes a member, `call` runs with it, and the members are then as before.
  template <class Member, class Call>
  void refuse_with(const std::string& message, Member& member, std::type_identity_t<Member> value,
                   Call call, lacuna_status status = LACUNA_INVALID_ARGUMENT) {
    SCOPED_TRACE(message);
    const Member kept = member;
    member = value;
    written.assign(written.size(), untouched);
    written_too.assign(written_too.size(), untouched);
    EXPECT_TRUE(refused(call(), status, {message}));
    EXPECT_EQ(written, std::vector<float>(written.size(), untouched));
    EXPECT_EQ(written_too, std::vector<float>(written_too.size(), untouched));
    member = kept;
    EXPECT_EQ(call(), LACUNA_OK) << lacuna_last_error();
  }

  lacuna_type real_type() const { return static_cast<lacuna_type>(type); }

  Context context;
  lacuna_context* used = context;
  // Numbers, not enumerations: a test may not hold an impossible one either.
  int type = LACUNA_F32;
  std::vector<float> written = std::vector<float>(64), written_too = std::vector<float>(64);
};

// ---- Linear: 4 rows, 3 in, 2 out ----

class LinearErrors : public TrainingErrors {
 protected:
  std::int64_t rows = 4, in = 3, out = 2;
  std::vector<float> x_values = std::vector<float>(12), weight_values = std::vector<float>(6),
                     bias_values = std::vector<float>(2), d_y_values = std::vector<float>(8);
  const void *x = x_values.data(), *weights = weight_values.data(), *bias = bias_values.data(),
             *d_y = d_y_values.data();
  void *y = written.data(), *d_x = written.data(), *d_weights = written.data() + 32,
       *d_bias = written_too.data();
};

TEST_F(LinearErrors, Forward) {
  const auto call = [&] {
    return lacuna_linear_forward(used, real_type(), rows, in, out, x, weights, bias, y, nullptr);
  };
  ASSERT_EQ(call(), LACUNA_OK);
  refuse_with("context: null", used, nullptr, call);
  refuse_with("type: 7, expected a lacuna_type, 0 to 3", type, 7, call);
  if (support::on_cpu)
    refuse_with("type: LACUNA_F16, but the CPU backend", type, LACUNA_F16, call,
                LACUNA_UNSUPPORTED);
  refuse_with("rows: -1, expected >= 0", rows, -1, call);
  refuse_with("in: 0, expected >= 1", in, 0, call);
  refuse_with("out: -2, expected >= 1", out, -2, call);
  refuse_with("9223372036854775807 x 3 elements do not fit in memory", rows,
              std::numeric_limits<std::int64_t>::max(), call);
  refuse_with("x: null, expected 12 elements", x, nullptr, call);
  refuse_with("x: address 0x", x, misaligned(x), call);
  refuse_with("weights: null, expected 6 elements", weights, nullptr, call);
  refuse_with("weights: address 0x", weights, misaligned(weights), call);
  refuse_with("bias: address 0x", bias, misaligned(bias), call);
  refuse_with("y: null, expected 8 elements", y, nullptr, call);
  refuse_with("y: address 0x", y, misaligned(y), call);
  refuse_with("y: overlaps x", y, x_values.data() + 2, call);
  bias = nullptr;
  EXPECT_EQ(call(), LACUNA_OK);
}

TEST_F(LinearErrors, Backward) {
  const auto call = [&] {
    return lacuna_linear_backward(used, real_type(), rows, in, out, x, weights, d_y, d_x, d_weights,
                                  d_bias, nullptr);
  };
  ASSERT_EQ(call(), LACUNA_OK);
  refuse_with("context: null", used, nullptr, call);
  if (support::on_cpu)
    refuse_with("type: LACUNA_BF16, but the CPU backend", type, LACUNA_BF16, call,
                LACUNA_UNSUPPORTED);
  refuse_with("rows: -9, expected >= 0", rows, -9, call);
  refuse_with("in: -1, expected >= 1", in, -1, call);
  refuse_with("out: 0, expected >= 1", out, 0, call);
  refuse_with("x: null, expected 12 elements", x, nullptr, call);
  refuse_with("x: address 0x", x, misaligned(x), call);
  refuse_with("weights: null, expected 6 elements", weights, nullptr, call);
  refuse_with("d_y: null, expected 8 elements", d_y, nullptr, call);
  refuse_with("d_y: address 0x", d_y, misaligned(d_y), call);
  refuse_with("d_x: address 0x", d_x, misaligned(d_x), call);
  refuse_with("d_weights: address 0x", d_weights, misaligned(d_weights), call);
  refuse_with("d_bias: address 0x", d_bias, misaligned(d_bias), call);
  refuse_with("d_weights: overlaps weights", d_weights, weight_values.data(), call);
  refuse_with("d_x: overlaps d_bias", d_x, static_cast<void*>(written_too.data()), call);
}

// ---- Losses: 2 rows, 3 columns ----

class LossErrors : public TrainingErrors {
 protected:
  lacuna_status call() {
    return lacuna_loss_evaluate(used, static_cast<lacuna_loss>(kind), real_type(), rows, columns,
                                predictions, targets, mask, scale, loss_scale, loss, count,
                                d_predictions, nullptr);
  }

  int kind = LACUNA_LOSS_SQUARED_ERROR;
  std::int64_t rows = 2, columns = 3;
  std::vector<float> prediction_values = std::vector<float>(6),
                     target_values = std::vector<float>(6);
  std::vector<std::int32_t> classes{1, 2};
  std::vector<std::uint8_t> measured = std::vector<std::uint8_t>(6, 1);
  const void *predictions = prediction_values.data(), *targets = target_values.data();
  const std::uint8_t* mask = measured.data();
  double scale = 1, loss_value = -7;
  lacuna_loss_scale state{2, 0, 0};
  const lacuna_loss_scale* loss_scale = &state;
  std::int64_t count_value = -7;
  double* loss = &loss_value;
  std::int64_t* count = &count_value;
  void* d_predictions = written.data();
};

TEST_F(LossErrors, EveryArgument) {
  const auto run = [&] { return call(); };
  for (const auto each :
       {LACUNA_LOSS_SQUARED_ERROR, LACUNA_LOSS_ABSOLUTE_ERROR, LACUNA_LOSS_BINARY_CROSS_ENTROPY}) {
    kind = each;
    ASSERT_EQ(call(), LACUNA_OK);
    refuse_with("context: null", used, nullptr, run);
    refuse_with("kind: 4, expected a lacuna_loss, 0 to 3", kind, 4, run);
    if (support::on_cpu) refuse_with("type: LACUNA_F16", type, LACUNA_F16, run, LACUNA_UNSUPPORTED);
    refuse_with("type: -1, expected a lacuna_type", type, -1, run);
    refuse_with("rows: -2, expected >= 0", rows, -2, run);
    refuse_with("columns: 0, expected >= 1", columns, 0, run);
    refuse_with("predictions: null, expected 6 elements", predictions, nullptr, run);
    refuse_with("predictions: address 0x", predictions, misaligned(predictions), run);
    refuse_with("targets: null, expected 6 elements", targets, nullptr, run);
    refuse_with("targets: address 0x", targets, misaligned(targets), run);
    refuse_with("scale: nan, expected a finite number", scale, nan, run);
    refuse_with("scale: inf, expected a finite number", scale, infinity, run);
    refuse_with("loss_scale: address 0x", loss_scale, misaligned(loss_scale), run);
    refuse_with("loss_scale.scale: 0, expected 2^-126 to 2^126", state.scale, 0, run);
    refuse_with("loss_scale.scale: nan, expected 2^-126 to 2^126", state.scale, nan, run);
    refuse_with("loss_scale.steps: -1, expected >= 0", state.steps, -1, run);
    refuse_with("loss: null", loss, nullptr, run);
    refuse_with("count: null", count, nullptr, run);
    refuse_with("d_predictions: address 0x", d_predictions, misaligned(d_predictions), run);
    refuse_with("d_predictions: overlaps predictions", d_predictions, prediction_values.data(),
                run);
  }
}

TEST_F(LossErrors, TargetsOfBinaryCrossEntropy) {
  kind = LACUNA_LOSS_BINARY_CROSS_ENTROPY;
  const auto run = [&] { return call(); };
  refuse_with("targets[4]: 1.5, expected 0 to 1", target_values[4], 1.5f, run);
  refuse_with("targets[0]: nan, expected 0 to 1", target_values[0], static_cast<float>(nan), run);
  refuse_with("targets[5]: -0.125, expected 0 to 1", target_values[5], -0.125f, run);
  target_values[4] = 9;
  measured[4] = 0;  // an unmeasured target is never read
  EXPECT_EQ(call(), LACUNA_OK);
}

TEST_F(LossErrors, TargetsOfCrossEntropy) {
  kind = LACUNA_LOSS_CROSS_ENTROPY;
  targets = classes.data();
  const auto run = [&] { return call(); };
  refuse_with("targets[1]: 3, expected a class, 0 to 2", classes[1], 3, run);
  refuse_with("targets[0]: -1, expected a class, 0 to 2", classes[0], -1, run);
  refuse_with("targets: null, expected 2 elements", targets, nullptr, run);
  loss_value = -7, count_value = -7;
  classes[1] = 99;
  EXPECT_TRUE(refused(call(), LACUNA_INVALID_ARGUMENT, {"targets[1]: 99"}));
  EXPECT_EQ(loss_value, -7);
  EXPECT_EQ(count_value, -7);
  measured[1] = 0;
  EXPECT_EQ(call(), LACUNA_OK);
  EXPECT_EQ(count_value, 1);
}

// ---- Clipping ----

class ClipErrors : public TrainingErrors {
 protected:
  std::int64_t arrays = 2;
  void* list[2] = {written.data(), written_too.data()};
  std::int64_t sizes[2] = {64, 64};
  void* const* gradients = list;
  const std::int64_t* counts = sizes;
  double max_norm = 1;
};

TEST_F(ClipErrors, EveryArgument) {
  double norms[2] = {-7, -7};
  double* norm = norms;
  const auto call = [&] {
    return lacuna_clip_gradient_norm(used, real_type(), arrays, gradients, counts, max_norm, norm,
                                     nullptr);
  };
  ASSERT_EQ(call(), LACUNA_OK);
  refuse_with("context: null", used, nullptr, call);
  if (support::on_cpu) refuse_with("type: LACUNA_F16", type, LACUNA_F16, call, LACUNA_UNSUPPORTED);
  refuse_with("arrays: -1, expected >= 0", arrays, -1, call);
  refuse_with("gradients: null", gradients, nullptr, call);
  refuse_with("counts: null", counts, nullptr, call);
  refuse_with("counts[1]: -64, expected >= 0", sizes[1], -64, call);
  refuse_with("gradients[1]: null, expected 64 elements", list[1], nullptr, call);
  refuse_with("gradients[0]: address 0x", list[0], misaligned(list[0]), call);
  refuse_with("gradients[1]: overlaps gradients[0]", list[1],
              static_cast<void*>(written.data() + 63), call);
  refuse_with("gradients[0]: 4611686018427387904 elements do not fit in memory", sizes[0],
              std::int64_t{1} << 62, call);
  refuse_with("gradients[0]: 4611686018427387903 elements do not fit in memory", sizes[0],
              (std::int64_t{1} << 62) - 1, call);  // the product fits, not behind the address
  refuse_with("norm: address 0x", norm, misaligned(norm), call);
  refuse_with("norm: overlaps gradients[1]", norm, reinterpret_cast<double*>(written_too.data()),
              call);
  refuse_with("max_norm: 0, expected > 0", max_norm, 0, call);
  refuse_with("max_norm: -1, expected > 0", max_norm, -1, call);
  refuse_with("max_norm: nan, expected > 0", max_norm, nan, call);
  EXPECT_EQ(lacuna_clip_gradient_norm(context, LACUNA_F32, 2, list, sizes, 1, nullptr, nullptr),
            LACUNA_OK)
      << "a norm is optional";
  EXPECT_EQ(lacuna_clip_gradient_norm(context, LACUNA_F32, 0, nullptr, nullptr, 1, norm, nullptr),
            LACUNA_OK);
  EXPECT_EQ(norms[0], 0);
  EXPECT_EQ(norms[1], -7);
}

// More arrays than the checks have room for without memory of their own, in no order.
TEST_F(ClipErrors, OverlapsInALongList) {
  constexpr std::size_t many = 1000;
  std::vector<float> all(4 * many, 1);
  std::vector<void*> places;
  for (std::size_t a = 0; a < many; ++a) places.push_back(&all[4 * (a * 377 % many)]);
  std::vector<std::int64_t> lengths(many, 4);
  const auto clip = [&] {
    return lacuna_clip_gradient_norm(context, LACUNA_F32, many, places.data(), lengths.data(), 1e9,
                                     nullptr, nullptr);
  };
  EXPECT_EQ(clip(), LACUNA_OK) << lacuna_last_error();
  std::size_t last = 0;  // which of them lies at the end; the one before it reaches into it
  std::size_t before = 0;
  for (std::size_t a = 0; a < many; ++a) {
    if (places[a] == &all[4 * (many - 1)]) last = a;
    if (places[a] == &all[4 * (many - 2)]) before = a;
  }
  lengths[before] = 5;
  EXPECT_TRUE(refused(clip(), LACUNA_INVALID_ARGUMENT,
                      {"gradients[" + std::to_string(std::max(last, before)) +
                       "]: overlaps gradients[" + std::to_string(std::min(last, before)) + "]"}));
  // One that spans many is found however far away the other begins.
  lengths[before] = 4;
  std::size_t first = 0;
  while (places[first] != all.data()) ++first;
  lengths.assign(many, 0);
  lengths[first] = 4 * many;
  lengths[last] = 1;
  EXPECT_TRUE(refused(clip(), LACUNA_INVALID_ARGUMENT, {"]: overlaps gradients["}));
}

// ---- Adam ----

class AdamErrors : public TrainingErrors {
 protected:
  lacuna_adam settings{.learning_rate = 1e-3,
                       .beta1 = 0.9,
                       .beta2 = 0.999,
                       .epsilon = 1e-8,
                       .weight_decay = 0,
                       .step = 1};
  const lacuna_adam* adam = &settings;
  std::int64_t count = 16;
  std::vector<float> gradient_values = std::vector<float>(16, 1);
  const void* gradients = gradient_values.data();
  void *parameters = written.data(), *first = written_too.data(), *second = written_too.data() + 32;
};

TEST_F(AdamErrors, EveryArgument) {
  const auto call = [&] {
    written_too.assign(64, untouched == written_too[0] ? untouched : 0);
    return lacuna_adam_step(used, adam, real_type(), count, gradients, parameters, first, second,
                            nullptr);
  };
  ASSERT_EQ(call(), LACUNA_OK);
  refuse_with("context: null", used, nullptr, call);
  refuse_with("adam: null", adam, nullptr, call);
  if (support::on_cpu) refuse_with("type: LACUNA_F16", type, LACUNA_F16, call, LACUNA_UNSUPPORTED);
  refuse_with("count: -16, expected >= 0", count, -16, call);
  refuse_with("gradients: null, expected 16 elements", gradients, nullptr, call);
  refuse_with("gradients: address 0x", gradients, misaligned(gradients), call);
  refuse_with("parameters: null, expected 16 elements", parameters, nullptr, call);
  refuse_with("parameters: address 0x", parameters, misaligned(parameters), call);
  refuse_with("first_moment: null, expected 16 elements", first, nullptr, call);
  refuse_with("first_moment: address 0x", first, misaligned(first), call);
  refuse_with("second_moment: null, expected 16 elements", second, nullptr, call);
  refuse_with("second_moment: address 0x", second, misaligned(second), call);
  refuse_with("first_moment: overlaps second_moment", first, second, call);
  refuse_with("parameters: overlaps gradients", parameters, gradient_values.data(), call);
  refuse_with("adam.learning_rate: -0.5, expected a finite number >= 0", settings.learning_rate,
              -0.5, call);
  refuse_with("adam.learning_rate: nan, expected a finite number >= 0", settings.learning_rate, nan,
              call);
  refuse_with("adam.beta1: 1, expected 0 <= beta < 1", settings.beta1, 1, call);
  refuse_with("adam.beta1: nan, expected 0 <= beta < 1", settings.beta1, nan, call);
  refuse_with("adam.beta2: -0.1, expected 0 <= beta < 1", settings.beta2, -0.1, call);
  refuse_with("adam.epsilon: 0, expected a finite number > 0", settings.epsilon, 0, call);
  refuse_with("adam.epsilon: inf, expected a finite number > 0", settings.epsilon, infinity, call);
  refuse_with("adam.weight_decay: -1, expected a finite number >= 0", settings.weight_decay, -1,
              call);
  refuse_with("adam.step: 0, expected >= 1", settings.step, 0, call);
}

// ---- Both in one ----

class ClippedAdamErrors : public AdamErrors {
 protected:
  ClippedAdamErrors() {
    float* const at = written_too.data();
    list[0] = {8, gradient_values.data(), written.data(), at, at + 8};
    list[1] = {8, gradient_values.data() + 8, written.data() + 8, at + 16, at + 24};
  }
  std::int64_t arrays = 2;
  lacuna_adam_array list[2];
  const lacuna_adam_array* given = list;
  double max_norm = 1;
};

TEST_F(ClippedAdamErrors, EveryArgument) {
  double norms[2] = {-7, -7};
  double* norm = norms;
  const auto call = [&] {
    written_too.assign(64, untouched == written_too[0] ? untouched : 0);
    return lacuna_adam_step_clipped(used, adam, real_type(), arrays, given, max_norm, nullptr,
                                    nullptr, norm, nullptr);
  };
  ASSERT_EQ(call(), LACUNA_OK);
  EXPECT_EQ(norms[0], 4);
  refuse_with("context: null", used, nullptr, call);
  refuse_with("adam: null", adam, nullptr, call);
  if (support::on_cpu) refuse_with("type: LACUNA_F16", type, LACUNA_F16, call, LACUNA_UNSUPPORTED);
  refuse_with("adam.step: 0, expected >= 1", settings.step, 0, call);
  refuse_with("arrays: -1, expected >= 0", arrays, -1, call);
  refuse_with("list: null", given, nullptr, call);
  refuse_with("list[1].count: -8, expected >= 0", list[1].count, -8, call);
  refuse_with("list[1].gradients: null, expected 8 elements", list[1].gradients, nullptr, call);
  refuse_with("list[0].gradients: address 0x", list[0].gradients, misaligned(list[0].gradients),
              call);
  refuse_with("list[1].parameters: null, expected 8 elements", list[1].parameters, nullptr, call);
  refuse_with("list[0].first_moment: address 0x", list[0].first_moment,
              misaligned(list[0].first_moment), call);
  refuse_with("list[1].second_moment: null, expected 8 elements", list[1].second_moment, nullptr,
              call);
  refuse_with("list[0].second_moment: overlaps list[0].first_moment", list[0].second_moment,
              list[0].first_moment, call);
  refuse_with("list[1].parameters: overlaps list[0].parameters", list[1].parameters,
              static_cast<void*>(written.data() + 7), call);
  refuse_with("list[1].gradients: overlaps list[0].first_moment", list[1].gradients,
              static_cast<const void*>(written_too.data() + 1), call);
  refuse_with("max_norm: 0, expected > 0", max_norm, 0, call);
  refuse_with("max_norm: nan, expected > 0", max_norm, nan, call);
  refuse_with("list[1].gradients: 4611686018427387904 elements do not fit in memory", list[1].count,
              std::int64_t{1} << 62, call);
  refuse_with("norm: address 0x", norm, misaligned(norm), call);
  refuse_with("norm: overlaps list[0].parameters", norm, reinterpret_cast<double*>(written.data()),
              call);
  refuse_with("norm: overlaps list[0].gradients", norm,
              reinterpret_cast<double*>(gradient_values.data()), call);
  list[1].gradients = list[0].gradients;  // what is only read may be shared
  EXPECT_EQ(call(), LACUNA_OK) << lacuna_last_error();
  EXPECT_EQ(lacuna_adam_step_clipped(context, adam, LACUNA_F32, 0, nullptr, 1, nullptr, nullptr,
                                     norm, nullptr),
            LACUNA_OK);
  EXPECT_EQ(norms[0], 0);
}

TEST_F(ClippedAdamErrors, LossScaling) {
  double norms[4] = {};
  double* norm = norms;
  lacuna_loss_scaling rule{2, 0.5, 100};
  lacuna_loss_scale state{2, 0, 0};
  const lacuna_loss_scaling* scaling = &rule;
  lacuna_loss_scale* loss_scale = &state;
  settings.step = 0;  // not read
  const auto call = [&] {
    written_too.assign(64, untouched == written_too[0] ? untouched : 0);
    return lacuna_adam_step_clipped(used, adam, real_type(), arrays, given, max_norm, scaling,
                                    loss_scale, norm, nullptr);
  };
  ASSERT_EQ(call(), LACUNA_OK) << lacuna_last_error();
  EXPECT_EQ(norms[0], 2);
  refuse_with("scaling.growth: 1, expected a finite number > 1", rule.growth, 1, call);
  refuse_with("scaling.growth: nan, expected a finite number > 1", rule.growth, nan, call);
  refuse_with("scaling.growth: inf, expected a finite number > 1", rule.growth, infinity, call);
  refuse_with("scaling.backoff: 0, expected 0 < backoff < 1", rule.backoff, 0, call);
  refuse_with("scaling.backoff: 1, expected 0 < backoff < 1", rule.backoff, 1, call);
  refuse_with("scaling.backoff: nan, expected 0 < backoff < 1", rule.backoff, nan, call);
  refuse_with("scaling.interval: 0, expected >= 1", rule.interval, 0, call);
  refuse_with("loss_scale: null, expected 3 elements with a scaling", loss_scale, nullptr, call);
  refuse_with("loss_scale: address 0x", loss_scale, misaligned(loss_scale), call);
  refuse_with("loss_scale.scale: -2, expected 2^-126 to 2^126", state.scale, -2, call);
  refuse_with("loss_scale.scale: inf, expected 2^-126 to 2^126", state.scale, infinity, call);
  refuse_with("loss_scale.finite_steps: -3, expected >= 0", state.finite_steps, -3, call);
  refuse_with("loss_scale.steps: -1, expected >= 0", state.steps, -1, call);
  refuse_with("loss_scale: overlaps norm", norm, &state.scale, call);
  refuse_with("loss_scale: overlaps list[1].second_moment", list[1].second_moment,
              static_cast<void*>(&state), call);
  scaling = nullptr;  // the scale stays, and steps are counted all the same
  const std::int64_t before = state.steps;
  EXPECT_EQ(call(), LACUNA_OK);
  EXPECT_EQ(state.steps, before + 1);
  EXPECT_EQ(state.scale, 2);
  loss_scale = nullptr;
  settings.step = 1;
  EXPECT_EQ(call(), LACUNA_OK);
}

}  // namespace
