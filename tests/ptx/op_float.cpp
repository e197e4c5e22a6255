// Arithmetic in fp32 and fp64. The approximate instructions are computed exactly and rounded: a device's may
// differ from that by the error the PTX ISA allows them.
#include <algorithm>
#include <cmath>
#include <functional>

#include "ptx/lanewise.h"
#include "ptx/numbers.h"

namespace lacuna::ptx {
namespace {

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return canonical(a + b);
  }
};
struct Sub {
  template <class T>
  T operator()(T a, T b) const {
    return canonical(a - b);
  }
};
struct Mul {
  template <class T>
  T operator()(T a, T b) const {
    return canonical(a * b);
  }
};
struct Div {
  template <class T>
  T operator()(T a, T b) const {
    return canonical(a / b);
  }
};
struct Fma {
  template <class T>
  T operator()(T a, T b, T c) const {
    return canonical(std::fma(a, b, c));
  }
};
struct Rcp {
  template <class T>
  T operator()(T a) const {
    return canonical(1 / a);
  }
};
struct Sqrt {
  template <class T>
  T operator()(T a) const {
    return canonical(std::sqrt(a));
  }
};
struct Neg {
  template <class T>
  T operator()(T a) const {
    return -a;
  }
};
struct Abs {
  template <class T>
  T operator()(T a) const {
    return std::fabs(a);
  }
};
// The sign of a, all else of b.
struct CopySign {
  template <class T>
  T operator()(T a, T b) const {
    return std::copysign(b, a);
  }
};
// A number wins over NaN, and -0 is less than +0.
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    if (a != a || b != b) return canonical(a != a ? b : a);
    return a < b || (a == b && std::signbit(a)) ? a : b;
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    if (a != a || b != b) return canonical(a != a ? b : a);
    return a > b || (a == b && !std::signbit(a)) ? a : b;
  }
};
template <class Op>
struct OrNan {
  template <class T>
  T operator()(T a, T b) const {
    return a != a || b != b ? canonical(a + b) : Op()(a, b);
  }
};

template <Rounding mode>
struct AddBy {
  float operator()(float a, float b) const { return canonical(multiply_add<mode>(a, 1.0f, b)); }
};
template <Rounding mode>
struct SubBy {
  float operator()(float a, float b) const { return canonical(multiply_add<mode>(a, 1.0f, -b)); }
};
template <Rounding mode>
struct MulBy {
  float operator()(float a, float b) const { return canonical(round_sum<mode>(double{a} * b, 0)); }
};
template <Rounding mode>
struct FmaBy {
  float operator()(float a, float b, float c) const {
    return canonical(multiply_add<mode>(a, b, c));
  }
};

struct Ex2 {
  float operator()(float a) const { return canonical(static_cast<float>(std::exp2(double{a}))); }
};
struct Lg2 {
  float operator()(float a) const { return canonical(static_cast<float>(std::log2(double{a}))); }
};
struct Sin {
  float operator()(float a) const { return canonical(static_cast<float>(std::sin(double{a}))); }
};
struct Cos {
  float operator()(float a) const { return canonical(static_cast<float>(std::cos(double{a}))); }
};
struct Tanh {
  float operator()(float a) const { return canonical(static_cast<float>(std::tanh(double{a}))); }
};
struct Rsqrt {
  float operator()(float a) const {
    return canonical(static_cast<float>(1 / std::sqrt(double{a})));
  }
};
// Only the upper 32 bits of argument and result count, and subnormal ones are zero.
struct GrossRcp {
  static double upper(double x) {
    const double cut =
        std::bit_cast<double>(std::bit_cast<std::uint64_t>(x) & ~std::uint64_t{0xffffffffu});
    return std::fabs(cut) < std::numeric_limits<double>::min() ? std::copysign(0.0, x) : cut;
  }
  double operator()(double a) const { return a != a ? canonical(a) : upper(1 / upper(a)); }
};

// .ftz: subnormal arguments and results are zero; .sat: results are cut to [0, 1].
template <class Op>
struct Ftz {
  template <class... A>
  float operator()(A... a) const {
    return flush(Op()(flush(a)...));
  }
};
template <class Op>
struct Sat {
  template <class... A>
  float operator()(A... a) const {
    return saturate(Op()(a...));
  }
};

// Without NaN, then (…u) with it.
using Eq = std::equal_to<>;
struct Ne {
  template <class T>
  bool operator()(T a, T b) const {
    return a < b || a > b;
  }
};
using Lt = std::less<>;
using Le = std::less_equal<>;
using Gt = std::greater<>;
using Ge = std::greater_equal<>;
struct Num {
  template <class T>
  bool operator()(T a, T b) const {
    return a == a && b == b;
  }
};
template <class Op>
struct Not {
  template <class T>
  bool operator()(T a, T b) const {
    return !Op()(a, b);
  }
};
template <class Op>
struct FtzCompare {
  bool operator()(float a, float b) const { return Op()(flush(a), flush(b)); }
};

