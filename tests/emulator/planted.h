// What tests of planted bugs expect.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "emulator/sample_runs.h"

namespace lacuna::planted {

// The error of `run`; empty if there was none.
inline std::string error_of(const std::function<double()>& run) {
  try {
    run();
    return {};
  } catch (const emulator::Error& error) {
    return error.what();
  }
}

// An error in every order of threads, with all `parts` in its text.
inline void expect_error(const std::function<double()>& run,
                         const std::vector<std::string>& parts) {
  for (const auto& settings : sample::thread_orders(10)) {
    const emulator::WithSettings with(settings);
    const std::string error = error_of(run);
    for (const auto& part : parts)
      EXPECT_NE(error.find(part), std::string::npos)
          << sample::name_of(settings) << ": \"" << error << "\" lacks \"" << part << '"';
  }
}

}  // namespace lacuna::planted
