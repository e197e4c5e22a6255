// The vector activations of every instruction set of this build against the C library in a wider type, in units of the
// last place, over their whole range and at its ends.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "host/cpu/simd.h"

namespace {

using lacuna::cpu::Vec;

template <class T>
double units_in_last_place(T result, long double expected) {
  int exponent = 0;
  std::frexp(static_cast<T>(expected), &exponent);
  const long double unit = std::ldexp(1.0L, exponent - std::numeric_limits<T>::digits);
  return static_cast<double>(std::fabs(static_cast<long double>(result) - expected) / unit);
}

// This file is compiled for the baseline, where the compiler may use it without asking the machine.
template <class T>
using Baseline = Vec<T, xsimd::default_arch>;

template <class T>
std::vector<T> arguments(T from, T to) {
  std::vector<T> x;
  for (int i = 0; i <= 200000; ++i) x.push_back(from + (to - from) * static_cast<T>(i) / T(200000));
  for (T small = T(1e-30); small < T(1); small *= T(3)) {
    x.push_back(small);
    x.push_back(-small);
  }
  return x;
}

template <class T, class F, class G>
void expect_within(double ulps, const std::vector<T>& arguments, F tested, G expected) {
  double worst = 0;
  T where = 0;
  for (const T x : arguments) {
    using V = Baseline<T>;
    T lanes[V::size];
    tested(V(x)).store(lanes);
    const double error = units_in_last_place(lanes[0], expected(static_cast<long double>(x)));
    if (!(error <= worst)) {
      worst = error;
      where = x;
    }
  }
  EXPECT_LE(worst, ulps) << "at " << where;
}

template <class T>
class Activations : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Activations, Types);

TYPED_TEST(Activations, ExponentialIsAccurate) {
  using T = TypeParam;
  const T end = sizeof(T) == 4 ? T(87) : T(707);
  expect_within<T>(
      1.5, arguments<T>(-end, end), [](auto x) { return exponential(x); },
      [](long double x) { return std::exp(x); });
}

TYPED_TEST(Activations, ExponentialMinusOneIsAccurateThroughZero) {
  using T = TypeParam;
  expect_within<T>(
      2.0, arguments<T>(T(-40), T(40)), [](auto x) { return exponential_minus_one(x); },
      [](long double x) { return std::expm1(x); });
}

TYPED_TEST(Activations, HyperbolicTangentIsAccurateThroughZero) {
  using T = TypeParam;
  expect_within<T>(
      3.5, arguments<T>(T(-30), T(30)), [](auto x) { return lacuna::hyperbolic_tangent(x); },
      [](long double x) { return std::tanh(x); });
}

TYPED_TEST(Activations, SigmoidIsAccurate) {
  using T = TypeParam;
  expect_within<T>(
      3.5, arguments<T>(T(-80), T(80)), [](auto x) { return lacuna::sigmoid(x); },
      [](long double x) { return 1 / (1 + std::exp(-x)); });
}

TYPED_TEST(Activations, EndsAreFiniteAndNaNPasses) {
  using T = TypeParam;
  using V = Baseline<T>;
  const auto first = [](V x) {
    T lanes[V::size];
    x.store(lanes);
    return lanes[0];
  };
  const T huge = std::numeric_limits<T>::max(), infinity = std::numeric_limits<T>::infinity();
  for (const T x : {T(1e4), huge, infinity}) {
    EXPECT_EQ(first(lacuna::hyperbolic_tangent(V(x))), T(1));
    EXPECT_EQ(first(lacuna::hyperbolic_tangent(V(-x))), T(-1));
    EXPECT_EQ(first(lacuna::sigmoid(V(x))), T(1));
    EXPECT_LT(first(lacuna::sigmoid(V(-x))), T(1e-37));
    EXPECT_LT(first(exponential(V(-x))), T(1e-37));
    EXPECT_EQ(lacuna::hyperbolic_tangent(x), T(1));
    EXPECT_EQ(lacuna::hyperbolic_tangent(-x), T(-1));
  }
  const T nan = std::numeric_limits<T>::quiet_NaN();
  EXPECT_TRUE(std::isnan(first(exponential(V(nan)))));
  EXPECT_TRUE(std::isnan(first(lacuna::hyperbolic_tangent(V(nan)))));
  EXPECT_TRUE(std::isnan(first(lacuna::sigmoid(V(nan)))));
  EXPECT_TRUE(std::isnan(lacuna::hyperbolic_tangent(nan)));
}

}  // namespace
