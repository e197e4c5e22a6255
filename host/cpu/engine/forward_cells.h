// One step of each cell for all lanes that fire: the sums of a vector of units, then their gates and state while the sums
// are in the first-level cache.
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
  T* unprojected[most_lanes];    // lstm: where o tanh c' goes, which is h or to be projected
  T* reset_h[most_lanes];
  T* update[most_lanes];
  T* candidate[most_lanes];
  T* norm_factors[most_lanes];  // the tape's, layer_norm
  T* products = nullptr;        // [lanes, 2, G units]: W_x x and W_h h, layer_norm
  T dt[most_lanes];
  Ahead ahead;
};

// Sums of one vector of units, for every lane: gate after gate, lane after lane.
template <class V, class T, int gates>
struct UnitSums {
  alignas(64) T sum[most_lanes * gates * V::size];

  T* of(int lane) { return sum + lane * gates * V::size; }
  V gate(int lane, int g) { return V::load(of(lane) + g * V::size); }
  // One gate of all lanes, in place. A loop for each nonlinearity keeps its constants in registers, of which several at
  // once have not enough.
  template <class F>
  void apply(int lanes, int g, F&& f) {
    for (int i = 0; i < lanes; ++i) f(gate(i, g)).store(of(i) + g * V::size);
  }
};

template <class V, class T, class Arch>
struct LstmForward {
  static void run(const Job<T>& job, Step<T>& step) {
    const Layout& lay = *job.layout;
    const T* panel = job.panel_x;
    for (std::int64_t unit = 0; unit < lay.units; unit += V::size) {
      UnitSums<V, T, 4> sums;
      panel = Product<V, Arch, AllSlots<4>>::set(
          panel, lay.input + 1 + lay.outputs, step.count,
          [&](int i) { return step.row[i] + lay.x; }, [&](int i) { return sums.of(i); },
          step.ahead);
      for (const int g : {0, 1, 3}) sums.apply(step.count, g, [](V x) { return sigmoid(x); });
      sums.apply(step.count, 2, [](V x) { return hyperbolic_tangent(x); });
      for (int i = 0; i < step.count; ++i) {
        const LstmGates<V> gate{sums.gate(i, 0), sums.gate(i, 1), sums.gate(i, 2), sums.gate(i, 3)};
        const auto next = lstm_next(gate, V::load(step.cell_in[i] + unit));
        next.h.store(step.unprojected[i] + unit);
        next.c.store(step.c[i] + unit);
        if (T* saved = step.gates[i]; saved != nullptr) {
          gate.i.stream(saved + unit);
          gate.f.stream(saved + lay.units + unit);
          gate.g.stream(saved + 2 * lay.units + unit);
          gate.o.stream(saved + 3 * lay.units + unit);
        }
      }
    }
    if (lay.projected) project(job, step);
  }

  // h = W_p (o tanh c'), which needs all of it first.
  static void project(const Job<T>& job, Step<T>& step) {
    const Layout& lay = *job.layout;
    const T* panel = job.panel_projection;
    for_panels<V>(lay.output_units, [&](std::int64_t first, auto width) {
      panel = Product<V, Arch, AllSlots<decltype(width)::value>>::set(
          panel, lay.hidden, step.count, [&](int i) { return step.unprojected[i]; },
          [&](int i) { return step.h[i] + first; }, step.ahead);
    });
  }
};

template <class V, class T, class Arch>
struct GruForward {
  static void run(const Job<T>& job, Step<T>& step) {
    const Layout& lay = *job.layout;
    const T *panel_x = job.panel_x, *panel_h = job.panel_h;
    for (std::int64_t unit = 0; unit < lay.units; unit += V::size) {
      UnitSums<V, T, 4> sums;  // r, z, the input's and the state's part of n
      const auto out = [&](int i) { return sums.of(i); };
      panel_x = Product<V, Arch, Slots<0, 1, 2>>::set(
          panel_x, lay.input + 1, step.count, [&](int i) { return step.row[i] + lay.x; }, out,
          step.ahead);
      sums.apply(step.count, 3, [](V) { return V(0); });
      panel_h = Product<V, Arch, Slots<0, 1, 3>>::add(
          panel_h, 1 + lay.outputs, step.count, [&](int i) { return step.row[i] + lay.one; }, out,
          step.ahead);
      for (const int g : {0, 1}) sums.apply(step.count, g, [](V x) { return sigmoid(x); });
      for (int i = 0; i < step.count; ++i) {
        const V r = sums.gate(i, 0), z = sums.gate(i, 1);
        const V n = hyperbolic_tangent(multiply_add(r, sums.gate(i, 3), sums.gate(i, 2)));
        gru_next(z, n, V::load(step.row[i] + lay.state + unit)).store(step.h[i] + unit);
        if (T* saved = step.gates[i]; saved != nullptr) {
          r.stream(saved + unit);
          z.stream(saved + lay.units + unit);
          n.stream(saved + 2 * lay.units + unit);
          sums.gate(i, 3).stream(saved + 3 * lay.units + unit);
        }
      }
    }
  }
};

