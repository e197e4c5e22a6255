// The backward run of one group: the forward run's steps in reverse, lane by lane and token by token.
#pragma once

#include <algorithm>
#include <cmath>

#include "host/cpu/engine/backward_cells.h"
#include "host/cpu/engine/gradients.h"
#include "host/cpu/engine/noise.h"
#include "host/cpu/engine/observe.h"
#include "host/cpu/engine/scratch.h"
#include "kernels/cells/evolve.h"
#include "kernels/cells/norm.h"

namespace lacuna::cpu {

template <class V, class T, class Arch, class Cell>
class BackwardGroup {
 public:
  BackwardGroup(const Job<T>& job, std::int64_t group, T* memory)
      : job_(job),
        lay_(*job.layout),
        lanes_(job.lanes.of(group)),
        scratch_(job, memory),
        weight_sums_(lay_.windowed ? job.weight_sums + group * lay_.weight_sums : nullptr),
        unit_sums_(job.unit_sums + group * lay_.unit_sums) {}

  void run() {
    if (weight_sums_ != nullptr) std::fill_n(weight_sums_, lay_.weight_sums, T(0));
    std::fill_n(unit_sums_, lay_.unit_sums, T(0));
    for (std::size_t l = 0; l < lanes_.size(); ++l) walk_[l] = {lanes_[l].last - 1, 0};
    int active = 0;
    for (std::int64_t t = lanes_.empty() ? 0 : lanes_[0].tokens; t-- > 0;) {
      while (active < static_cast<int>(lanes_.size()) && lanes_[active].tokens > t) begin(active++);
      step(active);
    }
    flush();
  }

 private:
  struct Walk {
    std::int64_t position;  // in the lane's queue
    std::int64_t left;      // tokens of the current sequence that are to come
  };

  std::int64_t sequence(int lane) const { return job_.lanes.order[walk_[lane].position]; }
  T* d_h(int lane) const { return scratch_.d_h + lane * lay_.output_units; }
  T* d_c(int lane) const { return scratch_.d_c + lane * lay_.units; }
  T* d_operand(int lane) const { return scratch_.d_operand + lane * lay_.output_units; }
  T* factors(int lane) const { return scratch_.factors + lane * lay_.output_units; }
  T* passed_h(int lane) const { return scratch_.passed_h + lane * lay_.output_units; }
  T* passed_c(int lane) const { return scratch_.passed_c + lane * lay_.units; }
  bool lstm() const { return job_.layer.cell == LACUNA_LSTM; }
  ObserveGradient<T> carried(int lane) const {
    return {scratch_.d_last + lane * lay_.channels, scratch_.d_age + lane * lay_.channels};
  }
  ImputeSums<T> impute_sums() const {
    T* const at = unit_sums_ + 2 * lay_.relaxed;
    return {at, at + lay_.channels, at + 2 * lay_.channels};
  }

  // The end of the lane's current sequence, where the way back starts.
  void begin(int lane) {
    const std::int64_t b = sequence(lane);
    walk_[lane].left = job_.length(b);
    fill_gradient(d_h(lane), lay_.output_units, job_.d_final_hidden, lay_.outputs, b);
    if (lstm()) fill_gradient(d_c(lane), lay_.units, job_.d_final_cell, lay_.hidden, b);
    if (lay_.drops_state) draw_dropout<V>(job_, b, factors(lane));
    fill_carried(carried(lane).last, job_.d_carry_out.last_values, b);
    fill_carried(carried(lane).delta, job_.d_carry_out.since, b);
  }

  void fill_carried(T* row, const T* given, std::int64_t b) const {
    std::fill_n(row, lay_.channels, T(0));
    if (given != nullptr) std::copy_n(given + b * lay_.features, lay_.features, row);
  }

  static void fill_gradient(T* state, std::int64_t padded, const T* given, std::int64_t width,
                            std::int64_t b) {
    std::fill_n(state, padded, T(0));
    if (given != nullptr) std::copy_n(given + b * width, width, state);
  }

