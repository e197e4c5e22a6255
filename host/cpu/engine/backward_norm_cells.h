// One step back through each layer-normalised cell for all lanes. What the two products of a gate are owed differs by their
// normalisation, so the gradient row holds both.
#pragma once

#include "host/cpu/engine/backward_cells.h"
#include "host/cpu/engine/norm.h"
#include "kernels/recurrence/cell_steps.h"

namespace lacuna::cpu {

template <class V, class T, class Arch, class Cell>
struct NormBackwardCell {
  static constexpr int gates = Cell::input_gates, groups = norm_groups(gates);

  static void run(const Job<T>& job, BackStep<T>& step) {
    const Layout& lay = *job.layout;
    if constexpr (Cell::has_cell)
      if (lay.projected) LstmBackward<V, T, Arch>::unproject(job, step);
    for (int i = 0; i < step.count; ++i) {
      if constexpr (Cell::reset_before) std::fill_n(step.d_reset[i], lay.units, T(0));
      if (!step.fired[i]) continue;
      Lane lane(job, step, i);
      if constexpr (Cell::reset_before)
        candidate(lane);
      else if constexpr (Cell::has_cell)
        update_c(lane);
      else
        update(lane);
    }
    if constexpr (Cell::reset_before) {
      BackProduct<V, T, Arch>::run(lay, step, 2 * lay.units, 1, lay.hidden, lay.units,
                                   job.panel_candidate, step.d_reset);
      for (int i = 0; i < step.count; ++i) {
        if (!step.fired[i]) continue;
        Lane lane(job, step, i);
        reset(lane);
      }
    }
    BackProduct<V, T, Arch>::run(lay, step, 0, lay.h_gates, lay.hidden, lay.output_units,
                                 job.panel_h, step.d_operand);
  }

 private:
  struct Lane {
    const Job<T>& job;
    const Layout& lay;
    BackStep<T>& step;
    const int i;
    const T *gate, *factors;
    NormSums<T> sums;
    NormBack<V, T, gates> x, h;

    Lane(const Job<T>& of, BackStep<T>& back, int lane)
        : job(of),
          lay(*of.layout),
          step(back),
          i(lane),
          gate(back.gates[lane]),
          factors(back.norm_factors[lane]),
          sums(back.norm_sums, lay),
          x(lay, job.norm.present, gate + Cell::saved_gates * lay.units, job.norm.gain_x,
            sums.gain_x),
          h(lay, job.norm.present, gate + (Cell::saved_gates + gates) * lay.units, job.norm.gain_h,
            sums.gain_h) {
      for (int g = 0; g < gates; ++g) {
        x.rows[g] = back.gradient[lane] + (lay.first_x_gate + g) * lay.units;
        // gru's row begins with n.
        h.rows[g] = back.gradient[lane] + (Cell::hidden_bias ? (g + 1) % 3 : g) * lay.units;
      }
    }

    V saved(std::int64_t unit, int g) const { return V::load(gate + g * lay.units + unit); }
    void load_saved(std::int64_t unit, V (&to)[Cell::saved_gates]) const {
      for (int g = 0; g < Cell::saved_gates; ++g) to[g] = saved(unit, g);
    }
    V evolved(std::int64_t unit) const { return V::load(step.row[i] + lay.state + unit); }
    V operand(std::int64_t unit) const { return V::load(step.row[i] + lay.h + unit); }
    V d_next(std::int64_t unit) const { return V::load(step.d_h[i] + unit); }

    void add_x(std::int64_t unit, int g, V d) {
      add_to(sums.bias + g * lay.units + unit, d);
      x.add(unit, g, d);
    }
    // d: of the gates and what else the products are owed, in the adaptor's order.
    void add(std::int64_t unit, const V (&d)[Cell::gradient_gates]) {
      for (int g = 0; g < gates; ++g) add_x(unit, g, d[g]);
      for (int g = 0; g < Cell::product_gates; ++g) h.add(unit, g, d[Cell::product_gradient(g)]);
      if constexpr (Cell::hidden_bias) add_to(sums.bias_hn + unit, d[Cell::gradient_gates - 1]);
    }
    void finish(int group) {
      x.finish(group, factors[group]);
      h.finish(group, factors[2 + group]);
    }
  };

