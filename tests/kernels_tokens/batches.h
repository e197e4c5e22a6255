// Ragged batches for the kernels that are parallel over tokens: in the tested type with poison
// wherever nothing may be read, and in double for the oracle.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <ostream>
#include <span>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/orders.h"
#include "kernels/tokens/batch.h"
#include "lacuna/lacuna.h"
#include "reference/batch.h"
#include "reference/layer.h"
#include "reference/parameters.h"
#include "support/guarded_buffer.h"
#include "support/random.h"

namespace lacuna::token_tests {

using Doubles = std::vector<double>;

inline std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

using emulator::thread_orders;

// Forward and one other: each seventh turn reverse, else random with the turn as its seed.
inline std::vector<emulator::Settings> two_thread_orders(std::uint64_t turn) {
  std::vector<emulator::Settings> both(2);
  both[1].order = turn % 7 == 0 ? emulator::Order::reverse : emulator::Order::random;
  both[1].seed = turn;
  return both;
}

// Half of the distance from 1 to the next number: the relative error of rounding to T.
template <class T>
constexpr double unit() {
  if (std::is_same_v<T, double>) return 0x1p-53;
  if (std::is_same_v<T, float>) return 0x1p-24;
  return std::is_same_v<T, simt::Fp16> ? 0x1p-11 : 0x1p-8;
}

// The absolute error of rounding a number too small for that.
template <class T>
constexpr double smallest_unit() {
  return std::is_same_v<T, simt::Fp16> ? 0x1p-25 : 0;
}

template <class T>
T to(double value) {
  return simt::from_real<T>(static_cast<simt::Real<T>>(value));
}
template <class T>
double from(T value) {
  return static_cast<double>(simt::to_real(value));
}

// The values as T holds them, which `values` then are too.
template <class T>
std::vector<T> round_to(Doubles& values) {
  std::vector<T> rounded;
  for (double& v : values) {
    rounded.push_back(to<T>(v));
    v = from(rounded.back());
  }
  return rounded;
}

template <class T>
Doubles doubles(std::span<const T> values) {
  Doubles all;
  for (const T v : values) all.push_back(from(v));
  return all;
}

// An output: NaN until it is written, with guards.
template <class T>
class Output {
 public:
  explicit Output(std::int64_t count) : buffer_(size(count)) {
    for (T& v : buffer_.span()) v = to<T>(NAN);
  }
  explicit Output(const Doubles& content) : Output(static_cast<std::int64_t>(content.size())) {
    for (std::size_t i = 0; i < content.size(); ++i) buffer_.data()[i] = to<T>(content[i]);
  }
  T* data() { return buffer_.data(); }
  Doubles values() const { return doubles(buffer_.span()); }
  std::string damage() const { return buffer_.damage(); }

 private:
  support::GuardedBuffer<T> buffer_;
};

inline Doubles random_doubles(std::int64_t count, support::Random& random, double low = -1,
                              double high = 1) {
  Doubles values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(random.uniform(low, high));
  return values;
}

enum class Time { none, gaps, stamps };

struct Shape {
  std::vector<std::int64_t> lengths;
  std::int64_t features = 1;
  std::int64_t beyond = 0;  // rows of the arrays beyond those in use
  int missing_percent = 50;
  std::int64_t never_measured = -1;  // a feature of which all is missing
  bool from_nan = false, reverse = false, ready_delta = false, carry = false;
  Time time = Time::gaps;
  std::uint64_t seed = 1;
  bool exact_gaps = true;  // multiples of 2^-6, whose sums are exact in float too
};

inline std::ostream& operator<<(std::ostream& out, const Shape& s) {
  out << "lengths";
  for (const std::int64_t length : s.lengths) out << ' ' << length;
  return out << " features " << s.features << " beyond " << s.beyond << " missing "
             << s.missing_percent << (s.from_nan ? " nan" : "") << (s.reverse ? " reverse" : "")
             << (s.ready_delta ? " delta" : "") << (s.carry ? " carry" : "") << " time "
             << static_cast<int>(s.time) << " seed " << s.seed;
}

template <class T>
struct Batch {
  using R = simt::Real<T>;

  reference::Batch exact;  // the rows in use, as T holds them
  std::int64_t features = 0, tokens = 0;
  bool reverse = false;
  std::vector<T> values, last_values;
  std::vector<std::uint8_t> mask;
  std::vector<R> delta_t, delta, since, first_gap;
  std::vector<double> times;

