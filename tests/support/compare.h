// Judges a result against the oracle: within a derived bound, or no worse than a plain loop.
//
// An element passes when |result - expected| <= tolerance * scale, written so that NaN fails. Its
// scale is its row's largest expected magnitude, but at least the array's root mean square: a sum's
// rounding error is relative to what was added up, not to a result in which terms cancelled. Where
// everything expected is zero, nothing but zero passes. A tolerance under which zeros, halves or negatives of all that is
// expected would pass fails: such a comparison can show nothing.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <sstream>
#include <string>
#include <vector>

namespace support {

// The relative error 4 * epsilon * log2(longest sum) * (steps over which errors mix). Four: each
// of the operations of a token step that round a whole state once (input, product, activation,
// blend) may lose one epsilon. log2: sums are taken in blocks, not one term after another.
//
// accumulation_length: terms of the longest sum behind an element: H + K for a state, N for a
// parameter's gradient. mixing_steps: over how many tokens an error lives on, see mixing_steps().
template <class Real>
double rounding_tolerance(std::int64_t accumulation_length, std::int64_t mixing_steps) {
  const double sum = std::log2(static_cast<double>(std::max<std::int64_t>(2, accumulation_length)));
  const double steps = static_cast<double>(std::max<std::int64_t>(1, mixing_steps));
  return 4.0 * static_cast<double>(std::numeric_limits<Real>::epsilon()) * sum * steps;
}

// Recurrent weights of spectral radius 0.58 (see generate.h) pass 0.58 of an error on to the next
// token, and a gate that keeps its state about 0.73 at most: the errors of all tokens before add up
// to 1/(1-0.73), less than four tokens' worth, however long the sequence is.
inline std::int64_t mixing_steps(std::int64_t longest_sequence) {
  return std::clamp<std::int64_t>(longest_sequence, 1, 4);
}

// What roundings to another type add, of unit roundoff u, where sums stay fp32: 2 u * (steps over which errors mix). Two: of
// a step four numbers are rounded, the product's operand, the tape's state, its gates and their gradients, each by itself, so
// that the errors add up to the root of their squares. A sum's terms are rounded each by itself too: its error grows by the
// root of their number, as a sum of terms of either sign does, and the scale is that sum's.
inline double stored_tolerance(double unit, std::int64_t mixing_steps) {
  return 2 * unit * static_cast<double>(std::max<std::int64_t>(1, mixing_steps));
}

struct Comparison {
  bool passed = false;
  std::string message;          // the worst element, always filled in
  std::size_t worst_index = 0;  // in the flat array
  double worst_ratio = 0;       // error / allowed error there
  double blindness = 0;         // allowed error / expected, where that is least; 0: all is zero

