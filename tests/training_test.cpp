// The linear head, the losses, clipping and Adam against the oracle, with poison where nothing may
// be read, and the same bits from any number of threads.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "lacuna/lacuna.hpp"
#include "reference/head.h"
#include "reference/losses.h"
#include "reference/optimiser.h"
#include "support/compare.h"
#include "support/convert.h"
#include "support/expect.h"
#include "support/guarded_buffer.h"

namespace {

using support::agrees;
using support::compare;
using support::convert;
using support::GuardedBuffer;
using support::guards_are_whole;
using support::rounding_tolerance;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

template <class Real>
std::vector<double> numbers(std::size_t count, std::mt19937& random, double low = -1,
                            double high = 1) {
  std::vector<double> all(count);
  for (double& number : all)
    number = static_cast<Real>(low + (high - low) * random() / 4294967296.0);
  return all;
}

template <class Real>
class Training : public testing::Test {
 protected:
  std::mt19937 random{7};
  lacuna::Context context = lacuna::Context::cpu({.threads = 3});
};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Training, Reals);

// ---- Linear ----

struct Shape {
  std::int64_t rows, in, out;
};
const Shape shapes[] = {{0, 3, 2},     {1, 1, 1},       {1, 7, 1},     {5, 8, 3},
                        {37, 64, 1},   {100, 65, 2},    {300, 130, 5}, {2000, 17, 70},
                        {9001, 64, 1}, {1025, 200, 131}};

TYPED_TEST(Training, LinearForward) {
  using Real = TypeParam;
  for (const auto& [rows, in, out] : shapes) {
    SCOPED_TRACE(testing::Message() << rows << " x " << in << " -> " << out);
    const auto r = static_cast<std::size_t>(rows), i = static_cast<std::size_t>(in),
               o = static_cast<std::size_t>(out);
    const auto x = numbers<Real>(r * i, this->random), weights = numbers<Real>(o * i, this->random),
               bias = numbers<Real>(o, this->random);
    lacuna::Linear<Real> head(in, out);
    std::copy(weights.begin(), weights.end(), head.weights().begin());
    std::copy(bias.begin(), bias.end(), head.bias().begin());
    GuardedBuffer<Real> y(r * o);
    head.forward(this->context, convert<Real>(x), y.span());
    EXPECT_TRUE(agrees("y", compare<Real>(y.span(), reference::linear(x, weights, bias, r, i, o),
                                          rounding_tolerance<Real>(in, 1), o)));
    EXPECT_TRUE(guards_are_whole("y", y));
  }
}

TYPED_TEST(Training, LinearBackwardAddsToItsParameters) {
  using Real = TypeParam;
  for (const auto& [rows, in, out] : shapes) {
    SCOPED_TRACE(testing::Message() << rows << " x " << in << " -> " << out);
    const auto r = static_cast<std::size_t>(rows), i = static_cast<std::size_t>(in),
               o = static_cast<std::size_t>(out);
    const auto x = numbers<Real>(r * i, this->random), weights = numbers<Real>(o * i, this->random),
               d_y = numbers<Real>(r * o, this->random),
               before = numbers<Real>(o * i + o, this->random);
    lacuna::Linear<Real> head(in, out);
    std::copy(weights.begin(), weights.end(), head.weights().begin());
    auto expected = reference::linear_backward(x, weights, d_y, r, i, o);
    for (std::size_t k = 0; k < o * i; ++k) expected.d_weights[k] += before[k];
    for (std::size_t k = 0; k < o; ++k) expected.d_bias[k] += before[o * i + k];
    GuardedBuffer<Real> d_x(r * i), d_parameters(convert<Real>(before));
    head.backward(this->context, convert<Real>(x), convert<Real>(d_y), d_x.span(),
                  d_parameters.span());
    EXPECT_TRUE(agrees(
        "d_x", compare<Real>(d_x.span(), expected.d_x, rounding_tolerance<Real>(out, 1), i)));
    const std::span<const Real> gradients = d_parameters.span();
    EXPECT_TRUE(agrees("d_weights", compare<Real>(gradients.first(o * i), expected.d_weights,
                                                  rounding_tolerance<Real>(rows, 1))));
    EXPECT_TRUE(agrees("d_bias", compare<Real>(gradients.subspan(o * i), expected.d_bias,
                                               rounding_tolerance<Real>(rows, 1))));
    EXPECT_TRUE(guards_are_whole("d_x", d_x));
    EXPECT_TRUE(guards_are_whole("d_parameters", d_parameters));
  }
}

