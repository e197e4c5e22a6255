// One step of the recurrence, forward: what follows the product with W_h. From the products to gates, next state and
// outputs, and on to the next token: evolve, and the product's next operand.
//
//   begin_forward; then per step: [product], step_forward
//   gru_reset_before, per step:   [product of r, z], reset_forward, [product of n], step_forward
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
struct StepForward : ForwardView<T> {
  using R = simt::Real<T>;

  // Between the steps, by row.
  StepProduct<R> product;   // [B, Gh units]: W_h operand
  T* operand = nullptr;     // [B, units]: evolved h, as the product reads it
  R* state = nullptr;       // [B, units]: the same, not rounded, nothing dropped
  R* cell_state = nullptr;  // [B, units]: evolved c, lstm
  // gru_reset_before, between the halves of a step:
  T* reset_operand = nullptr;        // [B, units]: r h
  R* update = nullptr;               // [B, units]: z
  StepProduct<R> candidate_product;  // [B, units]: W_hn reset_operand
  R* shown = nullptr;  // [B, units]: layer_norm of an lstm, see normalise.h; null: without
};

namespace stepwise {

// The evolved h before token `at`, left where the token's update, its product and the backward run find it.
template <class T, class R>
SIMT_DEVICE void publish_h(const StepForward<T>& args, std::int64_t row, std::int64_t sequence,
                           const UnitsAt& at, const Units<R>& h) {
  const int present = at.template present<R>();
  const std::int64_t by_row = row * at.units + at.unit, by_token = at.token * at.units + at.unit;
  const Units<R> operand = dropped(args.noise, sequence, at.unit, h);
  store_units(args.operand, by_row, operand, present);
  store_units(args.state, by_row, h, present);
  store_units(args.tape_h, by_token, h, present);
  store_units(args.tape_operand, by_token, operand, present);
  store_present(args.evolved_hidden, at.token * at.hidden + at.unit, h, present);
}

// The same of c.
template <class T, class R>
SIMT_DEVICE void publish_c(const StepForward<T>& args, std::int64_t row, const UnitsAt& at,
                           const Units<R>& c) {
  const int present = at.template present<R>();
  store_units(args.cell_state, row * at.units + at.unit, c, present);
  store_units(args.tape_c, at.token * at.units + at.unit, c, present);
}

// The state before token `at`, evolved already, left where the token's update, its product and the backward run find it.
template <bool has_cell, class T, class R>
SIMT_DEVICE void publish(const StepForward<T>& args, std::int64_t row, std::int64_t sequence,
                         const UnitsAt& at, const Units<R>& h, const Units<R>& c) {
  publish_h(args, row, sequence, at, h);
  if constexpr (has_cell) publish_c(args, row, at, c);
}

template <bool has_cell, class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void begin_forward(StepForward<T> args, std::int64_t /*step*/, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    const UnitsAt at{reading.token(0), unit, args.hidden, args.units};
    const int present = at.template present<R>();
    const std::int64_t by_sequence = reading.sequence * args.hidden + unit;
    Units<R> h = load_present(args.initial_hidden, by_sequence, present);
    Units<R> c = same_units(R(0));
    if constexpr (has_cell) c = load_present(args.initial_cell, by_sequence, present);
    if (reading.length() > 0) {
      evolve_units<has_cell>(args.evolve, at, args.gaps, h, c);
      return publish<has_cell>(args, row, reading.sequence, at, h, c);
    }
    store_present(args.final_hidden, by_sequence, h, present);
    if constexpr (has_cell) store_present(args.final_cell, by_sequence, c, present);
  });
}

// W_x x + b of `count` gates from `first` on.
template <class Cell, int count, class T, class R>
SIMT_DEVICE void gate_inputs(const StepForward<T>& args, const UnitsAt& at, int first,
                             Units<R> (&inputs)[count]) {
  SIMT_UNROLL
  for (int g = 0; g < count; ++g) {
    // Named first: GCC 12 with ThreadSanitizer fails within itself where a call fills the element of an array.
    const Units<R> input =
        load_units(args.gx, (at.token * Cell::input_gates + first + g) * at.units + at.unit);
    inputs[g] = input;
  }
  Units<R> biases[count];
  load_present_rows(args.bias, first * at.hidden + at.unit, at.hidden, at.template present<R>(),
                    biases);
  SIMT_UNROLL
  for (int g = 0; g < count; ++g) {
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) inputs[g][i] += biases[g][i];
  }
}

template <class Cell, class T, class R>
SIMT_DEVICE void save_gate(const StepForward<T>& args, const UnitsAt& at, int gate,
                           const Units<R>& value) {
  store_units(args.gates, (at.token * Cell::saved_gates + gate) * at.units + at.unit, value,
              at.template present<R>());
}

