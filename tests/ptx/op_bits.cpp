// Logic, shifts, and instructions that take registers apart bit by bit.
#include <algorithm>
#include <bit>

#include "ptx/lanewise.h"

namespace lacuna::ptx {
namespace {

struct And {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a & b);
  }
};
struct Or {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a | b);
  }
};
struct Xor {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a ^ b);
  }
};
struct Not {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(~a);
  }
};
// Shifts of the whole width or more give 0, or the sign: they do not wrap.
struct ShiftLeft {
  template <class T>
  T operator()(T a, std::uint32_t by) const {
    return by >= 8 * sizeof(T) ? T{0} : static_cast<T>(a << by);
  }
};
struct ShiftRight {
  template <class T>
  T operator()(T a, std::uint32_t by) const {
    const std::uint32_t most = 8 * sizeof(T) - 1;
    if (by > most) return static_cast<T>(std::is_signed_v<T> && a < 0 ? -1 : 0);
    return static_cast<T>(a >> by);
  }
};
struct Popc {
  template <class T>
  std::uint32_t operator()(T a) const {
    return static_cast<std::uint32_t>(std::popcount(a));
  }
};
struct Clz {
  template <class T>
  std::uint32_t operator()(T a) const {
    return static_cast<std::uint32_t>(std::countl_zero(a));
  }
};
struct Brev {
  template <class T>
  T operator()(T a) const {
    T reversed = 0;
    for (unsigned bit = 0; bit < 8 * sizeof(T); ++bit)
      reversed = static_cast<T>(reversed << 1 | (a >> bit & 1));
    return reversed;
  }
};
// Position and length are their operands' low 8 bits; what reaches beyond the top is cut off, or the sign.
struct FieldExtract {
  template <class T>
  T operator()(T a, std::uint32_t position, std::uint32_t length) const {
    constexpr unsigned top = 8 * sizeof(T) - 1;
    position &= 255, length &= 255;
    using U = std::make_unsigned_t<T>;
    const auto bits = static_cast<U>(a);
    const bool sign =
        std::is_signed_v<T> && length > 0 && (bits >> std::min(position + length - 1, top) & 1);
    U field = 0;
    for (unsigned i = 0; i <= top; ++i) {
      const bool bit = i < length && position + i <= top ? bits >> (position + i) & 1 : sign;
      field |= static_cast<U>(static_cast<U>(bit) << i);
    }
    return static_cast<T>(field);
  }
};
template <class T>
T field_insert(T a, T b, std::uint32_t position, std::uint32_t length) {
  position &= 255, length &= 255;
  for (unsigned i = 0; i < length && position + i < 8 * sizeof(T); ++i) {
    const T bit = T{1} << (position + i);
    b = static_cast<T>((b & ~bit) | ((a >> i & 1) ? bit : 0));
  }
  return b;
}

template <class T>
void bfi(Warp& w, const Instruction& i, std::uint32_t mask) {
  T* const d = w.at<T>(i, 0);
  const T *const a = w.at<T>(i, 1), *const b = w.at<T>(i, 2);
  const auto *const position = w.at<std::uint32_t>(i, 3), *const length = w.at<std::uint32_t>(i, 4);
  each(mask, [=](unsigned lane) {
    d[lane] = field_insert(a[lane], b[lane], position[lane], length[lane]);
  });
}

// Each selector of 4 bits picks one of the 8 bytes of {b, a}; its top bit asks for the byte's sign instead.
struct Prmt {
  std::uint32_t operator()(std::uint32_t a, std::uint32_t b, std::uint32_t selectors) const {
    const std::uint64_t bytes = std::uint64_t{b} << 32 | a;
    std::uint32_t result = 0;
    for (unsigned i = 0; i < 4; ++i) {
      const std::uint32_t selector = selectors >> 4 * i & 15;
      auto byte = static_cast<std::uint32_t>(bytes >> 8 * (selector & 7) & 255);
      if (selector & 8) byte = byte & 128 ? 255 : 0;
      result |= byte << 8 * i;
    }
    return result;
  }
};

void lop3(Warp& w, const Instruction& i, std::uint32_t mask) {
  auto* const d = w.at<std::uint32_t>(i, 0);
  const auto *const a = w.at<std::uint32_t>(i, 1), *const b = w.at<std::uint32_t>(i, 2),
                    *const c = w.at<std::uint32_t>(i, 3);
  const auto table = static_cast<unsigned>(i.immediate);
  each(mask, [=](unsigned lane) {
    std::uint32_t result = 0;
    for (unsigned row = 0; row < 8; ++row)
      if (table >> row & 1)
        result |= (row & 4 ? a[lane] : ~a[lane]) & (row & 2 ? b[lane] : ~b[lane]) &
                  (row & 1 ? c[lane] : ~c[lane]);
    d[lane] = result;
  });
}