// ---- Losses ----

// Targets that are missing hold NaN, and so do their predictions: none may be read.
template <class Real>
struct LossData {
  LossData(std::size_t count, int missing_percent, std::mt19937& random, double low, double high)
      : predictions(numbers<Real>(count, random, -6, 6)),
        targets(numbers<Real>(count, random, low, high)),
        mask(count) {
    for (std::size_t i = 0; i < count; ++i) {
      mask[i] = static_cast<int>(random() % 100) >= missing_percent;
      if (!mask[i]) predictions[i] = targets[i] = nan;
    }
  }
  std::vector<double> predictions, targets;
  std::vector<std::uint8_t> mask;
};

// Without a gradient, with one, and with everything, something or nothing measured.
template <class Real, class Reference, class Tested>
void check_elementwise(const lacuna::Context& context, std::mt19937& random, double low,
                       double high, Reference reference, Tested tested) {
  for (const std::size_t count : {0u, 1u, 5u, 4096u, 4097u, 20000u}) {
    for (const int missing : {0, 60, 100}) {
      SCOPED_TRACE(testing::Message() << count << " elements, " << missing << " % missing");
      const LossData<Real> data(count, missing, random, low, high);
      const auto expected = reference(data.predictions, data.targets, data.mask);
      GuardedBuffer<Real> gradient(count);
      const double scale = 0.125;
      const lacuna::LossValue value =
          tested(context, convert<Real>(data.predictions), convert<Real>(data.targets),
                 lacuna::LossOptions<Real>{
                     .mask = data.mask, .scale = scale, .d_predictions = gradient.span()});
      EXPECT_EQ(value.count, expected.count);
      EXPECT_TRUE(std::abs(value.sum - expected.sum) <= 1e-12 * (1 + std::abs(expected.sum)))
          << value.sum << " " << expected.sum;
      std::vector<double> expected_gradient = expected.gradient;
      for (double& g : expected_gradient) g *= scale;
      EXPECT_TRUE(agrees("d_predictions", compare<Real>(gradient.span(), expected_gradient,
                                                        rounding_tolerance<Real>(1, 1))));
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_TRUE(data.mask[i] || gradient.span()[i] == Real(0)) << i;
      }
      EXPECT_TRUE(guards_are_whole("d_predictions", gradient));
      // Without a gradient: the same loss.
      const lacuna::LossValue alone =
          tested(context, convert<Real>(data.predictions), convert<Real>(data.targets),
                 lacuna::LossOptions<Real>{.mask = data.mask});
      EXPECT_EQ(alone.sum, value.sum);
    }
  }
}

TYPED_TEST(Training, BinaryCrossEntropy) {
  check_elementwise<TypeParam>(
      this->context, this->random, 0, 1, reference::binary_cross_entropy,
      [](const auto&... arguments) { return lacuna::binary_cross_entropy(arguments...); });
}
TYPED_TEST(Training, SquaredError) {
  check_elementwise<TypeParam>(
      this->context, this->random, -6, 6, reference::squared_error,
      [](const auto&... arguments) { return lacuna::squared_error(arguments...); });
}
TYPED_TEST(Training, AbsoluteError) {
  check_elementwise<TypeParam>(
      this->context, this->random, -6, 6, reference::absolute_error,
      [](const auto&... arguments) { return lacuna::absolute_error(arguments...); });
}

TYPED_TEST(Training, CrossEntropyKeepsStableForHugeLogits) {
  using Real = TypeParam;
  const std::vector<Real> logits{1e30f, 0, -1e30f, 1000, 1000, 1000, -5000, -5001, -5000};
  const std::vector<std::int32_t> targets{0, 2, 0};
  std::vector<Real> gradient(9);
  const auto value =
      lacuna::cross_entropy(this->context, 3, logits, targets, {.d_predictions = gradient});
  EXPECT_EQ(value.count, 3);
  const double third = 2 + std::exp(-1.0);
  EXPECT_NEAR(value.sum, 0 + std::log(3.0) + std::log(third), 1e-6);
  const double expected[] = {
      0, 0, 0, 1. / 3, 1. / 3, 1. / 3 - 1, 1 / third - 1, std::exp(-1.0) / third, 1 / third};
  for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(gradient[i], expected[i], 1e-6) << i;
}

