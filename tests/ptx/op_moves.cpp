// mov, selp, cvta, and clocks.
#include <cstring>

#include "ptx/lanewise.h"

namespace lacuna::ptx {
namespace {

struct Same {
  template <class T>
  T operator()(T a) const {
    return a;
  }
};

// {a, b, …} into one register, or one register into them: the first is the lowest.
void pack(Warp& w, const Instruction& i, std::uint32_t mask) {
  each(mask, [&](unsigned lane) {
    std::uint64_t value = 0;
    for (unsigned e = 0; e < i.vector; ++e)
      value |= w.value(i.slot[1 + e], i.source_width, lane) << 8 * i.source_width * e;
    w.set_value(i.slot[0], i.result_width, lane, value);
  });
}

void unpack(Warp& w, const Instruction& i, std::uint32_t mask) {
  const Slot source = i.slot[i.results];
  each(mask, [&](unsigned lane) {
    const std::uint64_t value = w.value(source, i.source_width, lane);
    for (unsigned e = 0; e < i.vector; ++e)
      w.set_value(i.slot[e], i.result_width, lane, value >> 8 * i.result_width * e);
  });
}

void clock(Warp& w, const Instruction& i, std::uint32_t mask) {
  const std::uint64_t now = ++w.launch.clock;
  each(mask, [&](unsigned lane) { w.set_value(i.slot[0], i.result_width, lane, now); });
}

template <unsigned width>
constexpr Handler copy = width == 2
                             ? static_cast<Handler>(unary<std::uint16_t, std::uint16_t, Same>)
                         : width == 4
                             ? static_cast<Handler>(unary<std::uint32_t, std::uint32_t, Same>)
                             : static_cast<Handler>(unary<std::uint64_t, std::uint64_t, Same>);

template <unsigned width>
void decode_mov(Decoder& decoder) {
  decoder.expect_operands(2, 2);
  const Operand &to = decoder.statement().operands[0], &from = decoder.statement().operands[1];
  Instruction& i = decoder.instruction();
  if (from.kind == Operand::Kind::vector || to.kind == Operand::Kind::vector) {
    const bool packs = from.kind == Operand::Kind::vector;
    const auto parts = static_cast<unsigned>((packs ? from : to).elements.size());
    if (parts != 2 && parts != 4) decoder.fail("2 or 4 elements are expected");
    const unsigned part = width / parts;
    if (part < 2) decoder.fail("elements of 8 bits are not implemented");
    i.vector = static_cast<std::uint8_t>(parts);
    i.handler = packs ? pack : unpack;
    i.result_width = static_cast<std::uint8_t>(packs ? width : part);
    i.source_width = static_cast<std::uint8_t>(packs ? part : width);
    if (packs) {
      decoder.result(to, width);
      for (const Operand& element : from.elements) decoder.source(element, part);
    } else {
      for (const Operand& element : to.elements) decoder.result(element, part);
      decoder.source(from, width);
    }
    return;
  }
  decoder.result(to, width);
  if (from.name.starts_with("%clock") || from.name == "%globaltimer") {
    i.handler = clock;
    i.result_width = width;
    return;
  }
  i.handler = copy<width>;
  decoder.source(from, width);
}

void mov_predicate(Warp& w, const Instruction& i, std::uint32_t mask) {
  const std::uint32_t value = w.predicate(i.slot[1]);
  std::uint32_t& p = w.predicate(i.slot[0]);
  p = (p & ~mask) | (value & mask);
}

template <class T>
void selp(Warp& w, const Instruction& i, std::uint32_t mask) {
  T* const d = w.at<T>(i, 0);
  const T *const a = w.at<T>(i, 1), *const b = w.at<T>(i, 2);
  const std::uint32_t p = w.predicate(i.slot[3]);
  each(mask, [=](unsigned lane) { d[lane] = p >> lane & 1 ? a[lane] : b[lane]; });
}

template <unsigned width>
void decode_selp(Decoder& decoder) {
  decoder.expect_operands(4, 4);
  const auto& operands = decoder.statement().operands;
  decoder.result(operands[0], width);
  decoder.source(operands[1], width);
  decoder.source(operands[2], width);
  decoder.source(operands[3], 0);
  decoder.instruction().selects = true;
}

// From a state space's own addresses to generic ones, and back.
template <class T, std::uint64_t window>
void to_generic(Warp& w, const Instruction& i, std::uint32_t mask) {
  auto* const d = w.at<std::uint64_t>(i, 0);
  const T* const a = w.at<T>(i, 1);
  each(mask, [=](unsigned lane) { d[lane] = a[lane] | window; });
}

template <class T, std::uint64_t window>
void from_generic(Warp& w, const Instruction& i, std::uint32_t mask) {
  T* const d = w.at<T>(i, 0);
  const auto* const a = w.at<std::uint64_t>(i, 1);
  each(mask, [&](unsigned lane) {
    if ((a[lane] & window_mask) != window) w.fail(i, lane, "its address is of another state space");
    d[lane] = static_cast<T>(a[lane] & ~window_mask);
  });
}

}  // namespace

void add_moves(Opcodes& table) {
  const Class kind = Class::move;
  for (const char* type : {"b16", "u16", "s16"})
    table[std::string("mov.") + type] = {nullptr, nullptr, kind, decode_mov<2>};
  for (const char* type : {"b32", "u32", "s32", "f32"})
    table[std::string("mov.") + type] = {nullptr, nullptr, kind, decode_mov<4>};
  for (const char* type : {"b64", "u64", "s64", "f64"})
    table[std::string("mov.") + type] = {nullptr, nullptr, kind, decode_mov<8>};
  table["mov.pred"] = {mov_predicate, "p=p", kind};
  for (const char* type : {"b16", "u16", "s16"})
    table[std::string("selp.") + type] = {selp<std::uint16_t>, nullptr, kind, decode_selp<2>};
  for (const char* type : {"b32", "u32", "s32", "f32"})
    table[std::string("selp.") + type] = {selp<std::uint32_t>, nullptr, kind, decode_selp<4>};
  for (const char* type : {"b64", "u64", "s64", "f64"})
    table[std::string("selp.") + type] = {selp<std::uint64_t>, nullptr, kind, decode_selp<8>};
  using U64 = std::uint64_t;
  table["cvta.global.u64"] = table["cvta.const.u64"] = {copy<8>, "d=d", kind};
  table["cvta.to.global.u64"] = {from_generic<U64, 0>, "d=d", kind};
  table["cvta.shared.u64"] =
      table["cvta.shared::cluster.u64"] = {to_generic<U64, shared_window>, "d=d", kind};
  table["cvta.to.shared.u64"] =
      table["cvta.to.shared::cluster.u64"] = {from_generic<U64, shared_window>, "d=d", kind};
  table["cvta.local.u64"] = {to_generic<U64, local_window>, "d=d", kind};
  table["cvta.to.local.u64"] = {from_generic<U64, local_window>, "d=d", kind};
}

}  // namespace lacuna::ptx
