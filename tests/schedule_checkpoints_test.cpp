// Where states are kept: as good as the best way that trying all of them finds, and a walk that follows it needs what it says.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "host/schedule/checkpoints.h"

namespace {

using lacuna::schedule::Checkpoints;

// R(n, s) by its definition, every place tried.
std::int64_t least(std::int64_t n, std::int64_t s,
                   std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t>& known) {
  if (n == 1) return 0;
  const auto found = known.find({n, s});
  if (found != known.end()) return found->second;
  std::int64_t best = n - 1 + least(n - 1, s, known);
  if (s > 1)
    for (std::int64_t m = 1; m < n; ++m)
      best = std::min(best, least(n - m, s - 1, known) + m + least(m, s, known));
  return known[{n, s}] = best;
}

TEST(Checkpoints, RecomputeNoMoreThanTheBestOfAllWays) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> known;
  for (std::int64_t n = 1; n <= 60; ++n)
    for (std::int64_t s = 1; s <= 12; ++s)
      EXPECT_EQ(Checkpoints(n, s).recomputed(), least(n, s, known)) << n << " steps, " << s;
}

// Walks a chain as the plan says and counts.
struct Walk {
  const Checkpoints& plan;
  std::int64_t run_again = 0, kept = 1, most_kept = 1;

  // Steps first .. first+n-1, a sweep over which has just left its last tape.
  void back(std::int64_t n, std::int64_t slots) {
    if (n == 1) return;
    const std::int64_t m = plan.advance(n, slots);
    if (slots > 1) most_kept = std::max(most_kept, ++kept);
    back(n - m, std::max<std::int64_t>(slots - 1, 1));
    if (slots > 1) --kept;
    run_again += m;
    back(m, slots);
  }
};

TEST(Checkpoints, AWalkRunsAgainWhatWasSaidInTheSlotsItHas) {
  for (const std::int64_t n : {1, 2, 3, 7, 40, 157, 1000})
    for (const std::int64_t s : {1, 2, 3, 5, 9, 40, 2000}) {
      const Checkpoints plan(n, s);
      Walk walk{plan};
      walk.back(n, s);
      EXPECT_EQ(walk.run_again, plan.recomputed()) << n << " steps, " << s;
      EXPECT_LE(walk.most_kept, s) << n;
    }
}

TEST(Checkpoints, WithASlotForEachStepAllButTheLastRunOnceAgain) {
  for (const std::int64_t n : {1, 2, 17, 1000}) EXPECT_EQ(Checkpoints(n, n).recomputed(), n - 1);
}

TEST(Checkpoints, FewSlotsKeepRepetitionInBounds) {
  for (const std::int64_t n : {1, 2, 50, 1000})
    for (const std::int64_t times : {1, 3, 10}) {
      const std::int64_t slots = Checkpoints::fewest_slots(n, times);
      EXPECT_LE(Checkpoints(n, slots).recomputed(), times * n);
      if (slots > 1) {
        EXPECT_GT(Checkpoints(n, slots - 1).recomputed(), times * n);
      }
    }
}

}  // namespace