  static void update(Lane& lane) {
    BackStep<T>& step = lane.step;
    V sum_d_dt(T(0));
    for (std::int64_t u = 0; u < lane.lay.units; u += V::size) {
      V saved[Cell::saved_gates], d[Cell::gradient_gates], d_dt;
      lane.load_saved(u, saved);
      const UnitState<V> d_state =
          Cell{}.backward(saved, UnitState<V>{lane.evolved(u), V(T(0))},
                          UnitState<V>{lane.d_next(u), V(T(0))}, V(step.dt[lane.i]), d, d_dt);
      d_state.h.store(step.d_h[lane.i] + u);
      sum_d_dt = sum_d_dt + d_dt;
      lane.add(u, d);
    }
    if constexpr (Cell::reads_gap) step.d_dt[lane.i] += sum(sum_d_dt);
    for (int group = 0; group < groups; ++group) lane.finish(group);
  }

  // c' is normalised itself: its gradient waits for all units.
  static void update_c(Lane& lane) {
    const Layout& lay = lane.lay;
    BackStep<T>& step = lane.step;
    const int i = lane.i;
    T* const d_h = lay.projected ? step.d_reset[i] : step.d_h[i];
    // The rows of three gates are free until their own gradients come.
    T *const d_value = lane.x.rows[0], *const d_o = lane.x.rows[1];
    const GateRow<V, T, 1> c{lane.x.rows[2]};
    for (std::int64_t u = 0; u < lay.units; u += V::size) {
      V saved[4];
      lane.load_saved(u, saved);
      Cell::next_c(saved, V::load(step.cell_in[i] + u)).store(c.at(u, 0));
    }
    const T factor = normalise<0>(lay, lane.job.norm.present, c);
    const auto& norm = lane.job.norm;
    V mean(T(0)), along(T(0));
    for (std::int64_t u = 0; u < lay.units; u += V::size) {
      const V value = c.load(u, 0), gain = V::load(norm.gain_c + u);
      const auto d = lstm_shown_backward(
          lane.saved(u, 3), multiply_add(gain, value, V::load(norm.bias_c + u)), V::load(d_h + u));
      if (lay.projected) d.h.store(step.gradient[i] + lay.unprojected + u);
      add_to(lane.sums.gain_c + u, d.shown * value);
      add_to(lane.sums.bias_c + u, d.shown);
      const V scaled = d.shown * gain;
      scaled.store(d_value + u);
      d.o.store(d_o + u);
      mean = mean + scaled;
      along = multiply_add(scaled, value, along);
    }
    const T count = static_cast<T>(lay.hidden);
    const V d_mean(sum(mean) / count), d_along(sum(along) / count);
    for (std::int64_t u = 0; u < lay.units; u += V::size) {
      V saved[4], d[4];
      lane.load_saved(u, saved);
      const V of_shown =
          norm_backward(V::load(d_value + u), c.load(u, 0), V(factor), d_mean, d_along) *
          V::load(norm.present + u);
      Cell::backward_c(saved, V::load(step.cell_in[i] + u), V::load(step.d_c[i] + u) + of_shown,
                       V::load(d_o + u), d)
          .store(step.d_c[i] + u);
      V(T(0)).store(d_h + u);
      lane.add(u, d);
    }
    lane.finish(0);
  }

  // gru_reset_before up to W_hn^T of the candidate's gradient. The update gate's waits for the reset gate's.
  static void candidate(Lane& lane) {
    for (std::int64_t u = 0; u < lane.lay.units; u += V::size) {
      V d_z, d_n;
      Cell::backward_candidate(lane.saved(u, 1), lane.saved(u, 2), lane.evolved(u), lane.d_next(u),
                               d_z, d_n)
          .store(lane.step.d_h[lane.i] + u);
      d_z.store(lane.x.rows[1] + u);
      lane.add_x(u, 2, d_n);
      lane.h.add(u, 2, d_n);
    }
    lane.finish(1);
  }
  static void reset(Lane& lane) {
    T* const d_operand = lane.step.d_operand[lane.i];
    for (std::int64_t u = 0; u < lane.lay.units; u += V::size) {
      V d[2];
      const V of_reset = Cell::backward_reset(lane.saved(u, 0), lane.operand(u),
                                              V::load(lane.step.d_reset[lane.i] + u), d[0]);
      add_to(d_operand + u, of_reset);
      d[1] = V::load(lane.x.rows[1] + u);
      for (int g = 0; g < 2; ++g) {
        lane.add_x(u, g, d[g]);
        lane.h.add(u, g, d[g]);
      }
    }
    lane.finish(0);
  }
};

// Whichever the layer has: what surrounds a cell is large, and compiled once for all of them.
template <class V, class T, class Arch>
struct NormBackward {
  static void run(const Job<T>& job, BackStep<T>& step) {
    with_cell(job.layer.cell,
              [&]<class Cell>(Cell) { NormBackwardCell<V, T, Arch, Cell>::run(job, step); });
  }
};

}  // namespace lacuna::cpu