TYPED_TEST(Training, BinaryCrossEntropyKeepsStableForHugeLogits) {
  using Real = TypeParam;
  const std::vector<Real> logits{1e30f, 1e30f, -1e30f, -1e30f, 100, -100};
  const std::vector<Real> targets{1, 0, 0, 1, 1, 1};
  std::vector<Real> gradient(6);
  const auto value =
      lacuna::binary_cross_entropy(this->context, logits, targets, {.d_predictions = gradient});
  EXPECT_NEAR(value.sum / 2e30, 1, 1e-6);
  const Real expected[] = {0, 1, 0, -1, 0, -1};
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(gradient[i], expected[i], 1e-30) << i;
}

TYPED_TEST(Training, CrossEntropy) {
  using Real = TypeParam;
  for (const std::size_t classes : {1u, 2u, 7u, 5000u}) {
    for (const std::size_t rows : {0u, 1u, 300u}) {
      SCOPED_TRACE(testing::Message() << rows << " rows of " << classes);
      auto logits = numbers<Real>(rows * classes, this->random, -8, 8);
      std::vector<std::int32_t> targets(rows);
      std::vector<std::uint8_t> mask(rows);
      for (std::size_t row = 0; row < rows; ++row) {
        targets[row] = static_cast<std::int32_t>(this->random() % classes);
        mask[row] = this->random() % 3 > 0;
        if (mask[row]) continue;
        targets[row] = -99;
        for (std::size_t k = 0; k < classes; ++k) logits[row * classes + k] = nan;
      }
      const auto expected = reference::cross_entropy(logits, targets, mask, classes);
      GuardedBuffer<Real> gradient(rows * classes);
      const auto value = lacuna::cross_entropy(this->context, static_cast<std::int64_t>(classes),
                                               convert<Real>(logits), targets,
                                               {.mask = mask, .d_predictions = gradient.span()});
      EXPECT_EQ(value.count, expected.count);
      EXPECT_TRUE(std::abs(value.sum - expected.sum) <= 1e-12 * (1 + expected.sum))
          << value.sum << " " << expected.sum;
      EXPECT_TRUE(agrees("d_logits", compare<Real>(gradient.span(), expected.gradient,
                                                   rounding_tolerance<Real>(2, 1))));
      EXPECT_TRUE(guards_are_whole("d_logits", gradient));
    }
  }
}

// ---- Clipping and Adam ----

TYPED_TEST(Training, ClipGradientNorm) {
  using Real = TypeParam;
  for (const double max_norm : {0.5, 1e9, std::numeric_limits<double>::infinity()}) {
    auto a = numbers<Real>(20011, this->random), b = numbers<Real>(3, this->random);
    std::vector<Real> x = convert<Real>(a), y = convert<Real>(b), empty;
    const double expected = reference::clip_gradient_norm({&a, &b}, max_norm);
    const double norm = lacuna::clip_gradient_norm<Real>(this->context, {x, empty, y}, max_norm);
    EXPECT_NEAR(norm / expected, 1, 1e-12);
    // The factor holds a sum of all squares.
    const double tolerance = rounding_tolerance<Real>(20014, 1);
    EXPECT_TRUE(agrees("first", compare<Real>(x, a, tolerance)));
    EXPECT_TRUE(agrees("second", compare<Real>(y, b, tolerance)));
  }
}

TYPED_TEST(Training, ANormThatIsNotFiniteChangesNothing) {
  using Real = TypeParam;
  for (const double bad : {nan, std::numeric_limits<double>::infinity()}) {
    std::vector<Real> gradients{3, static_cast<Real>(bad), 4};
    const double norm = lacuna::clip_gradient_norm<Real>(this->context, {gradients}, 1);
    EXPECT_FALSE(std::isfinite(norm));
    EXPECT_EQ(std::isnan(norm), std::isnan(bad));
    EXPECT_EQ(gradients[0], Real(3));
    EXPECT_EQ(gradients[2], Real(4));
  }
}

