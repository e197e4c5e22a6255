// One step of each layer-normalised cell for all lanes that fire. A mean needs every unit, so that both products stand
// complete, and apart, before the gates; the cells' mathematics comes as adaptors (kernels/recurrence/cell_steps.h).
#pragma once

#include "host/cpu/engine/forward_cells.h"
#include "host/cpu/engine/norm.h"
#include "kernels/recurrence/cell_steps.h"

namespace lacuna::cpu {

template <class V, class T, class Arch, class Cell>
struct NormForwardCell {
  static constexpr int gates = Cell::input_gates, groups = norm_groups(gates);
  using Row = GateRow<V, T, gates>;

  static void run(const Job<T>& job, Step<T>& step) {
    const Layout& lay = *job.layout;
    std::fill_n(step.products, step.count * 2 * gates * lay.units, T(0));
    multiply(job, step);
    for (int i = 0; i < step.count; ++i) {
      normalise_x(job, step, i);
      if constexpr (Cell::reset_before)
        reset(job, step, i);
      else
        update(job, step, i);
    }
    if constexpr (Cell::reset_before) candidate(job, step);
    if constexpr (Cell::has_cell)
      if (job.layout->projected) LstmForward<V, T, Arch>::project(job, step);
  }

 private:
  static Row x_of(const Job<T>& job, const Step<T>& step, int i) {
    return {step.products + 2 * i * gates * job.layout->units};
  }
  static Row h_of(const Job<T>& job, const Step<T>& step, int i) {
    return {step.products + (2 * i + 1) * gates * job.layout->units};
  }

  // The panels of the plain cells, without the rows of their biases.
  static void multiply(const Job<T>& job, Step<T>& step) {
    const Layout& lay = *job.layout;
    const auto x_row = [&](int i) { return step.row[i] + lay.x; };
    const auto h_row = [&](int i) { return step.row[i] + lay.h; };
    if constexpr (gates == 3) {
      const T *panel_x = job.panel_x, *panel_h = job.panel_h;
      for (std::int64_t unit = 0; unit < lay.units; unit += V::size) {
        panel_x = Product<V, Arch, AllSlots<3>>::add(
                      panel_x, lay.input, step.count, x_row,
                      [&](int i) { return x_of(job, step, i).at(unit, 0); }, step.ahead) +
                  3 * V::size;
        if constexpr (Cell::hidden_bias) panel_h += Cell::product_gates * V::size;
        panel_h = Product<V, Arch, AllSlots<Cell::product_gates>>::add(
            panel_h, lay.outputs, step.count, h_row,
            [&](int i) { return h_of(job, step, i).at(unit, 0); }, step.ahead);
      }
    } else {
      const T* panel = job.panel_x;
      const auto add = [&](std::int64_t unit, auto width) {
        constexpr int vectors = decltype(width)::value;
        panel = Product<V, Arch, AllSlots<vectors>>::add(
                    panel, lay.input, step.count, x_row,
                    [&](int i) { return x_of(job, step, i).at(unit, 0); }, step.ahead) +
                vectors * V::size;
        panel = Product<V, Arch, AllSlots<vectors>>::add(
            panel, lay.outputs, step.count, h_row,
            [&](int i) { return h_of(job, step, i).at(unit, 0); }, step.ahead);
      };
      if constexpr (gates == 1)
        for_panels<V>(lay.units, add);
      else
        for (std::int64_t unit = 0; unit < lay.units; unit += V::size) add(unit, Count<gates>{});
    }
  }

  static void normalise_x(const Job<T>& job, Step<T>& step, int i) {
    const Row x = x_of(job, step, i);
    T factor[2];
    factor[0] = normalise<0>(*job.layout, job.norm.present, x);
    if constexpr (groups == 2) factor[1] = normalise<1>(*job.layout, job.norm.present, x);
    if (step.gates[i] != nullptr) std::copy_n(factor, groups, step.norm_factors[i]);
  }
  template <int group>
  static void normalise_h(const Job<T>& job, Step<T>& step, int i) {
    const T factor = normalise<group>(*job.layout, job.norm.present, h_of(job, step, i));
    if (step.gates[i] != nullptr) step.norm_factors[i][2 + group] = factor;
  }

  // What reaches the gate, and on the tape what it was made of.
  static V input(const Job<T>& job, const Step<T>& step, int i, std::int64_t unit, int gate) {
    const std::int64_t at = gate * job.layout->units + unit;
    const V x = x_of(job, step, i).load(unit, gate);
    save(job, step, i, unit, Cell::saved_gates + gate, x);
    return multiply_add(V::load(job.norm.gain_x + at), x, V::load(job.norm.bias + at));
  }
  static V product(const Job<T>& job, const Step<T>& step, int i, std::int64_t unit, int gate,
                   V h) {
    save(job, step, i, unit, Cell::saved_gates + gates + gate, h);
    const V value = V::load(job.norm.gain_h + gate * job.layout->units + unit) * h;
    if constexpr (Cell::hidden_bias)
      if (gate == Cell::product_gates - 1) return value + V::load(job.norm.bias_hn + unit);
    return value;
  }
  static void save(const Job<T>& job, const Step<T>& step, int i, std::int64_t unit, int gate,
                   V value) {
    if (T* saved = step.gates[i]; saved != nullptr)
      value.stream(saved + gate * job.layout->units + unit);
  }

