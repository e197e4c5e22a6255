// A step of an LSTM whose h is a projection of what the cell makes, h' = W_p (o tanh c'): h is narrower than c, and comes of
// a product, so that each of the two has kernels of its own.
//
//   forward:   begin_projected; then per step:  [product], step_cells, [projected], step_outputs
//   backward, the last step first:  step_outputs_backward, [d_unprojected], step_cells_backward, [d_product];
//                                   then end_projected
//
// Where it is normalised, products and c' are (normalise.h) before step_cells, and before step_cells_backward.
#pragma once

#include <cstdint>

#include "kernels/recurrence/stepwise/backward.h"
#include "kernels/recurrence/stepwise/forward.h"

namespace lacuna {

// Where the view says H or units of h, here it is `outputs` or `output_units`.
template <class T>
struct ProjectedForward : StepForward<T> {
  using R = simt::Real<T>;
  std::int64_t outputs = 0, output_units = 0;

  T* unprojected = nullptr;      // [B, units]: o tanh c', as the product reads it
  const R* projected = nullptr;  // [B, output_units]: W_p unprojected
  R* tape_relaxed =
      nullptr;  // [N, output_units]: evolved h, not rounded; see evolve_units_backward
};

template <class T>
struct ProjectedBackward : StepBackward<T> {
  using R = simt::Real<T>;
  std::int64_t outputs = 0, output_units = 0;
  std::int64_t evolve_units = 0;  // the stride of d_evolve: h's columns, then c's

  const R* tape_relaxed = nullptr;  // [N, output_units], where T is rounded
  T* d_projected = nullptr;         // [B, output_units]: dL/dh', as the product reads it
  // Rows of tokens for W_p's gradient, "="; 0 where the token does not fire.
  T* d_projected_rows = nullptr;  // [N, output_units]
  T* unprojected_rows = nullptr;  // [N, units]
};

namespace stepwise {

template <class Args>
SIMT_DEVICE UnitsAt output_at(const Args& args, std::int64_t token, std::int64_t unit) {
  return {token, unit, args.outputs, args.output_units};
}

template <class T, class R>
SIMT_DEVICE void publish_output(const ProjectedForward<T>& args, std::int64_t row,
                                std::int64_t sequence, const UnitsAt& at, Units<R> h) {
  Units<R> none = same_units(R(0));
  evolve_units<false>(args.evolve, at, args.gaps, h, none);
  publish_h(args, row, sequence, at, h);
  store_units(args.tape_relaxed, at.token * at.units + at.unit, h, at.template present<R>());
}

template <class T, class R>
SIMT_DEVICE void publish_cell(const ProjectedForward<T>& args, std::int64_t row, const UnitsAt& at,
                              Units<R> c) {
  if (args.evolve.kind == LACUNA_EVOLVE_RELAX)
    relax_units(args.evolve, at, args.gaps[at.token], args.outputs + at.unit, c);
  publish_c(args, row, at, c);
}

template <class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void begin_outputs(ProjectedForward<T> args, std::int64_t /*step*/, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.output_units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    const UnitsAt at = output_at(args, reading.token(0), unit);
    const int present = at.template present<R>();
    const std::int64_t by_sequence = reading.sequence * at.hidden + unit;
    const Units<R> h = load_present(args.initial_hidden, by_sequence, present);
    if (reading.length() > 0) return publish_output(args, row, reading.sequence, at, h);
    store_present(args.final_hidden, by_sequence, h, present);
  });
}

template <class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void begin_cells(ProjectedForward<T> args, std::int64_t /*step*/, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    const UnitsAt at{reading.token(0), unit, args.hidden, args.units};
    const int present = at.template present<R>();
    const std::int64_t by_sequence = reading.sequence * at.hidden + unit;
    const Units<R> c = load_present(args.initial_cell, by_sequence, present);
    if (reading.length() > 0) return publish_cell(args, row, at, c);
    store_present(args.final_cell, by_sequence, c, present);
  });
}