  explicit operator bool() const { return passed; }
};

namespace detail {

// scale [expected.size()], at least `least`; row_width 0: the whole array is one row.
inline std::vector<double> scales(std::span<const double> expected, std::size_t row_width,
                                  double least) {
  const std::size_t width = row_width == 0 ? expected.size() : row_width;
  double squares = 0;
  for (const double e : expected) squares += e * e;
  const double rms = std::sqrt(squares / static_cast<double>(expected.size()));
  std::vector<double> scale(expected.size());
  for (std::size_t row = 0; row < expected.size(); row += width) {
    const std::size_t end = std::min(row + width, expected.size());
    double largest = std::max(rms, least);
    for (std::size_t at = row; at < end; ++at) largest = std::max(largest, std::abs(expected[at]));
    std::fill(scale.begin() + static_cast<std::ptrdiff_t>(row),
              scale.begin() + static_cast<std::ptrdiff_t>(end), largest);
  }
  return scale;
}

// Infinity where a value is not finite, so that nothing is ever allowed to match it.
inline double error(double result, double expected) {
  if (!std::isfinite(result) || !std::isfinite(expected)) {
    return std::numeric_limits<double>::infinity();
  }
  return std::abs(result - expected);
}

}  // namespace detail

// Half: zeros, halves and negatives of what is expected must all be refused.
inline constexpr double most_blindness = 0.5;

// `tolerance` is relative, from rounding_tolerance. `row_width`: length of a row whose elements are
// of one kind (H for states, D for values); 0: the whole array. `least_scale`: of all rows, where more is known of what
// was added up than the array shows.
template <class Real>
Comparison compare(std::span<const Real> result, std::span<const double> expected, double tolerance,
                   std::size_t row_width = 0, double least_scale = 0) {
  Comparison comparison;
  std::ostringstream text;
  text.precision(17);
  if (result.size() != expected.size()) {
    text << "has " << result.size() << " elements, expected " << expected.size();
    comparison.message = text.str();
    return comparison;
  }
  comparison.passed = true;
  if (expected.empty()) {
    comparison.message = "is empty, as expected";
    return comparison;
  }
  const std::vector<double> scale = detail::scales(expected, row_width, least_scale);
  std::size_t failures = 0;
  double worst_error = 0;
  double least_seen = std::numeric_limits<double>::infinity();
  bool all_zero = true;
  for (std::size_t at = 0; at < expected.size(); ++at) {
    const double error = detail::error(static_cast<double>(result[at]), expected[at]);
    const double allowed = tolerance * scale[at];
    const bool passes = error <= allowed && std::isfinite(error);  // NaN in `allowed` fails too
    failures += passes ? 0 : 1;
    if (expected[at] != 0) {
      all_zero = false;
      least_seen = std::min(least_seen, allowed / std::abs(expected[at]));
    }
    double ratio = error == 0 && passes ? 0 : error / allowed;
    if (std::isnan(ratio)) ratio = std::numeric_limits<double>::infinity();
    if (at == 0 || ratio > comparison.worst_ratio) {
      comparison.worst_ratio = ratio;
      comparison.worst_index = at;
      worst_error = error;
    }
  }
  comparison.blindness = all_zero ? 0 : least_seen;
  const bool sees = comparison.blindness < most_blindness;
  comparison.passed = failures == 0 && sees;
  const std::size_t at = comparison.worst_index;
  if (!sees) {
    text.precision(3);
    text << "can show nothing: " << comparison.blindness << " of the largest element is allowed; ";
    text.precision(17);
  }
  if (failures > 0) text << failures << " of " << expected.size() << " elements are off; ";
  text << "the worst is [" << at << "]";
  if (row_width > 0) text << " = [" << at / row_width << ", " << at % row_width << "]";
  text << ": " << static_cast<double>(result[at]) << ", expected " << expected[at];
  text.precision(3);
  text << ", error " << worst_error << ", allowed " << tolerance * scale[at] << " (tolerance "
       << tolerance << " of scale " << scale[at] << ")";
  comparison.message = text.str();
  return comparison;
}

// The same with `tolerance` widened, if need be, to `times` the worst relative error of `baselines`: what the oracle's own
// loops give in the tested type. A baseline that is not finite fails.
template <class Real>
Comparison compare_with_baselines(std::span<const Real> result,
                                  const std::vector<std::span<const Real>>& baselines,
                                  std::span<const double> expected, double tolerance,
                                  std::size_t row_width = 0, double least_scale = 0,
                                  double times = 2) {
  double worst = 0;
  for (const auto& baseline : baselines) {
    const Comparison plain = compare(baseline, expected, tolerance, row_width, least_scale);
    if (!std::isfinite(plain.worst_ratio) ||
        (baseline.size() != expected.size() && !plain.passed)) {
      Comparison comparison = plain;
      comparison.passed = false;
      comparison.message = "cannot be judged, its baseline is wrong: " + plain.message;
      return comparison;
    }
    worst = std::max(worst, plain.worst_ratio);
  }
  return compare(result, expected, tolerance * std::max(1.0, times * worst), row_width,
                 least_scale);
}
template <class Real>
Comparison compare_with_baseline(std::span<const Real> result, std::span<const Real> baseline,
                                 std::span<const double> expected, double tolerance,
                                 std::size_t row_width = 0) {
  return compare_with_baselines<Real>(result, {baseline}, expected, tolerance, row_width);
}

// Equal bit by bit: for repeatability. NaN equals the same NaN, 0 differs from -0.
template <class Real>
Comparison compare_bits(std::span<const Real> result, std::span<const Real> expected) {
  Comparison comparison;
  std::ostringstream text;
  text.precision(17);
  if (result.size() != expected.size()) {
    text << "has " << result.size() << " elements, expected " << expected.size();
    comparison.message = text.str();
    return comparison;
  }
  for (std::size_t at = 0; at < expected.size(); ++at) {
    if (std::memcmp(&result[at], &expected[at], sizeof(Real)) == 0) continue;
    comparison.worst_index = at;
    comparison.worst_ratio = std::numeric_limits<double>::infinity();
    text << "the bits of [" << at << "] differ: " << +result[at] << ", expected " << +expected[at];
    comparison.message = text.str();
    return comparison;
  }
  comparison.passed = true;
  comparison.message = "is equal bit by bit";
  return comparison;
}

}  // namespace support
