// One step of the recurrence, backward: what lies between two products with W_h. From dL/d(state after a token) to the
// gradients of its gates, and to what the evolved state receives past the product.
//
//   per step, the last one first:  step_backward, [d_product]; then end_backward
//   gru_reset_before, per step:    step_backward, [d_reset], reset_backward, [d_product]
#pragma once

#include <cstdint>

#include "kernels/recurrence/cell_steps.h"
#include "kernels/recurrence/evolve_units.h"
#include "kernels/recurrence/stepwise/grid.h"
#include "kernels/recurrence/stepwise/product.h"
#include "kernels/recurrence/views.h"

namespace lacuna {

// Rows are positions in sequences.order.
template <class T>
struct StepBackward : BackwardView<T> {
  using R = simt::Real<T>;

  // Between the steps, by row.
  T* d_step = nullptr;               // [B, Gh units]: gradients of the product's gates
  StepProduct<R> d_product;          // [B, units]: d_step W_h
  R* d_state = nullptr;              // [B, units]: what else reaches the evolved h
  R* d_cell_state = nullptr;         // [B, units]: all that reaches the evolved c, lstm
  const R* d_unprojected = nullptr;  // [B, units], projected: dL/d(o tanh c'); see projected.h
  // gru_reset_before, between the halves of a step:
  T* d_candidate = nullptr;  // [B, units]: n's gradient
  StepProduct<R> d_reset;    // [B, units]: d_candidate W_hn
  // layer_norm of an lstm, see normalise.h; null: without
  R* shown = nullptr;    // [B, units]
  R* d_shown = nullptr;  // [B, units]: dL/dc' through it
};

namespace stepwise {

// What the update of a row's token and the product behind it left for dL/d(its evolved state).
template <class R>
struct LeftInRow {
  Units<R> d_h, d_product, d_c;
};
template <bool has_cell, class T, class R = simt::Real<T>>
SIMT_DEVICE LeftInRow<R> left_in_row(const StepBackward<T>& args, std::int64_t row,
                                     std::int64_t unit) {
  const std::int64_t by_row = row * args.units + unit;
  return {load_units(args.d_state, by_row), load_product(args.d_product, by_row),
          has_cell ? load_units(args.d_cell_state, by_row) : same_units(R(0))};
}

// dL/d(state before token `at`), from what was left. before_h: see evolve_units_backward.
template <bool has_cell, class T, class R, class Before>
SIMT_DEVICE void receive(const StepBackward<T>& args, const LeftInRow<R>& left,
                         std::int64_t sequence, const UnitsAt& at, Before&& before_h, Units<R>& d_h,
                         Units<R>& d_c) {
  const Units<R> d_operand = dropped(args.noise, sequence, at.unit, left.d_product);
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) d_h[i] = left.d_h[i] + d_operand[i];
  d_c = left.d_c;
  evolve_units_backward<has_cell>(args.evolve, args.d_evolve, at, args.gaps, args.tape_h,
                                  args.tape_c, before_h, d_h, d_c);
}

// to += an array of the caller.
template <class T, class R>
SIMT_DEVICE void add_present(Units<R>& to, const T* array, std::int64_t at, int present) {
  const Units<R> added = load_present(array, at, present);
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) to[i] += added[i];
}

template <class Cell, class T, class R>
SIMT_DEVICE Units<R> saved_gate(const StepBackward<T>& args, const UnitsAt& at, int gate) {
  return load_units(args.gates, (at.token * Cell::saved_gates + gate) * at.units + at.unit);
}

// What a token's update made of the evolved h, from its gates.
template <class Cell, class T, class R = simt::Real<T>>
SIMT_DEVICE Units<R> next_h(const StepBackward<T>& args, std::int64_t row, const UnitsAt& at) {
  const std::int64_t taped = at.token * at.units + at.unit;
  Units<R> h = load_units(args.tape_h, taped);
  [[maybe_unused]] Units<R> c = same_units(R(0)), saved[Cell::saved_gates];
  if (!does_fire(args.fires, at.token)) return h;
  if constexpr (Cell::shows) {
    const Units<R> o = saved_gate<Cell, T, R>(args, at, 3);
    const Units<R> shown = load_units(args.shown, row * at.units + at.unit);
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) h[i] = Cell::show(o[i], shown[i]);
  } else {
    SIMT_UNROLL
    for (int g = 0; g < Cell::saved_gates; ++g) saved[g] = saved_gate<Cell, T, R>(args, at, g);
    if constexpr (Cell::has_cell) c = load_units(args.tape_c, taped);
    const Cell cell = cell_of<Cell>(args.cell);
    R dt = R(0);
    if (reads_gap(cell)) dt = args.gaps[at.token];
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) {
      R s[Cell::saved_gates];
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g) s[g] = saved[g][i];
      h[i] = cell.next_h(s, UnitState<R>{h[i], c[i]}, dt);
    }
  }
  if (args.noise.zoned != nullptr) zone_out(args.noise, at, 0, load_units(args.tape_h, taped), h);
  return h;
}

