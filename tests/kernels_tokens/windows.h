// Random windows of random batches, for the kernels that move rows between the two.
#pragma once
#include "host/rows.h"
#include "kernels/tokens/window.h"
#include "kernels_tokens/batches.h"

namespace lacuna::token_tests {

class Window {
 public:
  // Windows of `segment` tokens: one that all sequences reach, that some do, or that none does.
  Window(std::int64_t sequences, support::Random& random) {
    const std::int64_t longest = 1 + random.below(40);
    for (std::int64_t b = 0; b < sequences; ++b)
      offsets_.push_back(offsets_.back() + (random.chance(0.2) ? 0 : random.below(longest + 1)));
    const std::int64_t segment = 1 + random.below(longest + 5);
    rows_.sequences = sequences;
    rows_.count = segment;
    rows_.first = segment * random.below(longest / segment + 2);
    rows_.reverse = random.chance(0.5);
    for (std::int64_t b = 0; b < sequences; ++b)
      packed_.push_back(packed_.back() +
                        std::clamp<std::int64_t>(length(b) - rows_.first, 0, rows_.count));
    rows_.offsets = offsets_.data();
    rows_.packed = packed_.data();
    prepared_.resize(size(window_offsets(sequences)), -1);
    if (sequences > 0)
      write_window(nullptr, rows_.offsets, rows_.packed, sequences + 1, prepared_.data());
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  const WindowRows& rows() const { return rows_; }
  DeviceWindow device() const {
    return {rows_.sequences, rows_.first,      rows_.count,
            rows_.reverse,   prepared_.data(), prepared_.data() + rows_.sequences + 1};
  }
  std::int64_t tokens() const { return offsets_.back(); }
  std::int64_t length(std::int64_t b) const { return offsets_[size(b + 1)] - offsets_[size(b)]; }

 private:
  std::vector<std::int64_t> offsets_{0}, packed_{0}, prepared_;
  WindowRows rows_;
};

// Few sequences, none, or more than one launch's parameters hold.
inline std::int64_t random_sequences(support::Random& random) {
  return random.chance(0.05) ? 300 + random.below(400) : random.below(9);
}

}  // namespace lacuna::token_tests