// What the products of a step left for a row's gates: W_h operand, and b_hn where the cell has one.
template <class Cell, class T, class R>
SIMT_DEVICE void gate_products(const StepForward<T>& args, std::int64_t row, std::int64_t unit,
                               Units<R> (&products)[Cell::product_gates]) {
  SIMT_UNROLL
  for (int g = 0; g < Cell::product_gates; ++g)
    products[g] = load_product(args.product, (row * Cell::product_gates + g) * args.units + unit);
  if constexpr (Cell::hidden_bias) {
    const UnitsAt at{0, unit, args.hidden, args.units};
    const Units<R> bias = load_present(args.bias_hn, unit, at.template present<R>());
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) products[Cell::product_gates - 1][i] += bias[i];
  }
}

// The update of a token that fires. h, c: in, the evolved state; out, the next one.
template <class Cell, class T, class R>
SIMT_DEVICE void update(const StepForward<T>& args, std::int64_t row, const UnitsAt& at,
                        const Units<R> (&input)[Cell::input_gates],
                        const Units<R> (&product)[Cell::product_gates], Units<R>& h, Units<R>& c,
                        Units<R> (&saved)[Cell::saved_gates]) {
  const Cell cell = cell_of<Cell>(args.cell);
  R dt = R(0);
  if (reads_gap(cell)) dt = args.gaps[at.token];
  Units<R> shown;
  if constexpr (Cell::shows) shown = load_units(args.shown, row * at.units + at.unit);
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) {
    R x[Cell::input_gates], p[Cell::product_gates], s[Cell::saved_gates];
    SIMT_UNROLL
    for (int g = 0; g < Cell::input_gates; ++g) x[g] = input[g][i];
    SIMT_UNROLL
    for (int g = 0; g < Cell::product_gates; ++g) p[g] = product[g][i];
    if constexpr (Cell::shows) {
      c[i] = Cell::forward_c(x, p, c[i], s);
      h[i] = Cell::show(s[3], shown[i]);
    } else {
      const UnitState<R> next = cell.forward(x, p, UnitState<R>{h[i], c[i]}, dt, s);
      h[i] = next.h;
      c[i] = next.c;
    }
    SIMT_UNROLL
    for (int g = 0; g < Cell::saved_gates; ++g) saved[g][i] = s[g];
  }
}

// The same, from what it reads to the gates it leaves.
template <class Cell, class T, class R>
SIMT_DEVICE void update_token(const StepForward<T>& args, std::int64_t row, const UnitsAt& at,
                              Units<R>& h, Units<R>& c) {
  Units<R> input[Cell::input_gates], product[Cell::product_gates], saved[Cell::saved_gates];
  gate_inputs<Cell>(args, at, 0, input);
  gate_products<Cell>(args, row, at.unit, product);
  update<Cell>(args, row, at, input, product, h, c, saved);
  SIMT_UNROLL
  for (int g = 0; g < Cell::saved_gates; ++g) save_gate<Cell>(args, at, g, saved[g]);
}

// The second half of a step of gru_reset_before: of a token that fires, n and the next h.
template <class Cell, class T, class R>
SIMT_DEVICE Units<R> update_candidate(const StepForward<T>& args, std::int64_t row,
                                      const UnitsAt& at, Units<R>& h) {
  const std::int64_t by_row = row * at.units + at.unit;
  const Units<R> product = load_product(args.candidate_product, by_row);
  const Units<R> z = load_units(args.update, by_row);
  Units<R> input[1], n;
  gate_inputs<Cell>(args, at, 2, input);
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i)
    h[i] = Cell::forward_candidate(input[0][i], product[i], z[i], h[i], n[i]);
  return n;
}

// The first half: r and z, and the operand of the candidate's product. h: as W_h reads it.
template <class T, class R>
SIMT_DEVICE void update_reset(const StepForward<T>& args, std::int64_t row, const UnitsAt& at,
                              const Units<R>& h) {
  using Cell = GruResetBeforeStep;
  Units<R> input[2], product[2], r, z, reset_h;
  gate_inputs<Cell>(args, at, 0, input);
  gate_products<Cell>(args, row, at.unit, product);
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i)
    reset_h[i] = Cell::forward_reset<R>({input[0][i], input[1][i]}, {product[0][i], product[1][i]},
                                        h[i], r[i], z[i]);
  const std::int64_t by_row = row * at.units + at.unit;
  const int present = at.template present<R>();
  store_units(args.reset_operand, by_row, reset_h, present);
  store_units(args.update, by_row, z, present);
  save_gate<Cell>(args, at, 0, r);
  save_gate<Cell>(args, at, 1, z);
}