  void step(int active) {
    if (lay_.windowed && rows_ + active > lay_.window) flush();
    BackStep<T> back;
    std::int64_t token[most_lanes];
    back.count = active;
    back.norm_sums = unit_sums_ + lay_.norm_sums;
    for (int l = 0; l < active; ++l) {
      const std::int64_t b = sequence(l);
      const std::int64_t at = walk_[l].left - 1;
      token[l] = job_.token(b, at);
      back.row[l] = job_.operands + token[l] * lay_.operand_stride;
      back.cell_in[l] = job_.cells + token[l] * lay_.units;
      back.gates[l] = job_.saved(token[l], 0);
      back.gradient[l] = gradient_row(token[l], back.row[l], back.gates[l]);
      back.d_h[l] = d_h(l);
      back.d_c[l] = d_c(l);
      back.d_operand[l] = lay_.drops_state ? d_operand(l) : d_h(l);
      back.d_reset[l] = scratch_.d_reset + l * lay_.units;
      back.norm_factors[l] = job_.norm_factors + token[l] * norm_factors;
      back.dt[l] = job_.gap(b, at);
      back.d_dt[l] = T(0);
      back.fired[l] = fires(
          job_, token[l],
          !finds_fires(job_.layer) || read_mask<V>(job_, token[l], scratch_.observe.measured));
      if (!back.fired[l]) std::fill_n(back.gradient[l], lay_.gradient_gates * lay_.units, T(0));
      add_row(d_h(l), job_.d_hidden, token[l], lay_.outputs);
      if (job_.d_hidden_norms != nullptr) job_.d_hidden_norms[token[l]] = norm(d_h(l));
      if (lstm()) add_row(d_c(l), job_.d_cell, token[l], lay_.hidden);
      if (lay_.drops_state) std::fill_n(d_operand(l), lay_.output_units, T(0));
    }
    for (int l = 0; l < active; ++l)
      if (walk_[l].left > 1) look_ahead(job_.token(sequence(l), walk_[l].left - 2), back.ahead);
    if (lay_.zones_out) zone_out_backward(back);
    // A row that did not fire has zero gate gradients, and passes through the products unchanged.
    Cell::run(job_, back);
    for (int l = 0; l < active; ++l) {
      if (lay_.zones_out && back.fired[l]) add_passed(l);
      if (lay_.drops_state) add_operand(l);
    }
    for (int l = 0; l < active; ++l) evolve_backward(back, l);
    if (job_.wants_weights) add_biases(back);
    if (job_.wants_input) input_gradients(back, token);
    for (int l = 0; l < active; ++l) {
      const std::int64_t b = sequence(l);
      if (job_.d_delta_t != nullptr) {
        const std::int64_t at = job_.gap_index(b, walk_[l].left - 1);
        if (at >= 0) job_.d_delta_t[at] = back.d_dt[l];
      }
      if (--walk_[l].left == 0) end(l);
    }
  }

  // The start of a sequence: what is left belongs to its initial state.
  void end(int lane) {
    const std::int64_t b = sequence(lane);
    if (job_.d_initial_hidden != nullptr)
      std::copy_n(d_h(lane), lay_.outputs, job_.d_initial_hidden + b * lay_.outputs);
    if (job_.d_initial_cell != nullptr)
      std::copy_n(d_c(lane), lay_.hidden, job_.d_initial_cell + b * lay_.hidden);
    if (has_mask(job_.layer))
      end_observation_backward<V>(job_, b, carried(lane), impute_sums().mean, job_.d_carry_in);
    // In reverse, the last token of a sequence has no gap before it: nothing depends on the first one's delta_t.
    if (job_.d_delta_t != nullptr && job_.layer.reverse) job_.d_delta_t[job_.offsets[b]] = T(0);
    if (--walk_[lane].position >= lanes_[lane].first) begin(lane);
  }

  T* gradient_row(std::int64_t token, const T* operand, const T* gates) {
    if (!lay_.windowed) return job_.gradient_rows + token * lay_.gradient_stride;
    operand_of_[rows_] = operand;
    reset_of_[rows_] = gates;
    return scratch_.gradient_rows + rows_++ * lay_.gradient_stride;
  }

  void flush() {
    if (!lay_.windowed || rows_ == 0) return;
    if (job_.wants_weights) {
      const Window<T> window{scratch_.gradient_rows, lay_.gradient_stride, operand_of_, reset_of_,
                             rows_};
      WeightSums<V, T, Arch>::add(lay_, window, scratch_.panel, weight_sums_);
    }
    rows_ = 0;
  }

