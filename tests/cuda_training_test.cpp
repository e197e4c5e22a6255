// The CUDA backend's calls of training against the CPU backend's.
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <vector>

#include "support/cuda.h"
#include "support/recording.h"

namespace {

using support::Array;
using support::ContextHandle;
using support::GuardedBuffer;
using support::Mirror;
using support::must;

template <class Real>
constexpr lacuna_type type_of = sizeof(Real) == 8 ? LACUNA_F64 : LACUNA_F32;

template <class Real>
std::vector<Real> numbers(std::size_t count, int seed) {
  std::vector<Real> out(count);
  for (std::size_t i = 0; i < count; ++i)
    out[i] = static_cast<Real>(std::sin(static_cast<double>(i * 7 + 13) * seed));
  return out;
}

template <class Real>
void expect_close(const GuardedBuffer<Real>& result, const std::vector<Real>& expected,
                  const char* name) {
  EXPECT_EQ(result.damage(), "") << name;
  const double tolerance = 200 * std::numeric_limits<Real>::epsilon();
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(std::abs(result.data()[i] - expected[i]) <= tolerance * (1 + std::abs(expected[i])))
        << name << "[" << i << "]: " << result.data()[i] << ", expected " << expected[i];
}

// Type, and whether the arrays are the host's.
template <class RealNumber, bool host>
struct Kind {
  using Real = RealNumber;
  static constexpr bool in_host_memory = host;
};

template <class Kind>
class CudaTraining : public testing::Test {
 protected:
  using Real = typename Kind::Real;
  const support::HostArrays where{Kind::in_host_memory};
  ContextHandle cuda = support::make_context(), cpu = support::make_context_of(LACUNA_BACKEND_CPU);
  Mirror mirror;

