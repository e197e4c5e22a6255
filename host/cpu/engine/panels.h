// Weights packed into panels, once per run: the order in which the products of products.h read them. Work is cut into
// tasks that threads can share.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "host/cpu/engine/job.h"
#include "host/cpu/engine/products.h"
#include "host/plan/shape.h"

namespace lacuna::cpu {

// A row-major matrix of the caller's, or null for zeros.
template <class T>
struct Matrix {
  const T* data;
  std::int64_t stride;
};

// A square whose rows are 16 bytes, registers that every instruction set has.
template <class T>
struct Square {
  static constexpr int size = 16 / sizeof(T);
  typedef T Row __attribute__((vector_size(16)));

  // to[c][r] = from[r][c]; rows are `from_stride` and `to_stride` apart.
  LACUNA_FN static void transpose(const T* from, std::int64_t from_stride, T* to,
                                  std::int64_t to_stride) {
    const auto load = [&](int r) {
      Row row;
      std::memcpy(&row, from + r * from_stride, sizeof row);
      return row;
    };
    const auto store = [&](Row row, int c) { std::memcpy(to + c * to_stride, &row, sizeof row); };
    if constexpr (size == 2) {
      const Row a = load(0), b = load(1);
      store(mix<0, 2>(a, b), 0);
      store(mix<1, 3>(a, b), 1);
    } else {
      const Row a = load(0), b = load(1), c = load(2), d = load(3);
      const Row low_ab = mix<0, 4, 1, 5>(a, b), high_ab = mix<2, 6, 3, 7>(a, b);
      const Row low_cd = mix<0, 4, 1, 5>(c, d), high_cd = mix<2, 6, 3, 7>(c, d);
      store(mix<0, 1, 4, 5>(low_ab, low_cd), 0);
      store(mix<2, 3, 6, 7>(low_ab, low_cd), 1);
      store(mix<0, 1, 4, 5>(high_ab, high_cd), 2);
      store(mix<2, 3, 6, 7>(high_ab, high_cd), 3);
    }
  }

 private:
  // Elements of a, then of b, by their numbers.
  template <int... from>
  LACUNA_FN static Row mix(Row a, Row b) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, from...);
#else
    using Number = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
    typedef Number Numbers __attribute__((vector_size(16)));
    return __builtin_shuffle(a, b, Numbers{from...});
#endif
  }
};

template <class V, class T>
struct Panels {
  // Forward panels are as wide as the gates of V::size units, gates of a unit one vector apart; row k holds the weights
  // of operand column k. The caller's rows are units, so this transposes: a strip of `strip` columns at a time, so that
  // what one store needs is in the first-level cache.
  //
  // out[k][gate][u] = rows[unit + u][k] for k in [0, columns); units from `hidden` on are zeros.
  static void transpose(const Matrix<T>& rows, std::int64_t unit, std::int64_t hidden,
                        std::int64_t columns, T* out, std::int64_t out_stride) {
    constexpr std::int64_t strip = 64 / sizeof(T);
    const std::int64_t present = std::clamp<std::int64_t>(hidden - unit, 0, V::size);
    for (std::int64_t first = 0; first < columns; first += strip) {
      const std::int64_t end = std::min(first + strip, columns);
      // Whole squares first, then what is left to the right of them, and below.
      constexpr std::int64_t side = Square<T>::size;
      const std::int64_t whole = present - present % side;
      std::int64_t done = first;
      for (; whole > 0 && done + side <= end; done += side)
        for (std::int64_t u = 0; u < whole; u += side)
          Square<T>::transpose(rows.data + (unit + u) * rows.stride + done, rows.stride,
                               out + done * out_stride + u, out_stride);
      for (std::int64_t u = 0; u < present; ++u) {
        const T* const from = rows.data + (unit + u) * rows.stride;
        for (std::int64_t k = u < whole ? done : first; k < end; ++k)
          out[k * out_stride + u] = from[k];
      }
      for (std::int64_t k = first; k < end; ++k)
        std::fill(out + k * out_stride + present, out + k * out_stride + V::size, T(0));
    }
  }

