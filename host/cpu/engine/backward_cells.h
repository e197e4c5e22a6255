// One step back through each cell for all lanes: from dL/dh', dL/dc' to the gradients of the gates, and through the
// recurrent product to the state that entered.
#pragma once

#include "host/cpu/engine/ahead.h"
#include "host/cpu/engine/job.h"
#include "host/cpu/engine/products.h"
#include "kernels/cells/gru.h"
#include "kernels/cells/lstm.h"
#include "kernels/cells/rnn.h"

namespace lacuna::cpu {

template <class T>
struct BackStep {
  int count = 0;
  bool fired[most_lanes];
  const T* row[most_lanes];  // operand rows
  const T* cell_in[most_lanes];
  const T* gates[most_lanes];  // the tape's
  T* gradient[most_lanes];     // gradient rows, written
  T* d_h[most_lanes];          // in: dL/dh'; out: dL/dh, evolved
  T* d_c[most_lanes];          // the same of c
  T* d_operand[most_lanes];    // "+=" dL/d(h as W_h reads it); without dropout, d_h
  T* d_reset[most_lanes];      // dL/d(r h) of gru_reset_before, dL/d(o tanh c') of a projected lstm
  // layer_norm: the tape's; and "+=", as NormSums has it
  const T* norm_factors[most_lanes];
  T* norm_sums = nullptr;
  T dt[most_lanes];
  T d_dt[most_lanes];  // "+="
  Ahead ahead;
};

// out += (gradient columns of `gates` rows of `length`, units apart, from column `from` on) * panel.
template <class V, class T, class Arch>
struct BackProduct {
  static void run(const Layout& lay, BackStep<T>& step, std::int64_t from, std::int64_t gates,
                  std::int64_t length, std::int64_t columns, const T* panel,
                  T* const (&out)[most_lanes]) {
    if (length == lay.units) {  // the gates are one stretch of columns
      length *= gates;
      gates = 1;
    }
    for_panels<V>(columns, [&](std::int64_t first, auto width) {
      for (std::int64_t g = 0; g < gates; ++g)
        panel = Product<V, Arch, AllSlots<decltype(width)::value>>::add(
            panel, length, step.count,
            [&](int i) { return step.gradient[i] + from + g * lay.units; },
            [&](int i) { return out[i] + first; }, step.ahead);
    });
  }
};

template <class V, class T, class Arch>
struct LstmBackward {
  static void run(const Job<T>& job, BackStep<T>& step) {
    const Layout& lay = *job.layout;
    if (lay.projected) {
      unproject(job, step);
      gates<true>(lay, step, step.d_reset);
    } else {
      gates<false>(lay, step, step.d_h);
    }
    BackProduct<V, T, Arch>::run(lay, step, 0, 4, lay.hidden, lay.output_units, job.panel_h,
                                 step.d_operand);
  }

  // dL/d(o tanh c') = W_p^T dL/dh', which the gradient row keeps for W_p's own gradient.
  static void unproject(const Job<T>& job, BackStep<T>& step) {
    const Layout& lay = *job.layout;
    for (int i = 0; i < step.count; ++i) {
      T* const d_projected = step.gradient[i] + lay.d_projected;
      std::fill_n(step.d_reset[i], lay.units, T(0));
      if (step.fired[i]) {
        copy_row<V>(step.d_h[i], lay.output_units, d_projected);
        std::fill_n(step.d_h[i], lay.output_units, T(0));
      } else {
        std::fill_n(d_projected, lay.output_units + lay.units, T(0));
      }
    }
    BackProduct<V, T, Arch>::run(lay, step, lay.d_projected, 1, lay.outputs, lay.units,
                                 job.panel_projection, step.d_reset);
  }

