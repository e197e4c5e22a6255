// The linear head's kernels on the emulator, against plain loops in double and the CPU's.
#include <gtest/gtest.h>

#include "host/training/linear.h"
#include "kernels/training/linear.h"
#include "kernels_training/arrays.h"

namespace lacuna::training_tests {
namespace {

struct Shape {
  std::int64_t rows, in, out;
};

// Both tiles of outputs, one tile and several, ends on and beside their edges.
const std::vector<Shape> shapes = {{0, 3, 2},    {1, 1, 1},     {3, 31, 1},    {31, 3, 3},
                                   {33, 33, 8},  {257, 32, 4},  {1000, 3, 1},  {33, 257, 9},
                                   {257, 1, 31}, {130, 40, 33}, {31, 132, 64}, {1, 140, 65},
                                   {300, 64, 12}};

std::string told(const Shape& s) {
  return std::to_string(s.rows) + " rows, " + std::to_string(s.in) + " in, " +
         std::to_string(s.out) + " out";
}

// A sum and what its rounding may come to: that of `terms` terms added in a row, most of which
// cancel, and of the result as it is stored.
struct Sums {
  std::vector<double> values, magnitudes;
  explicit Sums(std::int64_t count) : values(size(count)), magnitudes(size(count)) {}
  void add(std::int64_t at, double term) {
    values[size(at)] += term;
    magnitudes[size(at)] += std::abs(term);
  }
  template <class T>
  testing::AssertionResult agree(const std::vector<T>& got, std::int64_t terms) const {
    return within<T>(got, values, terms);
  }
  template <class T>
  testing::AssertionResult within(const std::vector<T>& got, const std::vector<double>& want,
                                  std::int64_t terms) const {
    const double unit = (4 + std::sqrt(static_cast<double>(terms))) * rounding<simt::Real<T>>;
    std::vector<double> allowed;
    for (std::size_t i = 0; i < values.size(); ++i)
      allowed.push_back(unit * magnitudes[i] + rounding<T> * std::abs(values[i]) + smallest<T>);
    return near(got, want, allowed);
  }
};

template <class T>
struct Case {
  using R = simt::Real<T>;
  Shape shape;
  std::vector<T> x, d_y;
  std::vector<R> weights, bias, d_weights_before, d_bias_before;

  explicit Case(const Shape& s)
      : shape(s),
        x(random_values<T>(s.rows * s.in, 1)),
        d_y(random_values<T>(s.rows * s.out, 2)),
        weights(random_values<R>(s.out * s.in, 3)),
        bias(random_values<R>(s.out, 4)),
        d_weights_before(random_values<R>(s.out * s.in, 5)),
        d_bias_before(random_values<R>(s.out, 6)) {}

  Sums y(bool with_bias) const {
    Sums sums(shape.rows * shape.out);
    for (std::int64_t r = 0; r < shape.rows; ++r)
      for (std::int64_t o = 0; o < shape.out; ++o) {
        if (with_bias) sums.add(r * shape.out + o, to_double(bias[size(o)]));
        for (std::int64_t i = 0; i < shape.in; ++i)
          sums.add(r * shape.out + o, to_double(x[size(r * shape.in + i)]) *
                                          to_double(weights[size(o * shape.in + i)]));
      }
    return sums;
  }
  Sums d_x() const {
    Sums sums(shape.rows * shape.in);
    for (std::int64_t r = 0; r < shape.rows; ++r)
      for (std::int64_t i = 0; i < shape.in; ++i)
        for (std::int64_t o = 0; o < shape.out; ++o)
          sums.add(r * shape.in + i, to_double(d_y[size(r * shape.out + o)]) *
                                         to_double(weights[size(o * shape.in + i)]));
    return sums;
  }
  Sums d_weights() const {
    Sums sums(shape.out * shape.in);
    for (std::int64_t o = 0; o < shape.out; ++o)
      for (std::int64_t i = 0; i < shape.in; ++i) {
        const std::int64_t at = o * shape.in + i;
        sums.add(at, to_double(d_weights_before[size(at)]));
        for (std::int64_t r = 0; r < shape.rows; ++r)
          sums.add(at,
                   to_double(d_y[size(r * shape.out + o)]) * to_double(x[size(r * shape.in + i)]));
      }
    return sums;
  }
  Sums d_bias() const {
    Sums sums(shape.out);
    for (std::int64_t o = 0; o < shape.out; ++o) {
      sums.add(o, to_double(d_bias_before[size(o)]));
      for (std::int64_t r = 0; r < shape.rows; ++r)
        sums.add(o, to_double(d_y[size(r * shape.out + o)]));
    }
    return sums;
  }

  std::vector<T> forward(bool with_bias, int shift) const {
    Output<T> got(shape.rows * shape.out, shift);
    linear_forward<T>(nullptr, {shape.rows, shape.in, shape.out, x.data(), weights.data(),
                                with_bias ? bias.data() : nullptr, got.data()});
    EXPECT_EQ(got.damage(), "");
    return got.vector();
  }