TYPED_TEST(Training, AdamFollowsThePaper) {
  using Real = TypeParam;
  const std::size_t count = 9001;
  for (const double decay : {0.0, 0.02}) {
    auto parameters = numbers<Real>(count, this->random);
    std::vector<double> first(count), second(count);
    std::vector<Real> tested = convert<Real>(parameters);
    const reference::Adam settings{.learning_rate = 0.01, .weight_decay = decay};
    lacuna::Adam<Real> adam(count, {.learning_rate = 0.01, .weight_decay = decay});
    reference::Adam oracle = settings;
    for (oracle.step = 1; oracle.step <= 20; ++oracle.step) {
      auto gradients = numbers<Real>(count, this->random);
      gradients[5] = 0;  // and its moments with it: 0 / (0 + epsilon)
      reference::adam_step(oracle, gradients, parameters, first, second);
      adam.step(this->context, convert<Real>(gradients), tested);
    }
    EXPECT_EQ(adam.steps(), 20);
    EXPECT_TRUE(
        agrees("parameters", compare<Real>(tested, parameters, rounding_tolerance<Real>(4, 20))));
  }
}

// One call has the bits of the two, whether it clips or not, and changes nothing where the norm is not finite.
TYPED_TEST(Training, AClippedStepIsClippingAndAdam) {
  using Real = TypeParam;
  const std::size_t sizes[] = {20011, 3};
  for (const double max_norm : {0.5, 1e9, std::numeric_limits<double>::infinity()}) {
    std::vector<std::vector<Real>> gradients, apart, together;
    for (const std::size_t size : sizes) {
      gradients.push_back(convert<Real>(numbers<Real>(size, this->random)));
      apart.push_back(convert<Real>(numbers<Real>(size, this->random)));
    }
    together = apart;
    const lacuna::AdamOptions options{.learning_rate = 0.01, .weight_decay = 0.1};
    lacuna::Adam<Real> first(sizes[0], options), second(sizes[1], options);
    lacuna::AdamArrays<Real> arrays;
    for (std::size_t a = 0; a < 2; ++a) arrays.add(gradients[a], together[a]);
    lacuna::Adam<Real> joint(arrays, options);
    for (int step = 0; step < 3; ++step) {
      std::vector<std::vector<Real>> clipped = gradients;
      const double norm = lacuna::clip_gradient_norm<Real>(
          this->context, {std::span<Real>(clipped[0]), std::span<Real>(clipped[1])}, max_norm);
      first.step(this->context, clipped[0], apart[0]);
      second.step(this->context, clipped[1], apart[1]);
      EXPECT_EQ(joint.step(this->context, arrays, max_norm), norm);
    }
    EXPECT_EQ(joint.steps(), 3);
    EXPECT_EQ(together, apart);

    gradients[1][2] = static_cast<Real>(nan);
    EXPECT_TRUE(std::isnan(joint.step(this->context, arrays, max_norm)));
    EXPECT_EQ(together, apart);
    EXPECT_EQ(joint.steps(), 3);
  }
}

TYPED_TEST(Training, AClippedStepLeavesFrozenParametersAlone) {
  using Real = TypeParam;
  lacuna::Parameters<Real> parameters(lacuna::gru_d(4, 3, lacuna::type_of<Real>), 5);
  lacuna::Gradients<Real> gradients(parameters);
  gradients.fill(Real(1));
  parameters.freeze(lacuna::Parameter::x_mean);
  lacuna::Parameters<Real> apart = parameters;
  lacuna::Adam<Real> one(parameters.count(), {.weight_decay = 0.1});
  one.step(this->context, gradients, apart);
  const auto arrays = lacuna::AdamArrays<Real>().add(gradients, parameters);
  lacuna::Adam<Real> joint(arrays, {.weight_decay = 0.1});
  EXPECT_NEAR(joint.step(this->context, arrays),
              std::sqrt(static_cast<double>(parameters.count() - 4)), 1e-12 * 100);
  for (std::size_t i = 0; i < parameters.count(); ++i)
    EXPECT_EQ(parameters.flat()[i], apart.flat()[i]) << i;
}

// What lies side by side is one array of the library's list.
TYPED_TEST(Training, ALayersParametersAreOneArray) {
  using Real = TypeParam;
  lacuna::Parameters<Real> parameters(lacuna::gru_d(4, 3, lacuna::type_of<Real>), 5);
  lacuna::Gradients<Real> gradients(parameters);
  EXPECT_EQ(lacuna::AdamArrays<Real>().add(gradients, parameters).arrays(), 1u);
  parameters.freeze(lacuna::Parameter::x_mean);  // in the middle
  EXPECT_EQ(lacuna::AdamArrays<Real>().add(gradients, parameters).arrays(), 2u);
  parameters.freeze(lacuna::Parameter::weights_x);    // the first
  parameters.freeze(lacuna::Parameter::evolve_bias);  // the last
  EXPECT_EQ(lacuna::AdamArrays<Real>().add(gradients, parameters).arrays(), 2u);
  for (int kind = 0; kind < lacuna::parameter_kinds; ++kind)
    parameters.freeze(static_cast<lacuna::Parameter>(kind));
  EXPECT_EQ(lacuna::AdamArrays<Real>().add(gradients, parameters).arrays(), 0u);
  std::vector<Real> other(3), d_other(3);
  const auto both = lacuna::AdamArrays<Real>().add(gradients, parameters).add(d_other, other);
  EXPECT_EQ(both.arrays(), 1u);
  EXPECT_EQ(both.count(), parameters.count() + 3);
}

