// What a plan says of itself and of a batch, through the C++ layer.
#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/refusal.h"

namespace {

TEST(PlanExplain, SaysMoreWhereItKnowsTheLengths) {
  const auto context = lacuna::Context::cpu({.threads = 1});
  const lacuna::Plan plan(context, lacuna::gru_d(3, 8), {.tokens = 100, .sequences = 8});
  const std::string of_plan = plan.explain();
  EXPECT_EQ(plan.explain(std::vector<std::int64_t>{0, 40, 40, 50}),
            of_plan +
                "batch      50 tokens in 3 sequences, 1 of them empty, the longest of 40 tokens\n"
                "lanes      2 in 2 group(s); idle are 0 % of 50 steps of lanes\n");
  EXPECT_EQ(plan.explain(std::span<const std::int64_t>{}),
            of_plan +
                "batch      0 tokens in 0 sequences, 0 of them empty, the longest of 0 tokens\n"
                "lanes      0 in 0 group(s); idle are 0 % of 0 steps of lanes\n");
  EXPECT_NE(support::refusal(
                [&] {
                  (void)plan.explain(std::vector<std::int64_t>{0, 101});
                },
                lacuna::Status::capacity_exceeded)
                .find("offsets[1]: 101 tokens"),
            std::string::npos);
}

}  // namespace
