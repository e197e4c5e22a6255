// cvt. Registers may be wider than the types in the opcode: only the source's low bits count, and the result
// is extended by its sign or with zeros.
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "ptx/lanewise.h"
#include "ptx/numbers.h"

namespace lacuna::ptx {
namespace {

using One = std::uint64_t (*)(std::uint64_t);

template <class To, class From, class Op>
std::uint64_t one(std::uint64_t raw) {
  From from;
  std::memcpy(&from, &raw, sizeof from);  // the low bits: the host is little-endian
  const To to = Op()(from);
  if constexpr (std::is_integral_v<To>) {
    return static_cast<std::uint64_t>(
        static_cast<std::conditional_t<std::is_signed_v<To>, std::int64_t, std::uint64_t>>(to));
  } else {
    std::uint64_t result = 0;
    std::memcpy(&result, &to, sizeof to);
    return result;
  }
}

void lane_by_lane(Warp& w, const Instruction& i, std::uint32_t mask) {
  const One convert = reinterpret_cast<One>(i.immediate);
  each(mask, [&](unsigned lane) {
    w.set_value(i.slot[0], i.result_width, lane, convert(w.value(i.slot[1], i.source_width, lane)));
  });
}

template <class To, class From, class Op>
void decode(Decoder& decoder) {
  decoder.expect_operands(2, 2);
  const auto& operands = decoder.statement().operands;
  constexpr unsigned to = std::max<unsigned>(sizeof(To), 2),
                     from = std::max<unsigned>(sizeof(From), 2);
  Instruction& i = decoder.instruction();
  i.result_width = static_cast<std::uint8_t>(decoder.result_at_least(operands[0], to));
  i.source_width = static_cast<std::uint8_t>(decoder.source_at_least(operands[1], from));
  if (i.result_width == sizeof(To) && i.source_width == sizeof(From)) {
    i.handler = unary<To, From, Op>;
  } else {
    i.handler = lane_by_lane;
    i.immediate = reinterpret_cast<std::int64_t>(static_cast<One>(one<To, From, Op>));
  }
}

template <class To, class From, class Op>
Opcode opcode() {
  return {nullptr, nullptr, Class::convert, decode<To, From, Op>};
}

template <class To>
struct Cast {
  template <class From>
  To operator()(From a) const {
    return static_cast<To>(a);
  }
};
struct Same {
  template <class T>
  T operator()(T a) const {
    return a;
  }
};

// To whole numbers; what does not fit gives the nearest that does, and NaN gives 0.
template <Rounding mode, class T>
T whole(T x) {
  if constexpr (mode == Rounding::nearest) return std::nearbyint(x);
  if constexpr (mode == Rounding::zero) return std::trunc(x);
  if constexpr (mode == Rounding::down) return std::floor(x);
  if constexpr (mode == Rounding::up) return std::ceil(x);
}
template <Rounding mode, class To>
struct ToInteger {
  template <class From>
  To operator()(From a) const {
    if (a != a) return 0;
    const From x = whole<mode>(a);
    // One beyond the largest is a power of two, and a float.
    constexpr int digits = std::numeric_limits<To>::digits;
    const From beyond = std::ldexp(From{1}, digits);
    if (x >= beyond) return std::numeric_limits<To>::max();
    if (x < (std::is_signed_v<To> ? -beyond : From{0})) return std::numeric_limits<To>::min();
    return static_cast<To>(x);
  }
};
template <Rounding mode>
struct ToWhole {
  template <class T>
  T operator()(T a) const {
    return canonical(whole<mode>(a));
  }
};

template <Rounding mode>
struct Narrow {
  float operator()(double a) const { return canonical(round_sum<mode>(a, 0)); }
};
struct Widen {
  double operator()(float a) const { return canonical(double{a}); }
};
struct Saturate {
  float operator()(float a) const { return saturate(a); }
};
template <class Op>
struct Ftz {
  template <class T>
  auto operator()(T a) const {
    const auto in = [](auto x) {
      if constexpr (std::is_same_v<decltype(x), float>)
        return flush(x);
      else
        return x;
    };
    return in(Op()(in(a)));
  }
};
struct ToF16 {
  template <class T>
  std::uint16_t operator()(T a) const {
    return to_f16(a);
  }
};
struct ToBf16 {
  template <class T>
  std::uint16_t operator()(T a) const {
    return to_bf16(a);
  }
};
struct FromF16 {
  float operator()(std::uint16_t a) const { return from_f16(a); }
};
struct FromBf16 {
  float operator()(std::uint16_t a) const { return canonical(from_bf16(a)); }
};
struct ToTf32 {
  std::uint32_t operator()(float a) const { return to_tf32(a); }
};
// The first operand goes into the upper half.
template <std::uint16_t (*to)(double)>
struct Pair {
  std::uint32_t operator()(float high, float low) const {
    return std::uint32_t{to(high)} << 16 | to(low);
  }
};

template <class Use>
void for_integers(Use use) {
  use(std::int8_t{}, "s8"), use(std::uint8_t{}, "u8"), use(std::int16_t{}, "s16"),
      use(std::uint16_t{}, "u16");
  use(std::int32_t{}, "s32"), use(std::uint32_t{}, "u32"), use(std::int64_t{}, "s64"),
      use(std::uint64_t{}, "u64");
}

template <class F>
void add_to_integers(Opcodes& table, const std::string& from) {
  for_integers([&](auto integer, const std::string& to) {
    using I = decltype(integer);
    table["cvt.rni." + to + "." + from] = opcode<I, F, ToInteger<Rounding::nearest, I>>();
    table["cvt.rzi." + to + "." + from] = opcode<I, F, ToInteger<Rounding::zero, I>>();
    table["cvt.rmi." + to + "." + from] = opcode<I, F, ToInteger<Rounding::down, I>>();
    table["cvt.rpi." + to + "." + from] = opcode<I, F, ToInteger<Rounding::up, I>>();
    table["cvt.rn." + from + "." + to] = opcode<F, I, Cast<F>>();
  });
  table["cvt.rni." + from + "." + from] = opcode<F, F, ToWhole<Rounding::nearest>>();
  table["cvt.rzi." + from + "." + from] = opcode<F, F, ToWhole<Rounding::zero>>();
  table["cvt.rmi." + from + "." + from] = opcode<F, F, ToWhole<Rounding::down>>();
  table["cvt.rpi." + from + "." + from] = opcode<F, F, ToWhole<Rounding::up>>();
}

}  // namespace

void add_convert(Opcodes& table) {
  for_integers([&](auto a, const std::string& from) {
    for_integers([&](auto b, const std::string& to) {
      table["cvt." + to + "." + from] = opcode<decltype(b), decltype(a), Cast<decltype(b)>>();
    });
  });
  add_to_integers<float>(table, "f32");
  add_to_integers<double>(table, "f64");
  table["cvt.f64.f32"] = opcode<double, float, Widen>();
  table["cvt.rn.f32.f64"] = opcode<float, double, Narrow<Rounding::nearest>>();
  table["cvt.rz.f32.f64"] = opcode<float, double, Narrow<Rounding::zero>>();
  table["cvt.rm.f32.f64"] = opcode<float, double, Narrow<Rounding::down>>();
  table["cvt.rp.f32.f64"] = opcode<float, double, Narrow<Rounding::up>>();
  table["cvt.f32.f32"] = opcode<float, float, Same>();
  table["cvt.ftz.f32.f32"] = opcode<float, float, Ftz<Same>>();
  table["cvt.sat.f32.f32"] = opcode<float, float, Saturate>();
  table["cvt.ftz.sat.f32.f32"] = opcode<float, float, Ftz<Saturate>>();
  table["cvt.ftz.f64.f32"] = opcode<double, float, Ftz<Widen>>();
  table["cvt.rn.f16.f32"] = opcode<std::uint16_t, float, ToF16>();
  table["cvt.rn.bf16.f32"] = opcode<std::uint16_t, float, ToBf16>();
  table["cvt.rn.f16.f64"] = opcode<std::uint16_t, double, ToF16>();
  table["cvt.f32.f16"] = opcode<float, std::uint16_t, FromF16>();
  table["cvt.f32.bf16"] = opcode<float, std::uint16_t, FromBf16>();
  table["cvt.rna.tf32.f32"] = opcode<std::uint32_t, float, ToTf32>();
  table["cvt.rn.f16x2.f32"] =
      binary_opcode<std::uint32_t, float, float, Pair<to_f16>>(Class::convert);
  table["cvt.rn.bf16x2.f32"] =
      binary_opcode<std::uint32_t, float, float, Pair<to_bf16>>(Class::convert);
}

}  // namespace lacuna::ptx
