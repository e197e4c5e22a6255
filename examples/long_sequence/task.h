// A question that can only be answered by remembering: the first tokens of a sequence carry a code, a
// thousand tokens that look the same follow, and the code is asked for at the end.
#pragma once

#include <cstdint>
#include <vector>

#include "lacuna/lacuna.hpp"

namespace long_sequence {

struct Task {
  int length = 1000;     // tokens of a sequence, give or take a tenth
  int cue = 10;          // how many of them, the first ones, carry the code
  int bits = 3;          // of the code
  double missing = 0.4;  // of what stands after the cue

  int classes() const { return 1 << bits; }
  // The bits, and a flag that is 1 in the cue and 0 after it.
  int features() const { return bits + 1; }
  int longest() const { return length + length / 10; }
  double chance() const { return 1.0 / classes(); }
};

// Sequences back to back; NaN: not measured.
struct Sequences {
  std::vector<std::int64_t> offsets{0};  // [B + 1]
  std::vector<double> times;             // [N]
  std::vector<float> values;             // [N, D]
  std::vector<std::int32_t> codes;       // [B]: the right answers

  std::size_t count() const { return codes.size(); }
  std::size_t tokens() const { return times.size(); }
  lacuna::Batch<float> view() const {
    return {.offsets = offsets, .values = values, .times = times};
  }
};

// The same seed gives the same sequences, and seeds share none: nobody is tested on what it has seen.
Sequences draw(const Task& task, std::size_t count, std::uint64_t seed);

// The share of rows of `logits` [B, classes] whose largest entry is the right one.
double accuracy(const std::vector<float>& logits, const std::vector<std::int32_t>& codes);

}  // namespace long_sequence
