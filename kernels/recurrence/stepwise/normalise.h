// Layer normalisation of rows of gates, and of an lstm's c': a block per row, whose threads add up units in an order that
// depends on the row's shape alone. The pointwise kernels of a step find gain LN(W_x x) and gain LN(W_h h) where without it
// the products stand, and know nothing of it; an lstm's find `shown` besides.
//
//   before the recurrence:  [W_x x of all tokens], normalise_rows
//   per step:               [product], normalise_rows, (lstm: show_cells,) step_forward
//   backward, per step:     (lstm: show_cells_backward,) step_backward, normalise_rows_backward, [d_product]
//   when it is done:        [sums of dL/d(gate) over tokens], normalise_rows_backward of W_x x of all tokens
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cells/norm.h"
#include "kernels/recurrence/stepwise/backward.h"
#include "kernels/recurrence/stepwise/forward.h"
#include "kernels/simt/shared.h"
#include "kernels/simt/sync.h"
#include "kernels/simt/warp.h"

namespace lacuna {

// Which token a row belongs to: of the steps that `sequences` names, or, where `by_token`, of all of them from `first` on.
struct NormRows {
  SequenceView sequences;
  bool by_token = false;
  std::int64_t first = 0;  // the step; or the first row's token
  std::int64_t hidden = 0, units = 0;
  int gates = 0;  // side by side in a row