// The evolved state is read again: where there is no zoneout, nothing waits in registers.
template <bool has_cell, class T, class R>
SIMT_DEVICE void zone_out_step(const StepForward<T>& args, std::int64_t row, const UnitsAt& at,
                               Units<R>& h, Units<R>& c) {
  const std::int64_t by_row = row * at.units + at.unit;
  zone_out(args.noise, at, 0, load_units(args.state, by_row), h);
  if constexpr (has_cell) zone_out(args.noise, at, 1, load_units(args.cell_state, by_row), c);
}

template <class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void reset_forward(StepForward<T> args, std::int64_t step, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    if (step >= reading.length()) return;
    const UnitsAt at{reading.token(step), unit, args.hidden, args.units};
    if (does_fire(args.fires, at.token))
      update_reset(args, row, at,
                   dropped(args.noise, reading.sequence, unit,
                           load_units(args.state, row * at.units + unit)));
  });
}

// In the order that has most on its way at once: loads that do not wait for where the row's tokens are, then all others, and
// stores after the last of them.
template <class Cell, class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void step_forward(StepForward<T> args, std::int64_t step, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    Units<R> h = load_units(args.state, row * args.units + unit), c = same_units(R(0));
    Units<R> input[Cell::input_gates], product[Cell::product_gates], saved[Cell::saved_gates];
    if constexpr (Cell::has_cell) c = load_units(args.cell_state, row * args.units + unit);
    if constexpr (!Cell::reset_before) gate_products<Cell>(args, row, unit, product);
    const SequenceReading reading = args.sequences.row(row);
    if (step >= reading.length()) return;
    const UnitsAt at{reading.token(step), unit, args.hidden, args.units};
    if constexpr (!Cell::reset_before) gate_inputs<Cell>(args, at, 0, input);
    const bool fires = does_fire(args.fires, at.token);
    // No gradient comes of the gates of a token that does not fire, but the weight gradients multiply that zero with what
    // stands there.
    SIMT_UNROLL
    for (Units<R>& gate : saved) gate = same_units(R(0));
    if (fires) {
      if constexpr (Cell::reset_before)
        saved[2] = update_candidate<Cell>(args, row, at, h);
      else
        update<Cell>(args, row, at, input, product, h, c, saved);
      if (args.noise.zones_out()) zone_out_step<Cell::has_cell>(args, row, at, h, c);
    }
    const bool goes_on = step + 1 < reading.length();
    const UnitsAt next{goes_on ? reading.token(step + 1) : at.token, unit, at.hidden, at.units};
    Units<R> next_h = h, next_c = c;
    if (goes_on) evolve_units<Cell::has_cell>(args.evolve, next, args.gaps, next_h, next_c);

    SIMT_UNROLL
    for (int g = 0; g < Cell::saved_gates; ++g)
      if (!Cell::reset_before || g == 2 || !fires) save_gate<Cell>(args, at, g, saved[g]);
    const int present = at.template present<R>();
    store_present(args.hidden_out, at.token * at.hidden + unit, h, present);
    if constexpr (Cell::has_cell)
      store_present(args.cell_out, at.token * at.hidden + unit, c, present);
    if (goes_on) {
      publish<Cell::has_cell>(args, row, reading.sequence, next, next_h, next_c);
    } else {
      const std::int64_t by_sequence = reading.sequence * at.hidden + unit;
      store_present(args.final_hidden, by_sequence, h, present);
      if constexpr (Cell::has_cell) store_present(args.final_cell, by_sequence, c, present);
    }
  });
}

}  // namespace stepwise

// Publishes the state before each sequence's first token; the final state of a sequence that has none is its initial.
template <class T>
void begin_forward(simt::Stream stream, const StepForward<T>& args) {
  stepwise::launch_rows<simt::Real<T>>(stream,
                                       cell_shape(args.cell).has_cell
                                           ? stepwise::begin_forward<true, T>
                                           : stepwise::begin_forward<false, T>,
                                       args, 0, args.sequences.count);
}

// The token read at `step` of the first `rows` rows, at least all that have one: rows check their own length.
template <class T>
void step_forward(simt::Stream stream, const StepForward<T>& args, std::int64_t step,
                  std::int64_t rows) {
  with_step(args.cell, args.shown != nullptr, [&]<class Cell>(Cell) {
    stepwise::launch_rows<simt::Real<T>>(stream, stepwise::step_forward<Cell, T>, args, step, rows);
  });
}

template <class T>
void reset_forward(simt::Stream stream, const StepForward<T>& args, std::int64_t step,
                   std::int64_t rows) {
  stepwise::launch_rows<simt::Real<T>>(stream, stepwise::reset_forward<T>, args, step, rows);
}

}  // namespace lacuna