  static Matrix<T> x_of(const Job<T>& job, std::int64_t gate) {
    const Layout& lay = *job.layout;
    return {job.parameter[LACUNA_WEIGHTS_X] + gate * lay.hidden * lay.input, lay.input};
  }
  static Matrix<T> h_of(const Job<T>& job, std::int64_t gate) {
    const Layout& lay = *job.layout;
    return {job.parameter[LACUNA_WEIGHTS_H] + gate * lay.hidden * lay.outputs, lay.outputs};
  }
  static Matrix<T> column(const T* vector) { return {vector, 1}; }

  // One vector of units. `width`: vectors in a panel row; `slot`: this one's place among them.
  struct Slot {
    T* panel;
    std::int64_t width, slot, unit, hidden;

    // Rows of the panel, from row `first`.
    void put(const Matrix<T>& weights, std::int64_t columns, std::int64_t first) const {
      transpose(weights, unit, hidden, columns, panel + first * width * V::size + slot * V::size,
                width * V::size);
    }
    void zero(std::int64_t row) const {
      std::fill_n(panel + (row * width + slot) * V::size, V::size, T(0));
    }
  };

  // Units in panels of up to four vectors: the panel, and the slot within it, that `unit` belongs to.
  static Slot in_columns(T* panels, std::int64_t rows, std::int64_t units, std::int64_t unit,
                         std::int64_t hidden) {
    std::int64_t first = 0, width = panel_width<V>(units);
    while (unit >= first + width * V::size) {
      first += width * V::size;
      width = panel_width<V>(units - first);
    }
    return {panels + first * rows, width, (unit - first) / V::size, unit, hidden};
  }

  static std::int64_t forward_tasks(const Job<T>& job) { return job.layout->units / V::size; }

  static void pack_forward(const Job<T>& job, std::int64_t task) {
    const Layout& lay = *job.layout;
    const std::int64_t unit = task * V::size, k = lay.input, h = lay.hidden, r = lay.outputs;
    const auto bias = [&](std::int64_t gate) {
      return column(job.parameter[LACUNA_BIAS] + gate * h);
    };
    switch (job.layer.cell) {
      case LACUNA_LSTM:
        for (std::int64_t g = 0; g < 4; ++g) {
          const Slot slot{job.panel_x + unit * 4 * (k + 1 + r), 4, g, unit, h};
          slot.put(x_of(job, g), k, 0);
          slot.put(bias(g), 1, k);
          slot.put(h_of(job, g), r, k + 1);
        }
        break;
      case LACUNA_GRU:
      case LACUNA_GRU_RESET_BEFORE: {
        // The state's part of the candidate: with its own bias in the same panel (gru), or in a panel of its own.
        const bool before = job.layer.cell == LACUNA_GRU_RESET_BEFORE;
        const std::int64_t h_gates = before ? 2 : 3, bias_rows = before ? 0 : 1;
        for (std::int64_t g = 0; g < 3; ++g) {
          const Slot x{job.panel_x + unit * 3 * (k + 1), 3, g, unit, h};
          x.put(x_of(job, g), k, 0);
          x.put(bias(g), 1, k);
          if (g == h_gates) break;
          const Slot state{job.panel_h + unit * h_gates * (bias_rows + r), h_gates, g, unit, h};
          if (!before && g < 2) state.zero(0);
          if (!before && g == 2) state.put(column(job.parameter[LACUNA_BIAS_HN]), 1, 0);
          state.put(h_of(job, g), r, bias_rows);
        }
        if (before) in_columns(job.panel_candidate, h, lay.units, unit, h).put(h_of(job, 2), h, 0);
        break;
      }
      default: {
        const Slot slot = in_columns(job.panel_x, k + 1 + r, lay.units, unit, h);
        slot.put(x_of(job, 0), k, 0);
        slot.put(bias(0), 1, k);
        slot.put(h_of(job, 0), r, k + 1);
      }
    }
    if (lay.elapsed_width > 0 && unit < lay.output_units) {
      const Slot slot =
          in_columns(job.panel_decay, lay.elapsed_width + 1, lay.output_units, unit, r);
      slot.put({job.parameter[LACUNA_EVOLVE_WEIGHT], lay.elapsed_width}, lay.elapsed_width, 0);
      slot.put(column(job.parameter[LACUNA_EVOLVE_BIAS]), 1, lay.elapsed_width);
    }
    if (lay.projected && unit < lay.output_units)
      in_columns(job.panel_projection, h, lay.output_units, unit, r)
          .put({job.parameter[LACUNA_PROJECTION], h}, h, 0);
  }