// dL/d(state after token `at`), the one read at `step`: from the token after it, or the end of the sequence, and the caller.
template <class Cell, class T, class R>
SIMT_DEVICE void receive_next(const StepBackward<T>& args, std::int64_t row,
                              const LeftInRow<R>& left, const SequenceReading& reading,
                              std::int64_t step, const UnitsAt& at, Units<R>& d_h, Units<R>& d_c) {
  const int present = at.template present<R>();
  const Units<R> given_h = load_present(args.d_hidden_out, at.token * at.hidden + at.unit, present);
  Units<R> given_c = same_units(R(0));
  if constexpr (Cell::has_cell)
    given_c = load_present(args.d_cell_out, at.token * at.hidden + at.unit, present);
  d_c = same_units(R(0));
  if (step + 1 < reading.length()) {
    const UnitsAt next{reading.token(step + 1), at.unit, at.hidden, at.units};
    receive<Cell::has_cell>(
        args, left, reading.sequence, next, [&] { return next_h<Cell>(args, row, at); }, d_h, d_c);
  } else {
    const std::int64_t by_sequence = reading.sequence * at.hidden + at.unit;
    d_h = load_present(args.d_final_hidden, by_sequence, present);
    if constexpr (Cell::has_cell) d_c = load_present(args.d_final_cell, by_sequence, present);
  }
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) {
    d_h[i] += given_h[i];
    if (Cell::has_cell) d_c[i] += given_c[i];
  }
}

template <class Cell, class T, class R>
SIMT_DEVICE void store_d_gate(const StepBackward<T>& args, const UnitsAt& at, int gate,
                              const Units<R>& value) {
  store_units(args.d_gates, (at.token * Cell::gradient_gates + gate) * at.units + at.unit, value,
              at.template present<R>());
}

template <class Cell, class T, class R>
SIMT_DEVICE void store_d_step(const StepBackward<T>& args, std::int64_t row, const UnitsAt& at,
                              int gate, const Units<R>& value) {
  store_units(args.d_step, (row * Cell::product_gates + gate) * at.units + at.unit, value,
              at.template present<R>());
}

// What a token's tape has for the way back through its update.
template <class Cell, class R>
struct TapedUpdate {
  Units<R> gates[Cell::saved_gates], h, c;
};
template <class Cell, class T, class R = simt::Real<T>>
SIMT_DEVICE TapedUpdate<Cell, R> taped_update(const StepBackward<T>& args, const UnitsAt& at) {
  const std::int64_t place = at.token * at.units + at.unit;
  TapedUpdate<Cell, R> taped;
  SIMT_UNROLL
  for (int g = 0; g < Cell::saved_gates; ++g) taped.gates[g] = saved_gate<Cell, T, R>(args, at, g);
  taped.h = taped.c = same_units(R(0));
  if constexpr (Cell::backward_reads_h) taped.h = load_units(args.tape_h, place);
  if constexpr (Cell::has_cell) taped.c = load_units(args.tape_c, place);
  return taped;
}

// Back through the update of a token that fires. d_h, d_c: in, dL/d(next state); out, the part of dL/d(evolved state)
// that passes through no product.
template <class Cell, class T, class R>
SIMT_DEVICE void update_backward(const StepBackward<T>& args, std::int64_t row, const UnitsAt& at,
                                 const TapedUpdate<Cell, R>& taped, Units<R>& d_h, Units<R>& d_c) {
  Units<R> d_gates[Cell::gradient_gates], d_dt;
  const Cell cell = cell_of<Cell>(args.cell);
  R dt = R(0);
  if (reads_gap(cell)) dt = args.gaps[at.token];
  Units<R> shown, d_shown;
  if constexpr (Cell::shows) {
    shown = load_units(args.shown, row * at.units + at.unit);
    d_shown = load_units(args.d_shown, row * at.units + at.unit);
  }
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) {
    R s[Cell::saved_gates], d[Cell::gradient_gates];
    SIMT_UNROLL
    for (int g = 0; g < Cell::saved_gates; ++g) s[g] = taped.gates[g][i];
    if constexpr (Cell::shows) {
      const R d_o = lstm_shown_backward(s[3], shown[i], d_h[i]).o;
      d_c[i] = Cell::backward_c(s, taped.c[i], d_c[i] + d_shown[i], d_o, d);
      d_h[i] = R(0);
    } else {
      const UnitState<R> d_state = cell.backward(s, UnitState<R>{taped.h[i], taped.c[i]},
                                                 UnitState<R>{d_h[i], d_c[i]}, dt, d, d_dt[i]);
      d_h[i] = d_state.h;
      d_c[i] = d_state.c;
    }
    SIMT_UNROLL
    for (int g = 0; g < Cell::gradient_gates; ++g) d_gates[g][i] = d[g];
  }
  SIMT_UNROLL
  for (int g = 0; g < Cell::gradient_gates; ++g) store_d_gate<Cell>(args, at, g, d_gates[g]);
  SIMT_UNROLL
  for (int g = 0; g < Cell::product_gates; ++g)
    store_d_step<Cell>(args, row, at, g, d_gates[Cell::product_gradient(g)]);
  if (reads_gap(cell))
    store_units(args.d_euler, at.token * at.units + at.unit, d_dt, at.template present<R>());
}

