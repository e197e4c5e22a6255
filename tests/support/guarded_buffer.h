// An array for outputs that tells when it was not written in full, or written beside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace support {

// `size` elements, aligned to 64 bytes, with a guard of known bytes before and behind. Floating
// elements start as NaN, so that one which is never written fails every comparison; others start
// as the guard's byte.
template <class T>
class GuardedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t guard_bytes = 256;  // keeps the elements' alignment
  static constexpr unsigned char guard_byte = 0xa5;

  explicit GuardedBuffer(std::size_t size)
      : size_(size), memory_(new (alignment) unsigned char[bytes()]) {
    std::memset(memory_, guard_byte, bytes());
    if constexpr (std::is_floating_point_v<T>) {
      for (T& element : span()) element = std::numeric_limits<T>::quiet_NaN();
    }
  }
  explicit GuardedBuffer(std::span<const T> content) : GuardedBuffer(content.size()) {
    if (!content.empty()) std::memcpy(data(), content.data(), content.size_bytes());
  }
  explicit GuardedBuffer(const std::vector<T>& content)
      : GuardedBuffer(std::span<const T>(content)) {}
  ~GuardedBuffer() { ::operator delete[](memory_, alignment); }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  std::size_t size() const { return size_; }
  T* data() { return reinterpret_cast<T*>(memory_ + guard_bytes); }
  const T* data() const { return reinterpret_cast<const T*>(memory_ + guard_bytes); }
  std::span<T> span() { return {data(), size_}; }
  std::span<const T> span() const { return {data(), size_}; }
  std::vector<T> vector() const { return {data(), data() + size_}; }

  // All of it, guards included.
  unsigned char* raw() { return memory_; }
  std::size_t raw_bytes() const { return bytes(); }

  // Empty when both guards are whole, else which one was written to and where.
  std::string damage() const {
    for (std::size_t byte = 0; byte < guard_bytes; ++byte) {
      const std::size_t nearest = guard_bytes - 1 - byte;
      if (memory_[nearest] != guard_byte) {
        return "byte " + std::to_string(byte + 1) + " before the buffer was overwritten";
      }
    }
    const unsigned char* behind = memory_ + guard_bytes + size_ * sizeof(T);
    for (std::size_t byte = 0; byte < guard_bytes; ++byte) {
      if (behind[byte] != guard_byte) {
        return "byte " + std::to_string(byte + 1) + " behind the buffer was overwritten";
      }
    }
    return "";
  }

 private:
  static constexpr std::align_val_t alignment{64};
  std::size_t bytes() const { return 2 * guard_bytes + size_ * sizeof(T); }

  std::size_t size_;
  unsigned char* memory_;
};

}  // namespace support
