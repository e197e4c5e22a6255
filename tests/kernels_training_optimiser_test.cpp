// The kernels of clipping and Adam on the emulator, against plain loops in double and the CPU's.
#include <gtest/gtest.h>

#include <memory>

#include "host/training/optimiser.h"
#include "kernels/training/optimiser.h"
#include "kernels_training/arrays.h"
#include "reference/optimiser.h"

namespace lacuna::training_tests {
namespace {

template <class R>
using Arrays = std::vector<std::vector<R>>;

template <class R>
struct Clipped {
  Arrays<R> gradients;
  double norm;
};

template <class R>
Clipped<R> clip(const Arrays<R>& before, double max_norm, int shift = 0, bool with_norm = true) {
  std::vector<std::unique_ptr<Output<R>>> outputs;
  std::vector<void*> gradients;
  std::vector<std::int64_t> counts;
  for (const auto& array : before) {
    outputs.push_back(std::make_unique<Output<R>>(array, shift));
    gradients.push_back(outputs.back()->data());
    counts.push_back(static_cast<std::int64_t>(array.size()));
  }
  const auto arrays = static_cast<std::int64_t>(before.size());
  Output<double> norm(1);
  Output<double> workspace(
      static_cast<std::int64_t>(clip_workspace_bytes(arrays, counts.data()) / sizeof(double)));
  clip_gradient_norm<R>(nullptr, {arrays, gradients.data(), counts.data(), max_norm,
                                  with_norm ? norm.data() : nullptr, workspace.data()});
  Clipped<R> result{{}, norm.vector()[0]};
  std::string damage = norm.damage() + workspace.damage();
  for (const auto& output : outputs) {
    damage += output->damage();
    result.gradients.push_back(output->vector());
  }
  EXPECT_EQ(damage, "");
  return result;
}

template <class R>
Arrays<R> gradients_of(const std::vector<std::int64_t>& counts) {
  Arrays<R> all;
  for (const std::int64_t count : counts) all.push_back(random_values<R>(count, all.size() + 1, 3));
  return all;
}

template <class R>
bool same_bits_of(const Arrays<R>& a, const Arrays<R>& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) same = same_bits(a[i], b[i]);
  return same;
}

// Arrays of no element, of less than an access, of several blocks; more than one launch takes, and
// a launch that is just full.
std::vector<std::vector<std::int64_t>> lists() {
  std::vector<std::vector<std::int64_t>> all = {
      {},  {0},    {1},        {0, 3, 0, 31, 33},   {257, 1000},
      {4}, {4096}, {4095, 16}, {4097, 20001, 8192}, std::vector<std::int64_t>(64, 5)};
  auto& many = all.emplace_back();
  for (std::int64_t i = 0; i < 150; ++i) many.push_back(i * 7 % 40);
  return all;
}

template <class R>
class KernelsTrainingClip : public testing::Test {};
TYPED_TEST_SUITE(KernelsTrainingClip, Reals);

TYPED_TEST(KernelsTrainingClip, IsAPlainLoopInAnyOrder) {
  using R = TypeParam;
  for (const auto& counts : lists()) {
    const Arrays<R> before = gradients_of<R>(counts);
    std::vector<std::vector<double>> want;
    for (const auto& array : before) want.push_back(doubles(array));
    std::vector<std::vector<double>*> pointers;
    for (auto& array : want) pointers.push_back(&array);
    const double max_norm = 0.5;
    const double norm = reference::clip_gradient_norm(pointers, max_norm);
    const auto got = clip(before, max_norm);
    EXPECT_NEAR(got.norm, norm, 1e-13 * norm);
    for (std::size_t i = 0; i < want.size(); ++i) {
      std::vector<double> allowed;
      for (const double value : want[i]) allowed.push_back(std::abs(value) * (rounding<R> + 1e-13));
      EXPECT_TRUE(near(got.gradients[i], want[i], allowed));
    }
    const auto expect_same = [&](const Clipped<R>& other) {
      EXPECT_EQ(other.norm, got.norm);
      EXPECT_TRUE(same_bits_of(other.gradients, got.gradients));
    };
    for (const auto& order : thread_orders(4)) {
      const emulator::WithSettings with(order);
      expect_same(clip(before, max_norm));
    }
    expect_same(clip(before, max_norm, 1));  // beside the alignment, the same bits
    const auto unreported = clip(before, max_norm, 0, false);
    EXPECT_TRUE(std::isnan(unreported.norm));
    EXPECT_TRUE(same_bits_of(unreported.gradients, got.gradients));
  }
}

TYPED_TEST(KernelsTrainingClip, GivesWhatTheCpuGives) {
  using R = TypeParam;
  cpu::Team team(1);
  for (const auto& counts : lists()) {
    Arrays<R> want = gradients_of<R>(counts);
    const auto got = clip(want, 0.5);
    std::vector<void*> pointers;
    for (auto& array : want) pointers.push_back(array.data());
    const double norm = training::clip_gradient_norm<R>(
        team, static_cast<std::int64_t>(counts.size()), pointers.data(), counts.data(), 0.5);
    EXPECT_NEAR(got.norm, norm, 1e-13 * norm);
    for (std::size_t i = 0; i < want.size(); ++i) {
      std::vector<double> allowed;
      for (const R value : want[i])
        allowed.push_back((2 * rounding<R> + 1e-13) * std::abs(to_double(value)));
      EXPECT_TRUE(near(got.gradients[i], doubles(want[i]), allowed));
    }
  }
}

// Small enough, of the very norm, infinite, NaN: not a bit changes.
TYPED_TEST(KernelsTrainingClip, LeavesAloneWhatNeedsNoClipping) {
  using R = TypeParam;
  const Arrays<R> small = gradients_of<R>({100, 33});
  const double norm = clip(small, 1e9).norm;
  EXPECT_TRUE(same_bits_of(clip(small, norm).gradients, small));
  EXPECT_FALSE(same_bits_of(clip(small, norm * 0.99).gradients, small));
  EXPECT_TRUE(same_bits_of(clip(small, std::numeric_limits<double>::infinity()).gradients, small));
  for (const double value : {nan, std::numeric_limits<double>::infinity(), -0.0}) {
    Arrays<R> odd = small;
    odd[1][32] = static_cast<R>(value);
    const auto got = clip(odd, value == 0 ? 1e9 : 0.1);
    EXPECT_EQ(std::isnan(got.norm), std::isnan(value));
    EXPECT_EQ(std::isinf(got.norm), std::isinf(value));
    EXPECT_TRUE(same_bits_of(got.gradients, odd));
  }
}

// An array of more pieces than are cut at their least size.
TEST(KernelsTrainingClipLarge, CutsLongArraysIntoLongerPieces) {
  const std::int64_t count = 256 * 4096 + 4101;
  const Arrays<float> before{std::vector<float>(size(count), 0.5f), {0.5f, 0.5f, 0.5f}};
  const auto got = clip(before, 0.25 * std::sqrt(static_cast<double>(count + 3)));
  EXPECT_EQ(got.norm, std::sqrt(0.25 * static_cast<double>(count + 3)));
  EXPECT_TRUE(
      same_bits_of(got.gradients, {std::vector<float>(size(count), 0.25f), {0.25f, 0.25f, 0.25f}}));
}

template <class R>
struct Moments {
  std::vector<R> parameters, first, second;
};

template <class R>
Moments<R> stepped(const lacuna_adam& adam, const std::vector<R>& gradients,
                   const Moments<R>& before, int shift = 0) {
  Output<R> own_gradients(gradients, shift), parameters(before.parameters, shift),
      first(before.first, shift), second(before.second, shift);
  adam_step<R>(nullptr, {adam, static_cast<std::int64_t>(gradients.size()), own_gradients.data(),
                         parameters.data(), first.data(), second.data()});
  EXPECT_EQ(parameters.damage() + first.damage() + second.damage(), "");
  EXPECT_TRUE(same_bits(own_gradients.vector(), gradients));
  return {parameters.vector(), first.vector(), second.vector()};
}

template <class R>
class KernelsTrainingAdam : public testing::Test {};
TYPED_TEST_SUITE(KernelsTrainingAdam, Reals);

constexpr std::int64_t adam_counts[] = {0, 1, 2, 3, 4, 5, 31, 33, 257, 1000, 5003};

TYPED_TEST(KernelsTrainingAdam, IsAPlainLoopInAnyOrder) {
  using R = TypeParam;
  for (const std::int64_t count : adam_counts) {
    Moments<R> state{random_values<R>(count, 1), std::vector<R>(size(count)),
                     std::vector<R>(size(count))};
    auto parameters = doubles(state.parameters), first = doubles(state.first),
         second = doubles(state.second);
    for (std::int64_t step = 1; step <= 3; ++step) {
      const lacuna_adam adam{0.01, 0.9, 0.999, 1e-8, 0.1, step};
      const auto gradients = random_values<R>(count, static_cast<std::uint64_t>(10 + step));
      reference::adam_step({0.01, 0.9, 0.999, 1e-8, 0.1, step}, doubles(gradients), parameters,
                           first, second);
      const Moments<R> after = stepped(adam, gradients, state);
      for (const auto& order : thread_orders(2)) {
        const emulator::WithSettings with(order);
        const Moments<R> other = stepped(adam, gradients, state);
        EXPECT_TRUE(same_bits(other.parameters, after.parameters));
        EXPECT_TRUE(same_bits(other.first, after.first));
        EXPECT_TRUE(same_bits(other.second, after.second));
      }
      const Moments<R> shifted = stepped(adam, gradients, state, 1);
      EXPECT_TRUE(same_bits(shifted.parameters, after.parameters));
      EXPECT_TRUE(same_bits(shifted.first, after.first));
      EXPECT_TRUE(same_bits(shifted.second, after.second));
      state = after;
    }
    const std::vector<double> allowed(size(count), 30 * rounding<R>);
    EXPECT_TRUE(near(state.parameters, parameters, allowed));
    EXPECT_TRUE(near(state.first, first, allowed));
    EXPECT_TRUE(near(state.second, second, allowed));
  }
}

TYPED_TEST(KernelsTrainingAdam, GivesWhatTheCpuGives) {
  using R = TypeParam;
  cpu::Team team(1);
  const std::int64_t count = 777;
  const auto gradients = random_values<R>(count, 1);
  Moments<R> want{random_values<R>(count, 2), random_values<R>(count, 3),
                  random_values<R>(count, 4)};
  for (R& value : want.second) value *= value;
  for (const lacuna_adam& adam :
       {lacuna_adam{0.01, 0.9, 0.999, 1e-8, 0, 1}, lacuna_adam{0.1, 0, 0, 1e-3, 0.5, 1},
        lacuna_adam{0.001, 0.9, 0.999, 1e-8, 0.01, 1000000}}) {
    const Moments<R> got = stepped(adam, gradients, want);
    training::adam_step(team, adam, count, gradients.data(), want.parameters.data(),
                        want.first.data(), want.second.data());
    const std::vector<double> allowed(size(count), 8 * rounding<R>);
    EXPECT_TRUE(near(got.parameters, doubles(want.parameters), allowed));
    EXPECT_TRUE(near(got.first, doubles(want.first), allowed));
    EXPECT_TRUE(near(got.second, doubles(want.second), allowed));
  }
}

// An epsilon that the type would round to 0 divides no 0 by 0.
TYPED_TEST(KernelsTrainingAdam, AGradientThatWasAlwaysZeroMovesNothing) {
  using R = TypeParam;
  const std::vector<R> zeros(9);
  const auto parameters = random_values<R>(9, 1);
  const Moments<R> got =
      stepped(lacuna_adam{0.1, 0.9, 0.999, 1e-320, 0, 1}, zeros, {parameters, zeros, zeros});
  EXPECT_TRUE(same_bits(got.parameters, parameters));
}

// ---- Both in one ----

template <class R>
struct Stepped {
  std::vector<Moments<R>> moments;
  double norm;
  lacuna_loss_scale loss_scale;
};

// `step`: its loss_scale is of the host, and is not updated.
template <class R>
Stepped<R> clipped_step(ClippedStep step, const Arrays<R>& gradients,
                        const std::vector<Moments<R>>& before, int shift = 0) {
  std::vector<std::unique_ptr<Output<R>>> outputs;
  std::vector<lacuna_adam_array> list;
  for (std::size_t a = 0; a < gradients.size(); ++a) {
    for (const auto* array :
         {&gradients[a], &before[a].parameters, &before[a].first, &before[a].second})
      outputs.push_back(std::make_unique<Output<R>>(*array, shift));
    list.push_back({static_cast<std::int64_t>(gradients[a].size()), outputs[4 * a]->data(),
                    outputs[4 * a + 1]->data(), outputs[4 * a + 2]->data(),
                    outputs[4 * a + 3]->data()});
  }
  const auto arrays = static_cast<std::int64_t>(list.size());
  Output<double> norm(1);
  Output<double> workspace(static_cast<std::int64_t>(
      clipped_adam_workspace_bytes(arrays, list.data()) / sizeof(double)));
  lacuna_loss_scale loss_scale{};
  if (step.loss_scale) {
    loss_scale = *step.loss_scale;
    step.loss_scale = &loss_scale;
  }
  adam_step_clipped<R>(nullptr, {step, arrays, list.data(), norm.data(), workspace.data()});
  EXPECT_EQ(norm.damage() + workspace.damage(), "");
  Stepped<R> result{{}, norm.vector()[0], loss_scale};
  for (std::size_t a = 0; a < gradients.size(); ++a) {
    EXPECT_TRUE(same_bits(outputs[4 * a]->vector(), gradients[a]));
    for (std::size_t k = 0; k < 4; ++k) EXPECT_EQ(outputs[4 * a + k]->damage(), "");
    result.moments.push_back(
        {outputs[4 * a + 1]->vector(), outputs[4 * a + 2]->vector(), outputs[4 * a + 3]->vector()});
  }
  return result;
}

template <class R>
void expect_same_bits(const std::vector<Moments<R>>& got, const std::vector<Moments<R>>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t a = 0; a < got.size(); ++a) {
    EXPECT_TRUE(same_bits(got[a].parameters, want[a].parameters)) << a;
    EXPECT_TRUE(same_bits(got[a].first, want[a].first)) << a;
    EXPECT_TRUE(same_bits(got[a].second, want[a].second)) << a;
  }
}

