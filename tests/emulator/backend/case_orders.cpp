// Linked into programs of tests that run the emulated backend: each case has orders of threads of its own, and a failure says
// in which the latest call ran.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "emulator/backend/backend.h"

namespace {

namespace backend = lacuna::emulated_backend;

class CaseOrders final : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo& test) override {
    backend::begin_case(std::string(test.test_suite_name()) + "." + test.name());
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    const backend::Call last = backend::latest_call();
    if (!result.failed() || last.call == 0) return;
    const auto number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
    constexpr const char* orders[] = {"forward", "reverse", "random"};
    std::printf("emulated: the latest call ran its threads in order %s, seed %llu: call %llu of ",
                orders[static_cast<int>(last.order)], number(last.seed), number(last.call));
    if (last.asked != 0)
      std::printf("those asked to take orders from seed %llu\n", number(last.asked));
    else
      std::printf("this case, which repeats it\n");
    std::fflush(stdout);
  }
};

[[maybe_unused]] const bool listens = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new CaseOrders);
  return true;
}();

}  // namespace