// name + modifiers + ".f32": with .ftz and .sat, both, or neither.
template <class Op, std::size_t arguments>
Opcode float_opcode(Class kind) {
  if constexpr (arguments == 1)
    return unary_opcode<float, float, Op>(kind);
  else if constexpr (arguments == 2)
    return binary_opcode<float, float, float, Op>(kind);
  else
    return ternary_opcode<float, float, float, float, Op>(kind);
}
template <class Op, std::size_t arguments>
void add_single(Opcodes& table, const std::string& name, Class kind = Class::fp32) {
  table[name + ".f32"] = float_opcode<Op, arguments>(kind);
  table[name + ".ftz.f32"] = float_opcode<Ftz<Op>, arguments>(kind);
  table[name + ".sat.f32"] = float_opcode<Sat<Op>, arguments>(kind);
  table[name + ".ftz.sat.f32"] = float_opcode<Sat<Ftz<Op>>, arguments>(kind);
}

template <Rounding mode>
void add_rounded(Opcodes& table, const std::string& modifier) {
  add_single<AddBy<mode>, 2>(table, "add." + modifier);
  add_single<SubBy<mode>, 2>(table, "sub." + modifier);
  add_single<MulBy<mode>, 2>(table, "mul." + modifier);
  add_single<FmaBy<mode>, 3>(table, "fma." + modifier);
}

template <class Op>
void add_comparison(Opcodes& table, const std::string& name) {
  table["setp." + name + ".f32"] = {compare<float, Op>, "p=ww", Class::predicate};
  table["setp." + name + ".ftz.f32"] = {compare<float, FtzCompare<Op>>, "p=ww", Class::predicate};
  table["setp." + name + ".f64"] = {compare<double, Op>, "p=dd", Class::predicate};
}

void add_double(Opcodes& table) {
  const Class kind = Class::fp64;
  using D = double;
  table["add.f64"] = table["add.rn.f64"] = binary_opcode<D, D, D, Add>(kind);
  table["sub.f64"] = table["sub.rn.f64"] = binary_opcode<D, D, D, Sub>(kind);
  table["mul.f64"] = table["mul.rn.f64"] = binary_opcode<D, D, D, Mul>(kind);
  table["fma.rn.f64"] = ternary_opcode<D, D, D, D, Fma>(kind);
  table["div.rn.f64"] = binary_opcode<D, D, D, Div>(Class::special);
  table["rcp.rn.f64"] = unary_opcode<D, D, Rcp>(Class::special);
  table["sqrt.rn.f64"] = unary_opcode<D, D, Sqrt>(Class::special);
  table["rcp.approx.ftz.f64"] = unary_opcode<D, D, GrossRcp>(Class::special);
  table["neg.f64"] = unary_opcode<D, D, Neg>(kind);
  table["abs.f64"] = unary_opcode<D, D, Abs>(kind);
  table["copysign.f64"] = binary_opcode<D, D, D, CopySign>(kind);
  table["min.f64"] = binary_opcode<D, D, D, Min>(kind);
  table["max.f64"] = binary_opcode<D, D, D, Max>(kind);
}

}  // namespace

void add_float(Opcodes& table) {
  for (const std::string modifier : {"", ".rn"}) {
    add_single<Add, 2>(table, "add" + modifier);
    add_single<Sub, 2>(table, "sub" + modifier);
    add_single<Mul, 2>(table, "mul" + modifier);
  }
  add_single<Fma, 3>(table, "fma.rn");
  add_rounded<Rounding::zero>(table, "rz");
  add_rounded<Rounding::down>(table, "rm");
  add_rounded<Rounding::up>(table, "rp");
  const Class special = Class::special;
  for (const std::string modifier : {".rn", ".approx", ".full"})
    add_single<Div, 2>(table, "div" + modifier, special);
  for (const std::string modifier : {".rn", ".approx"}) {
    add_single<Rcp, 1>(table, "rcp" + modifier, special);
    add_single<Sqrt, 1>(table, "sqrt" + modifier, special);
  }
  add_single<Ex2, 1>(table, "ex2.approx", special);
  add_single<Lg2, 1>(table, "lg2.approx", special);
  add_single<Sin, 1>(table, "sin.approx", special);
  add_single<Cos, 1>(table, "cos.approx", special);
  add_single<Tanh, 1>(table, "tanh.approx", special);
  add_single<Rsqrt, 1>(table, "rsqrt.approx", special);
  add_single<Neg, 1>(table, "neg");
  add_single<Abs, 1>(table, "abs");
  add_single<CopySign, 2>(table, "copysign");
  add_single<Min, 2>(table, "min");
  add_single<Max, 2>(table, "max");
  add_single<OrNan<Min>, 2>(table, "min.NaN");
  add_single<OrNan<Max>, 2>(table, "max.NaN");
  add_comparison<Eq>(table, "eq");
  add_comparison<Ne>(table, "ne");
  add_comparison<Lt>(table, "lt");
  add_comparison<Le>(table, "le");
  add_comparison<Gt>(table, "gt");
  add_comparison<Ge>(table, "ge");
  add_comparison<Not<Ne>>(table, "equ");
  add_comparison<Not<Eq>>(table, "neu");
  add_comparison<Not<Ge>>(table, "ltu");
  add_comparison<Not<Gt>>(table, "leu");
  add_comparison<Not<Le>>(table, "gtu");
  add_comparison<Not<Lt>>(table, "geu");
  add_comparison<Num>(table, "num");
  add_comparison<Not<Num>>(table, "nan");
  add_double(table);
}

}  // namespace lacuna::ptx