// Gates, c, and the operand of the projection. Cell: LstmStep or NormLstmStep.
template <class Cell, class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void step_cells(ProjectedForward<T> args, std::int64_t step, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    if (step >= reading.length()) return;
    const UnitsAt at{reading.token(step), unit, args.hidden, args.units};
    const int present = at.template present<R>();
    Units<R> h = same_units(R(0)), c = load_units(args.cell_state, row * at.units + unit);
    if (does_fire(args.fires, at.token)) {
      update_token<Cell>(args, row, at, h, c);
      store_units(args.unprojected, row * at.units + unit, h, present);
      zone_out(args.noise, at, 1, load_units(args.cell_state, row * at.units + unit), c);
    } else {
      // No gradient comes of these gates, but the weight gradients multiply that zero with what stands here.
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g) save_gate<Cell>(args, at, g, h);
    }
    store_present(args.cell_out, at.token * at.hidden + unit, c, present);
    if (step + 1 < reading.length()) {
      const UnitsAt next{reading.token(step + 1), unit, at.hidden, at.units};
      publish_cell(args, row, next, c);
    } else {
      store_present(args.final_cell, reading.sequence * at.hidden + unit, c, present);
    }
  });
}

template <class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void step_outputs(ProjectedForward<T> args, std::int64_t step, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.output_units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    if (step >= reading.length()) return;
    const UnitsAt at = output_at(args, reading.token(step), unit);
    const int present = at.template present<R>();
    const std::int64_t by_row = row * at.units + unit;
    const bool fires = does_fire(args.fires, at.token);
    Units<R> h = load_units(fires ? args.projected : args.state, by_row);
    if (fires && args.noise.zones_out())
      zone_out(args.noise, at, 0, load_units(args.state, by_row), h);
    store_present(args.hidden_out, at.token * at.hidden + unit, h, present);
    if (step + 1 < reading.length())
      publish_output(args, row, reading.sequence, output_at(args, reading.token(step + 1), unit),
                     h);
    else
      store_present(args.final_hidden, reading.sequence * at.hidden + unit, h, present);
  });
}

// ---- Backward ----

// dL/d(h before token `at`), from what the token's update and its product left.
template <class T, class R>
SIMT_DEVICE Units<R> receive_output(const ProjectedBackward<T>& args, std::int64_t row,
                                    std::int64_t sequence, const UnitsAt& at) {
  const std::int64_t by_row = row * at.units + at.unit, taped = at.token * at.units + at.unit;
  Units<R> d_h = load_units(args.d_state, by_row);
  const Units<R> d_product =
      dropped(args.noise, sequence, at.unit, load_product(args.d_product, by_row));
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) d_h[i] += d_product[i];
  if (args.evolve.kind == LACUNA_EVOLVE_RELAX) {
    Units<R> h;
    if constexpr (sizeof(T) == sizeof(R))
      h = load_units(args.tape_h, taped);
    else
      h = load_units(args.tape_relaxed, taped);
    relax_units_backward(args.evolve, args.d_evolve, at, args.gaps[at.token], at.unit,
                         at.token * args.evolve_units + at.unit, h, d_h);
  } else if (args.evolve.kind != LACUNA_EVOLVE_NONE) {
    decay_units_backward(args.evolve, args.d_evolve, at, args.gaps, args.tape_h, d_h);
  }
  return d_h;
}

// The same of c.
template <class T, class R>
SIMT_DEVICE Units<R> receive_cell(const ProjectedBackward<T>& args, std::int64_t row,
                                  const UnitsAt& at) {
  Units<R> d_c = load_units(args.d_cell_state, row * at.units + at.unit);
  if (args.evolve.kind == LACUNA_EVOLVE_RELAX)
    relax_units_backward(args.evolve, args.d_evolve, at, args.gaps[at.token],
                         args.outputs + at.unit,
                         at.token * args.evolve_units + args.output_units + at.unit,
                         load_units(args.tape_c, at.token * at.units + at.unit), d_c);
  return d_c;
}

