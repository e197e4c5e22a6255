// Handlers of instructions that do the same in every lane: an operation's function object makes the handler.
#pragma once
#include <cstdint>
#include <string>

#include "ptx/decode.h"
#include "ptx/warp.h"

namespace lacuna::ptx {

template <class D, class A, class Op>
void unary(Warp& w, const Instruction& i, std::uint32_t mask) {
  D* const d = w.at<D>(i, 0);
  const A* const a = w.at<A>(i, 1);
  each(mask, [=](unsigned lane) { d[lane] = Op()(a[lane]); });
}

template <class D, class A, class B, class Op>
void binary(Warp& w, const Instruction& i, std::uint32_t mask) {
  D* const d = w.at<D>(i, 0);
  const A* const a = w.at<A>(i, 1);
  const B* const b = w.at<B>(i, 2);
  each(mask, [=](unsigned lane) { d[lane] = Op()(a[lane], b[lane]); });
}

template <class D, class A, class B, class C, class Op>
void ternary(Warp& w, const Instruction& i, std::uint32_t mask) {
  D* const d = w.at<D>(i, 0);
  const A* const a = w.at<A>(i, 1);
  const B* const b = w.at<B>(i, 2);
  const C* const c = w.at<C>(i, 3);
  each(mask, [=](unsigned lane) { d[lane] = Op()(a[lane], b[lane], c[lane]); });
}

// setp: a predicate's bits are its lanes.
template <class T, class Op>
void compare(Warp& w, const Instruction& i, std::uint32_t mask) {
  const T* const a = w.at<T>(i, 1);
  const T* const b = w.at<T>(i, 2);
  std::uint32_t holds = 0;
  if (mask == all_lanes) {
    for (unsigned lane = 0; lane < 32; ++lane)
      holds |= std::uint32_t{Op()(a[lane], b[lane])} << lane;
  } else {
    each(mask, [&](unsigned lane) { holds |= std::uint32_t{Op()(a[lane], b[lane])} << lane; });
  }
  std::uint32_t& p = w.predicate(i.slot[0]);
  p = (p & ~mask) | (holds & mask);
}

template <class T>
constexpr char letter() {
  return sizeof(T) == 2 ? 'h' : sizeof(T) == 4 ? 'w' : 'd';
}

// Shapes of operands, as Opcode::shape wants them, which must live on.
template <class D, class... Sources>
const char* shape_of() {
  static constexpr char text[] = {letter<D>(), '=', letter<Sources>()..., '\0'};
  return text;
}

template <class D, class A, class Op>
Opcode unary_opcode(Class kind) {
  return {unary<D, A, Op>, shape_of<D, A>(), kind};
}
template <class D, class A, class B, class Op>
Opcode binary_opcode(Class kind) {
  return {binary<D, A, B, Op>, shape_of<D, A, B>(), kind};
}
template <class D, class A, class B, class C, class Op>
Opcode ternary_opcode(Class kind) {
  return {ternary<D, A, B, C, Op>, shape_of<D, A, B, C>(), kind};
}

}  // namespace lacuna::ptx
