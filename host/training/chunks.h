// How long arrays are cut for a team: by their length alone, never by the number of threads, so
// that sums taken chunk by chunk and then over the chunks have the same bits on any machine.
#pragma once

#include <algorithm>
#include <cstdint>

#include "host/cpu/team.h"

namespace lacuna::training {

struct Chunks {
  static constexpr std::int64_t most = 64;

  // At most `number` chunks. `least` elements make one worth handing to a thread.
  Chunks(std::int64_t count, std::int64_t least, std::int64_t number = most)
      : count_(count), size_(std::max(least, (count + number - 1) / number)) {}

  std::int64_t number() const { return (count_ + size_ - 1) / size_; }
  std::int64_t begin(std::int64_t chunk) const { return chunk * size_; }
  std::int64_t end(std::int64_t chunk) const { return std::min(count_, (chunk + 1) * size_); }

  // work(begin, end, chunk)
  template <class Work>
  void run(cpu::Team& team, Work&& work) const {
    team.run(number(), [&](std::int64_t chunk, int) { work(begin(chunk), end(chunk), chunk); });
  }

 private:
  std::int64_t count_, size_;
};

}  // namespace lacuna::training
