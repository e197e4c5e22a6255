// The cases in which the stepwise recurrence must give the same bits, and their runs.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "support/generate.h"
#include "support/stepwise_run.h"

namespace support::stepwise {

using Bits = std::map<std::string, std::vector<unsigned char>>;

inline const std::vector<std::string> cells = {"rnn_tanh", "rnn_relu", "rnn_euler",
                                               "lstm",     "gru",      "gru_reset_before"};
inline const std::vector<std::string> evolves = {"none", "decay", "decay_step", "relax"};

// Every stage at work: rows that do not fire, initial states, sequences without a token.
inline std::string case_of(const std::string& cell, const std::string& evolve, int hidden) {
  return cell + "+forward+" + evolve + "_f32_n5_d2_h" + std::to_string(hidden) +
         "_len0-4+6_miss75_eo_init_seed7";
}

struct Data {
  Case c;
  reference::Parameters parameters;
  reference::Batch batch;
  reference::Upstream upstream;

  explicit Data(const std::string& text)
      : c(parse_case(text)),
        parameters(make_parameters(c)),
        batch(make_batch(c)),
        upstream(make_upstream(c)) {}

  template <class T>
  Bits bits(const StepwiseOptions& options = {}) const {
    StepwiseRun<T> run(c.layer, parameters, batch, upstream, options);
    run.run();
    return run.bits;
  }
};

// Of the arrays that both have.
inline void expect_equal(const Bits& result, const Bits& expected, const std::string& what) {
  for (const auto& [name, bytes] : result)
    EXPECT_EQ(bytes, expected.at(name)) << what << ": " << name;
}

template <class F>
void for_each_model(int hidden, F&& f) {
  for (const auto& cell : cells)
    for (const auto& evolve : evolves) {
      const std::string text = case_of(cell, evolve, hidden);
      SCOPED_TRACE(text);
      f(Data(text));
    }
}

}  // namespace support::stepwise