// Saved after two steps and gone on with by new objects, training has the bits of training without a break.
TYPED_TEST(Training, IsResumed) {
  using Real = TypeParam;
  const std::size_t count = 40;
  std::vector<std::vector<Real>> gradients;
  for (int step = 0; step < 5; ++step)
    gradients.push_back(convert<Real>(numbers<Real>(count, this->random)));
  const auto start = convert<Real>(numbers<Real>(count, this->random));
  const lacuna::LossScalingOptions scaling{.growth = 2, .interval = 2, .initial_scale = 4};
  const auto run = [&](lacuna::Adam<Real>& adam, lacuna::LossScaler& scaler,
                       std::vector<Real>& parameters, std::size_t from, std::size_t to) {
    for (std::size_t step = from; step < to; ++step) {
      const auto arrays = lacuna::AdamArrays<Real>().add(gradients[step], parameters);
      adam.step(this->context, arrays, 1.0, &scaler);
    }
  };
  std::vector<Real> whole = start, resumed = start;
  lacuna::Adam<Real> adam(count), first(count);
  lacuna::LossScaler scaler(scaling), first_scaler(scaling);
  run(adam, scaler, whole, 0, 5);
  run(first, first_scaler, resumed, 0, 3);

  lacuna::Adam<Real> second(count);
  const auto& saved = first;
  std::copy(saved.first_moment().begin(), saved.first_moment().end(),
            second.first_moment().begin());
  std::copy(saved.second_moment().begin(), saved.second_moment().end(),
            second.second_moment().begin());
  second.set_steps(saved.steps());
  lacuna::LossScaler second_scaler(first_scaler.state(), scaling);
  EXPECT_EQ(second_scaler.state().finite_steps, 1);
  run(second, second_scaler, resumed, 3, 5);
  EXPECT_EQ(resumed, whole);
  EXPECT_EQ(second.steps(), 5);
  EXPECT_EQ(second_scaler.scale(), scaler.scale());
  EXPECT_EQ(second_scaler.state().steps, 5);
}

// ---- Dynamic loss scaling ----

// A head that learns from a scaled loss has the bits of one that learns from the loss, whatever becomes of the scale.
TYPED_TEST(Training, AScaledLossTeachesTheSame) {
  using Real = TypeParam;
  const std::int64_t rows = 50, in = 7;
  const auto x = convert<Real>(numbers<Real>(rows * in, this->random)),
             targets = convert<Real>(numbers<Real>(rows, this->random));
  const lacuna::AdamOptions options{.learning_rate = 0.01, .weight_decay = 0.1};
  lacuna::LossScaler scaler({.growth = 4, .backoff = 0.25, .interval = 2, .initial_scale = 1024});
  const auto learn = [&](lacuna::LossScaler* with) {
    lacuna::Linear<Real> head(in, 1);
    std::vector<Real> gradients(head.count()), y(rows), d_y(rows);
    const auto arrays = lacuna::AdamArrays<Real>().add(gradients, head.flat());
    lacuna::Adam<Real> adam(arrays, options);
    std::vector<double> numbers;
    for (int step = 0; step < 5; ++step) {
      std::fill(gradients.begin(), gradients.end(), Real(0));
      head.forward(this->context, x, y);
      numbers.push_back(
          lacuna::squared_error(this->context, y, targets,
                                {.scale = 1.0 / rows, .scaler = with, .d_predictions = d_y})
              .sum);
      head.backward(this->context, x, d_y, {}, gradients);
      numbers.push_back(adam.step(this->context, arrays, 0.1, with));
      EXPECT_EQ(adam.steps(), step + 1);
    }
    gradients[3] = static_cast<Real>(nan);
    EXPECT_TRUE(std::isnan(adam.step(this->context, arrays, 0.1, with)));
    EXPECT_EQ(adam.steps(), 5);
    numbers.insert(numbers.end(), head.flat().begin(), head.flat().end());
    return numbers;
  };
  EXPECT_EQ(learn(&scaler), learn(nullptr));
  EXPECT_EQ(scaler.scale(), 1024 * 4 * 4 / 4);  // after steps 2, 4 and the one that was skipped
}

