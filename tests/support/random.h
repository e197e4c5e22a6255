// Random numbers that are the same on every machine and with every standard library.
#pragma once

#include <cstdint>

namespace support {

// splitmix64 (Steele, Lea and Flood 2014): a counter and a mixing function.
class Random {
 public:
  explicit Random(std::uint64_t seed) : counter_(seed) {}

  std::uint64_t next() {
    counter_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = counter_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // In [low, high).
  double uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>(next() >> 11) * 0x1p-53);
  }

  // In 0 .. count-1; count far below 2^64, so that its bias is of no concern.
  std::int64_t below(std::int64_t count) {
    return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(count));
  }

  bool chance(double probability) { return uniform(0, 1) < probability; }

 private:
  std::uint64_t counter_;
};

}  // namespace support
