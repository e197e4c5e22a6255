// Layers of 16 bits through the C++ front door, in lacuna::Half and lacuna::BFloat16: the bits are
// those of the C ABI, which cuda_types_test.cpp compares with the oracle.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/cuda.h"
#include "support/refusal.h"

namespace {

using lacuna::BFloat16;
using lacuna::Half;
using support::must;

template <class Real>
std::vector<Real> numbers(std::size_t count, float seed) {
  std::vector<Real> out(count);
  for (std::size_t i = 0; i < count; ++i)
    out[i] = Real(std::sin(static_cast<float>(i * 7 + 3) * seed));
  return out;
}

// Element by element; NaN equals nothing, so that what was not written shows.
template <class One, class Other>
void expect_same(const char* name, const One& one, const Other& other) {
  ASSERT_EQ(one.size(), other.size()) << name;
  for (std::size_t i = 0; i < one.size(); ++i)
    EXPECT_EQ(float(one[i]), float(other[i])) << name << "[" << i << "]";
}

template <class Real>
class CudaNumbers : public testing::Test {
 protected:
  static constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  static constexpr lacuna::Type type = lacuna::type_of<Real>;
  static constexpr lacuna_type c_type = static_cast<lacuna_type>(type);

  const support::HostArrays where;
  const lacuna::Context context{{.backend = static_cast<lacuna::Backend>(LACUNA_TEST_BACKEND)}};
};
using Types = testing::Types<Half, BFloat16>;
TYPED_TEST_SUITE(CudaNumbers, Types);

TYPED_TEST(CudaNumbers, RunALayerForwardAndBackward) {
  using Real = TypeParam;
  constexpr std::size_t features = 3, hidden = 5, tokens = 7, sequences = 3;
  const lacuna::Layer layer = lacuna::gru_d(features, hidden, this->type);
  const std::vector<std::int64_t> offsets{0, 3, 3, 7};
  std::vector<Real> values = numbers<Real>(tokens * features, 0.7f);
  for (std::size_t i = 0; i < values.size(); i += 2) values[i] = Real(this->nan);
  std::vector<float> gaps(tokens);
  std::iota(gaps.begin(), gaps.end(), 0.25f);
  const auto initial = numbers<Real>(sequences * hidden, 0.3f),
             d_states = numbers<Real>(tokens * hidden, 0.9f);
  const auto since_in = std::vector<float>(sequences * features, 0.5f);
  const auto last_in = numbers<Real>(sequences * features, 0.4f);

  const lacuna::Batch<Real> batch{.offsets = offsets,
                                  .values = values,
                                  .delta_t = gaps,
                                  .initial_hidden = initial,
                                  .carry_in = {.last_values = last_in, .since = since_in}};
  const lacuna::Parameters<Real> parameters(layer, 5);
  lacuna::Gradients<Real> d_parameters(parameters);
  lacuna::Plan plan(this->context, layer, {.tokens = tokens, .sequences = sequences});
  lacuna::Tape tape(plan);
  std::vector<Real> states(tokens * hidden, Real(this->nan)),
      d_values(values.size(), Real(this->nan));
  std::vector<float> since(since_in.size(), this->nan), d_gaps(tokens, this->nan);
  plan.forward(parameters, batch, {.hidden = states, .carry_out = {.since = since}}, tape);
  plan.backward(parameters, batch, {.d_hidden = d_states}, tape, d_parameters,
                {.d_values = d_values, .d_delta_t = d_gaps});

  // The same by the C ABI, with arrays of its own.
  lacuna_layer c_layer = layer.c();
  const lacuna_capacity room{tokens, sequences, 0};
  const auto c_context = support::make_context();
  const auto c_plan = support::make_plan(c_context.get(), c_layer, room);
  lacuna_tape* made = nullptr;
  must(lacuna_tape_create(c_plan.get(), nullptr, 0, &made));
  const std::unique_ptr<lacuna_tape, void (*)(lacuna_tape*)> c_tape(made, lacuna_tape_destroy);
  std::int64_t count = 0;
  must(lacuna_layer_parameter_count(&c_layer, &count));
  std::vector<float> flat(static_cast<std::size_t>(count)), d_flat(flat.size());
  must(lacuna_layer_initialize(&c_layer, 5, flat.data()));
  lacuna_parameters c_parameters{};
  lacuna_parameter_gradients c_d_parameters{};
  for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
    lacuna_parameter_info info{};
    must(lacuna_layer_parameter(&c_layer, static_cast<lacuna_parameter>(kind), &info));
    if (info.rows == 0) continue;
    c_parameters.tensor[kind] = flat.data() + info.offset;
    c_d_parameters.tensor[kind] = d_flat.data() + info.offset;
  }
  lacuna_batch c_batch{};
  c_batch.sequences = sequences;
  c_batch.tokens = tokens;
  c_batch.offsets = offsets.data();
  c_batch.values = values.data();
  c_batch.delta_t = gaps.data();
  c_batch.initial_hidden = initial.data();
  c_batch.carry_in.last_values = const_cast<Real*>(last_in.data());
  c_batch.carry_in.since = const_cast<float*>(since_in.data());
  std::vector<Real> c_states(states.size()), c_d_values(values.size());
  std::vector<float> c_since(since.size()), c_d_gaps(tokens);
  lacuna_outputs outputs{};
  outputs.hidden = c_states.data();
  outputs.carry_out.since = c_since.data();
  must(lacuna_forward(c_plan.get(), &c_parameters, &c_batch, &outputs, c_tape.get(), nullptr));
  lacuna_output_gradients d_outputs{};
  d_outputs.d_hidden = d_states.data();
  lacuna_input_gradients d_inputs{};
  d_inputs.d_values = c_d_values.data();
  d_inputs.d_delta_t = c_d_gaps.data();
  must(lacuna_backward(c_plan.get(), &c_parameters, &c_batch, &d_outputs, c_tape.get(),
                       &c_d_parameters, &d_inputs, nullptr));