template <class R>
std::vector<Moments<R>> moments_of(const std::vector<std::int64_t>& counts) {
  std::vector<Moments<R>> all;
  for (const std::int64_t count : counts) {
    const std::uint64_t seed = 10 * all.size();
    all.push_back({random_values<R>(count, seed + 1), random_values<R>(count, seed + 2),
                   random_values<R>(count, seed + 3)});
    for (R& value : all.back().second) value *= value;
  }
  return all;
}

// In one call: the bits of the two, in any order of threads and beside any alignment.
TYPED_TEST(KernelsTrainingAdam, AClippedStepIsClippingAndAdam) {
  using R = TypeParam;
  const lacuna_adam adam{0.01, 0.9, 0.999, 1e-8, 0.1, 3};
  for (const auto& counts : lists()) {
    Arrays<R> gradients = gradients_of<R>(counts);
    const auto before = moments_of<R>(counts);
    const auto expect = [&](double max_norm, const std::vector<Moments<R>>& want, double norm,
                            int shift) {
      const Stepped<R> got = clipped_step({adam, max_norm, {}, nullptr}, gradients, before, shift);
      EXPECT_EQ(got.norm, norm);
      expect_same_bits(got.moments, want);
    };
    for (const double max_norm : {0.5, 1e9}) {
      const Clipped<R> clipped = clip(gradients, max_norm);
      std::vector<Moments<R>> want;
      for (std::size_t a = 0; a < gradients.size(); ++a)
        want.push_back(stepped(adam, clipped.gradients[a], before[a]));
      for (const int shift : {0, 1}) expect(max_norm, want, clipped.norm, shift);
      for (const auto& order : thread_orders(2)) {
        const emulator::WithSettings with(order);
        expect(max_norm, want, clipped.norm, 0);
      }
    }
    if (gradients.empty() || gradients.back().empty()) continue;
    gradients.back().back() = static_cast<R>(std::numeric_limits<double>::infinity());
    expect(0.5, before, std::numeric_limits<double>::infinity(), 0);
  }
}

