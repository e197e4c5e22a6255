// What the tests of kernels/training share: arrays of every type, and the orders of threads.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/orders.h"
#include "kernels/simt/number.h"
#include "support/compare.h"
#include "support/guarded_buffer.h"
#include "support/random.h"

namespace lacuna::training_tests {

using Types = testing::Types<float, double, simt::Fp16, simt::Bf16>;
using Reals = testing::Types<float, double>;

inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();

using emulator::thread_orders;

inline std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

// Half the distance from 1 to the next number, of what is stored.
template <class T>
inline constexpr double rounding = std::is_same_v<T, double>       ? 0x1p-53
                                   : std::is_same_v<T, float>      ? 0x1p-24
                                   : std::is_same_v<T, simt::Fp16> ? 0x1p-11
                                                                   : 0x1p-8;
// Half the smallest number, where values end.
template <class T>
inline constexpr double smallest = std::is_same_v<T, simt::Fp16> ? 0x1p-25 : 0;

template <class T>
double to_double(T value) {
  return static_cast<double>(simt::to_real(value));
}
template <class T>
T from_double(double value) {
  return simt::from_real<T>(static_cast<simt::Real<T>>(value));
}

template <class T>
std::vector<T> typed(const std::vector<double>& values) {
  std::vector<T> all;
  for (const double value : values) all.push_back(from_double<T>(value));
  return all;
}
template <class T>
std::vector<double> doubles(const std::vector<T>& values) {
  std::vector<double> all;
  for (const T value : values) all.push_back(to_double(value));
  return all;
}

template <class T>
std::vector<T> random_values(std::int64_t count, std::uint64_t seed, double limit = 1) {
  support::Random random(seed);
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(random.uniform(-limit, limit));
  return typed<T>(values);
}

// An output, `shift` elements behind 64-byte alignment. Filled with NaN, or with `content`.
template <class T>
class Output {
 public:
  explicit Output(std::int64_t count, int shift = 0)
      : shift_(size(shift)), buffer_(shift_ + size(count)) {
    for (T& value : buffer_.span()) value = from_double<T>(nan);
  }
  explicit Output(const std::vector<T>& content, int shift = 0)
      : Output(static_cast<std::int64_t>(content.size()), shift) {
    std::copy(content.begin(), content.end(), data());
  }
  T* data() { return buffer_.data() + shift_; }
  std::vector<T> vector() const {
    return {buffer_.data() + shift_, buffer_.data() + buffer_.size()};
  }
  // Empty when nothing beside the elements was written.
  std::string damage() const {
    for (std::size_t i = 0; i < shift_; ++i)
      if (!std::isnan(to_double(buffer_.span()[i]))) return "written to before its begin";
    return buffer_.damage();
  }

 private:
  std::size_t shift_;
  support::GuardedBuffer<T> buffer_;
};

// Whether |got - want| <= allowed everywhere; NaN never is.
template <class T>
testing::AssertionResult near(const std::vector<T>& got, const std::vector<double>& want,
                              const std::vector<double>& allowed) {
  if (got.size() != want.size())
    return testing::AssertionFailure() << got.size() << " elements, expected " << want.size();
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(to_double(got[i]) - want[i]) <= allowed[i]))
      return testing::AssertionFailure() << "[" << i << "] is " << to_double(got[i])
                                         << ", expected " << want[i] << " +- " << allowed[i];
  return testing::AssertionSuccess();
}

template <class T>
testing::AssertionResult same_bits(const std::vector<T>& got, const std::vector<T>& want) {
  if (got.size() == want.size() &&
      (got.empty() || std::memcmp(got.data(), want.data(), got.size() * sizeof(T)) == 0))
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "bits differ";
}

}  // namespace lacuna::training_tests