  const Real* in(const std::vector<Real>& host) { return mirror.in(host.data(), host.size()); }
};
using Kinds =
    testing::Types<Kind<float, false>, Kind<double, false>, Kind<float, true>, Kind<double, true>>;
TYPED_TEST_SUITE(CudaTraining, Kinds);

TYPED_TEST(CudaTraining, LinearHead) {
  using Real = typename TypeParam::Real;
  constexpr std::size_t rows = 37, width = 19, outputs = 3;
  constexpr lacuna_type type = type_of<Real>;
  const auto x = numbers<Real>(rows * width, 1), w = numbers<Real>(outputs * width, 2),
             b = numbers<Real>(outputs, 3), d_y = numbers<Real>(rows * outputs, 4);
  std::vector<Real> y(rows * outputs), d_x(x.size()), d_w(w.size(), 1), d_b(b.size(), 2);
  must(lacuna_linear_forward(this->cpu.get(), type, rows, width, outputs, x.data(), w.data(),
                             b.data(), y.data(), nullptr));
  must(lacuna_linear_backward(this->cpu.get(), type, rows, width, outputs, x.data(), w.data(),
                              d_y.data(), d_x.data(), d_w.data(), d_b.data(), nullptr));
  GuardedBuffer<Real> got_y(y.size()), got_x(x.size()), got_w(std::vector<Real>(w.size(), Real(1))),
      got_b(std::vector<Real>(b.size(), Real(2)));
  Mirror& m = this->mirror;
  must(lacuna_linear_forward(this->cuda.get(), type, rows, width, outputs, this->in(x), this->in(w),
                             this->in(b), m.out(got_y), nullptr));
  must(lacuna_linear_backward(this->cuda.get(), type, rows, width, outputs, this->in(x),
                              this->in(w), this->in(d_y), m.out(got_x), m.out(got_w), m.out(got_b),
                              nullptr));
  m.bring_back();
  expect_close(got_y, y, "y");
  expect_close(got_x, d_x, "d_x");
  expect_close(got_w, d_w, "d_weights");
  expect_close(got_b, d_b, "d_bias");
}

TYPED_TEST(CudaTraining, Losses) {
  using Real = typename TypeParam::Real;
  constexpr std::size_t rows = 23, columns = 5;
  constexpr lacuna_type type = type_of<Real>;
  const auto predictions = numbers<Real>(rows * columns, 5);
  std::vector<std::uint8_t> mask(rows * columns);
  std::vector<Real> targets(rows * columns);
  std::vector<std::int32_t> classes(rows);
  const lacuna_loss_scale loss_scale{4, 0, 0};
  for (std::size_t i = 0; i < mask.size(); ++i) {
    mask[i] = i % 3 != 0;
    targets[i] = mask[i] ? static_cast<Real>(i % 2) : static_cast<Real>(NAN);
  }
  for (std::size_t i = 0; i < rows; ++i) classes[i] = mask[i] ? static_cast<int>(i % columns) : -9;
  for (const lacuna_loss kind : {LACUNA_LOSS_BINARY_CROSS_ENTROPY, LACUNA_LOSS_CROSS_ENTROPY,
                                 LACUNA_LOSS_SQUARED_ERROR, LACUNA_LOSS_ABSOLUTE_ERROR}) {
    const bool per_row = kind == LACUNA_LOSS_CROSS_ENTROPY;
    std::vector<Real> d(predictions.size());
    double loss = 0;
    std::int64_t count = 0;
    must(lacuna_loss_evaluate(this->cpu.get(), kind, type, rows, columns, predictions.data(),
                              per_row ? static_cast<const void*>(classes.data()) : targets.data(),
                              mask.data(), 0.25, &loss_scale, &loss, &count, d.data(), nullptr));
    GuardedBuffer<Real> got_d(d.size());
    GuardedBuffer<double> got_loss(1);
    GuardedBuffer<std::int64_t> got_count(1);
    Mirror mirror;
    must(lacuna_loss_evaluate(this->cuda.get(), kind, type, rows, columns,
                              mirror.in(predictions.data(), predictions.size()),
                              per_row ? static_cast<const void*>(mirror.in(classes.data(), rows))
                                      : mirror.in(targets.data(), targets.size()),
                              mirror.in(mask.data(), mask.size()), 0.25, mirror.in(&loss_scale, 1),
                              mirror.out(got_loss), mirror.out(got_count), mirror.out(got_d),
                              nullptr));
    mirror.bring_back();
    expect_close(got_d, d, "d_predictions");
    EXPECT_NEAR(*got_loss.data(), loss, 1e-5 * loss) << kind;
    EXPECT_EQ(*got_count.data(), count);
  }
}

TYPED_TEST(CudaTraining, ClippingAndAdam) {
  using Real = typename TypeParam::Real;
  constexpr lacuna_type type = type_of<Real>;
  auto a = numbers<Real>(1000, 6), b = numbers<Real>(7, 7);
  GuardedBuffer<Real> got_a(a), got_b(b);
  GuardedBuffer<double> got_norm(1);
  void* const host[] = {a.data(), b.data()};
  const std::int64_t counts[] = {1000, 7};
  double norm = 0;
  must(lacuna_clip_gradient_norm(this->cpu.get(), type, 2, host, counts, 0.5, &norm, nullptr));
  Mirror& m = this->mirror;
  void* const device[] = {m.out(got_a), m.out(got_b)};
  must(lacuna_clip_gradient_norm(this->cuda.get(), type, 2, device, counts, 0.5, m.out(got_norm),
                                 nullptr));
  m.bring_back();
  expect_close(got_a, a, "a");
  expect_close(got_b, b, "b");
  EXPECT_NEAR(*got_norm.data(), norm, 1e-4);

  const lacuna_adam adam{1e-2, 0.9, 0.999, 1e-8, 0.01, 3};
  auto p = numbers<Real>(1000, 8), first = numbers<Real>(1000, 9), second = numbers<Real>(1000, 10);
  for (Real& v : second) v = std::abs(v);
  GuardedBuffer<Real> got_p(p), got_first(first), got_second(second);
  must(lacuna_adam_step(this->cpu.get(), &adam, type, 1000, a.data(), p.data(), first.data(),
                        second.data(), nullptr));
  Mirror again;
  must(lacuna_adam_step(this->cuda.get(), &adam, type, 1000, again.in(a.data(), a.size()),
                        again.out(got_p), again.out(got_first), again.out(got_second), nullptr));
  again.bring_back();
  expect_close(got_p, p, "parameters");
  expect_close(got_first, first, "first_moment");
  expect_close(got_second, second, "second_moment");
}

TYPED_TEST(CudaTraining, AClippedStepOfSeveralArrays) {
  using Real = typename TypeParam::Real;
  const lacuna_adam adam{1e-2, 0.9, 0.999, 1e-8, 0.01, 3};
  constexpr std::size_t sizes[] = {1000, 7};
  std::vector<std::vector<Real>> gradients, parameters, first, second;
  std::deque<GuardedBuffer<Real>> got_parameters, got_first, got_second;
  std::vector<lacuna_adam_array> host, device;
  Mirror& m = this->mirror;
  for (std::size_t a = 0; a < 2; ++a) {
    const int seed = static_cast<int>(10 * a);
    gradients.push_back(numbers<Real>(sizes[a], seed + 1));
    parameters.push_back(numbers<Real>(sizes[a], seed + 2));
    first.push_back(numbers<Real>(sizes[a], seed + 3));
    second.push_back(numbers<Real>(sizes[a], seed + 4));
    for (Real& v : second[a]) v = std::abs(v);
    got_parameters.emplace_back(parameters[a]);
    got_first.emplace_back(first[a]);
    got_second.emplace_back(second[a]);
  }
  for (std::size_t a = 0; a < 2; ++a) {
    const auto count = static_cast<std::int64_t>(sizes[a]);
    host.push_back(
        {count, gradients[a].data(), parameters[a].data(), first[a].data(), second[a].data()});
    device.push_back({count, this->in(gradients[a]), m.out(got_parameters[a]), m.out(got_first[a]),
                      m.out(got_second[a])});
  }
  double norm = 0;
  GuardedBuffer<double> got_norm(1);
  constexpr lacuna_type type = type_of<Real>;
  must(lacuna_adam_step_clipped(this->cpu.get(), &adam, type, 2, host.data(), 0.5, nullptr, nullptr,
                                &norm, nullptr));
  must(lacuna_adam_step_clipped(this->cuda.get(), &adam, type, 2, device.data(), 0.5, nullptr,
                                nullptr, m.out(got_norm), nullptr));
  m.bring_back();
  EXPECT_NEAR(*got_norm.data(), norm, 1e-12 * norm);
  for (std::size_t a = 0; a < 2; ++a) {
    expect_close(got_parameters[a], parameters[a], "parameters");
    expect_close(got_first[a], first[a], "first_moment");
    expect_close(got_second[a], second[a], "second_moment");
  }
}

// Steps that grow the scale, overflow, and are taken again: the CPU's state, and its arrays but for rounding.
TYPED_TEST(CudaTraining, StepsOfAScaledLoss) {
  using Real = typename TypeParam::Real;
  constexpr lacuna_type type = type_of<Real>;
  constexpr std::size_t count = 1000;
  const lacuna_adam adam{1e-2, 0.9, 0.999, 1e-8, 0.01, 0};
  const lacuna_loss_scaling scaling{2, 0.25, 2};
  auto p = numbers<Real>(count, 2), first = numbers<Real>(count, 3),
       second = std::vector<Real>(count, Real(0.5));
  lacuna_loss_scale state{1024, 0, 0};
  for (int step = 0; step < 6; ++step) {
    auto gradients = numbers<Real>(count, 20 + step);
    for (Real& g : gradients) g *= static_cast<Real>(state.scale);
    if (step == 3) gradients[7] = std::numeric_limits<Real>::infinity();
    GuardedBuffer<Real> got_p(p), got_first(first), got_second(second);
    GuardedBuffer<lacuna_loss_scale> got_state(std::vector<lacuna_loss_scale>{state});
    GuardedBuffer<double> got_norm(1);
    Mirror m;
    const lacuna_adam_array device{count, m.in(gradients.data(), count), m.out(got_p),
                                   m.out(got_first), m.out(got_second)};
    must(lacuna_adam_step_clipped(this->cuda.get(), &adam, type, 1, &device, 5, &scaling,
                                  m.out(got_state), m.out(got_norm), nullptr));
    m.bring_back();
    const lacuna_adam_array host{count, gradients.data(), p.data(), first.data(), second.data()};
    double norm = 0;
    must(lacuna_adam_step_clipped(this->cpu.get(), &adam, type, 1, &host, 5, &scaling, &state,
                                  &norm, nullptr));
    if (step == 3)
      EXPECT_EQ(*got_norm.data(), norm);
    else
      EXPECT_NEAR(*got_norm.data(), norm, 1e-12 * norm);
    expect_close(got_p, p, "parameters");
    expect_close(got_first, first, "first_moment");
    expect_close(got_second, second, "second_moment");
    EXPECT_EQ(got_state.data()->scale, state.scale);
    EXPECT_EQ(got_state.data()->finite_steps, state.finite_steps);
    EXPECT_EQ(got_state.data()->steps, state.steps);
  }
  EXPECT_EQ(state.scale, 1024 * 2 / 4 * 2);
  EXPECT_EQ(state.steps, 5);
}

// Without a rule for it the scale stays, whatever the norm, and steps are counted: those of the CPU whose numbers the call says.
TYPED_TEST(CudaTraining, StepsOfAConstantScale) {
  using Real = typename TypeParam::Real;
  constexpr lacuna_type type = type_of<Real>;
  constexpr std::size_t count = 1000;
  lacuna_adam adam{1e-2, 0.9, 0.999, 1e-8, 0.01, 0};
  auto p = numbers<Real>(count, 2), first = std::vector<Real>(count), second = first;
  lacuna_loss_scale state{8, 0, 0};
  for (int step = 0; step < 4; ++step) {
    auto gradients = numbers<Real>(count, 20 + step);
    if (step == 2) gradients[7] = std::numeric_limits<Real>::infinity();
    auto scaled = gradients;
    for (Real& g : scaled) g *= Real(8);
    GuardedBuffer<Real> got_p(p), got_first(first), got_second(second);
    GuardedBuffer<lacuna_loss_scale> got_state(std::vector<lacuna_loss_scale>{state});
    Mirror m;
    const lacuna_adam_array device{count, m.in(scaled.data(), count), m.out(got_p),
                                   m.out(got_first), m.out(got_second)};
    must(lacuna_adam_step_clipped(this->cuda.get(), &adam, type, 1, &device, 5, nullptr,
                                  m.out(got_state), nullptr, nullptr));
    m.bring_back();
    lacuna_adam numbered = adam;
    numbered.step = step < 2 ? step + 1 : step;  // the third is skipped
    const lacuna_adam_array host{count, gradients.data(), p.data(), first.data(), second.data()};
    must(lacuna_adam_step_clipped(this->cpu.get(), &numbered, type, 1, &host, 5, nullptr, nullptr,
                                  nullptr, nullptr));
    expect_close(got_p, p, "parameters");
    expect_close(got_first, first, "first_moment");
    expect_close(got_second, second, "second_moment");
    state = *got_state.data();
    EXPECT_EQ(state.scale, 8);
    EXPECT_EQ(state.finite_steps, step < 2 ? step + 1 : step - 2);
    EXPECT_EQ(state.steps, step < 2 ? step + 1 : step);
  }
}

TYPED_TEST(CudaTraining, PackAndUnpack) {
  using Real = typename TypeParam::Real;
  const std::vector<std::int64_t> lengths{2, 0, 5, 1};
  constexpr std::size_t longest = 5, width = 3;
  const auto padded = numbers<Real>(lengths.size() * longest * width, 11);
  std::vector<std::int64_t> offsets(lengths.size() + 1);
  std::vector<Real> packed(8 * width), back(padded.size());
  const auto row = static_cast<std::int64_t>(width * sizeof(Real));
  must(lacuna_pack(this->cpu.get(), 4, longest, row, lengths.data(), padded.data(), offsets.data(),
                   packed.data(), nullptr));
  must(lacuna_unpack(this->cpu.get(), 4, longest, row, offsets.data(), packed.data(), back.data(),
                     nullptr));
  GuardedBuffer<std::int64_t> got_offsets(offsets.size());
  GuardedBuffer<Real> got_packed(packed.size()), got_back(back.size());
  Mirror& m = this->mirror;
  auto* const there = m.out(got_offsets);
  auto* const packed_there = m.out(got_packed);
  must(lacuna_pack(this->cuda.get(), 4, longest, row, m.in(lengths.data(), lengths.size()),
                   this->in(padded), there, packed_there, nullptr));
  must(lacuna_unpack(this->cuda.get(), 4, longest, row, there, packed_there, m.out(got_back),
                     nullptr));
  m.bring_back();
  EXPECT_EQ(got_offsets.vector(), offsets);
  EXPECT_EQ(got_packed.vector(), packed);
  EXPECT_EQ(got_back.vector(), back);
}

// ---- Recorded ----

// A linear head that learns: prediction, loss, gradients, their norm, Adam; then the loss once more, scaled, and a step that
// clips and counts by itself, and one of a constant scale; over arrays that stay where they are.
template <class Real>
class Head {
 public:
  Head() {
    give(weights_, 5);
    give(bias_, 6);
    for (Array<Real>* moment : {&first_, &second_, &first_of_bias_, &second_of_bias_})
      clear(*moment);
    const lacuna_loss_scale start{1024, 0, 0}, unscaled{1, 0, 0};
    loss_scale_.set(&start, 1);
    counter_.set(&unscaled, 1);
  }
  void set(int seed) {
    give(x_, seed);
    give(targets_, seed + 1);
    clear(d_weights_);
    clear(d_bias_);
  }
  void queue(lacuna_context* context, void* stream) {
    constexpr lacuna_type type = type_of<Real>;
    const lacuna_adam adam{1e-2, 0.9, 0.999, 1e-8, 0.01, 3};
    must(lacuna_linear_forward(context, type, rows, width, outputs, x_.data(), weights_.data(),
                               bias_.data(), y_.data(), stream));
    must(lacuna_loss_evaluate(context, LACUNA_LOSS_SQUARED_ERROR, type, rows, outputs, y_.data(),
                              targets_.data(), nullptr, 0.25, nullptr, loss_.data(), count_.data(),
                              d_y_.data(), stream));
    must(lacuna_linear_backward(context, type, rows, width, outputs, x_.data(), weights_.data(),
                                d_y_.data(), d_x_.data(), d_weights_.data(), d_bias_.data(),
                                stream));
    void* const gradients[] = {d_weights_.data(), d_bias_.data()};
    const std::int64_t counts[] = {outputs * width, outputs};
    must(lacuna_clip_gradient_norm(context, type, 2, gradients, counts, 0.5, norm_.data(), stream));
    must(lacuna_adam_step(context, &adam, type, outputs * width, d_weights_.data(), weights_.data(),
                          first_.data(), second_.data(), stream));
    must(lacuna_adam_step(context, &adam, type, outputs, d_bias_.data(), bias_.data(),
                          first_of_bias_.data(), second_of_bias_.data(), stream));
    const lacuna_loss_scaling scaling{2, 0.5, 2};
    must(lacuna_loss_evaluate(context, LACUNA_LOSS_SQUARED_ERROR, type, rows, outputs, y_.data(),
                              targets_.data(), nullptr, 0.25, loss_scale_.data(), loss_.data(),
                              count_.data(), d_y_.data(), stream));
    must(lacuna_linear_backward(context, type, rows, width, outputs, x_.data(), weights_.data(),
                                d_y_.data(), d_x_.data(), d_weights_.data(), d_bias_.data(),
                                stream));
    const lacuna_adam_array list[] = {
        {outputs * width, d_weights_.data(), weights_.data(), first_.data(), second_.data()},
        {outputs, d_bias_.data(), bias_.data(), first_of_bias_.data(), second_of_bias_.data()}};
    must(lacuna_adam_step_clipped(context, &adam, type, 2, list, 0.5, &scaling, loss_scale_.data(),
                                  norm_.data(), stream));
    must(lacuna_adam_step_clipped(context, &adam, type, 2, list, 0.5, nullptr, counter_.data(),
                                  nullptr, stream));
  }
  // All that a step makes.
  std::vector<std::vector<Real>> results() const {
    return {y_.get(),      d_y_.get(),           d_x_.get(),           d_weights_.get(),
            d_bias_.get(), weights_.get(),       bias_.get(),          first_.get(),
            second_.get(), first_of_bias_.get(), second_of_bias_.get()};
  }
  std::vector<double> losses() const { return {loss_.get()[0], norm_.get()[0]}; }
  lacuna_loss_scale loss_scale() const { return loss_scale_.get()[0]; }
  std::int64_t counted() const { return counter_.get()[0].steps; }