void decode_lop3(Decoder& decoder) {
  const auto& operands = decoder.statement().operands;
  decoder.expect_operands(5, 5);
  decoder.result(operands[0], 4);
  for (unsigned i = 1; i < 4; ++i) decoder.source(operands[i], 4);
  decoder.instruction().immediate = decoder.constant(operands[4]);
}

// {b, a} as 64 bits, shifted: the upper half of a left shift, the lower half of a right one.
template <bool left, bool wrap>
struct Funnel {
  std::uint32_t operator()(std::uint32_t a, std::uint32_t b, std::uint32_t by) const {
    by = wrap ? by & 31 : std::min(by, 32u);
    const std::uint64_t both = std::uint64_t{b} << 32 | a;
    return static_cast<std::uint32_t>(left ? both << by >> 32 : both >> by);
  }
};

// Predicates are masks of lanes.
template <class Op>
void of_predicates(Warp& w, const Instruction& i, std::uint32_t mask) {
  const std::uint32_t value = Op()(w.predicate(i.slot[1]), w.predicate(i.slot[2]));
  std::uint32_t& p = w.predicate(i.slot[0]);
  p = (p & ~mask) | (value & mask);
}

void not_predicate(Warp& w, const Instruction& i, std::uint32_t mask) {
  const std::uint32_t value = ~w.predicate(i.slot[1]);
  std::uint32_t& p = w.predicate(i.slot[0]);
  p = (p & ~mask) | (value & mask);
}

template <class U, class S>
void add_width(Opcodes& table, const std::string& bits) {
  const Class kind = Class::integer;
  table["and.b" + bits] = binary_opcode<U, U, U, And>(kind);
  table["or.b" + bits] = binary_opcode<U, U, U, Or>(kind);
  table["xor.b" + bits] = binary_opcode<U, U, U, Xor>(kind);
  table["not.b" + bits] = unary_opcode<U, U, Not>(kind);
  table["shl.b" + bits] = binary_opcode<U, U, std::uint32_t, ShiftLeft>(kind);
  table["shr.b" + bits] = table["shr.u" + bits] =
      binary_opcode<U, U, std::uint32_t, ShiftRight>(kind);
  table["shr.s" + bits] = binary_opcode<S, S, std::uint32_t, ShiftRight>(kind);
}

template <class U, class S>
void add_fields(Opcodes& table, const std::string& bits) {
  const Class kind = Class::integer;
  table["popc.b" + bits] = unary_opcode<std::uint32_t, U, Popc>(kind);
  table["clz.b" + bits] = unary_opcode<std::uint32_t, U, Clz>(kind);
  table["brev.b" + bits] = unary_opcode<U, U, Brev>(kind);
  table["bfe.u" + bits] = ternary_opcode<U, U, std::uint32_t, std::uint32_t, FieldExtract>(kind);
  table["bfe.s" + bits] = ternary_opcode<S, S, std::uint32_t, std::uint32_t, FieldExtract>(kind);
  table["bfi.b" + bits] = {bfi<U>, sizeof(U) == 4 ? "w=wwww" : "d=ddww", kind};
}

}  // namespace

void add_bits(Opcodes& table) {
  add_width<std::uint16_t, std::int16_t>(table, "16");
  add_width<std::uint32_t, std::int32_t>(table, "32");
  add_width<std::uint64_t, std::int64_t>(table, "64");
  add_fields<std::uint32_t, std::int32_t>(table, "32");
  add_fields<std::uint64_t, std::int64_t>(table, "64");
  table["prmt.b32"] =
      ternary_opcode<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, Prmt>(Class::move);
  table["lop3.b32"] = {lop3, nullptr, Class::integer, decode_lop3};
  using U = std::uint32_t;
  table["shf.l.wrap.b32"] = ternary_opcode<U, U, U, U, Funnel<true, true>>(Class::integer);
  table["shf.l.clamp.b32"] = ternary_opcode<U, U, U, U, Funnel<true, false>>(Class::integer);
  table["shf.r.wrap.b32"] = ternary_opcode<U, U, U, U, Funnel<false, true>>(Class::integer);
  table["shf.r.clamp.b32"] = ternary_opcode<U, U, U, U, Funnel<false, false>>(Class::integer);
  table["and.pred"] = {of_predicates<And>, "p=pp", Class::predicate};
  table["or.pred"] = {of_predicates<Or>, "p=pp", Class::predicate};
  table["xor.pred"] = {of_predicates<Xor>, "p=pp", Class::predicate};
  table["not.pred"] = {not_predicate, "p=p", Class::predicate};
}

}  // namespace lacuna::ptx
