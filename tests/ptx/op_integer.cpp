// Integer arithmetic and comparisons.
#include <algorithm>
#include <functional>
#include <limits>
#include <type_traits>

#include "ptx/lanewise.h"

namespace lacuna::ptx {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

template <class T>
struct Twice;
template <>
struct Twice<std::int16_t> {
  using type = std::int32_t;
};
template <>
struct Twice<std::uint16_t> {
  using type = std::uint32_t;
};
template <>
struct Twice<std::int32_t> {
  using type = std::int64_t;
};
template <>
struct Twice<std::uint32_t> {
  using type = std::uint64_t;
};
template <>
struct Twice<std::int64_t> {
  using type = __int128;
};
template <>
struct Twice<std::uint64_t> {
  using type = unsigned __int128;
};
template <class T>
using Wide = typename Twice<T>::type;

// Sums and products wrap, which only unsigned types of C++ do (and only those no narrower than int).
template <class T>
T wrapped_product(T a, T b) {
  return static_cast<T>(static_cast<Wide<Unsigned<T>>>(static_cast<Unsigned<T>>(a)) *
                        static_cast<Unsigned<T>>(b));
}
template <class T>
T wrapped_sum(T a, T b) {
  return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b));
}
template <class T>
T high_product(T a, T b) {
  return static_cast<T>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b) >> 8 * sizeof(T));
}

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return wrapped_sum(a, b);
  }
};
struct Sub {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b));
  }
};
struct MulLow {
  template <class T>
  T operator()(T a, T b) const {
    return wrapped_product(a, b);
  }
};
struct MulHigh {
  template <class T>
  T operator()(T a, T b) const {
    return high_product(a, b);
  }
};
struct MulWide {
  template <class T>
  Wide<T> operator()(T a, T b) const {
    return static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b);
  }
};
struct MadLow {
  template <class T>
  T operator()(T a, T b, T c) const {
    return wrapped_sum(wrapped_product(a, b), c);
  }
};
struct MadHigh {
  template <class T>
  T operator()(T a, T b, T c) const {
    return wrapped_sum(high_product(a, b), c);
  }
};
struct MadWide {
  template <class T>
  Wide<T> operator()(T a, T b, Wide<T> c) const {
    return wrapped_sum<Wide<T>>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b), c);
  }
};
// What division by zero gives the document leaves open: all ones, so that it shows.
struct Div {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return static_cast<T>(~T{0});
    if (std::is_signed_v<T> && b == static_cast<T>(-1))
      return static_cast<T>(0 - static_cast<Unsigned<T>>(a));
    return static_cast<T>(a / b);
  }
};
struct Rem {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return std::min(a, b);
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return std::max(a, b);
  }
};
struct Neg {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(0 - static_cast<Unsigned<T>>(a));
  }
};
struct Abs {
  template <class T>
  T operator()(T a) const {
    return a < 0 ? Neg()(a) : a;
  }
};

using Eq = std::equal_to<>;
using Ne = std::not_equal_to<>;
using Lt = std::less<>;
using Le = std::less_equal<>;
using Gt = std::greater<>;
using Ge = std::greater_equal<>;

template <class T>
const char* comparison_shape() {
  static constexpr char text[] = {'p', '=', letter<T>(), letter<T>(), '\0'};
  return text;
}

template <class T>
void add_of(Opcodes& table, const std::string& type) {
  const auto two = [&](const std::string& name, Opcode opcode) {
    table[name + "." + type] = opcode;
  };
  const Class kind = Class::integer;
  two("add", binary_opcode<T, T, T, Add>(kind));
  two("sub", binary_opcode<T, T, T, Sub>(kind));
  two("mul.lo", binary_opcode<T, T, T, MulLow>(kind));
  two("mul.hi", binary_opcode<T, T, T, MulHigh>(kind));
  two("mad.lo", ternary_opcode<T, T, T, T, MadLow>(kind));
  two("mad.hi", ternary_opcode<T, T, T, T, MadHigh>(kind));
  two("div", binary_opcode<T, T, T, Div>(Class::special));
  two("rem", binary_opcode<T, T, T, Rem>(Class::special));
  two("min", binary_opcode<T, T, T, Min>(kind));
  two("max", binary_opcode<T, T, T, Max>(kind));
  if constexpr (sizeof(T) < 8) {
    two("mul.wide", binary_opcode<Wide<T>, T, T, MulWide>(kind));
    two("mad.wide", ternary_opcode<Wide<T>, T, T, Wide<T>, MadWide>(kind));
  }
  if constexpr (std::is_signed_v<T>) {
    two("neg", unary_opcode<T, T, Neg>(kind));
    two("abs", unary_opcode<T, T, Abs>(kind));
  }
  const auto comparison = [&](const std::string& name, Handler handler) {
    table["setp." + name + "." + type] = {handler, comparison_shape<T>(), Class::predicate};
  };
  comparison("eq", compare<T, Eq>);
  comparison("ne", compare<T, Ne>);
  comparison("lt", compare<T, Lt>);
  comparison("le", compare<T, Le>);
  comparison("gt", compare<T, Gt>);
  comparison("ge", compare<T, Ge>);
  if constexpr (!std::is_signed_v<T>) {  // unsigned names, and bits
    comparison("lo", compare<T, Lt>);
    comparison("ls", compare<T, Le>);
    comparison("hi", compare<T, Gt>);
    comparison("hs", compare<T, Ge>);
    table["setp.eq.b" + type.substr(1)] = table["setp.eq." + type];
    table["setp.ne.b" + type.substr(1)] = table["setp.ne." + type];
  }
}

}  // namespace

void add_integer(Opcodes& table) {
  add_of<std::int16_t>(table, "s16");
  add_of<std::uint16_t>(table, "u16");
  add_of<std::int32_t>(table, "s32");
  add_of<std::uint32_t>(table, "u32");
  add_of<std::int64_t>(table, "s64");
  add_of<std::uint64_t>(table, "u64");
}

}  // namespace lacuna::ptx
