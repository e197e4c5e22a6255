// The arrays of one call, collected so that rules which hold for all of them are written once: an
// array that is needed is there, is aligned to its elements, and no output overlaps anything else.
// Nothing is allocated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "host/api/message.h"
#include "host/backend.h"

namespace lacuna::api {

// An array's name in messages, as the caller wrote it: "batch." and "values".
struct Name {
  Name(const char* whole) : member(whole) {}
  Name(std::string_view in, std::string_view of) : group(in), member(of) {}
  std::string_view group, member;
};

struct Extent {
  std::int64_t rows = 0;
  std::int64_t columns = 1;
  std::size_t element = 1;  // bytes, and its alignment
};

// Whose memory an array has to be in.
enum class Where { backend, host };

class Arrays {
 public:
  struct Array {
    std::string_view group, member;
    std::uintptr_t begin = 0, end = 0;
    bool written = false;
    Where where = Where::backend;
  };

  explicit Arrays(std::span<Array> room) : arrays_(room) {}

  // Null is allowed where there is nothing to read or write.
  void input(Name name, const void* data, Extent extent, Where where = Where::backend) {
    add(name, data, extent, false, true, where);
  }
  void output(Name name, void* data, Extent extent) { add(name, data, extent, true, true); }
  // Null: not given, not wanted.
  void optional_input(Name name, const void* data, Extent extent) {
    add(name, data, extent, false, false);
  }
  void optional_output(Name name, void* data, Extent extent) {
    add(name, data, extent, true, false);
  }
  // Of as many rows as `counts`, an array that the host cannot read, says. Checked as if it were one byte.
  void unsized_input(Name name, const void* data, std::string_view counts) {
    add_unsized(name, data, false, counts);
  }
  void unsized_output(Name name, void* data, std::string_view counts) {
    add_unsized(name, data, true, counts);
  }

  // Refuses an overlap. To be called when all are in.
  void check() const;
  // And an address that the backend cannot use.
  void check(const Backend& backend) const;

 private:
  void add(Name name, const void* data, Extent extent, bool written, bool needed,
           Where where = Where::backend);
  void add_unsized(Name name, const void* data, bool written, std::string_view counts);
  void keep(const Array& array);

  std::span<Array> arrays_;
  std::size_t count_ = 0;
};

// With room for the arrays of any call on one layer. Backward has the most: 15 parameters and their gradients, 13 of the
// batch, 8 gradients, a tape and a workspace.
class LayerArrays : public Arrays {
 public:
  LayerArrays() : Arrays(room_) {}
  LayerArrays(const LayerArrays&) = delete;
  LayerArrays& operator=(const LayerArrays&) = delete;

 private:
  std::array<Array, 53> room_;
};

// Refuses an array that the host is to read and cannot; `because`: the end of the message.
void check_host_reads(const Backend& backend, std::string_view name, const void* array,
                      std::string_view because = {});

}  // namespace lacuna::api
