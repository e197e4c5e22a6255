// Assembles the engine of one type on one instruction set. Included by the files of host/cpu/isa only, which are compiled
// for that set: everything here carries the set in its template arguments, so no symbol is shared between them.
#pragma once

#include "host/cpu/engine/backward.h"
#include "host/cpu/engine/backward_norm_cells.h"
#include "host/cpu/engine/engine.h"
#include "host/cpu/engine/forward.h"
#include "host/cpu/engine/forward_norm_cells.h"
#include "host/cpu/engine/panels.h"

namespace lacuna::cpu {

template <class T, class Arch>
struct Instance {
  using V = Vec<T, Arch>;

  template <class Cell>
  static void forward(const Job<T>& job, std::int64_t group, T* worker) {
    ForwardGroup<V, T, Arch, Cell>(job, group, worker).run();
  }
  template <class Cell>
  static void backward(const Job<T>& job, std::int64_t group, T* worker) {
    BackwardGroup<V, T, Arch, Cell>(job, group, worker).run();
  }

  static void forward_group(const Job<T>& job, std::int64_t group, T* worker) {
    if (job.layer.layer_norm != 0) return forward<NormForward<V, T, Arch>>(job, group, worker);
    switch (job.layer.cell) {
      case LACUNA_RNN_TANH: return forward<RnnForward<V, T, Arch, RnnTanh>>(job, group, worker);
      case LACUNA_RNN_RELU: return forward<RnnForward<V, T, Arch, RnnRelu>>(job, group, worker);
      case LACUNA_RNN_EULER: return forward<RnnForward<V, T, Arch, RnnEuler>>(job, group, worker);
      case LACUNA_LSTM: return forward<LstmForward<V, T, Arch>>(job, group, worker);
      case LACUNA_GRU: return forward<GruForward<V, T, Arch>>(job, group, worker);
      case LACUNA_GRU_RESET_BEFORE:
        return forward<GruResetBeforeForward<V, T, Arch>>(job, group, worker);
    }
  }
  static void backward_group(const Job<T>& job, std::int64_t group, T* worker) {
    if (job.layer.layer_norm != 0) return backward<NormBackward<V, T, Arch>>(job, group, worker);
    switch (job.layer.cell) {
      case LACUNA_RNN_TANH: return backward<RnnBackward<V, T, Arch, RnnTanh>>(job, group, worker);
      case LACUNA_RNN_RELU: return backward<RnnBackward<V, T, Arch, RnnRelu>>(job, group, worker);
      case LACUNA_RNN_EULER: return backward<RnnBackward<V, T, Arch, RnnEuler>>(job, group, worker);
      case LACUNA_LSTM: return backward<LstmBackward<V, T, Arch>>(job, group, worker);
      case LACUNA_GRU: return backward<GruBackward<V, T, Arch>>(job, group, worker);
      case LACUNA_GRU_RESET_BEFORE:
        return backward<GruResetBeforeBackward<V, T, Arch>>(job, group, worker);
    }
  }

  // Tasks are numbered through the panels of all products.
  static std::int64_t weight_tasks(const Layout& layout) {
    std::int64_t tasks = 0;
    for (int p = 0; p < layout.product_count; ++p)
      for_panels<V>(layout.products[p].stride, [&](std::int64_t, auto) { ++tasks; });
    return tasks;
  }
  static void weight_task(const Job<T>& job, std::int64_t task, T* worker) {
    const Layout& lay = *job.layout;
    std::int64_t at = 0;
    for (int p = 0; p < lay.product_count; ++p)
      for_panels<V>(lay.products[p].stride, [&](std::int64_t first, auto width) {
        if (at++ == task) weight_panel<decltype(width)::value>(job, lay.products[p], first, worker);
      });
  }

  template <int Width>
  static void weight_panel(const Job<T>& job, const GradientProduct& product, std::int64_t first,
                           T* worker) {
    const Layout& lay = *job.layout;
    for (std::int64_t row = 0; row < product.gates * product.rows; ++row)
      std::fill_n(job.weight_sums + product.offset + row * product.stride + first, Width * V::size,
                  T(0));
    const BackwardScratch<T> scratch(job, worker);
    const T* operand[most_window];
    const T* reset[most_window];
    for (std::int64_t token = 0; token < job.tokens; token += lay.window) {
      const std::int64_t count = std::min(lay.window, job.tokens - token);
      for (std::int64_t k = 0; k < count; ++k) {
        operand[k] = job.operands + (token + k) * lay.operand_stride;
        reset[k] = job.saved(token + k, 0);
      }
      const Window<T> window{job.gradient_rows + token * lay.gradient_stride, lay.gradient_stride,
                             operand, reset, count};
      WeightSums<V, T, Arch>::template add_panel<Width>(lay, product, window, first, scratch.panel,
                                                        job.weight_sums);
    }
  }

  static const Engine<T>& engine() {
    static constexpr Engine<T> table{Panels<V, T>::forward_tasks,
                                     Panels<V, T>::pack_forward,
                                     Panels<V, T>::backward_tasks,
                                     Panels<V, T>::pack_backward,
                                     forward_group,
                                     backward_group,
                                     weight_tasks,
                                     weight_task};
    return table;
  }
};

}  // namespace lacuna::cpu
