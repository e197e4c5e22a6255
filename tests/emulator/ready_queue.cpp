#include "emulator/ready_queue.h"

#include <utility>

#include "emulator/state.h"

namespace lacuna::emulator {

std::uint64_t xorshift(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

std::uint64_t scramble(std::uint64_t value) {
  value = (value ^ value >> 31) * 0x9e3779b97f4a7c15u;
  value = (value ^ value >> 29) * 0xbf58476d1ce4e5b9u;
  return value ^ value >> 32;
}

ReadyQueue::ReadyQueue(Order order, std::uint64_t seed, std::size_t capacity)
    : order_(order), seed_(seed), random_(scramble(seed) | 1), ring_(capacity) {}

std::size_t ReadyQueue::at(std::size_t offset) const {
  const std::size_t i = head_ + offset;
  return i < ring_.size() ? i : i - ring_.size();
}

void ReadyQueue::push(Fiber* fiber) { ring_[at(count_++)] = fiber; }

// Best of several candidates by a priority that each block keeps for a few thousand picks. A
// quarter of the seeds take one candidate, which favours nobody; the others two, four or eight.
std::size_t ReadyQueue::pick() {
  const unsigned candidates = 1u << seed_ % 4;
  const std::uint64_t epoch = picks_++ >> 12;
  std::size_t best = 0;
  std::uint64_t best_priority = 0;
  for (unsigned c = 0; c < candidates; ++c) {
    const std::size_t offset = ((xorshift(random_) >> 32) * count_) >> 32;
    if (candidates == 1) return offset;
    const Fiber* fiber = ring_[at(offset)];
    const std::uint64_t priority = scramble(seed_ + 31 * fiber->block_number + 7919 * epoch);
    if (c == 0 || priority > best_priority) best = offset, best_priority = priority;
  }
  return best;
}

Fiber* ReadyQueue::pop(bool fair) {
  if (count_ == 0) return nullptr;
  if (order_ == Order::reverse && !fair) return ring_[at(--count_)];
  if (order_ == Order::random) std::swap(ring_[head_], ring_[at(fair ? 0 : pick())]);
  Fiber* first = ring_[head_];
  head_ = at(1);
  --count_;
  return first;
}

}  // namespace lacuna::emulator
