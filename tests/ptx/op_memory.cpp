// Loads, stores and atomic operations. All threads of a launch are run by one host thread, so that memory is
// sequentially consistent here, and orders (.acquire, .release, .volatile) only tell where a thread polls.
#include <algorithm>
#include <cstring>

#include "ptx/declarations.h"
#include "ptx/lanewise.h"

namespace lacuna::ptx {
namespace {

template <class Element, class Reg>
void load(Warp& w, const Instruction& i, std::uint32_t mask) {
  std::byte* from[32];
  w.translate(i, mask, i.results, false, from);
  for (unsigned e = 0; e < i.vector; ++e) {
    Reg* const d = w.at<Reg>(i, e);
    each(mask, [&](unsigned lane) {
      Element value;
      std::memcpy(&value, from[lane] + e * sizeof value, sizeof value);
      d[lane] = static_cast<Reg>(value);  // signed ones by their sign
    });
  }
  if (i.tag) w.poll();
}

template <class Element, class Reg>
void store(Warp& w, const Instruction& i, std::uint32_t mask) {
  std::byte* to[32];
  w.translate(i, mask, 0, true, to);
  for (unsigned e = 0; e < i.vector; ++e) {
    const Reg* const a = w.at<Reg>(i, 1 + e);
    each(mask, [&](unsigned lane) {
      const auto value = static_cast<Element>(a[lane]);
      std::memcpy(to[lane] + e * sizeof value, &value, sizeof value);
    });
  }
  ++w.launch.progress;
}

template <class Element>
Handler load_into(unsigned width) {
  if (width == 2) return load<Element, std::uint16_t>;
  return width == 4 ? load<Element, std::uint32_t> : load<Element, std::uint64_t>;
}
template <class Element>
Handler store_from(unsigned width) {
  if (width == 2) return store<Element, std::uint16_t>;
  return width == 4 ? store<Element, std::uint32_t> : store<Element, std::uint64_t>;
}

Handler load_of(std::string_view type, unsigned width) {
  const bool is_signed = type[0] == 's';
  switch (bytes_of_type(type)) {
    case 1: return is_signed ? load_into<std::int8_t>(width) : load_into<std::uint8_t>(width);
    case 2: return is_signed ? load_into<std::int16_t>(width) : load_into<std::uint16_t>(width);
    case 4: return is_signed ? load_into<std::int32_t>(width) : load_into<std::uint32_t>(width);
    default: return load_into<std::uint64_t>(width);
  }
}
Handler store_of(std::string_view type, unsigned width) {
  switch (bytes_of_type(type)) {
    case 1: return store_from<std::uint8_t>(width);
    case 2: return store_from<std::uint16_t>(width);
    case 4: return store_from<std::uint32_t>(width);
    default: return store_from<std::uint64_t>(width);
  }
}

struct Modifiers {
  Space space = Space::generic;
  std::string_view type, operation;
  unsigned vector = 1;
  bool polls = false;
};

Modifiers modifiers_of(Decoder& decoder) {
  Modifiers m;
  const auto parts = parts_of(decoder.statement().opcode);
  for (std::size_t p = 1; p < parts.size(); ++p) {
    const std::string_view part = parts[p];
    const auto is = [&](std::initializer_list<std::string_view> names) {
      return std::find(names.begin(), names.end(), part) != names.end();
    };
    if (is({"global"}))
      m.space = Space::global;
    else if (is({"shared", "shared::cta"}))
      m.space = Space::shared;
    else if (is({"shared::cluster"}))
      m.space = Space::cluster;
    else if (is({"local"}))
      m.space = Space::local;
    else if (is({"param", "param::entry"}))
      m.space = Space::parameter;
    else if (is({"const"}))
      m.space = Space::constant;
    else if (is({"v2"}))
      m.vector = 2;
    else if (is({"v4"}))
      m.vector = 4;
    else if (is({"acquire", "volatile", "relaxed", "acq_rel"}))
      m.polls = true;
    else if (is({"weak", "release", "cta", "cluster", "gpu", "sys", "nc", "ca", "cg", "cs", "lu",
                 "cv", "wb", "wt", "L1::no_allocate", "L1::evict_last", "L1::evict_first",
                 "L1::evict_normal"}))
      continue;
    else if (is({"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"}))
      m.operation = part;
    else if (is_type(part) && part != "pred" && part != "f16" && part != "bf16")
      m.type = part;
    else
      decoder.fail("'." + std::string(part) + "' is not implemented");
  }
  if (m.type.empty()) decoder.fail("it names no type");
  return m;
}

std::vector<Operand> elements_of(const Operand& operand) {
  return operand.kind == Operand::Kind::vector ? operand.elements : std::vector<Operand>{operand};
}

// What a load and a store have in common: an address, and registers for the elements.
Modifiers begin_access(Decoder& decoder) {
  decoder.expect_operands(2, 2);
  const Modifiers m = modifiers_of(decoder);
  decoder.instruction().bytes = static_cast<std::uint8_t>(bytes_of_type(m.type));
  decoder.instruction().vector = static_cast<std::uint8_t>(m.vector);
  return m;
}
// The width of the elements' registers. take(element): takes one, and says its width.
template <class Take>
unsigned take_elements(Decoder& decoder, const Modifiers& m, const Operand& operand, Take take) {
  const auto elements = elements_of(operand);
  if (elements.size() != m.vector) decoder.fail("as many registers as elements are expected");
  unsigned width = 0;
  for (const Operand& element : elements) {
    const unsigned its = take(element);
    if (width && its != width) decoder.fail("registers of one width are expected");
    width = its;
  }
  return width;
}

void decode_load(Decoder& decoder) {
  const Modifiers m = begin_access(decoder);
  Instruction& i = decoder.instruction();
  const auto& operands = decoder.statement().operands;
  const unsigned width = take_elements(decoder, m, operands[0], [&](const Operand& element) {
    return decoder.result_at_least(element, std::max(2u, unsigned{i.bytes}));
  });
  decoder.address(operands[1], m.space);
  i.handler = load_of(m.type, width);
  i.tag = m.polls;
  i.kind = m.space == Space::shared || m.space == Space::cluster   ? Class::load_shared
           : m.space == Space::global || m.space == Space::generic ? Class::load_global
                                                                   : Class::load_other;
}

void decode_store(Decoder& decoder) {
  const Modifiers m = begin_access(decoder);
  Instruction& i = decoder.instruction();
  const auto& operands = decoder.statement().operands;
  decoder.address(operands[0], m.space);
  const unsigned width = take_elements(decoder, m, operands[1], [&](const Operand& element) {
    if (m.space == Space::global) decoder.next_must_be_written();
    return decoder.source_at_least(element, i.bytes);
  });
  i.handler = store_of(m.type, width);
  i.kind = m.space == Space::shared || m.space == Space::cluster   ? Class::store_shared
           : m.space == Space::global || m.space == Space::generic ? Class::store_global
                                                                   : Class::store_other;
}

// atom and red: old = *p; *p = op(old, a [, b]).
struct Add {
  template <class T>
  T operator()(T old, T a, T) const {
    return static_cast<T>(old + a);
  }
};
struct Min {
  template <class T>
  T operator()(T old, T a, T) const {
    return std::min(old, a);
  }
};
struct Max {
  template <class T>
  T operator()(T old, T a, T) const {
    return std::max(old, a);
  }
};
struct And {
  template <class T>
  T operator()(T old, T a, T) const {
    return old & a;
  }
};
struct Or {
  template <class T>
  T operator()(T old, T a, T) const {
    return old | a;
  }
};
struct Xor {
  template <class T>
  T operator()(T old, T a, T) const {
    return old ^ a;
  }
};
struct Exch {
  template <class T>
  T operator()(T, T a, T) const {
    return a;
  }
};
struct Cas {
  template <class T>
  T operator()(T old, T a, T b) const {
    return old == a ? b : old;
  }
};
struct Inc {
  template <class T>
  T operator()(T old, T a, T) const {
    return old >= a ? T{0} : old + 1;
  }
};
struct Dec {
  template <class T>
  T operator()(T old, T a, T) const {
    return old == 0 || old > a ? a : old - 1;
  }
};

template <class T, class Op>
void atomic(Warp& w, const Instruction& i, std::uint32_t mask) {
  std::byte* at[32];
  w.translate(i, mask, i.results, true, at);
  const T* const a = w.at<T>(i, i.results + 1u);
  const T* const b = w.at<T>(i, i.results + i.sources - 1u);
  T* const d = i.results ? w.at<T>(i, 0) : nullptr;
  for (; mask; mask &= mask - 1) {  // one after the other: lanes may meet at one place
    const auto lane = static_cast<unsigned>(std::countr_zero(mask));
    T old;
    std::memcpy(&old, at[lane], sizeof old);
    const T fresh = Op()(old, a[lane], b[lane]);
    std::memcpy(at[lane], &fresh, sizeof fresh);
    if (d) d[lane] = old;
  }
  ++w.launch.progress;
}

template <class T>
Handler atomic_on(std::string_view operation) {
  if (operation == "add") return atomic<T, Add>;
  if (operation == "exch") return atomic<T, Exch>;
  if constexpr (std::is_integral_v<T>) {
    if (operation == "min") return atomic<T, Min>;
    if (operation == "max") return atomic<T, Max>;
    if (operation == "and") return atomic<T, And>;
    if (operation == "or") return atomic<T, Or>;
    if (operation == "xor") return atomic<T, Xor>;
    if (operation == "cas") return atomic<T, Cas>;
    if (operation == "inc") return atomic<T, Inc>;
    if (operation == "dec") return atomic<T, Dec>;
  }
  return nullptr;
}

void decode_atomic(Decoder& decoder) {
  const bool returns = decoder.statement().opcode.starts_with("atom.");
  const Modifiers m = modifiers_of(decoder);
  const unsigned values = m.operation == "cas" ? 2 : 1, expected = values + 1 + returns;
  decoder.expect_operands(expected, expected);
  Instruction& i = decoder.instruction();
  const auto& operands = decoder.statement().operands;
  i.bytes = static_cast<std::uint8_t>(bytes_of_type(m.type));
  if (returns) decoder.result(operands[0], i.bytes);
  decoder.address(operands[returns], m.space);
  for (unsigned v = 0; v < values; ++v) decoder.source(operands[returns + 1 + v], i.bytes);
  i.kind = Class::atomic;
  i.handler = m.type == "f32"   ? atomic_on<float>(m.operation)
              : m.type == "f64" ? atomic_on<double>(m.operation)
              : m.type == "s32" ? atomic_on<std::int32_t>(m.operation)
              : m.type == "s64" ? atomic_on<std::int64_t>(m.operation)
              : i.bytes == 4    ? atomic_on<std::uint32_t>(m.operation)
              : i.bytes == 8    ? atomic_on<std::uint64_t>(m.operation)
                                : nullptr;
  if (!i.handler) decoder.fail("this operation is not implemented on this type");
}

}  // namespace

void (*memory_decoder(std::string_view word))(Decoder&) {
  if (word == "ld") return decode_load;
  if (word == "st") return decode_store;
  if (word == "atom" || word == "red") return decode_atomic;
  return nullptr;
}

}  // namespace lacuna::ptx