// ---- Of a scaled loss ----

lacuna_loss_scale after(const lacuna_loss_scaling& scaling, lacuna_loss_scale state, bool finite) {
  update_loss_scale(scaling, finite, state);
  return state;
}

void expect_state(const lacuna_loss_scale& got, const lacuna_loss_scale& want) {
  EXPECT_EQ(got.scale, want.scale);
  EXPECT_EQ(got.finite_steps, want.finite_steps);
  EXPECT_EQ(got.steps, want.steps);
}

TEST(LossScale, GrowsAndBacksOff) {
  const lacuna_loss_scaling scaling{2, 0.25, 3};
  expect_state(after(scaling, {8, 0, 4}, true), {8, 1, 5});
  expect_state(after(scaling, {8, 1, 5}, true), {8, 2, 6});
  expect_state(after(scaling, {8, 2, 6}, true), {16, 0, 7});
  expect_state(after(scaling, {8, 2, 6}, false), {2, 0, 6});
  expect_state(after({2, 0.5, 1}, {8, 0, 0}, true), {16, 0, 1});
  // What leaves the range stays, and so does a scale that is no number.
  expect_state(after(scaling, {0x1p126, 2, 6}, true), {0x1p126, 0, 7});
  expect_state(after(scaling, {0x1p-125, 2, 6}, false), {0x1p-125, 0, 6});
  EXPECT_TRUE(std::isnan(after(scaling, {nan, 2, 6}, false).scale));
}

