// Which token a lane meets next. Sequences are dealt to lanes longest first and to and fro (0 1 2, 2 1 0, 0 1 2 ...), so
// that whoever had the longest of a round gets the shortest of the next. A lane that has read a sequence to its end begins
// its next one at once. Who shares a tile with whom changes no bit of any result.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/recurrence/sequences.h"
#include "kernels/simt/number.h"
#include "kernels/simt/warp.h"

namespace lacuna::resident {

// The position in SequenceView.order of a lane's sequence; beyond the last one: the lane has no more.
template <class N>
SIMT_BOTH N dealt_row(N round, N lane, N lanes) {
  return round * lanes + (round % 2 == 0 ? lane : lanes - 1 - lane);
}

// Numbers of 32 bits, for registers are what a tile has least of: batches of 2^31 tokens go stepwise.
struct Place {
  static constexpr std::uint32_t is_first = 1, is_last = 2;

  std::int32_t token = -1;     // < 0: the lane has none left
  std::int32_t sequence = -1;  // whose
  std::uint32_t ends =
      0;  // of its sequence's tokens, in the order they are read: is_first, is_last

  SIMT_DEVICE bool exists() const { return token >= 0; }
  SIMT_DEVICE bool first() const { return (ends & is_first) != 0; }
  SIMT_DEVICE bool last() const { return (ends & is_last) != 0; }
};

// backward: the same sequences, each from its last token to its first.
//
// What is read of a sequence is asked for while the one before it is walked, so that no step waits for it.
template <bool backward>
class Lane {
 public:
  // The lane `first + which`: a thread keeps the one number for all of its lanes.
  SIMT_DEVICE Lane(const SequenceView& sequences, std::int32_t first, std::int32_t lanes,
                   std::int32_t which = 0)
      : sequences_(sequences),
        first_(first),
        which_(which),
        lanes_(lanes),
        direction_(is_reading_down() ? -1 : 1) {}

  // Before the first next().
  SIMT_DEVICE void begin() {
    ask_ahead();
    ask_ahead();
  }

  // The next token. Sequences without tokens come last, for the longest come first: the first of them ends the lane.
  SIMT_DEVICE Place next() {
    const bool begins = left_ == 0;
    if (begins) {
      left_ = coming_end_ - coming_begin_;
      if (left_ == 0) return {};
      sequence_ = coming_;
      token_ = is_reading_down() ? coming_end_ - 1 : coming_begin_;
      ask_ahead();
    }
    --left_;
    const bool ends = left_ == 0;
    constexpr auto at_begin = backward ? Place::is_last : Place::is_first;
    constexpr auto at_end = backward ? Place::is_first : Place::is_last;
    const Place place{token_, sequence_, (begins ? at_begin : 0) | (ends ? at_end : 0)};
    token_ += direction_;
    return place;
  }

  // f(sequence) for every sequence without tokens.
  template <class F>
  SIMT_DEVICE void each_empty(F&& f) const {
    each_row([&](const SequenceReading& reading) {
      if (reading.length() == 0) f(static_cast<std::int32_t>(reading.sequence));
    });
  }

  // How many tokens the lane has in all, counted from its first sequence.
  SIMT_DEVICE std::int32_t count_tokens() const {
    std::int64_t tokens = 0;
    each_row([&](const SequenceReading& reading) { tokens += reading.length(); });
    return static_cast<std::int32_t>(tokens);
  }

 private:
  SIMT_DEVICE std::uint32_t lane() const { return simt::opaque(first_) + which_; }
  SIMT_DEVICE bool is_reading_down() const { return sequences_.reverse != backward; }
  // Fewer than 2^31, and lanes no more than a device walks at once: the first rows behind them have 32 bits, too.
  SIMT_DEVICE std::uint32_t count() const { return static_cast<std::uint32_t>(sequences_.count); }

  template <class F>
  SIMT_DEVICE void each_row(F&& f) const {
    std::uint32_t round = 0;
    for (std::uint32_t row = lane(); row < count(); row = dealt_row(++round, lane(), lanes_))
      f(sequences_.row(row));
  }

  // For the tokens of the sequence whose number has been asked for, and for the number of the one behind it.
  SIMT_DEVICE void ask_ahead() {
    coming_ = after_;
    coming_begin_ = coming_end_ = 0;
    if (coming_ >= 0) {
      coming_begin_ = static_cast<std::int32_t>(sequences_.offsets[coming_]);
      coming_end_ = static_cast<std::int32_t>(sequences_.offsets[coming_ + 1]);
    }
    const std::uint32_t row = dealt_row(round_++, lane(), lanes_);
    after_ = row < count() ? sequences_.order[row] : -1;
  }

  const SequenceView& sequences_;
  std::uint32_t first_, which_, lanes_, round_ = 0;
  std::int32_t direction_, left_ = 0, token_ = 0, sequence_ = -1;
  std::int32_t coming_ = -1, coming_begin_ = 0, coming_end_ = 0;  // the sequence behind this one
  std::int32_t after_ = -1;                                       // and the one behind that
};

// `n` lanes side by side.
template <bool backward, int n>
struct Lanes {
  Lane<backward> of[n];

  SIMT_DEVICE Lanes(const SequenceView& sequences, std::int32_t first, std::int32_t lanes)
      : Lanes(sequences, first, lanes, std::make_integer_sequence<int, n>()) {}

  SIMT_DEVICE void begin() {
    SIMT_UNROLL
    for (int i = 0; i < n; ++i) of[i].begin();
  }

 private:
  template <int... i>
  SIMT_DEVICE Lanes(const SequenceView& sequences, std::int32_t first, std::int32_t lanes,
                    std::integer_sequence<int, i...>)
      : of{Lane<backward>(sequences, first, lanes, i)...} {}
};

// The most tokens that a lane of this tile has; the same in every warp.
template <class Own, bool backward>
SIMT_DEVICE std::int32_t steps_of_tile(const SequenceView& sequences, int tile,
                                       std::int32_t lanes) {
  const auto count = [&](int lane) {
    return Lane<backward>(sequences, tile * Own::lanes_per_tile + lane, lanes).count_tokens();
  };
  if constexpr (Own::lanes_per_tile == 1) return count(0);
  const int thread = static_cast<int>(simt::lane_index());
  std::int32_t most = thread < Own::lanes_per_tile ? count(thread) : 0;
  SIMT_UNROLL
  for (unsigned toggle = 1; toggle < Own::lanes_per_tile; toggle *= 2) {
    const std::int32_t other = simt::shuffle_xor(most, toggle);
    most = other > most ? other : most;
  }
  return simt::shuffle(most, 0);
}

}  // namespace lacuna::resident
