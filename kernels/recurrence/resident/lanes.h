// Which token a lane meets next. Sequences are dealt to lanes longest first and to and fro (0 1 2, 2 1 0, 0 1 2 ...), so
// that whoever had the longest of a round gets the shortest of the next. A lane that has read a sequence to its end begins
// its next one at once. Who shares a tile with whom changes no bit of any result.
#pragma once

#include <cstdint>

#include "kernels/recurrence/sequences.h"

namespace lacuna::resident {

// The position in SequenceView.order of a lane's sequence; beyond the last one: the lane has no more.
SIMT_BOTH std::int64_t dealt_row(std::int64_t round, std::int64_t lane, std::int64_t lanes) {
  return round * lanes + (round % 2 == 0 ? lane : lanes - 1 - lane);
}

// Numbers of 32 bits, for registers are what a tile has least of: batches of 2^31 tokens go stepwise.
struct Place {
  std::int32_t token = -1;           // < 0: the lane has none left
  std::int32_t sequence = -1;        // whose
  bool first = false, last = false;  // of its sequence's tokens, in the order they are read

  SIMT_DEVICE bool exists() const { return token >= 0; }
};

// backward: the same sequences, each from its last token to its first.
template <bool backward>
class Lane {
 public:
  SIMT_DEVICE Lane(const SequenceView& sequences, std::int32_t lane, std::int32_t lanes)
      : sequences_(sequences), lane_(lane), lanes_(lanes) {}

  // The next token. empty(sequence) is called for every sequence without tokens that is passed on the way.
  template <class F>
  SIMT_DEVICE Place next(F&& empty) {
    bool begins = false;
    while (left_ == 0) {
      const std::int64_t row = dealt_row(round_, lane_, lanes_);
      if (row >= sequences_.count) return {};
      ++round_;
      const SequenceReading reading = sequences_.row(row);
      sequence_ = static_cast<std::int32_t>(reading.sequence);
      left_ = static_cast<std::int32_t>(reading.length());
      if (left_ == 0) {
        empty(sequence_);
      } else {
        token_ = static_cast<std::int32_t>(reading.token(backward ? left_ - 1 : 0));
        begins = true;
      }
    }
    --left_;
    const bool ends = left_ == 0;
    const Place place{token_, sequence_, backward ? ends : begins, backward ? begins : ends};
    token_ += sequences_.reverse != backward ? -1 : 1;
    return place;
  }

  // How many tokens the lane has in all, counted from its first sequence.
  SIMT_DEVICE std::int32_t count_tokens() const {
    std::int64_t tokens = 0, round = 0;
    for (std::int64_t row = lane_; row < sequences_.count; row = dealt_row(++round, lane_, lanes_))
      tokens += sequences_.row(row).length();
    return static_cast<std::int32_t>(tokens);
  }

 private:
  const SequenceView& sequences_;
  std::int32_t lane_, lanes_;
  std::int32_t round_ = 0, left_ = 0, token_ = 0, sequence_ = -1;
};

}  // namespace lacuna::resident
