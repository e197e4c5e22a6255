// Who takes part in a step: rows of the recurrence, sorted so that the longest sequences come first, and the tokens they
// read. Shared by every regime of the recurrence.
#pragma once

#include <cstdint>

#include "kernels/simt/platform.h"

namespace lacuna {

// One sequence, in the order in which its tokens are read.
struct SequenceReading {
  std::int64_t sequence;
  std::int64_t begin, end;  // its tokens
  bool reverse;

  SIMT_BOTH std::int64_t length() const { return end - begin; }
  SIMT_BOTH std::int64_t token(std::int64_t step) const {
    return reverse ? end - 1 - step : begin + step;
  }
};

struct SequenceView {
  const std::int64_t* offsets = nullptr;  // [count + 1]
  const std::int32_t* order = nullptr;    // [count]: the sequence of each row, longest first
  std::int64_t count = 0;
  bool reverse = false;

  SIMT_DEVICE SequenceReading row(std::int64_t r) const {
    const std::int64_t sequence = order[r];
    return {sequence, offsets[sequence], offsets[sequence + 1], reverse};
  }
};

// fires [N]: 0 where a token only evolves the state; null: every token's cell fires.
SIMT_DEVICE bool does_fire(const std::uint8_t* fires, std::int64_t token) {
  return fires == nullptr || fires[token] != 0;
}

}  // namespace lacuna