// Scaled by a power of two, and divided by it again: the same bits, whether the step clips or not. Its number is the state's.
TYPED_TEST(KernelsTrainingAdam, AStepOfAScaledLossIsOneOfTheLoss) {
  using R = TypeParam;
  const lacuna_adam third{0.01, 0.9, 0.999, 1e-8, 0.1, 3},
      uncounted{0.01, 0.9, 0.999, 1e-8, 0.1, 0};
  const lacuna_loss_scaling scaling{2, 0.5, 100};
  cpu::Team team(1);
  for (const auto& counts : lists())
    for (const double scale : {0x1p-20, 1.0, 0x1p16, 0x1p60})
      for (const double max_norm : {0.5, 1e9}) {
        const Arrays<R> gradients = gradients_of<R>(counts);
        Arrays<R> scaled = gradients;
        for (auto& array : scaled)
          for (R& value : array) value *= static_cast<R>(scale);
        const auto before = moments_of<R>(counts);
        const Stepped<R> want = clipped_step({third, max_norm, {}, nullptr}, gradients, before);
        lacuna_loss_scale state{scale, 7, 2};
        const ClippedStep step{uncounted, max_norm, scaling, &state};
        const Stepped<R> got = clipped_step(step, scaled, before);
        EXPECT_EQ(got.norm, want.norm);
        expect_same_bits(got.moments, want.moments);
        expect_state(got.loss_scale, {scale, 8, 3});

        // On the CPU, too.
        std::vector<Moments<R>> plain = before, from_scaled = before;
        const auto listed = [](const Arrays<R>& of, std::vector<Moments<R>>& moments) {
          std::vector<lacuna_adam_array> list;
          for (std::size_t a = 0; a < of.size(); ++a)
            list.push_back({static_cast<std::int64_t>(of[a].size()), of[a].data(),
                            moments[a].parameters.data(), moments[a].first.data(),
                            moments[a].second.data()});
          return list;
        };
        const auto arrays = static_cast<std::int64_t>(counts.size());
        const double norm = training::adam_step_clipped<R>(team, {third, max_norm, {}, nullptr},
                                                           arrays, listed(gradients, plain).data());
        EXPECT_EQ(
            training::adam_step_clipped<R>(team, step, arrays, listed(scaled, from_scaled).data()),
            norm);
        expect_same_bits(from_scaled, plain);
        expect_state(state, {scale, 8, 3});
      }
}

