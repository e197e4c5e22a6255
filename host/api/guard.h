// The border between exceptions inside and status codes outside: every call of the C ABI that can
// fail runs its body here.
#pragma once

#include <cstring>
#include <type_traits>

#include "host/api/message.h"

namespace lacuna::api {

// Turns the exception in flight into a status and a message.
lacuna_status translate_exception() noexcept;

template <class Body>
lacuna_status guarded(Body&& body) noexcept {
  try {
    body();
    return LACUNA_OK;
  } catch (...) {
    return translate_exception();
  }
}

template <class Object>
Object& not_null(Object* object, std::string_view argument) {
  if (!object) refuse(LACUNA_INVALID_ARGUMENT, argument, ": null");
  return *object;
}

// An enumerator as the number it is: a C caller may have put any there, and reading an impossible
// one as an enumeration is undefined.
template <class Enumeration>
std::int64_t number_of(const Enumeration& value) {
  static_assert(std::is_enum_v<Enumeration> && sizeof(Enumeration) == sizeof(std::uint32_t));
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::int32_t>(bits);
}

template <class Enumeration>
void check_enumerator(const Enumeration& value, Enumeration last, std::string_view argument,
                      std::string_view type) {
  const std::int64_t number = number_of(value);
  if (number < 0 || number > number_of(last))
    refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", number, ", expected a ", type, ", 0 to ",
           number_of(last));
}

// A flag of the C ABI.
inline void check_flag(std::int32_t flag, std::string_view argument) {
  if (flag != 0 && flag != 1)
    refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", flag, ", expected 0 or 1");
}

}  // namespace lacuna::api
