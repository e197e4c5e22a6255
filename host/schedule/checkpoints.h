// Where to keep states, so that a chain of steps can be walked back in little memory at the least recomputation:
// Griewank & Walther's binomial checkpointing (ACM TOMS 26, 2000), which Gruslys et al. (NeurIPS 2016) brought to BPTT.
//
// A forward sweep passes every step once and leaves states in `slots`, that of the first step among them. Walking back, a
// step whose tape is gone is run again from the nearest state before it. With R(n, s) the steps run again for n steps
// and s slots, and a next state kept m steps on,
//
//     R(1, s) = 0,    R(n, s) = min over m of R(n-m, s-1) + m + R(m, s)
//
// the part behind the kept state, then a new sweep over the part before it, then that part's own.
#pragma once

#include <cstdint>
#include <vector>

namespace lacuna::schedule {

class Checkpoints {
 public:
  // steps >= 1, 1 <= slots. More slots than steps are as good as one for each.
  Checkpoints(std::int64_t steps, std::int64_t slots);

  // R(steps, slots).
  std::int64_t recomputed() const { return recomputed(steps_, slots_); }
  std::int64_t recomputed(std::int64_t steps, std::int64_t slots) const;
  // The fewest slots with which steps are run again no more than `times` times on average.
  static std::int64_t fewest_slots(std::int64_t steps, std::int64_t times);
  // How far on the next state is kept: 1 .. steps-1, for steps >= 2. Where there is no further slot it is steps-1: the
  // last step is reached, and its state is needed no longer than itself.
  std::int64_t advance(std::int64_t steps, std::int64_t slots) const;

 private:
  std::size_t at(std::int64_t steps, std::int64_t slots) const;

  std::int64_t steps_, slots_;
  struct Entry {
    std::int32_t cost, advance;
  };
  std::vector<Entry> table_;  // [slots, steps], from (1, 1)
};

}  // namespace lacuna::schedule