  struct Gradients {
    std::vector<T> d_x;
    std::vector<R> d_weights, d_bias;
  };
  Gradients backward(bool want_x, bool want_weights, bool want_bias, int shift) const {
    Output<T> d_x(shape.rows * shape.in, shift);
    Output<R> d_weights(d_weights_before, shift), d_bias(d_bias_before, shift);
    const std::size_t bytes = linear_workspace_bytes<T>(shape.rows, shape.in, shape.out);
    EXPECT_EQ(bytes % sizeof(R), 0u);
    Output<R> workspace(static_cast<std::int64_t>(bytes / sizeof(R)));
    linear_backward<T>(nullptr,
                       {shape.rows, shape.in, shape.out, x.data(), weights.data(), d_y.data(),
                        want_x ? d_x.data() : nullptr, want_weights ? d_weights.data() : nullptr,
                        want_bias ? d_bias.data() : nullptr, workspace.data()});
    EXPECT_EQ(d_x.damage() + d_weights.damage() + d_bias.damage() + workspace.damage(), "");
    return {d_x.vector(), d_weights.vector(), d_bias.vector()};
  }
};

template <class T>
class KernelsTrainingLinear : public testing::Test {};
TYPED_TEST_SUITE(KernelsTrainingLinear, Types);

TYPED_TEST(KernelsTrainingLinear, IsAPlainLoopInAnyOrder) {
  using T = TypeParam;
  for (const Shape& shape : shapes) {
    const Case<T> c(shape);
    const auto y = c.forward(true, 0);
    EXPECT_TRUE(c.y(true).template agree<T>(y, shape.in)) << told(shape);
    for (const auto& order : thread_orders(4)) {
      const emulator::WithSettings with(order);
      EXPECT_TRUE(same_bits(c.forward(true, 0), y)) << told(shape);
    }
    // Beside the alignment for 16 bytes, the same bits.
    EXPECT_TRUE(same_bits(c.forward(true, 1), y)) << told(shape);
    EXPECT_TRUE(c.y(false).template agree<T>(c.forward(false, 0), shape.in)) << told(shape);
  }
}

TYPED_TEST(KernelsTrainingLinear, GradientsArePlainLoopsInAnyOrder) {
  using T = TypeParam;
  using R = simt::Real<T>;
  for (const Shape& shape : shapes) {
    const Case<T> c(shape);
    const auto got = c.backward(true, true, true, 0);
    EXPECT_TRUE(c.d_x().template agree<T>(got.d_x, shape.out)) << told(shape);
    EXPECT_TRUE(c.d_weights().template agree<R>(got.d_weights, shape.rows)) << told(shape);
    EXPECT_TRUE(c.d_bias().template agree<R>(got.d_bias, shape.rows)) << told(shape);
    const auto expect_same = [&](const typename Case<T>::Gradients& other) {
      EXPECT_TRUE(same_bits(other.d_x, got.d_x)) << told(shape);
      EXPECT_TRUE(same_bits(other.d_weights, got.d_weights)) << told(shape);
      EXPECT_TRUE(same_bits(other.d_bias, got.d_bias)) << told(shape);
    };
    for (const auto& order : thread_orders(2)) {
      const emulator::WithSettings with(order);
      expect_same(c.backward(true, true, true, 0));
    }
    expect_same(c.backward(true, true, true, 1));
  }
}

TYPED_TEST(KernelsTrainingLinear, EachGradientMayBeNull) {
  using T = TypeParam;
  const Case<T> c({70, 33, 3});
  const auto all = c.backward(true, true, true, 0);
  const auto x = c.backward(true, false, false, 0);
  EXPECT_TRUE(same_bits(x.d_x, all.d_x));
  EXPECT_TRUE(same_bits(x.d_weights, c.d_weights_before));
  EXPECT_TRUE(same_bits(x.d_bias, c.d_bias_before));
  const auto weights = c.backward(false, true, false, 0);
  EXPECT_TRUE(std::isnan(to_double(weights.d_x[0])));
  EXPECT_TRUE(same_bits(weights.d_weights, all.d_weights));
  const auto bias = c.backward(false, false, true, 0);
  EXPECT_TRUE(same_bits(bias.d_bias, all.d_bias));
}

// A row of NaN reaches its own results, and the sums over all rows, and nothing else.
TYPED_TEST(KernelsTrainingLinear, NaNStaysInItsRow) {
  using T = TypeParam;
  Case<T> c({140, 20, 10});
  const auto y = c.forward(true, 0);
  const auto d_x = c.backward(true, false, false, 0).d_x;
  for (std::int64_t i = 0; i < c.shape.in; ++i)
    c.x[size(129 * c.shape.in + i)] = from_double<T>(nan);
  for (std::int64_t o = 0; o < c.shape.out; ++o)
    c.d_y[size(129 * c.shape.out + o)] = from_double<T>(nan);
  const auto expect_row = [&](const std::vector<T>& before, const std::vector<T>& after,
                              std::int64_t width) {
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(before.size()); ++i) {
      const double value = to_double(after[size(i)]);
      if (i / width == 129)
        EXPECT_TRUE(std::isnan(value));
      else
        EXPECT_EQ(value, to_double(before[size(i)]));
    }
  };
  expect_row(y, c.forward(true, 0), c.shape.out);
  expect_row(d_x, c.backward(true, false, false, 0).d_x, c.shape.in);
}

template <class R>
class KernelsTrainingLinearCpu : public testing::Test {};
TYPED_TEST_SUITE(KernelsTrainingLinearCpu, Reals);

TYPED_TEST(KernelsTrainingLinearCpu, GivesTheSame) {
  using R = TypeParam;
  cpu::Team team(1);
  for (const Shape& shape : shapes) {
    const Case<R> c(shape);
    std::vector<R> y(size(shape.rows * shape.out)), d_x(size(shape.rows * shape.in));
    auto d_weights = c.d_weights_before, d_bias = c.d_bias_before;
    training::linear_forward(team, {shape.rows, shape.in, shape.out}, c.x.data(), c.weights.data(),
                             c.bias.data(), y.data());
    training::linear_backward(team, {shape.rows, shape.in, shape.out}, c.x.data(), c.weights.data(),
                              c.d_y.data(), d_x.data(), d_weights.data(), d_bias.data());
    const auto got = c.backward(true, true, true, 0);
    EXPECT_TRUE(c.y(true).template within<R>(c.forward(true, 0), doubles(y), shape.in));
    EXPECT_TRUE(c.d_x().template within<R>(got.d_x, doubles(d_x), shape.out));
    EXPECT_TRUE(c.d_weights().template within<R>(got.d_weights, doubles(d_weights), shape.rows));
    EXPECT_TRUE(c.d_bias().template within<R>(got.d_bias, doubles(d_bias), shape.rows));
  }
}

// More tiles than a launch has blocks. Whole numbers, so that every sum is exact.
TEST(KernelsTrainingLinearLarge, StridesOverItsTiles) {
  const std::int64_t rows = 4097 * 128 + 3;
  std::vector<double> x, d_y, y, d_x;
  double d_weight = 1, d_bias = 2;
  for (std::int64_t r = 0; r < rows; ++r) {
    x.push_back(static_cast<double>(r % 97 - 48));
    d_y.push_back(static_cast<double>(r % 31 - 15));
    y.push_back(3 * x.back() + 5);
    d_x.push_back(3 * d_y.back());
    d_weight += x.back() * d_y.back();
    d_bias += d_y.back();
  }
  const double weight = 3, bias = 5;
  Output<double> got_y(rows), got_d_x(rows), got_weight(std::vector<double>{1}),
      got_bias(std::vector<double>{2});
  Output<double> workspace(
      static_cast<std::int64_t>(linear_workspace_bytes<double>(rows, 1, 1) / 8));
  linear_forward<double>(nullptr, {rows, 1, 1, x.data(), &weight, &bias, got_y.data()});
  linear_backward<double>(nullptr, {rows, 1, 1, x.data(), &weight, d_y.data(), got_d_x.data(),
                                    got_weight.data(), got_bias.data(), workspace.data()});
  EXPECT_EQ(got_y.vector(), y);
  EXPECT_EQ(got_d_x.vector(), d_x);
  EXPECT_EQ(got_weight.vector()[0], d_weight);
  EXPECT_EQ(got_bias.vector()[0], d_bias);
  EXPECT_EQ(got_y.damage() + got_d_x.damage() + workspace.damage(), "");
}

TEST(KernelsTrainingLinearLarge, NoRowsAreNoLaunch) {
  const auto before = emulator::counters().launches.load();
  const Case<float> c({0, 4, 4});
  c.forward(true, 0);
  c.backward(true, true, true, 0);
  EXPECT_EQ(emulator::counters().launches.load(), before);
  EXPECT_EQ(linear_workspace_bytes<float>(0, 4, 4), 0u);
}

// Small enough for ThreadSanitizer to follow: both tiles of every product.
TEST(KernelsTrainingLinearThreads, MeetAtBarriersAlone) {
  for (const auto& order : thread_orders(1)) {
    const emulator::WithSettings with(order);
    for (const std::int64_t out : {3, 9}) {
      const Case<float> c({70, 40, out});
      EXPECT_TRUE(c.y(true).agree<float>(c.forward(true, 0), 40));
      const auto got = c.backward(true, true, true, 0);
      EXPECT_TRUE(c.d_x().agree<float>(got.d_x, out));
      EXPECT_TRUE(c.d_weights().agree<float>(got.d_weights, 70));
      EXPECT_TRUE(c.d_bias().agree<float>(got.d_bias, 70));
    }
  }
}

}  // namespace
}  // namespace lacuna::training_tests