template <class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void step_outputs_backward(ProjectedBackward<T> args, std::int64_t step, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.output_units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    if (step >= reading.length()) return;
    const UnitsAt at = output_at(args, reading.token(step), unit);
    const int present = at.template present<R>();
    const std::int64_t by_row = row * at.units + unit;
    Units<R> d_h;
    if (step + 1 < reading.length())
      d_h = receive_output<T, R>(args, row, reading.sequence,
                                 output_at(args, reading.token(step + 1), unit));
    else
      d_h = load_present(args.d_final_hidden, reading.sequence * at.hidden + unit, present);
    add_present(d_h, args.d_hidden_out, at.token * at.hidden + unit, present);
    store_units(args.d_hidden_rows, at.token * at.units + unit, d_h, present);
    // Where the token fires, all but what zoneout takes past it goes to the projection; else all to the evolved h.
    Units<R> d_projected = same_units(R(0));
    if (does_fire(args.fires, at.token)) {
      d_projected = d_h;
      d_h = same_units(R(0));
      if (args.noise.zoned != nullptr) zone_out_backward(args.noise, at, 0, d_projected, d_h);
    }
    store_units(args.d_projected, by_row, d_projected, present);
    store_units(args.d_projected_rows, at.token * at.units + unit, d_projected, present);
    store_units(args.d_state, by_row, d_h, present);
  });
}

// o tanh c' of a token that fired, from its gates.
template <class Cell, class T, class R>
SIMT_DEVICE Units<R> unprojected(const ProjectedBackward<T>& args, std::int64_t row,
                                 const UnitsAt& at) {
  Units<R> result;
  if constexpr (Cell::shows) {
    const Units<R> o = saved_gate<Cell, T, R>(args, at, 3);
    const Units<R> shown = load_units(args.shown, row * at.units + at.unit);
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) result[i] = Cell::show(o[i], shown[i]);
  } else {
    const Units<R> c = load_units(args.tape_c, at.token * at.units + at.unit);
    Units<R> saved[Cell::saved_gates];
    SIMT_UNROLL
    for (int g = 0; g < Cell::saved_gates; ++g) saved[g] = saved_gate<Cell, T, R>(args, at, g);
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) {
      R s[Cell::saved_gates];
      SIMT_UNROLL
      for (int g = 0; g < Cell::saved_gates; ++g) s[g] = saved[g][i];
      result[i] = Cell{}.next_h(s, UnitState<R>{R(0), c[i]}, R(0));
    }
  }
  return result;
}

template <class Cell, class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void step_cells_backward(ProjectedBackward<T> args, std::int64_t step, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    if (step >= reading.length()) return;
    const UnitsAt at{reading.token(step), unit, args.hidden, args.units};
    const int present = at.template present<R>();
    const std::int64_t by_row = row * at.units + unit;
    Units<R> d_c;
    if (step + 1 < reading.length())
      d_c = receive_cell<T, R>(args, row,
                               UnitsAt{reading.token(step + 1), unit, at.hidden, at.units});
    else
      d_c = load_present(args.d_final_cell, reading.sequence * at.hidden + unit, present);
    add_present(d_c, args.d_cell_out, at.token * at.hidden + unit, present);
    // The gates may lie where their gradients will, and are read first.
    Units<R> operand = same_units(R(0));
    if (does_fire(args.fires, at.token)) {
      operand = unprojected<Cell, T, R>(args, row, at);
      Units<R> d_h = load_units(args.d_unprojected, by_row), past = same_units(R(0));
      if (args.noise.zoned != nullptr) zone_out_backward(args.noise, at, 1, d_c, past);
      update_backward<Cell>(args, row, at, taped_update<Cell>(args, at), d_h, d_c);
      SIMT_UNROLL
      for (int i = 0; i < units_per_thread<R>; ++i) d_c[i] += past[i];
    } else {
      no_update_backward<Cell>(args, row, at);
    }
    store_units(args.unprojected_rows, at.token * at.units + unit, operand, present);
    store_units(args.d_cell_state, by_row, d_c, present);
  });
}