  // -1: the row has no token.
  SIMT_DEVICE std::int64_t token(std::int64_t row) const {
    if (by_token)
      return first + row < sequences.offsets[sequences.count] ? first + row : std::int64_t{-1};
    const SequenceReading reading = sequences.row(row);
    return first < reading.length() ? reading.token(first) : std::int64_t{-1};
  }
};

template <class T>
struct Normalise : NormRows {
  using R = simt::Real<T>;
  R* rows = nullptr;        // [rows, gates units]: in, a; out, gain LN(a)
  const R* gain = nullptr;  // [gates H]
  // Kept by token, as "="; each may be null. What stands there of a row that has no token but a place is made 0.
  T* normalised = nullptr;  // [N, stride]: LN(a)
  std::int64_t stride = 0;
  R* factors = nullptr;  // [N, norm_factors]
};

template <class T>
struct NormaliseBackward : NormRows {
  using R = simt::Real<T>;
  T* rows = nullptr;  // [rows, row_stride]: in, dL/d(gain LN(a)); out, dL/da
  std::int64_t row_stride = 0;
  const R* gain = nullptr;        // [gates H]
  const T* normalised = nullptr;  // as above
  std::int64_t stride = 0;
  const R* factors = nullptr;
  T* by_token_too = nullptr;  // [N, copy_stride], "=": dL/da, for sums over tokens; may be null
  std::int64_t copy_stride = 0;
};

// An lstm's step, and what its c' needs to be shown: h' = o tanh(shown), shown = gain_c LN(c') + b_c.
template <class R>
struct ShowView {
  const R* gain = nullptr;  // [H]
  const R* bias = nullptr;  // [H]
  R* d_rows =
      nullptr;  // backward, [N, 2 units], "=": what a token adds to dL/dgain and to dL/dbias
};

namespace stepwise {

inline constexpr unsigned norm_threads = 256;
inline constexpr int norm_blocks = 2;  // of a multiprocessor, at least; see resident_blocks

// Threads for a row of so many groups of units: whole warps.
template <class R>
unsigned norm_threads_for(std::int64_t elements) {
  const std::int64_t groups = elements / units_per_thread<R>;
  return static_cast<unsigned>(
      std::clamp<std::int64_t>((groups + 31) / 32 * 32, simt::warp_size, norm_threads));
}

template <class R>
struct TwoSums {
  R first, second;
};

// Of all threads of the block, in an order of their ranks alone. All of them take part; `shared` holds a pair per warp.
template <class R>
SIMT_DEVICE TwoSums<R> sum_over_block(R first, R second, R* shared) {
  for (unsigned toggle = simt::warp_size / 2; toggle > 0; toggle /= 2) {
    first += simt::shuffle_xor(first, toggle);
    second += simt::shuffle_xor(second, toggle);
  }
  const unsigned warps = simt::block_size().x / simt::warp_size, warp = simt::warp_index();
  simt::sync_block();  // a sum before this one has been read
  if (simt::lane_index() == 0) {
    shared[2 * warp] = first;
    shared[2 * warp + 1] = second;
  }
  simt::sync_block();
  TwoSums<R> sum{R(0), R(0)};
  for (unsigned w = 0; w < warps; ++w) {
    sum.first += shared[2 * w];
    sum.second += shared[2 * w + 1];
  }
  return sum;
}

// f(unit's place in the row of gates, gate, unit, how many are present) for this thread's share of [first, first + gates).
template <class R, class F>
SIMT_DEVICE void for_each_unit(const NormRows& rows, const NormGroup& group, F&& f) {
  const std::int64_t across = rows.units / units_per_thread<R>;
  for (std::int64_t at = simt::thread_rank(); at < across * group.gates;
       at += simt::block_size().x) {
    const std::int64_t gate = group.first + at / across, unit = at % across * units_per_thread<R>;
    const UnitsAt place{0, unit, rows.hidden, rows.units};
    f(gate * rows.units + unit, gate, unit, place.template present<R>());
  }
}

// 0 in place of what is not there.
template <class R>
SIMT_DEVICE R if_present(int i, int present, R value) {
  return i < present ? value : R(0);
}

template <class R>
struct Moments {
  R mean, factor;
};

// Of what `load` has in each place; called by the whole block.
template <class R, class Load>
SIMT_DEVICE Moments<R> moments(const NormRows& rows, const NormGroup& group, R* shared,
                               Load&& load) {
  const R count = static_cast<R>(group.gates * rows.hidden);
  R total = 0;
  for_each_unit<R>(rows, group, [&](std::int64_t at, std::int64_t, std::int64_t, int present) {
    const Units<R> a = load(at);
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i) total += if_present(i, present, a[i]);
  });
  const R mean = sum_over_block(total, R(0), shared).first / count;
  R squares = 0;
  for_each_unit<R>(rows, group, [&](std::int64_t at, std::int64_t, std::int64_t, int present) {
    const Units<R> a = load(at);
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i)
      squares += if_present(i, present, (a[i] - mean) * (a[i] - mean));
  });
  return {mean, norm_factor(sum_over_block(squares, R(0), shared).first, count)};
}

template <class T>
SIMT_KERNEL(norm_threads, norm_blocks)
void normalise_rows(Normalise<T> args, std::int64_t count) {
  using R = simt::Real<T>;
  SIMT_SHARED(shared, R[2 * norm_threads / simt::warp_size]);
  const int which = static_cast<int>(simt::block_index().y);
  const NormGroup group = norm_group(args.gates, which);
  for (std::int64_t row = simt::block_index().x; row < count; row += simt::grid_size().x) {
    const std::int64_t token = args.token(row);
    if (token < 0 && !args.by_token) continue;
    R* const from = args.rows + row * args.gates * args.units;
    const auto load = [&](std::int64_t at) { return load_units(from, at); };
    const Moments<R> of = moments<R>(args, group, &shared[0], load);
    const bool in_use = token >= 0;
    const std::int64_t kept = in_use ? token : args.first + row;
    for_each_unit<R>(
        args, group, [&](std::int64_t at, std::int64_t gate, std::int64_t unit, int present) {
          const Units<R> gain = load_present(args.gain, gate * args.hidden + unit, present);
          Units<R> a = load(at), scaled;
          SIMT_UNROLL
          for (int i = 0; i < units_per_thread<R>; ++i) {
            a[i] = (a[i] - of.mean) * of.factor;
            scaled[i] = gain[i] * a[i];
          }
          store_units(from, at, scaled, present);
          store_units(args.normalised, kept * args.stride + at, a, in_use ? present : 0);
        });
    if (args.factors != nullptr && simt::thread_rank() == 0)
      args.factors[kept * norm_factors + which] = in_use ? of.factor : R(0);
  }
}

