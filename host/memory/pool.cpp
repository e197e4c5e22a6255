#include "host/memory/pool.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

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

// The bytes of the class with this index: the inverse of size_class.
std::size_t class_bytes(std::size_t index) {
  if (index < 4) return (index + 1) * alignment;
  const std::size_t half = std::size_t{1} << (index / 4 + 1);
  return (half + (index % 4 + 1) * (half / 4)) * alignment;
}

// A tape is walked in many places at once, a few rows each: with small pages every other row costs
// a look-up of its page. Large blocks therefore start at a huge page's border and ask for huge
// pages.
constexpr std::size_t huge_page = std::size_t{2} << 20;

std::align_val_t alignment_of(std::size_t bytes) {
  return std::align_val_t{bytes >= huge_page ? huge_page : alignment};
}

void* from_system(std::size_t bytes) {
  void* const block = ::operator new(bytes, alignment_of(bytes), std::nothrow);
#if defined(__linux__)
  if (block && bytes >= huge_page)
    (void)madvise(block, bytes, MADV_HUGEPAGE);  // advice: a refusal costs speed alone
#endif
  return block;
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
  return from_system(size.bytes);
}

void Pool::give(void* block, std::size_t bytes) noexcept {
  const SizeClass size = size_class(bytes);
  {
    const std::lock_guard lock(mutex_);
    if (most_kept_ == 0 || bytes_kept_ + size.bytes <= most_kept_) {
      kept_[size.index] = new (block) Kept{kept_[size.index]};
      bytes_kept_ += size.bytes;
      return;
    }
  }
  ::operator delete(block, alignment_of(size.bytes));
}

void Pool::trim() noexcept {
  std::array<Kept*, 256> released{};
  {
    const std::lock_guard lock(mutex_);
    std::swap(released, kept_);
    bytes_kept_ = 0;
  }
  for (std::size_t index = 0; index < released.size(); ++index) {
    for (Kept* block = released[index]; block;) {
      Kept* const next = block->next;
      ::operator delete(block, alignment_of(class_bytes(index)));
      block = next;
    }
  }
}

std::size_t Pool::bytes_kept() const {
  const std::lock_guard lock(mutex_);
  return bytes_kept_;
}

}  // namespace lacuna::memory