  static void update(const Job<T>& job, Step<T>& step, int i) {
    const Layout& lay = *job.layout;
    normalise_h<0>(job, step, i);
    if constexpr (groups == 2) normalise_h<1>(job, step, i);
    for (std::int64_t u = 0; u < lay.units; u += V::size) {
      V x[gates], h[gates], saved[Cell::saved_gates];
      for (int g = 0; g < gates; ++g) {
        x[g] = input(job, step, i, u, g);
        h[g] = product(job, step, i, u, g, h_of(job, step, i).load(u, g));
      }
      if constexpr (Cell::has_cell) {
        const V c = Cell::forward_c(x, h, V::load(step.cell_in[i] + u), saved);
        c.store(step.c[i] + u);
        c.store(step.candidate[i] + u);
        saved[3].store(x_of(job, step, i).at(u, 3));
      } else {
        const UnitState<V> state{V::load(step.row[i] + lay.state + u), V(T(0))};
        Cell{}.forward(x, h, state, V(step.dt[i]), saved).h.store(step.h[i] + u);
      }
      for (int g = 0; g < Cell::saved_gates; ++g) save(job, step, i, u, g, saved[g]);
    }
    if constexpr (Cell::has_cell) show(job, step, i);
  }

  // h' of a c' that is complete, or what is to be projected.
  static void show(const Job<T>& job, Step<T>& step, int i) {
    const Layout& lay = *job.layout;
    const GateRow<V, T, 1> c{step.candidate[i]};
    normalise<0>(lay, job.norm.present, c);
    for (std::int64_t u = 0; u < lay.units; u += V::size) {
      const V shown =
          multiply_add(V::load(job.norm.gain_c + u), c.load(u, 0), V::load(job.norm.bias_c + u));
      (x_of(job, step, i).load(u, 3) * hyperbolic_tangent(shown)).store(step.unprojected[i] + u);
    }
  }

  // gru_reset_before up to its second product.
  static void reset(const Job<T>& job, Step<T>& step, int i) {
    const Layout& lay = *job.layout;
    normalise_h<0>(job, step, i);
    for (std::int64_t u = 0; u < lay.units; u += V::size) {
      V x[2], h[2], r, z;
      for (int g = 0; g < 2; ++g) {
        x[g] = input(job, step, i, u, g);
        h[g] = product(job, step, i, u, g, h_of(job, step, i).load(u, g));
      }
      Cell::template forward_reset<V>(x, h, V::load(step.row[i] + lay.h + u), r, z)
          .store(step.reset_h[i] + u);
      z.store(step.update[i] + u);
      save(job, step, i, u, 0, r);
      save(job, step, i, u, 1, z);
    }
  }

  static void candidate(const Job<T>& job, Step<T>& step) {
    const Layout& lay = *job.layout;
    for (int i = 0; i < step.count; ++i) std::fill_n(step.candidate[i], lay.units, T(0));
    const T* panel = job.panel_candidate;
    for_panels<V>(lay.units, [&](std::int64_t first, auto width) {
      panel = Product<V, Arch, AllSlots<decltype(width)::value>>::add(
          panel, lay.hidden, step.count, [&](int i) { return step.reset_h[i]; },
          [&](int i) { return step.candidate[i] + first; }, step.ahead);
    });
    for (int i = 0; i < step.count; ++i) {
      const GateRow<V, T, 1> h{step.candidate[i]};
      const T factor = normalise<0>(lay, job.norm.present, h);
      if (step.gates[i] != nullptr) step.norm_factors[i][3] = factor;
      for (std::int64_t u = 0; u < lay.units; u += V::size) {
        V n;
        Cell::forward_candidate(
            input(job, step, i, u, 2), product(job, step, i, u, 2, h.load(u, 0)),
            V::load(step.update[i] + u), V::load(step.row[i] + lay.state + u), n)
            .store(step.h[i] + u);
        save(job, step, i, u, 2, n);
      }
    }
  }
};

// Whichever the layer has: what surrounds a cell is large, and compiled once for all of them.
template <class V, class T, class Arch>
struct NormForward {
  static void run(const Job<T>& job, Step<T>& step) {
    with_cell(job.layer.cell,
              [&]<class Cell>(Cell) { NormForwardCell<V, T, Arch, Cell>::run(job, step); });
  }
};

}  // namespace lacuna::cpu
