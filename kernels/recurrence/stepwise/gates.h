// The gates of many tokens at once, from the evolved states that a tape kept: what step_forward and reset_forward saved, or
// would have, by the same arithmetic on rows of a product over tokens instead of sequences.
//
//   [product], recompute_gates
//   gru_reset_before: [product], recompute_reset, [candidate_product], recompute_gates
#pragma once

#include <cstdint>

#include "kernels/recurrence/stepwise/forward.h"

namespace lacuna {

// Rows are tokens, and all that is of tokens begins with the first row's.
template <class T>
struct TokenGates : StepForward<T> {
  const T* states = nullptr;  // [rows, units]: the evolved h, as W_h read it
};

namespace stepwise {

// Has the token been computed at all? Only the device may know how many are in use.
template <class T>
SIMT_DEVICE bool has_gates(const TokenGates<T>& args, std::int64_t first, std::int64_t row) {
  return first + row < args.sequences.offsets[args.sequences.count] && does_fire(args.fires, row);
}

template <class Cell, class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void recompute_gates(TokenGates<T> args, std::int64_t first, std::int64_t rows) {
  static_assert(Cell::saved_gates == Cell::gradient_gates, "gradients are to take their place");
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    const UnitsAt at{row, unit, args.hidden, args.units};
    if (!has_gates(args, first, row)) {
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g) save_gate<Cell>(args, at, g, same_units(R(0)));
      return;
    }
    // An lstm's gates do not read h, which a projection may have made narrower.
    Units<R> h = same_units(R(0)), c = same_units(R(0));
    if constexpr (!Cell::has_cell) h = load_units(args.states, row * at.units + unit);
    if constexpr (Cell::reset_before)
      save_gate<Cell>(args, at, 2, update_candidate<Cell>(args, row, at, h));
    else
      update_token<Cell>(args, row, at, h, c);
  });
}

template <class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void recompute_reset(TokenGates<T> args, std::int64_t first, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    const UnitsAt at{row, unit, args.hidden, args.units};
    const std::int64_t by_row = row * at.units + unit;
    if (has_gates(args, first, row))
      update_reset(args, row, at, load_units(args.states, by_row));
    else
      store_units(args.reset_operand, by_row, same_units(R(0)), at.template present<R>());
  });
}

}  // namespace stepwise

// `first`: the number of the first row's token.
template <class T>
void recompute_gates(simt::Stream stream, const TokenGates<T>& args, std::int64_t first,
                     std::int64_t rows) {
  with_some_cell(args.cell, [&]<class Cell>(Cell) {
    stepwise::launch_rows<simt::Real<T>>(stream, stepwise::recompute_gates<Cell, T>, args, first,
                                         rows);
  });
}

template <class T>
void recompute_reset(simt::Stream stream, const TokenGates<T>& args, std::int64_t first,
                     std::int64_t rows) {
  stepwise::launch_rows<simt::Real<T>>(stream, stepwise::recompute_reset<T>, args, first, rows);
}

}  // namespace lacuna
