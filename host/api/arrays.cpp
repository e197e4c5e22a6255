#include "host/api/arrays.h"

#include <stdexcept>

namespace lacuna::api {

void Arrays::add(Name name, const void* data, Extent extent, bool written, bool needed,
                 Where where) {
  std::size_t elements = 0, bytes = 0;
  if (__builtin_mul_overflow(static_cast<std::size_t>(extent.rows),
                             static_cast<std::size_t>(extent.columns), &elements) ||
      __builtin_mul_overflow(elements, extent.element, &bytes))
    refuse(LACUNA_INVALID_ARGUMENT, name.group, name.member, ": ", extent.rows, " x ",
           extent.columns, " elements do not fit in memory");
  if (!data) {
    if (needed && bytes > 0)
      refuse(LACUNA_INVALID_ARGUMENT, name.group, name.member, ": null, expected ", elements,
             " elements");
    return;
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  if (begin % extent.element != 0)
    refuse(LACUNA_INVALID_ARGUMENT, name.group, name.member, ": address ", Address{data},
           ", expected a multiple of ", extent.element);
  if (bytes == 0) return;
  keep({name.group, name.member, begin, begin + bytes, written, where});
}

void Arrays::add_unsized(Name name, const void* data, bool written, std::string_view counts) {
  if (!data)
    refuse(LACUNA_INVALID_ARGUMENT, name.group, name.member,
           ": null, expected an array of as many rows as ", counts,
           " of the device say, which the host does not read");
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  keep({name.group, name.member, begin, begin + 1, written, Where::backend});
}

void Arrays::keep(const Array& array) {
  if (count_ == arrays_.size())
    throw std::logic_error("more arrays in a call than host/api/arrays.h has room for");
  arrays_[count_++] = array;
}

void Arrays::check() const {
  for (std::size_t i = 0; i < count_; ++i) {
    const Array& output = arrays_[i];
    if (!output.written) continue;
    for (std::size_t j = 0; j < count_; ++j) {
      const Array& other = arrays_[j];
      if (i == j || output.end <= other.begin || other.end <= output.begin) continue;
      refuse(LACUNA_INVALID_ARGUMENT, output.group, output.member, ": overlaps ", other.group,
             other.member, "; an output needs memory of its own");
    }
  }
}

void Arrays::check(const Backend& backend) const {
  for (std::size_t i = 0; i < count_; ++i) {
    const Array& array = arrays_[i];
    if (array.where == Where::host) continue;
    const auto* const address = reinterpret_cast<const void*>(array.begin);
    const std::string wrong = backend.refuse_address(address, false);
    if (!wrong.empty())
      refuse(LACUNA_INVALID_ARGUMENT, array.group, array.member, ": address ", Address{address},
             ", ", wrong);
  }
  check();
}

void check_host_reads(const Backend& backend, std::string_view name, const void* array,
                      std::string_view because) {
  if (const std::string wrong = backend.refuse_host_read(array); !wrong.empty())
    refuse(LACUNA_INVALID_ARGUMENT, name, ": address ", Address{array}, ", ", wrong, because);
}

}  // namespace lacuna::api