 private:
  static constexpr std::size_t rows = 37, width = 19, outputs = 3;

  static void give(Array<Real>& array, int seed) {
    const auto from = numbers<Real>(array.get().size(), seed);
    array.set(from.data(), from.size());
  }
  static void clear(Array<Real>& array) {
    const std::vector<Real> zeros(array.get().size());
    array.set(zeros.data(), zeros.size());
  }

  Array<Real> x_{rows * width}, targets_{rows * outputs}, y_{rows * outputs}, d_y_{rows * outputs},
      d_x_{rows * width};
  Array<Real> weights_{outputs * width}, d_weights_{outputs * width}, first_{outputs * width},
      second_{outputs * width};
  Array<Real> bias_{outputs}, d_bias_{outputs}, first_of_bias_{outputs}, second_of_bias_{outputs};
  Array<double> loss_{1}, norm_{1};
  Array<std::int64_t> count_{1};
  Array<lacuna_loss_scale> loss_scale_{1}, counter_{1};
};

template <class Real>
class RecordedTraining : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(RecordedTraining, Reals);

TYPED_TEST(RecordedTraining, StepsHaveTheBitsOfCallsMadePlainly) {
  const ContextHandle context = support::make_context();
  Head<TypeParam> recorded, plain;
  support::Recording recording([&](void* stream) { recorded.queue(context.get(), stream); });
  std::vector<double> losses;
  for (const int seed : {1, 2, 3}) {
    recorded.set(seed);
    recording.play();
    plain.set(seed);
    plain.queue(context.get(), nullptr);
    EXPECT_EQ(recorded.results(), plain.results()) << "step " << seed;
    EXPECT_EQ(recorded.losses(), plain.losses());
    // A graph's step counts by itself.
    EXPECT_EQ(recorded.loss_scale().steps, seed);
    EXPECT_EQ(recorded.counted(), seed);
    EXPECT_EQ(recorded.loss_scale().scale, seed < 2 ? 1024 : 2048);
    EXPECT_EQ(plain.loss_scale().steps, seed);
    losses.push_back(recorded.losses()[0]);
  }
  EXPECT_GT(losses[0], 0);
  EXPECT_NE(losses[0], losses[1]);
}

}  // namespace