// Two products a step: W_hn sees r h, which needs all of r first.
template <class V, class T, class Arch>
struct GruResetBeforeForward {
  static void gates(const Job<T>& job, Step<T>& step) {
    const Layout& lay = *job.layout;
    const T *panel_x = job.panel_x, *panel_h = job.panel_h;
    for (std::int64_t unit = 0; unit < lay.units; unit += V::size) {
      UnitSums<V, T, 3> sums;
      const auto out = [&](int i) { return sums.of(i); };
      panel_x = Product<V, Arch, Slots<0, 1, 2>>::set(
          panel_x, lay.input + 1, step.count, [&](int i) { return step.row[i] + lay.x; }, out,
          step.ahead);
      panel_h = Product<V, Arch, Slots<0, 1>>::add(
          panel_h, lay.outputs, step.count, [&](int i) { return step.row[i] + lay.h; }, out,
          step.ahead);
      for (const int g : {0, 1}) sums.apply(step.count, g, [](V x) { return sigmoid(x); });
      for (int i = 0; i < step.count; ++i) {
        const V r = sums.gate(i, 0), z = sums.gate(i, 1);
        (r * V::load(step.row[i] + lay.h + unit)).store(step.reset_h[i] + unit);
        z.store(step.update[i] + unit);
        sums.gate(i, 2).store(step.candidate[i] + unit);
        if (T* saved = step.gates[i]; saved != nullptr) {
          r.stream(saved + unit);
          z.stream(saved + lay.units + unit);
        }
      }
    }
  }

  static void candidate(const Job<T>& job, Step<T>& step) {
    const Layout& lay = *job.layout;
    const T* panel = job.panel_candidate;
    for_panels<V>(lay.units, [&](std::int64_t first, auto width) {
      panel = Product<V, Arch, AllSlots<decltype(width)::value>>::add(
          panel, lay.hidden, step.count, [&](int i) { return step.reset_h[i]; },
          [&](int i) { return step.candidate[i] + first; }, step.ahead);
      for (int i = 0; i < step.count; ++i)
        for (int a = 0; a < decltype(width)::value; ++a) {
          const std::int64_t u = first + a * V::size;
          const V n = hyperbolic_tangent(V::load(step.candidate[i] + u));
          gru_next(V::load(step.update[i] + u), n, V::load(step.row[i] + lay.state + u))
              .store(step.h[i] + u);
          if (T* saved = step.gates[i]; saved != nullptr) n.stream(saved + 2 * lay.units + u);
        }
    });
  }

  static void run(const Job<T>& job, Step<T>& step) {
    gates(job, step);
    candidate(job, step);
  }
};

template <class V, class T, class Arch, class Form>
struct RnnForward {
  static void run(const Job<T>& job, Step<T>& step) {
    const Layout& lay = *job.layout;
    const T* panel = job.panel_x;
    for_panels<V>(lay.units, [&](std::int64_t first, auto width) {
      constexpr int vectors = decltype(width)::value;
      UnitSums<V, T, vectors> sums;
      panel = Product<V, Arch, AllSlots<vectors>>::set(
          panel, lay.input + 1 + lay.outputs, step.count,
          [&](int i) { return step.row[i] + lay.x; }, [&](int i) { return sums.of(i); },
          step.ahead);
      for (int i = 0; i < step.count; ++i)
        for (int a = 0; a < vectors; ++a) {
          const std::int64_t u = first + a * V::size;
          const V activation = Form::activate(sums.gate(i, a));
          Form::next(activation, V::load(step.row[i] + lay.state + u), V(step.dt[i]))
              .store(step.h[i] + u);
          if (T* saved = step.gates[i]; saved != nullptr) activation.stream(saved + u);
        }
    });
  }
};

}  // namespace lacuna::cpu
