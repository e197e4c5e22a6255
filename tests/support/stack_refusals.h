// What tests of refused calls on stacks share: a right description, and what a refusal looks like.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/library_run.h"

namespace stack_refusals {

inline lacuna_layer layer(std::int64_t features, std::int64_t hidden, lacuna_impute impute) {
  lacuna_layer out{};
  out.cell = LACUNA_LSTM;
  out.impute = impute;
  out.evolve = LACUNA_EVOLVE_DECAY_STEP;
  out.features = features;
  out.hidden = hidden;
  return out;
}

inline void expect_refusal(lacuna_status status, lacuna_status expected,
                           const std::string& message) {
  EXPECT_EQ(status, expected) << lacuna_last_error();
  EXPECT_NE(std::string(lacuna_last_error()).find(message), std::string::npos)
      << "the message is \"" << lacuna_last_error() << "\", expected in it: \"" << message << '"';
}

struct Description {
  std::vector<lacuna_layer> layers{layer(3, 4, LACUNA_IMPUTE_FORWARD),
                                   layer(4, 4, LACUNA_IMPUTE_NONE)};
  lacuna_stack stack{};
  Description() {
    stack.layers = layers.data();
    stack.count = 2;
  }
};

}  // namespace stack_refusals
