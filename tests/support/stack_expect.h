// What two runs of a stack have to agree in.
#pragma once

#include <gtest/gtest.h>

#include <cstring>

#include "support/stack_run.h"

namespace support {

template <class Real>
using Named = std::vector<std::pair<std::string, std::vector<Real>>>;

template <class Real>
Named<Real> arrays_of(const StackResults<Real>& results) {
  Named<Real> arrays;
  results.each([&](const std::string& name, const std::vector<Real>& array) {
    arrays.emplace_back(name, array);
  });
  return arrays;
}

inline bool compare_bits(const std::string& name, const void* a, const void* b, std::size_t bytes) {
  if (bytes == 0 || std::memcmp(a, b, bytes) == 0) return true;
  ADD_FAILURE() << name << ": other bits";
  return false;
}

template <class Real>
void expect_same_bits(const StackResults<Real>& a, const StackResults<Real>& b,
                      const std::string& what) {
  const auto one = arrays_of(a), other = arrays_of(b);
  ASSERT_EQ(one.size(), other.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    ASSERT_EQ(one[i].second.size(), other[i].second.size()) << one[i].first;
    for (const Real value : one[i].second) ASSERT_FALSE(std::isnan(value)) << one[i].first;
    compare_bits(what + ": " + one[i].first, one[i].second.data(), other[i].second.data(),
                 one[i].second.size() * sizeof(Real));
  }
}

// Sums that are cut elsewhere: relative to the array's largest number.
template <class Real>
void expect_close(const StackResults<Real>& a, const StackResults<Real>& b, double bound) {
  const auto one = arrays_of(a), other = arrays_of(b);
  for (std::size_t i = 0; i < one.size(); ++i) {
    double largest = 0, error = 0;
    for (std::size_t j = 0; j < one[i].second.size(); ++j) {
      largest = std::max(largest, std::abs(static_cast<double>(other[i].second[j])));
      const double apart =
          std::abs(static_cast<double>(one[i].second[j]) - static_cast<double>(other[i].second[j]));
      if (!(apart <= error)) error = apart;
    }
    EXPECT_TRUE(error <= bound * std::max(largest, 1e-3))
        << one[i].first << ": " << error << " of " << largest;
  }
}

}  // namespace support