  DeviceBatch<T> device() const {
    const auto or_null = [](const auto& v) { return v.empty() ? nullptr : v.data(); };
    DeviceBatch<T> d;
    d.sequences = exact.sequences();
    d.tokens = tokens;
    d.features = features;
    d.offsets = d.sequences > 0 ? exact.offsets.data() : nullptr;
    d.values = or_null(values);
    d.mask = or_null(mask);
    d.delta_t = or_null(delta_t);
    d.times = or_null(times);
    d.delta = or_null(delta);
    d.carry_last_values = or_null(last_values);
    d.carry_since = or_null(since);
    d.carry_last_time = or_null(exact.context.last_time);
    d.carry_first_gap = or_null(first_gap);
    d.reverse = reverse;
    return d;
  }

  // Fills the typed arrays from `exact`, with poison in the rows beyond.
  void finish(std::int64_t beyond) {
    tokens = exact.tokens() + beyond;
    const std::size_t rows = size(tokens), cells = size(tokens * features);
    const auto pad = [](auto& array, std::size_t count, auto poison) {
      if (!array.empty() || count == 0) array.resize(count, poison);
    };
    const bool none_in_use = exact.tokens() == 0;
    const R nan = std::numeric_limits<R>::quiet_NaN();
    values = round_to<T>(exact.values);
    delta_t = round_to<R>(exact.delta_t);
    delta = round_to<R>(exact.delta);
    times = exact.times;
    mask = exact.mask;
    if (none_in_use || !values.empty()) values.resize(cells, to<T>(INFINITY));
    pad(delta_t, rows, nan);
    pad(delta, cells, nan);
    pad(times, rows, static_cast<double>(NAN));
    pad(mask, cells, std::uint8_t{1});
    last_values = round_to<T>(exact.context.last_value);
    since = round_to<R>(exact.context.since);
    first_gap = round_to<R>(exact.context.first_gap);
  }
};

template <class T>
Batch<T> make_batch(const Shape& shape) {
  support::Random random(shape.seed);
  Batch<T> batch;
  batch.features = shape.features;
  batch.reverse = shape.reverse;
  reference::Batch& exact = batch.exact;
  for (const std::int64_t length : shape.lengths)
    exact.offsets.push_back(exact.offsets.back() + length);
  const std::int64_t rows = exact.tokens(), cells = rows * shape.features;
  const auto gap = [&] {
    if (random.chance(0.2)) return 0.0;
    const double g = random.uniform(0, random.chance(0.1) ? 30 : 2);
    return shape.exact_gaps ? std::floor(g * 64) / 64 : g;
  };
  exact.values = random_doubles(cells, random, -2, 2);
  const double poison[] = {NAN, INFINITY, -INFINITY};
  for (std::int64_t at = 0; at < cells; ++at) {
    const bool measured = at % shape.features != shape.never_measured &&
                          !random.chance(shape.missing_percent / 100.0);
    if (!measured) exact.values[size(at)] = shape.from_nan ? NAN : poison[at % 3];
    // Anything but 0 is a measurement.
    if (!shape.from_nan) exact.mask.push_back(measured ? (at % 5 == 0 ? 0x40 : 1) : 0);
  }
  if (shape.time == Time::gaps)
    for (std::int64_t s = 0; s < rows; ++s) exact.delta_t.push_back(gap());
  if (shape.time == Time::stamps)
    for (std::int64_t s = 0; s < rows; ++s)
      exact.times.push_back((s == 0 ? 1.7e9 : exact.times.back()) + gap());
  if (shape.ready_delta) exact.delta = random_doubles(cells, random, 0, 5);
  if (shape.carry) {
    const std::int64_t sequences = exact.sequences();
    reference::Context& context = exact.context;
    for (std::int64_t i = 0; i < sequences * shape.features; ++i) {
      context.last_value.push_back(random.chance(0.3) ? NAN : random.uniform(-2, 2));
      context.since.push_back(gap());
    }
    for (std::int64_t b = 0; b < sequences; ++b) {
      if (shape.time == Time::stamps) {
        const bool empty = shape.lengths[size(b)] == 0;
        const double here = empty           ? 1.7e9
                            : shape.reverse ? exact.times[size(exact.offsets[size(b + 1)] - 1)]
                                            : exact.times[size(exact.offsets[size(b)])];
        const double away = gap();
        context.last_time.push_back(random.chance(0.3) ? NAN
                                    : shape.reverse    ? here + away
                                                       : here - away);
      }
      if (shape.time == Time::gaps && shape.reverse) context.first_gap.push_back(gap());
    }
  }
  batch.finish(shape.beyond);
  return batch;
}

// The cases that every walk over tokens must get right.
inline std::vector<Shape> shapes() {
  std::vector<Shape> all = {
      {.lengths = {}, .features = 3, .beyond = 5},
      {.lengths = {0, 0}, .features = 2, .beyond = 0},
      {.lengths = {1}, .features = 1},
      {.lengths = {0, 1, 5, 0, 0, 33, 64, 31, 2, 0}, .features = 5, .beyond = 7},
      {.lengths = {3, 1, 1, 60, 4, 1, 2}, .features = 37, .beyond = 40, .missing_percent = 80},
      // Many chunks in which nothing was measured.
      {.lengths = {700}, .features = 3, .missing_percent = 97, .never_measured = 1},
      {.lengths = {2, 300, 1}, .features = 2, .beyond = 3, .missing_percent = 100},
      {.lengths = {32, 64, 17}, .features = 4, .missing_percent = 0},
      // Sequences that begin within a chunk and are first measured in a later one, if ever.
      {.lengths = {40, 90, 5, 100},
       .features = 3,
       .beyond = 2,
       .missing_percent = 95,
       .never_measured = 1},
  };
  // Each as it is, and with the options in turn.
  const std::size_t plain = all.size();
  for (std::uint64_t seed = 1; seed <= 3; ++seed)
    for (std::size_t i = 0; i < plain; ++i) {
      Shape s = all[i];
      s.seed = 100 * seed + i;
      support::Random random(s.seed);
      s.from_nan = random.chance(0.5);
      s.reverse = (seed + i) % 2 == 0;
      s.carry = random.chance(0.6);
      s.ready_delta = random.chance(0.25);
      s.time = random.chance(0.5) ? Time::stamps : random.chance(0.8) ? Time::gaps : Time::none;
      s.exact_gaps = random.chance(0.5);
      all.push_back(s);
    }
  return all;
}

// The layer's parameters that imputation reads, as Real<T> holds them.
template <class T>
struct ImputeParameters {
  using R = simt::Real<T>;
  Doubles exact_mean, exact_weight, exact_bias;
  std::vector<R> mean, weight, bias;  // empty where the layer has none

