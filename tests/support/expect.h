// The few lines that connect case strings and the comparer to GoogleTest.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "support/case.h"
#include "support/compare.h"
#include "support/guarded_buffer.h"

namespace support {

// EXPECT_TRUE(agrees("hidden", compare(...)));
inline testing::AssertionResult agrees(const std::string& name, const Comparison& comparison) {
  return (comparison ? testing::AssertionSuccess() : testing::AssertionFailure())
         << name << ": " << comparison.message;
}

// EXPECT_TRUE(guards_are_whole("hidden", buffer));
template <class T>
testing::AssertionResult guards_are_whole(const std::string& name, const GuardedBuffer<T>& buffer) {
  const std::string damage = buffer.damage();
  if (damage.empty()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << name << ": " << damage;
}

// A case string as GoogleTest wants names: letters, digits and underscores. 2-9+70 is 2to9plus70.
// Third argument of INSTANTIATE_TEST_SUITE_P over case strings.
inline std::string test_name(const testing::TestParamInfo<const char*>& info) {
  std::string name;
  for (const char* letter = info.param; *letter != 0; ++letter) {
    if (*letter == '-') {
      name += "to";
    } else if (*letter == '+') {
      name += "plus";
    } else {
      name += *letter;
    }
  }
  return name;
}

}  // namespace support
