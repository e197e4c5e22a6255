// One step of each cell for all lanes that fire: product, gates and state while the sums are still in registers.
#pragma once

#include "host/cpu/engine/ahead.h"
#include "host/cpu/engine/job.h"
#include "host/cpu/engine/products.h"
#include "kernels/cells/gru.h"
#include "kernels/cells/lstm.h"
#include "kernels/cells/rnn.h"

namespace lacuna::cpu {

// The lanes of one step, by pointer: lane i is the i-th that fires, wherever its rows lie.
template <class T>
struct Step {
  int count = 0;
  const T* row[most_lanes];  // operand rows
  T* h[most_lanes];          // state, written
  T* c[most_lanes];
  const T* cell_in[most_lanes];  // c, evolved
  T* gates[most_lanes];          // the tape's gates; null in inference
  T* reset_h[most_lanes];
  T* update[most_lanes];
  T* candidate[most_lanes];
  T dt[most_lanes];
  Ahead ahead;
};

template <int L, class T>
LACUNA_FN void block_rows(const T* const (&from)[most_lanes], int first, std::int64_t column,
                          const T* (&rows)[L]) {
#pragma GCC unroll 8
  for (int l = 0; l < L; ++l) rows[l] = from[first + l] + column;
}

template <class V, class T, class Arch>
struct LstmForward {
  template <int L>
  static void block(const Job<T>& job, Step<T>& step, int first, std::int64_t unit) {
    const Layout& lay = *job.layout;
    step.ahead.pull(lines_per_product);
    const std::int64_t length = lay.input + 1 + lay.hidden;
    const T* rows[L];
    block_rows(step.row, first, lay.x, rows);
    V sum[L][4];
    clear(sum);
    accumulate_all(sum, rows, job.panel_x + unit * 4 * length, length);
    for (int l = 0; l < L; ++l) {
      const int lane = first + l;
      const auto gate = lstm_gates(sum[l][0], sum[l][1], sum[l][2], sum[l][3]);
      const auto next = lstm_next(gate, V::load(step.cell_in[lane] + unit));
      next.h.store(step.h[lane] + unit);
      next.c.store(step.c[lane] + unit);
      if (T* saved = step.gates[lane]; saved != nullptr) {
        gate.i.stream(saved + unit);
        gate.f.stream(saved + lay.units + unit);
        gate.g.stream(saved + 2 * lay.units + unit);
        gate.o.stream(saved + 3 * lay.units + unit);
      }
    }
  }

  static void run(const Job<T>& job, Step<T>& step) {
    for_unit_blocks<V, most_rows<Arch>>(job.layout->units, step.count,
                                        [&](std::int64_t unit, int first, auto rows) {
                                          block<decltype(rows)::value>(job, step, first, unit);
                                        });
  }
};

template <class V, class T, class Arch>
struct GruForward {
  template <int L>
  static void block(const Job<T>& job, Step<T>& step, int first, std::int64_t unit) {
    const Layout& lay = *job.layout;
    step.ahead.pull(lines_per_product);
    const T* rows[L];
    V sum[L][4];  // r, z, the input's and the state's part of n
    clear(sum);
    block_rows(step.row, first, lay.x, rows);
    accumulate<0, 1, 2>(sum, rows, job.panel_x + unit * 3 * (lay.input + 1), lay.input + 1);
    block_rows(step.row, first, lay.one, rows);
    accumulate<0, 1, 3>(sum, rows, job.panel_h + unit * 3 * (1 + lay.hidden), 1 + lay.hidden);
    for (int l = 0; l < L; ++l) {
      const int lane = first + l;
      const V r = sigmoid(sum[l][0]);
      const V z = sigmoid(sum[l][1]);
      const V n = hyperbolic_tangent(multiply_add(r, sum[l][3], sum[l][2]));
      gru_next(z, n, V::load(step.row[lane] + lay.h + unit)).store(step.h[lane] + unit);
      if (T* saved = step.gates[lane]; saved != nullptr) {
        r.stream(saved + unit);
        z.stream(saved + lay.units + unit);
        n.stream(saved + 2 * lay.units + unit);
        sum[l][3].stream(saved + 3 * lay.units + unit);
      }
    }
  }