// The first half of a step of gru_reset_before: z, n, and the operand of the candidate's product.
template <class Cell, class T, class R>
SIMT_DEVICE void update_candidate_backward(const StepBackward<T>& args, std::int64_t row,
                                           const UnitsAt& at, const TapedUpdate<Cell, R>& taped,
                                           Units<R>& d_h) {
  Units<R> d_z, d_n;
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i)
    d_h[i] = Cell::backward_candidate(taped.gates[1][i], taped.gates[2][i], taped.h[i], d_h[i],
                                      d_z[i], d_n[i]);
  store_d_gate<Cell>(args, at, 1, d_z);
  store_d_gate<Cell>(args, at, 2, d_n);
  store_d_step<Cell>(args, row, at, 1, d_z);
  store_units(args.d_candidate, row * at.units + at.unit, d_n, at.template present<R>());
}

// A token that does not fire has no gates, and passes its gradient on.
template <class Cell, class T>
SIMT_DEVICE void no_update_backward(const StepBackward<T>& args, std::int64_t row,
                                    const UnitsAt& at) {
  using R = simt::Real<T>;
  const Units<R> zero = same_units(R(0));
  SIMT_UNROLL
  for (int g = 0; g < Cell::gradient_gates; ++g) store_d_gate<Cell>(args, at, g, zero);
  SIMT_UNROLL
  for (int g = 0; g < Cell::product_gates; ++g) store_d_step<Cell>(args, row, at, g, zero);
  const int present = at.template present<R>();
  if (reads_gap(cell_of<Cell>(args.cell)))
    store_units(args.d_euler, at.token * at.units + at.unit, zero, present);
  if constexpr (Cell::reset_before)
    store_units(args.d_candidate, row * at.units + at.unit, zero, present);
}

// What zoneout takes past an update waits where the update's own part will stand, so that without zoneout nothing waits in
// registers.
template <bool has_cell, class T, class R>
SIMT_DEVICE void split(const StepBackward<T>& args, std::int64_t row, const UnitsAt& at,
                       Units<R>& d_h, Units<R>& d_c) {
  const auto part = [&](int which, R* waits, Units<R>& d_next) {
    Units<R> past;
    zone_out_backward(args.noise, at, which, d_next, past);
    store_units(waits, row * at.units + at.unit, past, at.template present<R>());
  };
  part(0, args.d_state, d_h);
  if constexpr (has_cell) part(1, args.d_cell_state, d_c);
}
template <bool has_cell, class T, class R>
SIMT_DEVICE void join(const StepBackward<T>& args, std::int64_t row, const UnitsAt& at,
                      Units<R>& d_h, Units<R>& d_c) {
  const std::int64_t by_row = row * at.units + at.unit;
  const auto add = [&](const R* past, Units<R>& to) {
    const Units<R> from = load_units(past, by_row);
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) to[i] += from[i];
  };
  add(args.d_state, d_h);
  if constexpr (has_cell) add(args.d_cell_state, d_c);
}