template <class T>
SIMT_KERNEL(norm_threads, norm_blocks)
void normalise_rows_backward(NormaliseBackward<T> args, std::int64_t count) {
  using R = simt::Real<T>;
  SIMT_SHARED(shared, R[2 * norm_threads / simt::warp_size]);
  const int which = static_cast<int>(simt::block_index().y);
  const NormGroup group = norm_group(args.gates, which);
  const R numbers = static_cast<R>(group.gates * args.hidden);
  for (std::int64_t row = simt::block_index().x; row < count; row += simt::grid_size().x) {
    const std::int64_t token = args.token(row);
    if (token < 0) continue;
    T* const from = args.rows + row * args.row_stride;
    const T* const normalised = args.normalised + token * args.stride;
    // f(place, LN(a), dL/dLN(a), present)
    const auto each = [&](auto&& f) {
      for_each_unit<R>(
          args, group, [&](std::int64_t at, std::int64_t gate, std::int64_t unit, int present) {
            const Units<R> gain = load_present(args.gain, gate * args.hidden + unit, present);
            Units<R> d = load_units(from, at);
            // Rounded here, so that of one number nothing is left of it less its mean.
            SIMT_UNROLL
            for (int i = 0; i < units_per_thread<R>; ++i)
              d[i] = simt::rounded_product(gain[i], d[i]);
            f(at, load_units(normalised, at), d, present);
          });
    };
    R mean = 0, along = 0;
    each([&](std::int64_t, const Units<R>& value, const Units<R>& d, int present) {
      SIMT_UNROLL
      for (int i = 0; i < units_per_thread<R>; ++i) {
        mean += if_present(i, present, d[i]);
        along += if_present(i, present, d[i] * value[i]);
      }
    });
    const TwoSums<R> sum = sum_over_block(mean, along, &shared[0]);
    const R factor = args.factors[token * norm_factors + which];
    each([&](std::int64_t at, const Units<R>& value, Units<R> d, int present) {
      SIMT_UNROLL
      for (int i = 0; i < units_per_thread<R>; ++i)
        d[i] = norm_backward(d[i], value[i], factor, sum.first / numbers, sum.second / numbers);
      store_units(from, at, d, present);
      store_units(args.by_token_too, token * args.copy_stride + at, d, present);
    });
  }
}

// `shown` of each row's c', which its gates make.
template <class T>
SIMT_KERNEL(norm_threads, norm_blocks)
void show_cells(StepForward<T> args, ShowView<simt::Real<T>> show, std::int64_t step,
                std::int64_t count) {
  using R = simt::Real<T>;
  using Cell = LstmStep;
  SIMT_SHARED(shared, R[2 * norm_threads / simt::warp_size]);
  const NormRows shape{args.sequences, false, step, args.hidden, args.units, 1};
  const NormGroup all{0, 1};
  for (std::int64_t row = simt::block_index().x; row < count; row += simt::grid_size().x) {
    const std::int64_t token = shape.token(row);
    if (token < 0 || !does_fire(args.fires, token)) continue;
    R* const shown = args.shown + row * args.units;
    for_each_unit<R>(shape, all, [&](std::int64_t, std::int64_t, std::int64_t unit, int present) {
      const UnitsAt at{token, unit, args.hidden, args.units};
      Units<R> input[4], product[4], c = load_units(args.cell_state, row * args.units + unit);
      gate_inputs<Cell>(args, at, 0, input);
      gate_products<Cell>(args, row, unit, product);
      SIMT_UNROLL
      for (int i = 0; i < units_per_thread<R>; ++i) {
        R saved[4];
        c[i] = Cell::forward_c<R>({input[0][i], input[1][i], input[2][i], input[3][i]},
                                  {product[0][i], product[1][i], product[2][i], product[3][i]},
                                  c[i], saved);
      }
      store_units(shown, unit, c, present);
    });
    const auto load = [&](std::int64_t at) { return load_units(shown, at); };
    const Moments<R> of = moments<R>(shape, all, &shared[0], load);
    for_each_unit<R>(shape, all, [&](std::int64_t, std::int64_t, std::int64_t unit, int present) {
      const Units<R> gain = load_present(show.gain, unit, present);
      const Units<R> bias = load_present(show.bias, unit, present);
      Units<R> c = load(unit);
      SIMT_UNROLL
      for (int i = 0; i < units_per_thread<R>; ++i)
        c[i] = gain[i] * ((c[i] - of.mean) * of.factor) + bias[i];
      store_units(shown, unit, c, present);
    });
  }
}