  ImputeParameters(reference::Impute impute, std::int64_t features, std::uint64_t seed) {
    using reference::Impute;
    support::Random random(seed);
    if (impute != Impute::none) exact_mean = random_doubles(features, random);
    if (impute == Impute::decay || impute == Impute::relax)
      exact_weight = random_doubles(features, random, impute == Impute::relax ? -4 : -0.1, 0.5);
    if (impute == Impute::decay) exact_bias = random_doubles(features, random, -0.5, 0.5);
    mean = round_to<R>(exact_mean);
    weight = round_to<R>(exact_weight);
    bias = round_to<R>(exact_bias);
  }
};

inline lacuna_impute in_abi(reference::Impute impute) {
  switch (impute) {
    case reference::Impute::none: return LACUNA_IMPUTE_NONE;
    case reference::Impute::mean: return LACUNA_IMPUTE_MEAN;
    case reference::Impute::forward: return LACUNA_IMPUTE_FORWARD;
    case reference::Impute::decay: return LACUNA_IMPUTE_DECAY;
    default: return LACUNA_IMPUTE_RELAX;
  }
}

inline constexpr reference::Impute all_imputes[] = {
    reference::Impute::none, reference::Impute::mean, reference::Impute::forward,
    reference::Impute::decay, reference::Impute::relax};

// The oracle's parameters of a layer without any but these.
template <class T>
reference::Parameters exact_parameters(const ImputeParameters<T>& p) {
  reference::Parameters all;
  all.x_mean = p.exact_mean;
  all.impute_weight = p.exact_weight;
  all.impute_bias = p.exact_bias;
  return all;
}

// How far `got` may be from `want`: an element's allowance, or one for all. Empty when it is near.
inline std::string far(const Doubles& got, const Doubles& want, const Doubles& allowed) {
  if (got.size() != want.size()) return "sizes differ";
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i]) && std::isnan(got[i])) continue;
    if (std::abs(got[i] - want[i]) <= allowed[i]) continue;
    std::ostringstream text;
    text.precision(17);
    text << '[' << i << "] is " << got[i] << ", expected " << want[i] << ", allowed error "
         << allowed[i];
    return text.str();
  }
  return "";
}
inline std::string far(const Doubles& got, const Doubles& want, double allowed) {
  return far(got, want, Doubles(want.size(), allowed));
}
inline std::string differ(const Doubles& got, const Doubles& want) { return far(got, want, 0.0); }

}  // namespace lacuna::token_tests