TYPED_TEST(KernelsTrainingAdam, AScaledNormThatIsNotFiniteSkipsTheStep) {
  using R = TypeParam;
  const lacuna_adam adam{0.01, 0.9, 0.999, 1e-8, 0.1, 1};
  const std::vector<std::int64_t> counts{5000, 3};
  const auto before = moments_of<R>(counts);
  for (const double odd : {nan, std::numeric_limits<double>::infinity()}) {
    Arrays<R> gradients = gradients_of<R>(counts);
    gradients[1][2] = static_cast<R>(odd);
    lacuna_loss_scale state{1024, 99, 5};
    const Stepped<R> got = clipped_step({adam, 1, {2, 0.5, 100}, &state}, gradients, before);
    EXPECT_FALSE(std::isfinite(got.norm));
    expect_same_bits(got.moments, before);
    expect_state(got.loss_scale, {512, 0, 5});
  }
}

// A correction that a device computes and one of the host's are of the same bits and near the true ones.
TEST(AdamCorrection, HoldsItsDigits) {
  for (const double beta : {0.0, 0.5, 0.9, 0.999, 0.99999})
    for (const std::int64_t step : {1, 2, 3, 10, 63, 64, 1000, 12345, 10000000}) {
      const double want = 1 - std::pow(beta, static_cast<double>(step));
      EXPECT_NEAR((1 - power_of(beta, step)) / want, 1, 2e-16 / (1 - beta)) << beta << " " << step;
    }
}

// More elements than a launch has threads.
TEST(KernelsTrainingAdamLarge, StridesOverItsElements) {
  const std::int64_t count = 4096 * 256 * 2 + 1027;
  const std::vector<double> ones(size(count), 1), zeros(size(count));
  const auto got = stepped(lacuna_adam{0.5, 0, 0, 1e-300, 0, 1}, ones, {zeros, zeros, zeros});
  EXPECT_EQ(got.parameters, std::vector<double>(size(count), -0.5));
  EXPECT_EQ(got.first, ones);
  EXPECT_EQ(got.second, ones);
}

// Small enough for ThreadSanitizer to follow.
TEST(KernelsTrainingClipThreads, MeetAtBarriersAlone) {
  for (const auto& order : thread_orders(1)) {
    const emulator::WithSettings with(order);
    const Arrays<float> before{std::vector<float>(5000, 0.5f), std::vector<float>(5000, 0.5f)};
    const auto got = clip(before, 25);
    EXPECT_EQ(got.norm, 50);
    EXPECT_TRUE(same_bits_of(got.gradients, Arrays<float>(2, std::vector<float>(5000, 0.25f))));
  }
}

}  // namespace
}  // namespace lacuna::training_tests
