#include "host/schedule/checkpoints.h"

#include <algorithm>

namespace lacuna::schedule {

Checkpoints::Checkpoints(std::int64_t steps, std::int64_t slots)
    : steps_(steps), slots_(std::min(slots, steps)) {
  table_.resize(static_cast<std::size_t>(steps_ * slots_));
  for (std::int64_t s = 1; s <= slots_; ++s) {
    table_[at(1, s)] = {0, 0};
    std::int64_t m = 1;
    for (std::int64_t n = 2; n <= steps_; ++n) {
      const auto cost = [&](std::int64_t m) {
        return recomputed(n - m, s - 1) + m + recomputed(m, s);
      };
      // The costs are convex in m and the best m does not fall as n rises, so one pass finds it for all n.
      if (s == 1) {
        m = n - 1;
      } else {
        while (m + 1 < n && cost(m + 1) <= cost(m)) ++m;
      }
      table_[at(n, s)] = {static_cast<std::int32_t>(cost(m)), static_cast<std::int32_t>(m)};
    }
  }
}

std::int64_t Checkpoints::fewest_slots(std::int64_t steps, std::int64_t times) {
  std::int64_t enough = 1;
  while (enough < steps && Checkpoints(steps, enough).recomputed() > times * steps) enough *= 2;
  const Checkpoints plan(steps, enough);  // its table has the costs of all fewer slots, too
  std::int64_t slots = 1;
  while (slots < steps && plan.recomputed(steps, slots) > times * steps) ++slots;
  return slots;
}

std::size_t Checkpoints::at(std::int64_t steps, std::int64_t slots) const {
  return static_cast<std::size_t>((slots - 1) * steps_ + steps - 1);
}

std::int64_t Checkpoints::recomputed(std::int64_t steps, std::int64_t slots) const {
  if (steps <= 1) return 0;
  return table_[at(steps, std::min(slots, slots_))].cost;
}

std::int64_t Checkpoints::advance(std::int64_t steps, std::int64_t slots) const {
  return table_[at(steps, std::min(slots, slots_))].advance;
}

}  // namespace lacuna::schedule