  // `d_h`: dL/d(o tanh c'), cleared.
  template <bool projected>
  static void gates(const Layout& lay, BackStep<T>& step, T* const (&d_h)[most_lanes]) {
    for (int i = 0; i < step.count; ++i) {
      if (!step.fired[i]) continue;
      const T* gate = step.gates[i];
      T* d = step.gradient[i];
      for (std::int64_t u = 0; u < lay.units; u += V::size) {
        const LstmGates<V> gates{V::load(gate + u), V::load(gate + lay.units + u),
                                 V::load(gate + 2 * lay.units + u),
                                 V::load(gate + 3 * lay.units + u)};
        const auto back = lstm_backward(gates, V::load(step.cell_in[i] + u), V::load(d_h[i] + u),
                                        V::load(step.d_c[i] + u));
        back.pre.i.store(d + u);
        back.pre.f.store(d + lay.units + u);
        back.pre.g.store(d + 2 * lay.units + u);
        back.pre.o.store(d + 3 * lay.units + u);
        back.c.store(step.d_c[i] + u);
        if constexpr (projected) back.h.store(d + lay.unprojected + u);
        V(0).store(d_h[i] + u);
      }
    }
  }
};

template <class V, class T, class Arch>
struct GruBackward {
  static void run(const Job<T>& job, BackStep<T>& step) {
    const Layout& lay = *job.layout;
    for (int i = 0; i < step.count; ++i) {
      if (!step.fired[i]) continue;
      const T* gate = step.gates[i];
      T* d = step.gradient[i];
      for (std::int64_t u = 0; u < lay.units; u += V::size) {
        const auto back =
            gru_backward(V::load(gate + u), V::load(gate + lay.units + u),
                         V::load(gate + 2 * lay.units + u), V::load(gate + 3 * lay.units + u),
                         V::load(step.row[i] + lay.state + u), V::load(step.d_h[i] + u));
        back.n_hidden.store(d + u);
        back.r.store(d + lay.units + u);
        back.z.store(d + 2 * lay.units + u);
        back.n.store(d + 3 * lay.units + u);
        back.h.store(step.d_h[i] + u);
      }
    }
    BackProduct<V, T, Arch>::run(lay, step, 0, 3, lay.hidden, lay.output_units, job.panel_h,
                                 step.d_operand);
  }
};

template <class V, class T, class Arch>
struct GruResetBeforeBackward {
  static void run(const Job<T>& job, BackStep<T>& step) {
    const Layout& lay = *job.layout;
    for (int i = 0; i < step.count; ++i) {
      std::fill_n(step.d_reset[i], lay.units, T(0));
      if (!step.fired[i]) continue;
      const T* gate = step.gates[i];
      T* d = step.gradient[i];
      for (std::int64_t u = 0; u < lay.units; u += V::size) {
        const auto back = gru_reset_before_backward(
            V::load(gate + lay.units + u), V::load(gate + 2 * lay.units + u),
            V::load(step.row[i] + lay.state + u), V::load(step.d_h[i] + u));
        back.z.store(d + lay.units + u);
        back.n.store(d + 2 * lay.units + u);
        back.h.store(step.d_h[i] + u);
      }
    }
    BackProduct<V, T, Arch>::run(lay, step, 2 * lay.units, 1, lay.hidden, lay.units,
                                 job.panel_candidate, step.d_reset);
    for (int i = 0; i < step.count; ++i) {
      if (!step.fired[i]) continue;
      for (std::int64_t u = 0; u < lay.units; u += V::size) {
        const V r = V::load(step.gates[i] + u);
        const V d_reset = V::load(step.d_reset[i] + u);
        gru_reset_before_d_reset(r, V::load(step.row[i] + lay.h + u), d_reset)
            .store(step.gradient[i] + u);
        multiply_add(d_reset, r, V::load(step.d_operand[i] + u)).store(step.d_operand[i] + u);
      }
    }
    BackProduct<V, T, Arch>::run(lay, step, 0, 2, lay.hidden, lay.output_units, job.panel_h,
                                 step.d_operand);
  }
};

template <class V, class T, class Arch, class Form>
struct RnnBackward {
  static void run(const Job<T>& job, BackStep<T>& step) {
    const Layout& lay = *job.layout;
    for (int i = 0; i < step.count; ++i) {
      if (!step.fired[i]) continue;
      V d_dt(T(0));
      for (std::int64_t u = 0; u < lay.units; u += V::size) {
        const V activation = V::load(step.gates[i] + u);
        const V d_next = V::load(step.d_h[i] + u);
        Form::d_pre(activation, d_next, V(step.dt[i])).store(step.gradient[i] + u);
        Form::d_direct(d_next).store(step.d_h[i] + u);
        d_dt = d_dt + Form::d_dt(activation, d_next);
      }
      step.d_dt[i] += sum(d_dt);
    }
    BackProduct<V, T, Arch>::run(lay, step, 0, 1, lay.hidden, lay.output_units, job.panel_h,
                                 step.d_operand);
  }
};

}  // namespace lacuna::cpu
