// Weights packed into panels, once per run: the order in which the products of products.h read them.
#pragma once

#include "host/cpu/engine/job.h"
#include "host/cpu/engine/products.h"
#include "host/plan/shape.h"

namespace lacuna::cpu {

// The caller's weights of one cell gate, by element: zero outside, so that padded units come out as zeros.
template <class T>
struct GateWeights {
  const Job<T>& job;

  T x(std::int64_t gate, std::int64_t unit, std::int64_t column) const {
    const Layout& lay = *job.layout;
    if (unit >= lay.hidden) return T(0);
    const std::int64_t row = gate * lay.hidden + unit;
    return column < lay.input ? job.parameter[LACUNA_WEIGHTS_X][row * lay.input + column] : job.parameter[LACUNA_BIAS][row];
  }
  T h(std::int64_t gate, std::int64_t unit, std::int64_t column) const {
    const Layout& lay = *job.layout;
    return unit >= lay.hidden ? T(0) : job.parameter[LACUNA_WEIGHTS_H][(gate * lay.hidden + unit) * lay.hidden + column];
  }
};

template <class V, class T>
struct Panels {
  // Rows x (gates of V::size units): gates of a unit side by side. `weight(k, gate, unit)`.
  template <class Weight>
  static T* pack_units(T* out, std::int64_t first_unit, std::int64_t rows, std::int64_t gate_count, Weight weight) {
    for (std::int64_t k = 0; k < rows; ++k)
      for (std::int64_t g = 0; g < gate_count; ++g)
        for (std::int64_t u = 0; u < V::size; ++u) *out++ = weight(k, g, first_unit + u);
    return out;
  }

  // One block of V::size units of an lstm or gru. A lane's row and the panel run side by side: x, 1, then h.
  static void pack_gated(const Job<T>& job, std::int64_t unit) {
    const Layout& lay = *job.layout;
    const GateWeights<T> weights{job};
    const auto x = [&](std::int64_t k, std::int64_t g, std::int64_t u) { return weights.x(g, u, k); };
    const auto h = [&](std::int64_t k, std::int64_t g, std::int64_t u) { return weights.h(g, u, k); };
    const std::int64_t cell_gates = gates(job.layer.cell);
    switch (job.layer.cell) {
      case LACUNA_LSTM: {
        T* out = job.panel_x + unit * 4 * (lay.input + 1 + lay.hidden);
        pack_units(pack_units(out, unit, lay.input + 1, 4, x), unit, lay.hidden, 4, h);
        break;
      }
      case LACUNA_GRU: {
        pack_units(job.panel_x + unit * 3 * (lay.input + 1), unit, lay.input + 1, 3, x);
        const auto bias_hn = [&](std::int64_t, std::int64_t g, std::int64_t u) {
          return g == 2 && u < lay.hidden ? job.parameter[LACUNA_BIAS_HN][u] : T(0);
        };
        T* out = job.panel_h + unit * 3 * (1 + lay.hidden);
        pack_units(pack_units(out, unit, 1, 3, bias_hn), unit, lay.hidden, 3, h);
        break;
      }
      case LACUNA_GRU_RESET_BEFORE:
        pack_units(job.panel_x + unit * cell_gates * (lay.input + 1), unit, lay.input + 1, 3, x);
        pack_units(job.panel_h + unit * 2 * lay.hidden, unit, lay.hidden, 2, h);
        break;
      default: break;
    }
  }

  // Rows x (vectors of neighbouring columns), for columns [0, columns): `weight(k, column)`.
  template <class Weight>
  static void pack_columns(T* out, std::int64_t columns, std::int64_t rows, Weight weight) {
    for_panels<V>(columns, [&](std::int64_t first, auto vectors) {
      T* at = out + first * rows;
      for (std::int64_t k = 0; k < rows; ++k)
        for (std::int64_t c = 0; c < decltype(vectors)::value * V::size; ++c) *at++ = weight(k, first + c);
    });
  }

  static void pack_forward(const Job<T>& job) {
    const Layout& lay = *job.layout;
    const GateWeights<T> weights{job};
    switch (job.layer.cell) {
      case LACUNA_LSTM:
      case LACUNA_GRU:
      case LACUNA_GRU_RESET_BEFORE:
        for (std::int64_t unit = 0; unit < lay.units; unit += V::size) pack_gated(job, unit);
        break;
      default:
        pack_columns(job.panel_x, lay.units, lay.input + 1 + lay.hidden, [&](std::int64_t k, std::int64_t u) {
          return k <= lay.input ? weights.x(0, u, k) : weights.h(0, u, k - lay.input - 1);
        });
    }
    if (job.layer.cell == LACUNA_GRU_RESET_BEFORE)
      pack_columns(job.panel_candidate, lay.units, lay.hidden,
                   [&](std::int64_t k, std::int64_t u) { return weights.h(2, u, k); });
    if (lay.elapsed_width > 0)
      pack_columns(job.panel_decay, lay.units, lay.elapsed_width + 1, [&](std::int64_t k, std::int64_t u) {
        if (u >= lay.hidden) return T(0);
        return k < lay.elapsed_width ? job.parameter[LACUNA_EVOLVE_WEIGHT][u * lay.elapsed_width + k]
                                     : job.parameter[LACUNA_EVOLVE_BIAS][u];
      });
  }

  // The transposed products: gradient rows times W_h, W_x and W_g. Sums run over the gates of all units.
  static void pack_backward(const Job<T>& job) {
    const Layout& lay = *job.layout;
    const GateWeights<T> weights{job};
    // The gradient row of gru starts with n's own product, whose weights are W_hn.
    const auto cell_gate = [&](std::int64_t gate) {
      if (job.layer.cell != LACUNA_GRU) return gate;
      return gate == 0 ? std::int64_t{2} : gate - 1;
    };
    const auto h = [&](std::int64_t k, std::int64_t column) {
      return column < lay.hidden ? weights.h(cell_gate(k / lay.hidden), k % lay.hidden, column) : T(0);
    };
    pack_columns(job.panel_h, lay.units, lay.h_gates * lay.hidden, h);
    if (job.layer.cell == LACUNA_GRU_RESET_BEFORE)
      pack_columns(job.panel_candidate, lay.units, lay.hidden, [&](std::int64_t k, std::int64_t column) {
        return column < lay.hidden ? weights.h(2, k, column) : T(0);
      });
    if (job.wants_input)
      pack_columns(job.panel_x, lay.d_input, lay.x_gates * lay.hidden, [&](std::int64_t k, std::int64_t column) {
        const bool gap = job.layer.gap_input != 0 && column == lay.features;
        if (column >= lay.features && !gap) return T(0);
        return weights.x(k / lay.hidden, k % lay.hidden, gap ? lay.input - 1 : column);
      });
    if (job.wants_delta && job.layer.evolve == LACUNA_EVOLVE_DECAY)
      pack_columns(job.panel_decay, lay.channels, lay.hidden, [&](std::int64_t k, std::int64_t column) {
        return column < lay.features ? job.parameter[LACUNA_EVOLVE_WEIGHT][k * lay.features + column] : T(0);
      });
  }
};

}  // namespace lacuna::cpu