  void look_ahead(std::int64_t token, Ahead& ahead) const {
    ahead.add(job_.saved(token, 0), lay_.saved_gates * lay_.units);
    if (lstm()) ahead.add(job_.cells + token * lay_.units, lay_.units);
    if (job_.d_hidden != nullptr) ahead.add(job_.d_hidden + token * lay_.outputs, lay_.outputs);
    if (lay_.elapsed_width > 0)
      ahead.add(job_.decay + token * lay_.output_units, lay_.output_units);
    ahead.add(job_.operands + token * lay_.operand_stride, lay_.operand_stride);
    if (job_.d_values != nullptr) ahead.add(job_.d_values + token * lay_.features, lay_.features);
    if (!has_mask(job_.layer)) return;
    if (job_.mask != nullptr) {
      ahead.add(job_.mask + token * lay_.features, lay_.features);
    } else {
      ahead.add(job_.values + token * lay_.features, lay_.features);
    }
  }

  static void add_row(T* to, const T* from, std::int64_t token, std::int64_t width) {
    if (from == nullptr) return;
    const T* const row = from + token * width;
    std::int64_t u = 0;
    for (; u + V::size <= width; u += V::size) (V::load(to + u) + V::load(row + u)).store(to + u);
    for (; u < width; ++u) to[u] += row[u];
  }

  // From dL/d(state after the token) to what its update sees of it, and what goes past.
  void zone_out_backward(const BackStep<T>& back) const {
    const Zoned hidden = of_hidden(job_), cell = of_cell(job_);
    RowDraws<V, T> draws(job_.noise, T(1), T(0));
    for (int l = 0; l < back.count; ++l) {
      if (!back.fired[l]) continue;
      const Place place{sequence(l), walk_[l].left - 1};
      draw_zoneout(job_, hidden, place, passed_h(l), draws);
      if (lstm()) draw_zoneout(job_, cell, place, passed_c(l), draws);
    }
    draws.flush();
    for (int l = 0; l < back.count; ++l) {
      if (!back.fired[l]) continue;
      cpu::zone_out_backward<V, T>(hidden, d_h(l), passed_h(l));
      if (lstm()) cpu::zone_out_backward<V, T>(cell, d_c(l), passed_c(l));
    }
  }
  void add_passed(int lane) const {
    const auto add = [](const T* passed, std::int64_t units, T* to) {
      for (std::int64_t u = 0; u < units; u += V::size)
        (V::load(to + u) + V::load(passed + u)).store(to + u);
    };
    add(passed_h(lane), lay_.output_units, d_h(lane));
    if (lstm()) add(passed_c(lane), lay_.units, d_c(lane));
  }
  void add_operand(int lane) const {
    const T* const from = factors(lane);
    for (std::int64_t u = 0; u < lay_.output_units; u += V::size)
      multiply_add(V::load(from + u), V::load(d_operand(lane) + u), V::load(d_h(lane) + u))
          .store(d_h(lane) + u);
  }

  // Scaled by the largest: what vanishes or explodes is to be seen far beyond where its square would be.
  T norm(const T* row) const {
    T largest = T(0);
    for (std::int64_t u = 0; u < lay_.outputs; ++u) {
      const T size = std::fabs(row[u]);
      if (!(size <= largest)) largest = size;
    }
    if (!(largest > T(0)) || !std::isfinite(largest)) return largest;
    T squares = T(0);
    for (std::int64_t u = 0; u < lay_.outputs; ++u) {
      const T scaled = row[u] / largest;
      squares += scaled * scaled;
    }
    return largest * std::sqrt(squares);
  }