  static void run(const Job<T>& job, Step<T>& step) {
    for_unit_blocks<V, most_rows<Arch>>(job.layout->units, step.count,
                                        [&](std::int64_t unit, int first, auto rows) {
                                          block<decltype(rows)::value>(job, step, first, unit);
                                        });
  }
};

// Two products a step: W_hn sees r h, which needs all of r first.
template <class V, class T, class Arch>
struct GruResetBeforeForward {
  template <int L>
  static void gates(const Job<T>& job, Step<T>& step, int first, std::int64_t unit) {
    const Layout& lay = *job.layout;
    step.ahead.pull(lines_per_product);
    const T* rows[L];
    V sum[L][3];
    clear(sum);
    block_rows(step.row, first, lay.x, rows);
    accumulate<0, 1, 2>(sum, rows, job.panel_x + unit * 3 * (lay.input + 1), lay.input + 1);
    block_rows(step.row, first, lay.h, rows);
    accumulate<0, 1>(sum, rows, job.panel_h + unit * 2 * lay.hidden, lay.hidden);
    for (int l = 0; l < L; ++l) {
      const int lane = first + l;
      const V r = sigmoid(sum[l][0]);
      const V z = sigmoid(sum[l][1]);
      (r * V::load(step.row[lane] + lay.h + unit)).store(step.reset_h[lane] + unit);
      z.store(step.update[lane] + unit);
      sum[l][2].store(step.candidate[lane] + unit);
      if (T* saved = step.gates[lane]; saved != nullptr) {
        r.stream(saved + unit);
        z.stream(saved + lay.units + unit);
      }
    }
  }

  template <int L, int Width>
  static void candidate(const Job<T>& job, Step<T>& step, int first, std::int64_t unit) {
    const Layout& lay = *job.layout;
    step.ahead.pull(lines_per_product);
    const T* rows[L];
#pragma GCC unroll 8
    for (int l = 0; l < L; ++l) rows[l] = step.reset_h[first + l];
    V sum[L][Width];
#pragma GCC unroll 8
    for (int l = 0; l < L; ++l)
#pragma GCC unroll 8
      for (int a = 0; a < Width; ++a)
        sum[l][a] = V::load(step.candidate[first + l] + unit + a * V::size);
    accumulate_all(sum, rows, job.panel_candidate + unit * lay.hidden, lay.hidden);
    for (int l = 0; l < L; ++l) {
      const int lane = first + l;
      for (int a = 0; a < Width; ++a) {
        const std::int64_t u = unit + a * V::size;
        const V n = hyperbolic_tangent(sum[l][a]);
        gru_next(V::load(step.update[lane] + u), n, V::load(step.row[lane] + lay.h + u))
            .store(step.h[lane] + u);
        if (T* saved = step.gates[lane]; saved != nullptr) n.stream(saved + 2 * lay.units + u);
      }
    }
  }

  static void run(const Job<T>& job, Step<T>& step) {
    for_unit_blocks<V, most_rows<Arch>>(job.layout->units, step.count,
                                        [&](std::int64_t unit, int first, auto rows) {
                                          gates<decltype(rows)::value>(job, step, first, unit);
                                        });
    for_panel_blocks<V, most_rows<Arch>>(
        job.layout->units, step.count, [&](std::int64_t unit, auto width, int first, auto rows) {
          candidate<decltype(rows)::value, decltype(width)::value>(job, step, first, unit);
        });
  }
};

template <class V, class T, class Arch, class Form>
struct RnnForward {
  template <int L, int Width>
  static void block(const Job<T>& job, Step<T>& step, int first, std::int64_t unit) {
    const Layout& lay = *job.layout;
    step.ahead.pull(lines_per_product);
    const std::int64_t length = lay.input + 1 + lay.hidden;
    const T* rows[L];
    block_rows(step.row, first, lay.x, rows);
    V sum[L][Width];
    clear(sum);
    accumulate_all(sum, rows, job.panel_x + unit * length, length);
    for (int l = 0; l < L; ++l) {
      const int lane = first + l;
      for (int a = 0; a < Width; ++a) {
        const std::int64_t u = unit + a * V::size;
        const V activation = Form::activate(sum[l][a]);
        Form::next(activation, V::load(step.row[lane] + lay.h + u), V(step.dt[lane]))
            .store(step.h[lane] + u);
        if (T* saved = step.gates[lane]; saved != nullptr) activation.stream(saved + u);
      }
    }
  }

  static void run(const Job<T>& job, Step<T>& step) {
    for_panel_blocks<V, most_rows<Arch>>(
        job.layout->units, step.count, [&](std::int64_t unit, auto width, int first, auto rows) {
          block<decltype(rows)::value, decltype(width)::value>(job, step, first, unit);
        });
  }
};

}  // namespace lacuna::cpu