  // The transposed products, gradient rows times W_h, W_x and W_g, sum over the units of several gates: a panel row is a
  // piece of one of the caller's rows. Tasks are numbered through the panels of all products.
  static std::int64_t backward_tasks(const Job<T>& job) {
    std::int64_t tasks = 0;
    for_backward_panels(job, [&](auto&&...) { ++tasks; });
    return tasks;
  }

  static void pack_backward(const Job<T>& job, std::int64_t task) {
    std::int64_t at = 0;
    for_backward_panels(job, [&](const BackPanel& panel) {
      if (at++ == task) pack_rows(panel);
    });
  }

 private:
  struct BackPanel {
    T* out;
    std::int64_t first, width;  // columns, in elements
    std::int64_t gates;
    std::int64_t rows;     // of each gate
    Matrix<T> matrix[4];   // per gate
    std::int64_t columns;  // present in the matrices
    std::int64_t extra =
        -1;  // one more column after those, from this column of the matrices; -1: none
  };

  static void pack_rows(const BackPanel& panel) {
    T* out = panel.out;
    const std::int64_t copied =
        std::clamp<std::int64_t>(panel.columns - panel.first, 0, panel.width);
    const std::int64_t extra_at = panel.columns - panel.first;
    for (std::int64_t g = 0; g < panel.gates; ++g)
      for (std::int64_t u = 0; u < panel.rows; ++u, out += panel.width) {
        const T* const row = panel.matrix[g].data + u * panel.matrix[g].stride;
        std::copy_n(row + panel.first, copied, out);
        std::fill(out + copied, out + panel.width, T(0));
        if (panel.extra >= 0 && extra_at >= 0 && extra_at < panel.width)
          out[extra_at] = row[panel.extra];
      }
  }

  template <class F>
  static void for_backward_panels(const Job<T>& job, F&& f) {
    const Layout& lay = *job.layout;
    const auto visit = [&](T* panels, std::int64_t elements, BackPanel panel) {
      for_panels<V>(elements, [&](std::int64_t first, auto vectors) {
        panel.out = panels + first * panel.gates * panel.rows;
        panel.first = first;
        panel.width = decltype(vectors)::value * V::size;
        f(panel);
      });
    };
    BackPanel h{nullptr, 0, 0, lay.h_gates, lay.hidden, {}, lay.outputs};
    // The gradient row of gru starts with the candidate's own product, whose weights are W_hn.
    for (std::int64_t g = 0; g < lay.h_gates; ++g)
      h.matrix[g] = h_of(job, job.layer.cell == LACUNA_GRU ? (g + 2) % 3 : g);
    visit(job.panel_h, lay.output_units, h);
    if (job.layer.cell == LACUNA_GRU_RESET_BEFORE)
      visit(job.panel_candidate, lay.units,
            {nullptr, 0, 0, 1, lay.hidden, {h_of(job, 2)}, lay.hidden});
    if (lay.projected)
      visit(job.panel_projection, lay.units,
            {nullptr,
             0,
             0,
             1,
             lay.outputs,
             {Matrix<T>{job.parameter[LACUNA_PROJECTION], lay.hidden}},
             lay.hidden});
    if (job.wants_input) {
      BackPanel x{nullptr,
                  0,
                  0,
                  lay.x_gates,
                  lay.hidden,
                  {},
                  lay.features,
                  job.layer.gap_input ? lay.input - 1 : -1};
      for (std::int64_t g = 0; g < lay.x_gates; ++g) x.matrix[g] = x_of(job, g);
      visit(job.panel_x, lay.d_input, x);
    }
    if (job.wants_delta && job.layer.evolve == LACUNA_EVOLVE_DECAY)
      visit(job.panel_decay, lay.channels,
            {nullptr,
             0,
             0,
             1,
             lay.outputs,
             {Matrix<T>{job.parameter[LACUNA_EVOLVE_WEIGHT], lay.features}},
             lay.features});
  }
};

}  // namespace lacuna::cpu
