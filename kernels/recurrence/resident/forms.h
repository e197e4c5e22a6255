// Which kernel serves a layer and a call: the type of its operands, and its Form. What a walk may be asked for besides is in
// most cases known not to be, and then its code has no branches for it. A branch costs more than its own instructions:
// nothing is put between those on both sides of it while they wait for each other, and one that is taken waits for
// instructions (a third of a step, by the profiler's samples on an H200).
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/recurrence/cell_steps.h"
#include "kernels/recurrence/resident/products.h"
#include "kernels/recurrence/resident/tile.h"
#include "lacuna/lacuna.h"

namespace lacuna::resident {

// A walk's Form: anything; the usual, by a tile's is_usual(); and the usual of so many units, all of a layer's, so that
// addresses of rows are a constant apart and products have no end to be found.
struct Anything {
  static constexpr bool usual = false;
  static constexpr int units = 0;
};
struct Usual {
  static constexpr bool usual = true;
  static constexpr int units = 0;
};
template <int all_units>
struct UsualOf {
  static constexpr bool usual = true;
  static constexpr int units = all_units;
};

// The cell of a Form's kernel. Where anything may be asked for, one kernel serves all of RnnStep: what it asks besides is
// little beside the rest, and kernels are what the library takes longest to compile.
template <class Cell, class Form>
using CellOf = std::conditional_t<Form::usual, Cell, typename SomeCell<Cell>::type>;

// Whether a thread's neighbours in each row of a caller's array, H wide, go by one access.
template <class Own, class X>
bool goes_whole(const X* array, std::int64_t hidden) {
  return hidden % Own::neighbours == 0 &&
         reinterpret_cast<std::uintptr_t>(array) % (Own::neighbours * sizeof(X)) == 0;
}
// Of a forward or backward view, what both have: every token fires, and nothing evolves but by a decay of the token.
template <class View>
bool is_usual_walk(const View& args) {
  return args.fires == nullptr &&
         (args.evolve.kind == LACUNA_EVOLVE_NONE || args.evolve.kind == LACUNA_EVOLVE_DECAY);
}

// Of a block that has all units itself.
template <class Form>
SIMT_BOTH Division whole_division(std::int64_t hidden) {
  return {.slice = Form::units > 0 ? Form::units : padded_units(hidden)};
}

// start(the Form of a walk by one block), of which some know a size: 64, 128. Each makes kernels of its own.
template <bool of_64, bool of_128, class F>
void with_form_of(bool usual, std::int64_t hidden, F&& start) {
  if (!usual) return start(Anything{});
  if constexpr (of_64)
    if (hidden == 64) return start(UsualOf<64>{});
  if constexpr (of_128)
    if (hidden == 128) return start(UsualOf<128>{});
  start(Usual{});
}
// The cells that people take most, which the most taken sizes are known of.
template <class Cell>
inline constexpr bool knows_sizes = Cell::input_gates >= 3;
// Of floats only weights in two parts, for ptxas spills where it sees all of the others.
template <class Cell, class E, class F>
void with_form(bool usual, std::int64_t hidden, F&& start) {
  constexpr bool of_64 = knows_sizes<Cell> && !std::is_same_v<E, float>;
  with_form_of<of_64, of_64 && !std::is_same_v<E, InTwoParts>>(usual, hidden, start);
}

// f(the type of the operands) for a layer of T.
template <class T, class F>
auto with_operand([[maybe_unused]] bool tf32, F&& f) {
  if constexpr (std::is_same_v<T, float>)
    if (tf32) return f(Tf32{});
  return f(T{});
}

// start(the type of the operands), E or, of floats, InTwoParts where its bytes(InTwoParts) are there.
template <class E, class B, class F>
void with_room(std::size_t shared_bytes, B&& bytes, F&& start) {
  if constexpr (std::is_same_v<E, float>)
    if (bytes(InTwoParts{}) <= shared_bytes) return start(InTwoParts{});
  start(E{});
}

}  // namespace lacuna::resident
