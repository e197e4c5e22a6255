// Runs the sample kernels on small problems and measures the result against plain loops in double.
#pragma once
#include <cmath>
#include <cstdint>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/orders.h"
#include "emulator/sample_kernels.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

namespace lacuna::sample {

#ifdef __SANITIZE_ADDRESS__
inline constexpr bool built_with_asan = true;
#else
inline constexpr bool built_with_asan = false;
#endif
#ifdef __SANITIZE_THREAD__
inline constexpr bool built_with_tsan = true;
#else
inline constexpr bool built_with_tsan = false;
#endif

using emulator::thread_orders;

inline std::string name_of(const emulator::Settings& s) {
  if (s.order == emulator::Order::forward) return "forward";
  if (s.order == emulator::Order::reverse) return "reverse";
  return "random_" + std::to_string(s.seed);
}

inline std::vector<float> random_floats(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (float& v : values) v = uniform(generator);
  return values;
}

// NaN anywhere makes it infinite.
template <class Got>
double largest_error(const std::vector<Got>& got, const std::vector<double>& want) {
  double largest = got.size() == want.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < got.size() && i < want.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - want[i]);
    if (!(error <= largest)) largest = std::isnan(error) ? INFINITY : error;
  }
  return largest;
}

// Error of the sum of 5000 values by 4 blocks.
template <Bug bug = Bug::none>
double run_block_sum() {
  const auto values = random_floats(5000, 1);
  std::vector<float> partial(4, NAN);
  simt::launch({.grid = {4}, .block = {256}}, nullptr, block_sum<bug>, values.data(), 5000,
               partial.data());
  double want = 0, got = 0;
  for (float v : values) want += v;
  for (float v : partial) got += v;
  return largest_error(std::vector<double>{got}, {want});
}

template <class T>
std::vector<double> plain_product(const std::vector<T>& a, const std::vector<T>& b, int rows,
                                  int columns, int depth) {
  std::vector<double> c;
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) {
      double sum = 0;
      for (int k = 0; k < depth; ++k)
        sum += static_cast<double>(a[static_cast<std::size_t>(i * depth + k)]) *
               static_cast<double>(b[static_cast<std::size_t>(j * depth + k)]);
      c.push_back(sum);
    }
  return c;
}

// Error against the product of the operands as T holds them. depth = 72 leaves a tail of 8.
template <class T, Bug bug = Bug::none>
double run_product16(int rows = 32, int columns = 24, int depth = 72) {
  const auto convert = [](std::vector<float>& exact) {
    std::vector<T> rounded;
    for (float& v : exact) {
      rounded.push_back(simt::from_float<T>(v));
      v = simt::to_float(rounded.back());
    }
    return rounded;
  };
  auto a = random_floats(static_cast<std::size_t>(rows * depth), 2);
  auto b = random_floats(static_cast<std::size_t>(columns * depth), 3);
  const auto a16 = convert(a), b16 = convert(b);
  std::vector<float> c(static_cast<std::size_t>(rows * columns), NAN);
  simt::SharedLayout shared;
  shared.add<T>(2 * 16 * product_stride);
  shared.add<T>(2 * 8 * product_stride);
  simt::launch({.grid = {static_cast<unsigned>(columns / 8), static_cast<unsigned>(rows / 16)},
                .block = {32},
                .shared_bytes = shared.bytes},
               nullptr, product16<T, bug>, a16.data(), b16.data(), c.data(), columns, depth);
  return largest_error(c, plain_product(a, b, rows, columns, depth));
}

inline double run_product_tf32(int rows = 32, int columns = 24, int depth = 40) {
  auto a = random_floats(static_cast<std::size_t>(rows * depth), 4);
  auto b = random_floats(static_cast<std::size_t>(columns * depth), 5);
  std::vector<float> c(static_cast<std::size_t>(rows * columns), NAN);
  simt::launch({.grid = {static_cast<unsigned>(columns / 8), static_cast<unsigned>(rows / 16)},
                .block = {32}},
               nullptr, product_tf32, a.data(), b.data(), c.data(), columns, depth);
  for (auto* operand : {&a, &b})
    for (float& v : *operand) v = simt::bits_as<float>(simt::portable::tf32_from_float(v));
  return largest_error(c, plain_product(a, b, rows, columns, depth));
}

inline double run_product_fp64(int rows = 24, int columns = 16, int depth = 20) {
  std::vector<double> a, b, c(static_cast<std::size_t>(rows * columns), NAN);
  for (float v : random_floats(static_cast<std::size_t>(rows * depth), 6)) a.push_back(v);
  for (float v : random_floats(static_cast<std::size_t>(columns * depth), 7)) b.push_back(v / 3.0);
  simt::launch({.grid = {static_cast<unsigned>(columns / 8), static_cast<unsigned>(rows / 8)},
                .block = {32}},
               nullptr, product_fp64, a.data(), b.data(), c.data(), columns, depth);
  return largest_error(c, plain_product(a, b, rows, columns, depth));
}

template <Bug bug = Bug::none>
double run_persistent_steps(bool cooperative = true, unsigned blocks = 6) {
  constexpr int steps = 5;
  const unsigned threads = 32, units = blocks * threads;
  auto weights = random_floats(std::size_t{units} * units, 8);
  for (float& w : weights) w *= 3 / std::sqrt(static_cast<float>(units));
  auto states = random_floats(units, 9);
  std::vector<double> want(states.begin(), states.end());
  states.resize(2 * units, NAN);
  unsigned counter = 0;
  simt::LaunchConfig config{
      .grid = {blocks}, .block = {threads}, .shared_bytes = units * sizeof(float)};
  config.cooperative = cooperative;
  simt::launch(config, nullptr, persistent_steps<bug>, weights.data(), states.data(), &counter,
               static_cast<int>(units), steps);
  for (int step = 0; step < steps; ++step) {
    std::vector<double> next;
    for (unsigned i = 0; i < units; ++i) {
      double sum = 0;
      for (unsigned k = 0; k < units; ++k) sum += weights[i * units + k] * want[k];
      next.push_back(sum);
    }
    want = next;
  }
  const auto last = states.begin() + (steps % 2) * units;
  return largest_error(std::vector<float>(last, last + units), want);
}

template <Bug bug = Bug::none>
double run_cluster_exchange(unsigned cluster = 4, int steps = 5) {
  const unsigned values = cluster * exchange_slice, clusters = 2, blocks = clusters * cluster;
  // operator new aligns to 16 bytes, which is what a bulk copy asks of its source.
  const auto initial = random_floats(values, 10);
  std::vector<float> out(std::size_t{blocks} * values, NAN);
  simt::SharedLayout shared;
  for (int i = 0; i < 2; ++i) shared.add<float>(values);
  for (int i = 0; i < 2; ++i) shared.add<simt::Mbarrier>(1);
  std::vector<double> x(initial.begin(), initial.end()), want;
  for (int step = 0; step < steps; ++step) {
    double mean = 0;
    for (double v : x) mean += v / values;
    for (double& v : x) v = v / 2 + mean;
  }
  for (unsigned block = 0; block < blocks; ++block) want.insert(want.end(), x.begin(), x.end());
  simt::launch({.grid = {blocks},
                .block = {exchange_slice},
                .shared_bytes = shared.bytes,
                .cluster = cluster},
               nullptr, cluster_exchange<bug>, initial.data(), out.data(), steps);
  return largest_error(out, want);
}

}  // namespace lacuna::sample

namespace lacuna::emulator {

// How GoogleTest prints a parameter.
inline void PrintTo(const Settings& s, std::ostream* out) { *out << sample::name_of(s); }

}  // namespace lacuna::emulator