  expect_same("hidden", states, c_states);
  expect_same("carry_out.since", since, c_since);
  expect_same("d_values", d_values, c_d_values);
  expect_same("d_delta_t", d_gaps, c_d_gaps);
  expect_same("d_parameters", d_parameters.flat(), d_flat);
}

// A linear map is learned: every call of a training step, each in the types it asks for.
TYPED_TEST(CudaNumbers, TrainAHead) {
  using Real = TypeParam;
  constexpr std::size_t rows = 16, width = 4;
  const auto x = numbers<Real>(rows * width, 0.7f);
  std::vector<Real> y(rows), targets(rows), d_y(rows);
  for (std::size_t r = 0; r < rows; ++r)
    targets[r] = Real(0.5f * x[r * width] - 0.25f * x[r * width + 1] + 0.125f);
  lacuna::Linear<Real> head(width, 1);
  std::vector<float> gradients(head.count());
  lacuna::Adam<Real> adam(head.count(), {.learning_rate = 0.05});
  double first = 0, last = 0;
  for (int step = 0; step < 60; ++step) {
    head.forward(this->context, x, y);
    const lacuna::LossValue loss =
        lacuna::squared_error(this->context, y, std::span<const Real>(targets),
                              {.scale = 1.0 / rows, .d_predictions = d_y});
    EXPECT_EQ(loss.count, std::int64_t{rows});
    (step == 0 ? first : last) = loss.mean();
    std::fill(gradients.begin(), gradients.end(), 0.0f);
    head.backward(this->context, x, d_y, {}, gradients);
    EXPECT_GT(lacuna::clip_gradient_norm<float>(this->context, {gradients}, 1.0), 0);
    adam.step(this->context, gradients, head.flat());
  }
  EXPECT_LT(last, 0.01 * first);
}

TYPED_TEST(CudaNumbers, TargetsOfBinaryCrossEntropyAreProbabilities) {
  using Real = TypeParam;
  const auto predictions = numbers<Real>(4, 0.7f);
  const std::vector<std::uint8_t> measured{1, 1, 1, 0};
  std::vector<Real> targets{Real(0.0f), Real(-0.0f), Real(1.0f), Real(this->nan)};
  const auto evaluate = [&] {
    (void)lacuna::binary_cross_entropy(this->context, predictions, std::span<const Real>(targets),
                                       {.mask = measured});
  };
  const auto refusal = [&] { return support::refusal(evaluate); };
  evaluate();  // an unmeasured target is never read
  targets[1] = Real(1.5f);
  EXPECT_EQ(refusal(), "targets[1]: 1.5, expected 0 to 1");
  targets[1] = Real(-0.125f);
  EXPECT_EQ(refusal(), "targets[1]: -0.125, expected 0 to 1");
  targets[1] = Real(this->nan);
  EXPECT_EQ(refusal(), "targets[1]: nan, expected 0 to 1");
}

TYPED_TEST(CudaNumbers, ArePackedWithTheirGapsInFloat) {
  using Real = TypeParam;
  const std::vector<std::int64_t> lengths{1, 0, 2};
  const auto values = numbers<Real>(3 * 2 * 2, 0.7f);
  const std::vector<float> gaps{0, 9, 9, 9, 1, 2};
  const auto ragged = lacuna::pack<Real>(
      this->context,
      {.lengths = lengths, .max_length = 2, .features = 2, .values = values, .delta_t = gaps});
  EXPECT_EQ(ragged.offsets, (std::vector<std::int64_t>{0, 1, 1, 3}));
  EXPECT_EQ(ragged.delta_t, (std::vector<float>{0, 1, 2}));
  expect_same(
      "values", ragged.values,
      std::vector<Real>{values[0], values[1], values[8], values[9], values[10], values[11]});
}

}  // namespace