  // From the evolved state's gradient to the previous state's, in place.
  void evolve_backward(BackStep<T>& back, int l) {
    switch (job_.layer.evolve) {
      case LACUNA_EVOLVE_NONE: break;
      case LACUNA_EVOLVE_DECAY:
      case LACUNA_EVOLVE_DECAY_STEP: {
        const T* const exponent =
            job_.decay + (back.row[l] - job_.operands) / lay_.operand_stride * lay_.output_units;
        T* const d_exponent = back.gradient[l] + lay_.d_exponent;
        for (std::int64_t u = 0; u < lay_.output_units; u += V::size) {
          const V p = V::load(exponent + u);
          const V d = V::load(d_h(l) + u);
          decay_d_pre(p, V::load(back.row[l] + lay_.state + u), d).store(d_exponent + u);
          (decay_factor(p) * d).store(d_h(l) + u);
        }
        if (job_.layer.evolve == LACUNA_EVOLVE_DECAY_STEP && job_.d_delta_t != nullptr) {
          const T* const weight = job_.parameter[LACUNA_EVOLVE_WEIGHT];
          for (std::int64_t u = 0; u < lay_.outputs; ++u) back.d_dt[l] += d_exponent[u] * weight[u];
        }
        break;
      }
      case LACUNA_EVOLVE_RELAX:
        back.d_dt[l] +=
            relax_backward(d_h(l), back.row[l] + lay_.state, back.dt[l], 0, lay_.output_units);
        if (lstm())
          back.d_dt[l] +=
              relax_backward(d_c(l), back.cell_in[l], back.dt[l], lay_.output_units, lay_.units);
        break;
    }
  }

  // `part`: where the state's parameters and their sums begin.
  T relax_backward(T* d_state, const T* relaxed, T dt, std::int64_t part, std::int64_t width) {
    V d_dt(T(0));
    T* const d_exponent_sum = unit_sums_ + part;  // of dt d_exponent: the rate's gradient
    T* const d_target_sum = unit_sums_ + lay_.relaxed + part;
    for (std::int64_t u = 0; u < width; u += V::size) {
      const V rate = V::load(job_.relax_rate + part + u);
      const V factor = relax_factor(rate, V(dt));
      const V d = V::load(d_state + u);
      const V d_exponent =
          relax_d_exponent(V::load(job_.relax_target + part + u), V::load(relaxed + u), d);
      multiply_add(d_exponent, V(dt), V::load(d_exponent_sum + u)).store(d_exponent_sum + u);
      multiply_add(V(1) - factor, d, V::load(d_target_sum + u)).store(d_target_sum + u);
      d_dt = multiply_add(d_exponent, rate, d_dt);
      (factor * d).store(d_state + u);
    }
    return sum(d_dt);
  }

  void add_biases(const BackStep<T>& back) const {
    T* const sums = unit_sums_ + lay_.bias_sums;
    for (std::int64_t u = 0; u < lay_.unit_sums - lay_.bias_sums; u += V::size) {
      V sum = V::load(sums + u);
      for (int l = 0; l < back.count; ++l)
        sum = sum + V::load(back.gradient[l] + lay_.first_bias + u);
      sum.store(sums + u);
    }
  }

  void input_gradients(BackStep<T>& back, const std::int64_t (&token)[most_lanes]) {
    T* d_x[most_lanes];
    T* d_delta[most_lanes];
    for (int l = 0; l < back.count; ++l) {
      d_x[l] = scratch_.d_x + l * lay_.d_input;
      std::fill_n(d_x[l], lay_.d_input, T(0));
      d_delta[l] = scratch_.d_delta + l * lay_.channels;
      std::fill_n(d_delta[l], lay_.channels, T(0));
    }
    using Product = BackProduct<V, T, Arch>;
    Product::run(lay_, back, lay_.first_x_gate * lay_.units, lay_.x_gates, lay_.hidden,
                 lay_.d_input, job_.panel_x, d_x);
    const bool through_delta = job_.wants_delta && job_.layer.evolve == LACUNA_EVOLVE_DECAY;
    if (through_delta)
      Product::run(lay_, back, lay_.d_exponent, 1, lay_.outputs, lay_.channels, job_.panel_decay,
                   d_delta);
    for (int l = 0; l < back.count; ++l) {
      if (job_.layer.gap_input) back.d_dt[l] += d_x[l][lay_.features] / (T(1) + back.dt[l]);
      back.d_dt[l] += observe_backward<V>(job_, token[l], back.row[l], d_x[l],
                                          through_delta ? d_delta[l] : nullptr, carried(l),
                                          impute_sums(), scratch_.observe);
    }
  }

  const Job<T>& job_;
  const Layout& lay_;
  std::span<const Lane> lanes_;
  BackwardScratch<T> scratch_;
  T* const weight_sums_;
  T* const unit_sums_;
  Walk walk_[most_lanes];
  std::int64_t rows_ = 0;
  const T* operand_of_[most_window];
  const T* reset_of_[most_window];
};

}  // namespace lacuna::cpu
