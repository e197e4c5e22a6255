// Rows that the next step will read or write, asked for a few cache lines at a time while this step multiplies. Lanes are
// far apart in memory and their rows short, so the hardware does not see them coming; asked for all at once, they would
// fill the queue of misses and stop the products they should hide behind.
#pragma once

#include <algorithm>
#include <cstdint>

#include "host/plan/layout.h"

namespace lacuna::cpu {

class Ahead {
 public:
  void clear() { count_ = next_ = 0; }

  template <class T>
  void add(const T* row, std::int64_t elements) {
    // A long row is left to the hardware after its first lines.
    constexpr std::int64_t most_bytes = 32 * line;
    if (count_ == ranges) return;
    // From the start of its first line: counted from its own, a row could end in a line that nobody asks for.
    const char* const begin = reinterpret_cast<const char*>(row);
    const std::int64_t bytes = elements * static_cast<std::int64_t>(sizeof(T));
    range_[count_++] = {begin - reinterpret_cast<std::uintptr_t>(row) % line,
                        begin + std::min(bytes, most_bytes)};
  }

  // The next `lines` of them.
  void pull(int lines) {
    while (next_ < count_) {
      Range& range = range_[next_];
      for (; range.at < range.end; range.at += line) {
        if (lines-- == 0) return;
        __builtin_prefetch(range.at, 0, 2);
      }
      ++next_;
    }
  }

 private:
  static constexpr int ranges = 7 * static_cast<int>(most_lanes);
  static constexpr std::int64_t line = 64;
  struct Range {
    const char *at, *end;
  };
  Range range_[ranges];
  int count_ = 0, next_ = 0;
};

}  // namespace lacuna::cpu
