// What the C++ layer says when it refuses.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "lacuna/lacuna.hpp"

namespace support {

// The message of the lacuna::Error that `work` throws, whose status has to be `expected`.
template <class Work>
std::string refusal(Work&& work, lacuna::Status expected = lacuna::Status::invalid_argument) {
  try {
    work();
  } catch (const lacuna::Error& error) {
    EXPECT_EQ(error.status(), expected) << error.what();
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace support