TYPED_TEST(Training, AScalersStepsAreAdams) {
  using Real = TypeParam;
  std::vector<Real> gradients(9, Real(0.5)), scaled(9, Real(4)), one(9, Real(1)), other = one;
  const auto plain = lacuna::AdamArrays<Real>().add(gradients, one),
             of_scaled = lacuna::AdamArrays<Real>().add(scaled, other),
             of_plain = lacuna::AdamArrays<Real>().add(gradients, other);
  lacuna::Adam<Real> adam(plain), both(of_scaled);
  lacuna::LossScaler scaler({.initial_scale = 8});
  for (int step = 0; step < 4; ++step) {
    adam.step(this->context, plain);
    if (step % 2 == 0)
      both.step(this->context, of_scaled, 100, &scaler);
    else
      both.step(this->context, of_plain);
  }
  EXPECT_EQ(both.steps(), 4);
  EXPECT_EQ(one, other);
}

TYPED_TEST(Training, AdamLeavesFrozenParametersAlone) {
  using Real = TypeParam;
  lacuna::Parameters<Real> parameters(lacuna::gru_d(4, 3, lacuna::type_of<Real>), 5);
  lacuna::Gradients<Real> gradients(parameters);
  gradients.fill(Real(1));
  parameters.freeze(lacuna::Parameter::x_mean);
  parameters[lacuna::Parameter::x_mean][2] = Real(0.75);
  const lacuna::Parameters<Real> before = parameters;
  lacuna::Adam<Real> adam(parameters.count(), {.weight_decay = 0.1});
  adam.step(this->context, gradients, parameters);
  for (int kind = 0; kind < lacuna::parameter_kinds; ++kind) {
    const auto parameter = static_cast<lacuna::Parameter>(kind);
    for (std::size_t i = 0; i < parameters[parameter].size(); ++i) {
      const bool changed = parameters[parameter][i] != before[parameter][i];
      EXPECT_EQ(changed, parameter != lacuna::Parameter::x_mean)
          << parameters.info(parameter).name << " " << i;
    }
  }
}

// ---- Threads ----

TYPED_TEST(Training, RepeatableBitByBitAtAnyNumberOfThreads) {
  using Real = TypeParam;
  const std::int64_t rows = 20000, in = 33, out = 5;
  const auto x = convert<Real>(numbers<Real>(rows * in, this->random));
  const auto targets = convert<Real>(numbers<Real>(rows * out, this->random, 0, 1));
  std::vector<std::uint8_t> mask(rows * out);
  for (auto& m : mask) m = this->random() % 2;
  lacuna::Linear<Real> start(in, out);
  const auto weights = numbers<Real>(start.count(), this->random);
  std::copy(weights.begin(), weights.end(), start.flat().begin());

  std::vector<Real> first_head;
  double first_loss = 0;
  for (const int threads : {1, 2, 5}) {
    const auto context = lacuna::Context::cpu({.threads = threads});
    lacuna::Linear<Real> head = start;
    lacuna::Adam<Real> adam(head.count(), {.learning_rate = 0.1});
    std::vector<Real> y(rows * out), d_y(rows * out), d_x(rows * in);
    double loss = 0;
    for (int step = 0; step < 3; ++step) {
      std::vector<Real> gradients(head.count());
      head.forward(context, x, y);
      loss = lacuna::binary_cross_entropy(context, y, targets,
                                          {.mask = mask, .scale = 1e-3, .d_predictions = d_y})
                 .sum;
      head.backward(context, x, d_y, d_x, gradients);
      lacuna::clip_gradient_norm<Real>(context, {gradients}, 0.1);
      adam.step(context, gradients, head.flat());
    }
    std::vector<Real> all(head.flat().begin(), head.flat().end());
    all.insert(all.end(), d_x.begin(), d_x.end());
    if (threads == 1) first_head = all, first_loss = loss;
    EXPECT_TRUE(agrees("parameters and d_x", support::compare_bits<Real>(all, first_head)));
    EXPECT_EQ(loss, first_loss);
  }
}

}  // namespace