// `shown` again, and dL/dc' through it, before step_backward reads both.
template <class T>
SIMT_KERNEL(norm_threads, norm_blocks)
void show_cells_backward(StepBackward<T> args, ShowView<simt::Real<T>> show, std::int64_t step,
                         std::int64_t count) {
  using R = simt::Real<T>;
  using Cell = NormLstmStep;
  SIMT_SHARED(shared, R[2 * norm_threads / simt::warp_size]);
  const NormRows shape{args.sequences, false, step, args.hidden, args.units, 1};
  const NormGroup all{0, 1};
  const R numbers = static_cast<R>(args.hidden);
  for (std::int64_t row = simt::block_index().x; row < count; row += simt::grid_size().x) {
    const std::int64_t token = shape.token(row);
    if (token < 0) continue;
    const SequenceReading reading = args.sequences.row(row);
    R* const shown = args.shown + row * args.units;
    R* const value = args.d_shown + row * args.units;
    R* const d_gain = show.d_rows + token * 2 * args.units;
    R* const d_bias = d_gain + args.units;
    if (!does_fire(args.fires, token)) {
      for_each_unit<R>(shape, all, [&](std::int64_t, std::int64_t, std::int64_t unit, int present) {
        store_units(d_gain, unit, same_units(R(0)), present);
        store_units(d_bias, unit, same_units(R(0)), present);
      });
      continue;
    }
    for_each_unit<R>(shape, all, [&](std::int64_t, std::int64_t, std::int64_t unit, int present) {
      const UnitsAt at{token, unit, args.hidden, args.units};
      Units<R> saved[4], c = load_units(args.tape_c, token * args.units + unit);
      SIMT_UNROLL
      for (int g = 0; g < 4; ++g) saved[g] = saved_gate<Cell, T, R>(args, at, g);
      SIMT_UNROLL
      for (int i = 0; i < units_per_thread<R>; ++i)
        c[i] = Cell::next_c<R>({saved[0][i], saved[1][i], saved[2][i], saved[3][i]}, c[i]);
      store_units(value, unit, c, present);
    });
    const Moments<R> of =
        moments<R>(shape, all, &shared[0], [&](std::int64_t at) { return load_units(value, at); });
    R mean = 0, along = 0;
    for_each_unit<R>(shape, all, [&](std::int64_t, std::int64_t, std::int64_t unit, int present) {
      const UnitsAt at{token, unit, args.hidden, args.units};
      const Units<R> gain = load_present(show.gain, unit, present);
      const Units<R> bias = load_present(show.bias, unit, present);
      Units<R> c = load_units(value, unit), seen;
      SIMT_UNROLL
      for (int i = 0; i < units_per_thread<R>; ++i) {
        c[i] = (c[i] - of.mean) * of.factor;
        seen[i] = gain[i] * c[i] + bias[i];
      }
      store_units(value, unit, c, present);
      store_units(shown, unit, seen, present);
      Units<R> d_h, d_c, past;
      if (args.d_unprojected != nullptr) {
        d_h = load_units(args.d_unprojected, row * at.units + unit);
      } else {
        receive_next<Cell>(args, row, left_in_row<true>(args, row, unit), reading, step, at, d_h,
                           d_c);
        if (args.noise.zoned != nullptr) zone_out_backward(args.noise, at, 0, d_h, past);
      }
      const Units<R> o = saved_gate<Cell, T, R>(args, at, 3);
      Units<R> d_seen, along_gain;
      SIMT_UNROLL
      for (int i = 0; i < units_per_thread<R>; ++i) {
        d_seen[i] = if_present(i, present, lstm_shown_backward(o[i], seen[i], d_h[i]).shown);
        along_gain[i] = d_seen[i] * c[i];
        const R d = simt::rounded_product(gain[i], d_seen[i]);
        mean += d;
        along += d * c[i];
      }
      store_units(d_gain, unit, along_gain, present);
      store_units(d_bias, unit, d_seen, present);
    });
    const TwoSums<R> sum = sum_over_block(mean, along, &shared[0]);
    for_each_unit<R>(shape, all, [&](std::int64_t, std::int64_t, std::int64_t unit, int present) {
      const Units<R> gain = load_present(show.gain, unit, present);
      const Units<R> d_seen = load_units(d_bias, unit);
      Units<R> c = load_units(value, unit);
      SIMT_UNROLL
      for (int i = 0; i < units_per_thread<R>; ++i)
        c[i] = norm_backward(simt::rounded_product(gain[i], d_seen[i]), c[i], of.factor,
                             sum.first / numbers, sum.second / numbers);
      store_units(value, unit, c, present);
    });
  }
}