template <class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void end_outputs(ProjectedBackward<T> args, std::int64_t /*step*/, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.output_units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    const UnitsAt at = output_at(args, reading.token(0), unit);
    const int present = at.template present<R>();
    const std::int64_t by_sequence = reading.sequence * at.hidden + unit;
    const Units<R> d_h = reading.length() > 0
                             ? receive_output<T, R>(args, row, reading.sequence, at)
                             : load_present(args.d_final_hidden, by_sequence, present);
    store_present(args.d_initial_hidden, by_sequence, d_h, present);
  });
}

template <class T>
SIMT_KERNEL(threads_per_block, resident_blocks)
void end_cells(ProjectedBackward<T> args, std::int64_t /*step*/, std::int64_t rows) {
  using R = simt::Real<T>;
  for_each_group<R>(rows, args.units, [&](std::int64_t row, std::int64_t unit) {
    const SequenceReading reading = args.sequences.row(row);
    const UnitsAt at{reading.token(0), unit, args.hidden, args.units};
    const int present = at.template present<R>();
    const std::int64_t by_sequence = reading.sequence * at.hidden + unit;
    const Units<R> d_c = reading.length() > 0
                             ? receive_cell<T, R>(args, row, at)
                             : load_present(args.d_final_cell, by_sequence, present);
    store_present(args.d_initial_cell, by_sequence, d_c, present);
  });
}

}  // namespace stepwise

// As begin_forward, step_forward and so on, with which the arguments are shared.
template <class T>
void begin_projected(simt::Stream stream, const ProjectedForward<T>& args) {
  using R = simt::Real<T>;
  const std::int64_t rows = args.sequences.count;
  stepwise::launch_rows<R>(stream, stepwise::begin_cells<T>, args, 0, rows);
  stepwise::launch_rows<R>(stream, stepwise::begin_outputs<T>, args, 0, rows, args.output_units);
}

template <class T>
void step_cells(simt::Stream stream, const ProjectedForward<T>& args, std::int64_t step,
                std::int64_t rows) {
  with_lstm_step(args.shown != nullptr, [&]<class Cell>(Cell) {
    stepwise::launch_rows<simt::Real<T>>(stream, stepwise::step_cells<Cell, T>, args, step, rows);
  });
}

template <class T>
void step_outputs(simt::Stream stream, const ProjectedForward<T>& args, std::int64_t step,
                  std::int64_t rows) {
  stepwise::launch_rows<simt::Real<T>>(stream, stepwise::step_outputs<T>, args, step, rows,
                                       args.output_units);
}

template <class T>
void step_outputs_backward(simt::Stream stream, const ProjectedBackward<T>& args, std::int64_t step,
                           std::int64_t rows) {
  stepwise::launch_rows<simt::Real<T>>(stream, stepwise::step_outputs_backward<T>, args, step, rows,
                                       args.output_units);
}

template <class T>
void step_cells_backward(simt::Stream stream, const ProjectedBackward<T>& args, std::int64_t step,
                         std::int64_t rows) {
  with_lstm_step(args.shown != nullptr, [&]<class Cell>(Cell) {
    stepwise::launch_rows<simt::Real<T>>(stream, stepwise::step_cells_backward<Cell, T>, args, step,
                                         rows);
  });
}

template <class T>
void end_projected(simt::Stream stream, const ProjectedBackward<T>& args) {
  using R = simt::Real<T>;
  const std::int64_t rows = args.sequences.count;
  stepwise::launch_rows<R>(stream, stepwise::end_cells<T>, args, 0, rows);
  stepwise::launch_rows<R>(stream, stepwise::end_outputs<T>, args, 0, rows, args.output_units);
}

}  // namespace lacuna