// In the order that has most on its way at once, as step_forward.
template <class Cell, class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void step_backward(StepBackward<T> args, std::int64_t step, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    const LeftInRow<R> left = left_in_row<Cell::has_cell>(args, row, unit);
    const SequenceReading reading = args.sequences.row(row);
    if (step >= reading.length()) return;
    const UnitsAt at{reading.token(step), unit, args.hidden, args.units};
    const TapedUpdate<Cell, R> taped = taped_update<Cell>(args, at);
    const int present = at.template present<R>();
    Units<R> d_h, d_c;
    receive_next<Cell>(args, row, left, reading, step, at, d_h, d_c);
    store_units(args.d_hidden_rows, at.token * at.units + unit, d_h, present);
    const bool fires = does_fire(args.fires, at.token);
    const bool zones_out = fires && args.noise.zoned != nullptr;
    if (zones_out) split<Cell::has_cell>(args, row, at, d_h, d_c);
    if (!fires)
      no_update_backward<Cell>(args, row, at);
    else if constexpr (Cell::reset_before)
      update_candidate_backward<Cell>(args, row, at, taped, d_h);
    else
      update_backward<Cell>(args, row, at, taped, d_h, d_c);
    if (zones_out) join<Cell::has_cell>(args, row, at, d_h, d_c);
    store_units(args.d_state, row * at.units + unit, d_h, present);
    if constexpr (Cell::has_cell)
      store_units(args.d_cell_state, row * at.units + unit, d_c, present);
  });
}

// The second half: r, and r h for the weight gradient.
template <class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void reset_backward(StepBackward<T> args, std::int64_t step, std::int64_t rows) {
  using R = simt::Real<T>;
  using Cell = GruResetBeforeStep;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    if (step >= reading.length()) return;
    const UnitsAt at{reading.token(step), unit, args.hidden, args.units};
    const std::int64_t by_row = row * at.units + unit, taped = at.token * at.units + unit;
    const int present = at.template present<R>();
    // Where the token did not fire, r and d_reset are 0, and so is all that follows.
    const Units<R> r = saved_gate<Cell, T, R>(args, at, 0);
    const Units<R> h =
        load_units(args.tape_operand != nullptr ? args.tape_operand : args.tape_h, taped);
    const Units<R> d_reset = load_product(args.d_reset, by_row);
    Units<R> d_state = load_units(args.d_state, by_row), d_operand, d_r, reset_h;
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) {
      d_operand[i] = Cell::backward_reset(r[i], h[i], d_reset[i], d_r[i]);
      reset_h[i] = r[i] * h[i];
    }
    d_operand = dropped(args.noise, reading.sequence, unit, d_operand);
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) d_state[i] += d_operand[i];
    store_units(args.d_state, by_row, d_state, present);
    store_d_gate<Cell>(args, at, 0, d_r);
    store_d_step<Cell>(args, row, at, 0, d_r);
    store_units(args.reset_operand, taped, reset_h, present);
  });
}

template <bool has_cell, class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void end_backward(StepBackward<T> args, std::int64_t /*step*/, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    const UnitsAt at{reading.token(0), unit, args.hidden, args.units};
    const int present = at.template present<R>();
    const std::int64_t by_sequence = reading.sequence * at.hidden + unit;
    Units<R> d_h, d_c = same_units(R(0));
    if (reading.length() > 0) {
      const auto initial_h = [&] {
        return load_present(args.initial_hidden, by_sequence, present);
      };
      receive<has_cell>(args, left_in_row<has_cell>(args, row, unit), reading.sequence, at,
                        initial_h, d_h, d_c);
    } else {
      d_h = load_present(args.d_final_hidden, by_sequence, present);
      if constexpr (has_cell) d_c = load_present(args.d_final_cell, by_sequence, present);
    }
    store_present(args.d_initial_hidden, by_sequence, d_h, present);
    if constexpr (has_cell) store_present(args.d_initial_cell, by_sequence, d_c, present);
  });
}

}  // namespace stepwise

// Steps run from the longest sequence's last to 0; `rows` as in step_forward. Before the step below, d_product = d_step W_h.
template <class T>
void step_backward(simt::Stream stream, const StepBackward<T>& args, std::int64_t step,
                   std::int64_t rows) {
  with_step(args.cell, args.shown != nullptr, [&]<class Cell>(Cell) {
    stepwise::launch_rows<simt::Real<T>>(stream, stepwise::step_backward<Cell, T>, args, step,
                                         rows);
  });
}

template <class T>
void reset_backward(simt::Stream stream, const StepBackward<T>& args, std::int64_t step,
                    std::int64_t rows) {
  stepwise::launch_rows<simt::Real<T>>(stream, stepwise::reset_backward<T>, args, step, rows);
}

// Back through the evolution of each first token; a sequence of no tokens hands on the gradient of its final state.
template <class T>
void end_backward(simt::Stream stream, const StepBackward<T>& args) {
  stepwise::launch_rows<simt::Real<T>>(stream,
                                       cell_shape(args.cell).has_cell
                                           ? stepwise::end_backward<true, T>
                                           : stepwise::end_backward<false, T>,
                                       args, 0, args.sequences.count);
}

}  // namespace lacuna
