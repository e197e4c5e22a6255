// How a call of the C ABI is refused: a message for this thread's lacuna_last_error(), then an
// exception that ends at the border. Messages are built in place, without memory and whatever the
// locale, because running out of memory needs one too.
#pragma once

#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lacuna/lacuna.h"

namespace lacuna::api {

// Caught by guarded(), which returns `status`.
struct Refusal {
  lacuna_status status;
};

// A pointer, to be written as a number: a bare one would catch string literals too.
struct Address {
  const void* pointer;
};

class Message {
 public:
  const char* text() const { return text_; }
  void clear() { text_[length_ = 0] = '\0'; }

  // What does not fit is cut off.
  void append(std::string_view part) {
    for (const char letter : part)
      if (length_ + 1 < sizeof text_) text_[length_++] = letter;
    text_[length_] = '\0';
  }
  template <std::integral Integer>
  void append(Integer number) {
    append_number(number);
  }
  template <std::floating_point Real>
  void append(Real number) {
    // A time stamp reads as 1700000000, not as the shorter 1.7e+09.
    if (std::abs(number) >= Real(1e-5) && std::abs(number) < Real(1e15))
      append_number(number, std::chars_format::fixed);
    else
      append_number(number);
  }
  void append(Address address) {
    append("0x");
    append_number(reinterpret_cast<std::uintptr_t>(address.pointer), 16);
  }

 private:
  template <class Number, class... Format>
  void append_number(Number number, Format... format) {
    char digits[64];
    const auto end = std::to_chars(digits, digits + sizeof digits, number, format...).ptr;
    append(std::string_view(digits, static_cast<std::size_t>(end - digits)));
  }

  char text_[1024] = "";
  std::size_t length_ = 0;
};

// This thread's.
Message& last_error();

// refuse(LACUNA_INVALID_ARGUMENT, "batch.delta_t[", 5, "]: ", -0.25, ", expected a finite number >=
// 0");
template <class... Parts>
[[noreturn]] void refuse(lacuna_status status, const Parts&... parts) {
  Message& message = last_error();
  message.clear();
  (message.append(parts), ...);
  throw Refusal{status};
}

}  // namespace lacuna::api
