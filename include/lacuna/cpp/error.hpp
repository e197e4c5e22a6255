// How a failure reaches a C++ user, and the size checks that spans make possible and bare pointers
// do not.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "lacuna/lacuna.h"

namespace lacuna {

enum class Status {
  ok = LACUNA_OK,
  invalid_argument = LACUNA_INVALID_ARGUMENT,
  capacity_exceeded = LACUNA_CAPACITY_EXCEEDED,
  mismatch = LACUNA_MISMATCH,
  out_of_memory = LACUNA_OUT_OF_MEMORY,
  unsupported = LACUNA_UNSUPPORTED,
  internal = LACUNA_INTERNAL,
  device_error = LACUNA_DEVICE_ERROR,
};

// what() names the argument, its value and what was expected. The objects of the failed call stay
// usable.
class Error : public std::runtime_error {
 public:
  Error(Status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  Status status() const noexcept { return status_; }

 private:
  Status status_;
};

namespace detail {

inline void check(lacuna_status status) {
  if (status != LACUNA_OK) throw Error(static_cast<Status>(status), lacuna_last_error());
}

[[noreturn]] inline void refuse(const std::string& message) {
  throw Error(Status::invalid_argument, message);
}

// As messages write a value.
inline std::string words(bool value) { return value ? "true" : "false"; }
inline std::string words(std::int64_t value) { return std::to_string(value); }
inline std::string words(double value) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

// One side of an array's shape, with the name it has in messages.
struct Extent {
  std::string_view name;
  std::int64_t count;
};

inline std::string text_of(Extent extent) {
  return std::string(extent.name) + " " + std::to_string(extent.count);
}

// Division, not multiplication: rows * columns of a hostile batch could overflow.
inline bool has_shape(std::size_t size, Extent rows, Extent columns) {
  if (rows.count < 0 || columns.count < 0) return false;
  if (rows.count == 0 || columns.count == 0) return size == 0;
  const auto wide = static_cast<std::size_t>(columns.count);
  return size % wide == 0 && size / wide == static_cast<std::size_t>(rows.count);
}

inline void check_shape(std::string_view argument, std::size_t size, Extent rows,
                        Extent columns = {"", 1}) {
  if (has_shape(size, rows, columns)) return;
  std::string expected = text_of(rows);
  if (!columns.name.empty()) expected += " x " + text_of(columns);
  refuse(std::string(argument) + ": " + std::to_string(size) + " elements, expected " + expected);
}

// The pointer of an optional array: null when the span is empty.
template <class Element>
Element* optional(std::string_view argument, std::span<Element> array, Extent rows,
                  Extent columns = {"", 1}) {
  if (array.empty()) return nullptr;
  check_shape(argument, array.size(), rows, columns);
  return array.data();
}

// What a call of the C ABI writes that hands out text: call(text, length), as lacuna_plan_explain.
template <class Call>
std::string text_of(Call call) {
  std::size_t length = 0;
  check(call(nullptr, &length));
  std::string text(length + 1, '\0');
  std::size_t room = text.size();
  check(call(text.data(), &room));
  text.resize(length);
  return text;
}

}  // namespace detail
}  // namespace lacuna