template <class R>
simt::LaunchConfig norm_launch(std::int64_t rows, std::int64_t elements, int groups) {
  constexpr std::int64_t most_blocks = 0x7fffffff;
  return {
      .grid = {static_cast<unsigned>(std::min(rows, most_blocks)), static_cast<unsigned>(groups)},
      .block = {norm_threads_for<R>(elements)}};
}

}  // namespace stepwise

template <class T>
void normalise_rows(simt::Stream stream, const Normalise<T>& args, std::int64_t rows) {
  if (rows == 0) return;
  const auto launch = stepwise::norm_launch<simt::Real<T>>(
      rows, norm_group(args.gates, 0).gates * args.units, norm_groups(args.gates));
  simt::launch(launch, stream, stepwise::normalise_rows<T>, args, rows);
}

template <class T>
void normalise_rows_backward(simt::Stream stream, const NormaliseBackward<T>& args,
                             std::int64_t rows) {
  if (rows == 0) return;
  const auto launch = stepwise::norm_launch<simt::Real<T>>(
      rows, norm_group(args.gates, 0).gates * args.units, norm_groups(args.gates));
  simt::launch(launch, stream, stepwise::normalise_rows_backward<T>, args, rows);
}

template <class T>
void show_cells(simt::Stream stream, const StepForward<T>& args,
                const ShowView<simt::Real<T>>& show, std::int64_t step, std::int64_t rows) {
  if (rows == 0) return;
  simt::launch(stepwise::norm_launch<simt::Real<T>>(rows, args.units, 1), stream,
               stepwise::show_cells<T>, args, show, step, rows);
}

template <class T>
void show_cells_backward(simt::Stream stream, const StepBackward<T>& args,
                         const ShowView<simt::Real<T>>& show, std::int64_t step,
                         std::int64_t rows) {
  if (rows == 0) return;
  simt::launch(stepwise::norm_launch<simt::Real<T>>(rows, args.units, 1), stream,
               stepwise::show_cells_backward<T>, args, show, step, rows);
}

}  // namespace lacuna
