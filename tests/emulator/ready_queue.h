// The threads that can run, and which of them goes next.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "emulator/emulator.h"

namespace lacuna::emulator {

struct Fiber;

class ReadyQueue {
 public:
  ReadyQueue(Order order, std::uint64_t seed, std::size_t capacity);
  void push(Fiber* fiber);
  // Null when empty. `fair`: first come, first served, whatever the order: while threads only poll,
  // each must get its turn.
  Fiber* pop(bool fair);
  std::size_t size() const { return count_; }

 private:
  std::size_t at(std::size_t offset) const;
  std::size_t pick();

  Order order_;
  std::uint64_t seed_, random_, picks_ = 0;
  std::vector<Fiber*> ring_;
  std::size_t head_ = 0, count_ = 0;
};

// A step of a small pseudo-random generator, and a hash, enough to shuffle threads by.
std::uint64_t xorshift(std::uint64_t& state);
std::uint64_t scramble(std::uint64_t value);

}  // namespace lacuna::emulator
