#include "host/memory/pool.h"

#include <bit>
#include <cstdint>
#include <new>
#include <utility>

namespace lacuna::memory {
namespace {

struct SizeClass {
  std::size_t index;
  std::size_t bytes;
};

// Multiples of 64 bytes, four classes to each doubling: at most a quarter of a block is slack, and
// that part of it is never touched, so it costs address space rather than memory.
SizeClass size_class(std::size_t bytes) {
  const std::size_t units = (bytes - 1) / alignment + 1;
  if (units <= 4) return {units - 1, units * alignment};
  const auto octave =
      static_cast<std::size_t>(std::bit_width(units - 1));  // units in (2^(octave-1), 2^octave]
  const std::size_t half = std::size_t{1} << (octave - 1);
  const std::size_t step = half / 4;
  const std::size_t steps = (units - half - 1) / step + 1;  // 1 .. 4
  return {4 * (octave - 2) + steps - 1, (half + steps * step) * alignment};
}

// Beyond it the rounding up would overflow; no machine has it.
constexpr std::size_t largest_block = SIZE_MAX / 4;

}  // namespace

void* Pool::take(std::size_t bytes) {
  if (bytes > largest_block) return nullptr;
  const SizeClass size = size_class(bytes);
  {
    const std::lock_guard lock(mutex_);
    if (Kept* const block = kept_[size.index]) {
      kept_[size.index] = block->next;
      bytes_kept_ -= size.bytes;
      return block;
    }
  }
  return ::operator new (size.bytes, std::align_val_t{alignment}, std::nothrow);
}

void Pool::give(void* block, std::size_t bytes) noexcept {
  const SizeClass size = size_class(bytes);
  const std::lock_guard lock(mutex_);
  kept_[size.index] = new (block) Kept{kept_[size.index]};
  bytes_kept_ += size.bytes;
}

void Pool::trim() noexcept {
  std::array<Kept*, 256> released{};
  {
    const std::lock_guard lock(mutex_);
    std::swap(released, kept_);
    bytes_kept_ = 0;
  }
  for (Kept* block : released) {
    while (block) {
      Kept* const next = block->next;
      ::operator delete (block, std::align_val_t{alignment});
      block = next;
    }
  }
}

std::size_t Pool::bytes_kept() const {
  const std::lock_guard lock(mutex_);
  return bytes_kept_;
}

}  // namespace lacuna::memory
