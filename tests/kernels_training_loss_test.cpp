// The losses' kernels on the emulator, against plain loops in double and the CPU's.
#include <gtest/gtest.h>

#include "host/training/loss.h"
#include "kernels/training/loss.h"
#include "kernels_training/arrays.h"
#include "reference/losses.h"

namespace lacuna::training_tests {
namespace {

constexpr lacuna_loss elementwise_kinds[] = {LACUNA_LOSS_BINARY_CROSS_ENTROPY,
                                             LACUNA_LOSS_SQUARED_ERROR, LACUNA_LOSS_ABSOLUTE_ERROR};

template <class T>
struct Evaluated {
  double loss;
  std::int64_t count;
  std::vector<T> gradient;
};

// `targets` of T, or of int32 for cross entropy.
template <class T, class Target>
Evaluated<T> evaluate(lacuna_loss kind, std::int64_t rows, std::int64_t columns,
                      const std::vector<T>& predictions, const std::vector<Target>& targets,
                      const std::uint8_t* mask, double scale, bool with_gradient = true,
                      const lacuna_loss_scale* loss_scale = nullptr) {
  Output<double> loss(1), workspace(loss_workspace_bytes / sizeof(double));
  support::GuardedBuffer<std::int64_t> count(1);
  Output<T> gradient(rows * columns);
  evaluate_loss<T>(nullptr, {kind, rows, columns, predictions.data(), targets.data(), mask, scale,
                             loss_scale, loss.data(), count.data(),
                             with_gradient ? gradient.data() : nullptr, workspace.data()});
  EXPECT_EQ(loss.damage() + workspace.damage() + count.damage() + gradient.damage(), "");
  return {loss.vector()[0], count.vector()[0], gradient.vector()};
}

reference::Loss reference_of(lacuna_loss kind, const std::vector<double>& predictions,
                             const std::vector<double>& targets,
                             const std::vector<std::uint8_t>& mask) {
  switch (kind) {
    case LACUNA_LOSS_BINARY_CROSS_ENTROPY:
      return reference::binary_cross_entropy(predictions, targets, mask);
    case LACUNA_LOSS_SQUARED_ERROR: return reference::squared_error(predictions, targets, mask);
    default: return reference::absolute_error(predictions, targets, mask);
  }
}

// Terms are of a few operations in Real<T> each; a sum of terms that are all positive loses no more
// than they do. Gradients are stored as T, slopes of size up to `slope`.
template <class T>
void expect_agrees(const Evaluated<T>& got, const reference::Loss& want, double scale,
                   double largest) {
  const double unit = rounding<simt::Real<T>>;
  EXPECT_EQ(got.count, want.count);
  EXPECT_NEAR(got.loss, want.sum,
              16 * unit * (want.sum + largest * static_cast<double>(want.count)));
  std::vector<double> gradient, allowed;
  for (const double slope : want.gradient) {
    gradient.push_back(scale * slope);
    allowed.push_back(std::abs(scale) *
                          (16 * unit * std::max(1.0, largest) + rounding<T> * std::abs(slope)) +
                      smallest<T>);
    if (slope == 0) allowed.back() = std::min(allowed.back(), 16 * unit * std::abs(scale));
  }
  EXPECT_TRUE(near(got.gradient, gradient, allowed));
}

std::vector<std::uint8_t> mask_of(const char* kind, std::int64_t count) {
  support::Random random(9);
  std::vector<std::uint8_t> mask;
  for (std::int64_t i = 0; i < count; ++i)
    mask.push_back(std::string(kind) == "all" ? 1
                   : std::string(kind) == "some" && random.chance(0.4)
                       ? static_cast<std::uint8_t>(1 + random.below(255))
                       : 0);
  return mask;
}

struct Elements {
  std::int64_t rows, columns;
};
const std::vector<Elements> elements = {{0, 1},  {1, 1},   {1, 3},    {31, 1},
                                        {3, 11}, {257, 1}, {100, 10}, {7, 1000}};

template <class T>
class KernelsTrainingLoss : public testing::Test {};
TYPED_TEST_SUITE(KernelsTrainingLoss, Types);

TYPED_TEST(KernelsTrainingLoss, IsAPlainLoopUnderAnyMaskInAnyOrder) {
  using T = TypeParam;
  for (const lacuna_loss kind : elementwise_kinds)
    for (const auto [rows, columns] : elements)
      for (const char* masked : {"all", "none", "some", "null"}) {
        const std::int64_t number = rows * columns;
        const bool probability = kind == LACUNA_LOSS_BINARY_CROSS_ENTROPY;
        auto predictions = random_values<T>(number, 1, 6);
        auto targets = random_values<T>(number, 2, probability ? 0.5 : 6);
        if (probability)
          for (T& t : targets) t = from_double<T>(to_double(t) + 0.5);
        if (number > 2) targets[2] = predictions[2] = from_double<T>(0.5);  // the kink
        const bool null = std::string(masked) == "null";
        const auto mask = null ? std::vector<std::uint8_t>{} : mask_of(masked, number);
        for (std::size_t i = 0; i < mask.size(); ++i)
          if (!mask[i]) targets[i] = predictions[i] = from_double<T>(nan);  // nobody reads these
        const double scale = 0.37;
        const auto run = [&] {
          return evaluate(kind, rows, columns, predictions, targets, null ? nullptr : mask.data(),
                          scale);
        };
        const auto got = run();
        const auto want = reference_of(kind, doubles(predictions), doubles(targets), mask);
        SCOPED_TRACE(std::to_string(kind) + " " + std::to_string(rows) + " x " +
                     std::to_string(columns) + " " + masked);
        expect_agrees(got, want, scale, 8);
        for (std::size_t i = 0; i < mask.size(); ++i) {
          if (!mask[i]) {
            EXPECT_EQ(to_double(got.gradient[i]), 0);
          }
        }
        for (const auto& order : thread_orders(3)) {
          const emulator::WithSettings with(order);
          const auto other = run();
          EXPECT_EQ(std::memcmp(&other.loss, &got.loss, sizeof got.loss), 0);
          EXPECT_EQ(other.count, got.count);
          EXPECT_TRUE(same_bits(other.gradient, got.gradient));
        }
        const auto no_gradient = evaluate(kind, rows, columns, predictions, targets,
                                          null ? nullptr : mask.data(), scale, false);
        EXPECT_EQ(no_gradient.loss, got.loss);
        EXPECT_EQ(no_gradient.count, got.count);
        for (const T value : no_gradient.gradient) EXPECT_TRUE(std::isnan(to_double(value)));
      }
}

// One scale of the loss more: the bits of the product of both, and the same loss.
TYPED_TEST(KernelsTrainingLoss, ALossScaleMultipliesTheScale) {
  using T = TypeParam;
  constexpr std::int64_t rows = 33, columns = 7;
  const auto predictions = random_values<T>(rows * columns, 1, 6);
  const auto targets = typed<T>(std::vector<double>(size(rows * columns), 0.25));
  const std::vector<std::int32_t> classes(size(rows), 3);
  const lacuna_loss_scale state{4096, 1, 2};
  const auto expect = [&](lacuna_loss kind, const auto& target) {
    const auto run = [&](double scale, const lacuna_loss_scale* loss_scale) {
      return evaluate(kind, rows, columns, predictions, target, nullptr, scale, true, loss_scale);
    };
    const auto want = run(0.37e-3 * 4096, nullptr), got = run(0.37e-3, &state);
    EXPECT_EQ(got.loss, want.loss);
    EXPECT_TRUE(same_bits(got.gradient, want.gradient));
  };
  for (const lacuna_loss kind : elementwise_kinds) expect(kind, targets);
  expect(LACUNA_LOSS_CROSS_ENTROPY, classes);
}

// A measured target that is NaN is the caller's, and shows.
TYPED_TEST(KernelsTrainingLoss, AMeasuredNaNShows) {
  using T = TypeParam;
  for (const lacuna_loss kind : elementwise_kinds) {
    auto predictions = random_values<T>(40, 1);
    const auto targets = typed<T>(std::vector<double>(40, 0.25));
    predictions[17] = from_double<T>(nan);
    const auto got = evaluate(kind, 40, 1, predictions, targets, nullptr, 1);
    EXPECT_TRUE(std::isnan(got.loss));
    EXPECT_EQ(got.count, 40);
    const bool sloped = kind != LACUNA_LOSS_ABSOLUTE_ERROR;  // neither above nor below: 0
    for (std::size_t i = 0; i < 40; ++i)
      EXPECT_EQ(std::isnan(to_double(got.gradient[i])), sloped && i == 17) << i;
  }
}

TYPED_TEST(KernelsTrainingLoss, CrossEntropyIsAPlainLoopUnderAnyMaskInAnyOrder) {
  using T = TypeParam;
  for (const std::int64_t rows : {0, 1, 3, 33, 257})
    for (const std::int64_t columns : {1, 2, 3, 7, 31, 33, 100})
      for (const char* masked : {"all", "none", "some", "null"}) {
        auto logits = random_values<T>(rows * columns, 1, 6);
        support::Random random(3);
        std::vector<std::int32_t> targets;
        for (std::int64_t r = 0; r < rows; ++r)
          targets.push_back(static_cast<std::int32_t>(random.below(columns)));
        const bool null = std::string(masked) == "null";
        const auto mask = null ? std::vector<std::uint8_t>{} : mask_of(masked, rows);
        for (std::int64_t r = 0; r < rows; ++r) {
          if (null || mask[size(r)]) continue;
          targets[size(r)] = -1;
          for (std::int64_t k = 0; k < columns; ++k)
            logits[size(r * columns + k)] = from_double<T>(nan);
        }
        const double scale = -2.5;
        const auto run = [&](bool with_gradient) {
          return evaluate(LACUNA_LOSS_CROSS_ENTROPY, rows, columns, logits, targets,
                          null ? nullptr : mask.data(), scale, with_gradient);
        };
        const auto got = run(true);
        SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(columns) + " " + masked);
        expect_agrees(got, reference::cross_entropy(doubles(logits), targets, mask, size(columns)),
                      scale, 8);
        for (const auto& order : thread_orders(2)) {
          const emulator::WithSettings with(order);
          const auto other = run(true);
          EXPECT_EQ(std::memcmp(&other.loss, &got.loss, sizeof got.loss), 0);
          EXPECT_EQ(other.count, got.count);
          EXPECT_TRUE(same_bits(other.gradient, got.gradient));
        }
        const auto no_gradient = run(false);
        EXPECT_EQ(no_gradient.loss, got.loss);
        for (const T value : no_gradient.gradient) EXPECT_TRUE(std::isnan(to_double(value)));
      }
}

TYPED_TEST(KernelsTrainingLoss, AClassThatIsNoneMakesItsRowNaN) {
  using T = TypeParam;
  constexpr std::int64_t rows = 40, columns = 5;
  const auto logits = random_values<T>(rows * columns, 1);
  for (const std::int32_t wrong : {-1, 5, std::numeric_limits<std::int32_t>::max(),
                                   std::numeric_limits<std::int32_t>::min()}) {
    std::vector<std::int32_t> targets(size(rows), 2);
    targets[7] = wrong;
    const auto got =
        evaluate(LACUNA_LOSS_CROSS_ENTROPY, rows, columns, logits, targets, nullptr, 1);
    EXPECT_TRUE(std::isnan(got.loss));
    EXPECT_EQ(got.count, rows);
    for (std::size_t i = 0; i < got.gradient.size(); ++i)
      EXPECT_EQ(std::isnan(to_double(got.gradient[i])), i / columns == 7) << i;
  }
}

// Logits as large as they come: no exponent overflows.
TYPED_TEST(KernelsTrainingLoss, LargeLogitsStayFinite) {
  using T = TypeParam;
  const double large = std::is_same_v<T, simt::Fp16> ? 3e4 : 1e30;
  const auto z = typed<T>({large, -large, large, -large});
  const auto t = typed<T>({1, 0, 0, 1});
  const auto binary = evaluate(LACUNA_LOSS_BINARY_CROSS_ENTROPY, 4, 1, z, t, nullptr, 1);
  EXPECT_EQ(binary.loss, to_double(z[0]) * 2);
  EXPECT_EQ(doubles(binary.gradient), (std::vector<double>{0, 0, 1, -1}));
  const std::vector<std::int32_t> classes = {0, 0};
  const auto several = evaluate(LACUNA_LOSS_CROSS_ENTROPY, 2, 2, z, classes, nullptr, 1);
  EXPECT_EQ(several.loss, 0);
  EXPECT_EQ(doubles(several.gradient), (std::vector<double>{0, 0, 0, 0}));
  const std::vector<std::int32_t> others = {1, 1};
  const auto wrong = evaluate(LACUNA_LOSS_CROSS_ENTROPY, 2, 2, z, others, nullptr, 1);
  EXPECT_EQ(wrong.loss, 4 * to_double(z[0]));
  EXPECT_EQ(doubles(wrong.gradient), (std::vector<double>{1, -1, 1, -1}));
}

// What is left of the loss where the prediction is nearly right keeps its digits.
TEST(KernelsTrainingLossSmall, KeepsItsDigits) {
  const std::vector<float> z = {20, -20};
  const auto binary =
      evaluate(LACUNA_LOSS_BINARY_CROSS_ENTROPY, 2, 1, z, std::vector<float>{1, 0}, nullptr, 1);
  const double rest = std::exp(-20.0);
  EXPECT_NEAR(binary.loss, 2 * rest, 1e-6 * rest);
  EXPECT_NEAR(to_double(binary.gradient[0]), -rest, 1e-6 * rest);
  EXPECT_NEAR(to_double(binary.gradient[1]), rest, 1e-6 * rest);
  const auto several = evaluate(LACUNA_LOSS_CROSS_ENTROPY, 1, 2, std::vector<float>{20, 0},
                                std::vector<std::int32_t>{0}, nullptr, 1);
  EXPECT_NEAR(several.loss, rest, 1e-6 * rest);
  EXPECT_NEAR(to_double(several.gradient[0]), -rest, 1e-6 * rest);
}

// More elements than a launch has threads: exact sums of halves.
TEST(KernelsTrainingLossLarge, StridesOverElementsAndRows) {
  const std::int64_t number = 1024 * 1024 + 77;
  std::vector<double> predictions, zeros(size(number));
  double loss = 0;
  for (std::int64_t i = 0; i < number; ++i) {
    predictions.push_back(static_cast<double>(i % 9 - 4) / 2);
    loss += std::abs(predictions.back());
  }
  const auto got = evaluate(LACUNA_LOSS_ABSOLUTE_ERROR, number, 1, predictions, zeros, nullptr, 1);
  EXPECT_EQ(got.loss, loss);
  EXPECT_EQ(got.count, number);
  EXPECT_EQ(got.gradient.back(), predictions.back() > 0 ? 1 : -1);
  // One class is certain, whatever its logit.
  const std::vector<std::int32_t> classes(size(number));
  const auto certain =
      evaluate(LACUNA_LOSS_CROSS_ENTROPY, number, 1, predictions, classes, nullptr, 1);
  EXPECT_EQ(certain.loss, 0);
  EXPECT_EQ(certain.count, number);
  EXPECT_EQ(certain.gradient, zeros);
}

template <class R>
class KernelsTrainingLossCpu : public testing::Test {};
TYPED_TEST_SUITE(KernelsTrainingLossCpu, Reals);

TYPED_TEST(KernelsTrainingLossCpu, GivesTheSame) {
  using R = TypeParam;
  cpu::Team team(1);
  constexpr std::int64_t rows = 300, columns = 7;
  const auto predictions = random_values<R>(rows * columns, 1, 6);
  auto targets = random_values<R>(rows * columns, 2, 0.5);
  for (R& t : targets) t += R(0.5);
  const auto mask = mask_of("some", rows * columns);
  const auto as_reference = [](const training::LossSum& sum, const std::vector<R>& gradient) {
    return reference::Loss{sum.loss, sum.count, doubles(gradient)};
  };
  for (const lacuna_loss kind : elementwise_kinds) {
    std::vector<R> gradient(size(rows * columns));
    const auto sum = training::elementwise_loss(team, kind, rows * columns, predictions.data(),
                                                targets.data(), mask.data(), 1, gradient.data());
    expect_agrees(evaluate(kind, rows, columns, predictions, targets, mask.data(), 1),
                  as_reference(sum, gradient), 1, 8);
  }
  std::vector<std::int32_t> classes;
  for (std::int64_t r = 0; r < rows; ++r) classes.push_back(static_cast<std::int32_t>(r % columns));
  std::vector<R> gradient(size(rows * columns));
  const auto sum = training::cross_entropy(team, rows, columns, predictions.data(), classes.data(),
                                           mask.data(), 1, gradient.data());
  expect_agrees(
      evaluate(LACUNA_LOSS_CROSS_ENTROPY, rows, columns, predictions, classes, mask.data(), 1),
      as_reference(sum, gradient), 1, 8);
}

// Small enough for ThreadSanitizer to follow.
TEST(KernelsTrainingLossThreads, MeetAtBarriersAlone) {
  for (const auto& order : thread_orders(1)) {
    const emulator::WithSettings with(order);
    const std::vector<float> predictions(1500, 2), targets(1500, 0.5f);
    const auto squares =
        evaluate(LACUNA_LOSS_SQUARED_ERROR, 1500, 1, predictions, targets, nullptr, 1);
    EXPECT_EQ(squares.loss, 1500 * 2.25);
    const std::vector<std::int32_t> classes(300);
    const auto entropy =
        evaluate(LACUNA_LOSS_CROSS_ENTROPY, 300, 5, predictions, classes, nullptr, 1);
    EXPECT_NEAR(entropy.loss, 300 * std::log(5.0), 1e-4);
  }
}

}  // namespace
}  // namespace lacuna::training_tests
