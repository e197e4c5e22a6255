// An array that is NaN until something is written to it, with guards at both ends; for the tests of kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "support/guarded_buffer.h"

namespace support {

// All bytes 0xff: NaN in every floating type, 16-bit ones included.
template <class E>
class PoisonedArray {
 public:
  PoisonedArray() = default;  // no array: data() is null
  // `misaligned`: to its element and no more.
  explicit PoisonedArray(std::int64_t size, bool misaligned = false)
      : size_(size),
        shift_(misaligned ? 1 : 0),
        buffer_(std::make_unique<GuardedBuffer<E>>(static_cast<std::size_t>(size + shift_))) {
    poison();
  }

  E* data() { return buffer_ == nullptr ? nullptr : buffer_->data() + shift_; }
  const E* data() const { return buffer_ == nullptr ? nullptr : buffer_->data() + shift_; }
  std::int64_t size() const { return size_; }
  E& operator[](std::int64_t at) { return data()[at]; }
  const E& operator[](std::int64_t at) const { return data()[at]; }

  void poison() {
    if (buffer_ != nullptr)
      std::memset(static_cast<void*>(buffer_->data()), 0xff, buffer_->size() * sizeof(E));
  }
  bool is_poison(std::int64_t from, std::int64_t to) const {
    return std::all_of(bytes() + byte_of(from), bytes() + byte_of(to),
                       [](unsigned char byte) { return byte == 0xff; });
  }
  std::vector<unsigned char> bits() const {
    if (buffer_ == nullptr) return {};
    return {bytes(), bytes() + byte_of(size_)};
  }
  // Empty, or what was written beside the array.
  std::string damage() const {
    if (buffer_ == nullptr) return "";
    if (!is_poison(-shift_, 0)) return "the element before the array was overwritten";
    return buffer_->damage();
  }

 private:
  static std::int64_t byte_of(std::int64_t element) {
    return element * static_cast<std::int64_t>(sizeof(E));
  }
  const unsigned char* bytes() const { return reinterpret_cast<const unsigned char*>(data()); }

  std::int64_t size_ = 0, shift_ = 0;
  std::unique_ptr<GuardedBuffer<E>> buffer_;
};

}  // namespace support
