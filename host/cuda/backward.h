// The backward run: the recurrence in reverse; then everything that sums over tokens, for all of them at once.
#pragma once

#include "host/cuda/backward_recurrence.h"
#include "kernels/tokens/gap_gradient.h"
#include "kernels/tokens/observe_backward.h"
#include "kernels/tokens/reduce.h"

namespace lacuna::cuda {

template <class T>
class Backward : BackwardRecurrence<T> {
  using R = simt::Real<T>;

 public:
  Backward(const Device& device, const BackwardRun& call)
      : BackwardRecurrence<T>(device, call),
        d_parameters_(call.d_parameters),
        d_inputs_(call.d_inputs),
        d_carry_out_(call.d_carry_out),
        d_carry_in_(call.d_carry_in) {}

  void run() {
    this->arrange(this->locates() || wants_gaps() || !observed().copies());
    if (this->sequences() == 0) return;
    if (this->sorts()) this->sort_sequences();
    this->draw();
    this->pack(wants_input() || !this->saves_gates());
    this->recur();
    pass_carry_gradients(this->stream_, observed());
    if (this->tokens() == 0) return;
    if (this->normalises()) norm_gradients();
    this->template side_by_side<Backward>(
        *this, {{wants_input(), &Backward::token_gradients},
                {wants_state_weights(), &Backward::state_weight_gradients},
                {wanted(LACUNA_WEIGHTS_X) != nullptr, &Backward::input_weight_gradients},
                {wants_columns(), &Backward::column_gradients}});
  }

 private:
  R* wanted(lacuna_parameter kind) const { return static_cast<R*>(d_parameters_.tensor[kind]); }
  R* partials() const { return this->template work<R>(this->at_.partials); }
  bool decays() const { return this->layer_.evolve == LACUNA_EVOLVE_DECAY; }
  bool wants_gaps() const { return d_inputs_.d_delta_t != nullptr; }

  // target [gates H, columns] += (gate rows)^T operand, over all tokens; by way of `dense` if need be.
  void add_product(const T* rows, std::int64_t row_stride, std::int64_t gates, const T* operand,
                   std::int64_t stride, std::int64_t columns, R* target, R* dense) const {
    const auto multiply = [&](R* to, bool add) {
      this->multiply(Form::tn, gates * this->units(), stride, this->tokens(), rows, row_stride,
                     operand, stride, to, stride, add);
    };
    if (this->lay_.hidden == this->units() && this->is_dense(target, columns, stride))
      return multiply(target, true);
    multiply(dense, false);
    add_gradient(this->stream_, dense, gates, this->lay_.hidden, columns, this->units(), stride,
                 target);
  }

  void add_bias_sums(ColumnSums<T>& sums) const {
    const DeviceLayout& lay = this->lay_;
    const T* const d_gates = this->template work<const T>(this->at_.d_gates);
    const auto sum_gate = [&](std::int64_t gate, R* target) {
      sums.add({d_gates + gate * lay.units, lay.hidden, lay.gradient_gates * lay.units, target});
    };
    if (R* const d_bias = wanted(LACUNA_BIAS))
      for (std::int64_t g = 0; g < lay.input_gates; ++g) sum_gate(g, d_bias + g * lay.hidden);
    if (R* const d_bias = wanted(LACUNA_BIAS_HN)) sum_gate(3, d_bias);
  }

  void input_weight_gradients() const {
    const DeviceLayout& lay = this->lay_;
    add_product(this->template work<const T>(this->at_.d_gates), lay.gradient_gates * lay.units,
                lay.input_gates, this->template taped<T>(lay.tape.input), lay.input_stride,
                lay.input, wanted(LACUNA_WEIGHTS_X), this->template work<R>(this->at_.d_weights_x));
  }

  bool wants_projection() const { return wanted(LACUNA_PROJECTION) && this->lay_.projected; }
  bool wants_state_weights() const { return wanted(LACUNA_WEIGHTS_H) || wants_projection(); }

  // Those of W_h, and of W_p.
  void state_weight_gradients() const {
    const DeviceLayout& lay = this->lay_;
    const std::int64_t units = lay.units, stride = lay.gradient_gates * units, h = lay.hidden;
    const std::int64_t outputs = lay.output_units;
    const T* const d_gates = this->template work<const T>(this->at_.d_gates);
    const T* const state = this->template taped<T>(lay.tape.operand);
    const T* const reset = this->template work<const T>(this->at_.reset_rows);
    R* const dense = this->template work<R>(this->at_.d_weights_h);
    if (R* const d_h = wanted(LACUNA_WEIGHTS_H)) {
      R* const d_candidate = d_h + 2 * h * h;
      if (this->normalises()) {
        const std::int64_t norm_stride = lay.input_gates * units;
        add_product(this->d_norm(), norm_stride, lay.product_gates, state, outputs, lay.outputs,
                    d_h, dense);
        if (this->resets_before())
          add_product(this->d_norm() + 2 * units, norm_stride, 1, reset, units, h, d_candidate,
                      dense);
      } else if (this->resets_before()) {
        add_product(d_gates, stride, 2, state, units, h, d_h, dense);
        add_product(d_gates + 2 * units, stride, 1, reset, units, h, d_candidate, dense);
      } else if (this->layer_.cell == LACUNA_GRU) {
        add_product(d_gates, stride, 2, state, units, h, d_h, dense);
        add_product(d_gates + 3 * units, stride, 1, state, units, h, d_candidate, dense);
      } else {
        add_product(d_gates, stride, lay.product_gates, state, outputs, lay.outputs, d_h, dense);
      }
    }
    if (wants_projection()) {
      this->multiply(Form::tn, outputs, units, this->tokens(),
                     this->template work<const T>(this->at_.d_projected_rows), outputs,
                     this->template work<const T>(this->at_.unprojected_rows), units, dense, units);
      add_gradient(this->stream_, dense, 1, lay.outputs, h, outputs, units,
                   wanted(LACUNA_PROJECTION));
    }
  }

  // Biases and gains; and from here on gates' gradients are those of W_x x, which is what is left to multiply.
  void norm_gradients() const {
    const DeviceLayout& lay = this->lay_;
    const std::int64_t units = lay.units, stride = lay.gradient_gates * units, h = lay.hidden;
    T* const d_gates = this->template work<T>(this->at_.d_gates);
    ColumnSums<T> of_biases;
    add_bias_sums(of_biases);
    column_sums(this->stream_, this->tokens(), of_biases, partials());
    ColumnSums<T> of_gates;
    const auto sum_gate = [&](R* d_gain, std::int64_t gate, std::int64_t gradient,
                              std::int64_t place) {
      of_gates.add({.matrix = d_gates + gradient * units,
                    .columns = h,
                    .stride = stride,
                    .out = d_gain + gate * h,
                    .factor = this->norm_kept().normalised + (place + gate) * units,
                    .factor_stride = this->norm_stride()});
    };
    const bool of_gru = this->layer_.cell == LACUNA_GRU;  // its W_hn h has a gradient of its own
    for (std::int64_t g = 0; g < lay.input_gates; ++g) {
      if (R* const d_gain = wanted(LACUNA_NORM_GAIN_X)) sum_gate(d_gain, g, g, 0);
      if (R* const d_gain = wanted(LACUNA_NORM_GAIN_H))
        sum_gate(d_gain, g, of_gru && g == 2 ? 3 : g, lay.input_gates);
    }
    column_sums(this->stream_, this->tokens(), of_gates, partials());
    ColumnSums<R> of_cell;
    if (R* const d_gain = wanted(LACUNA_NORM_GAIN_C))
      of_cell.add({this->d_shown_rows(), h, 2 * units, d_gain});
    if (R* const d_bias = wanted(LACUNA_NORM_BIAS_C))
      of_cell.add({this->d_shown_rows() + units, h, 2 * units, d_bias});
    column_sums(this->stream_, this->tokens(), of_cell, partials());
    NormaliseBackward<T> args =
        this->backward_of(this->normalise_x(this->norm_kept(), nullptr), d_gates, stride);
    args.by_token = true;
    normalise_rows_backward(this->stream_, args, this->tokens());
  }

  // h, and of an LSTM that relaxes c: where its parameters begin, how many there are, and its columns among gradients.
  struct EvolvePart {
    std::int64_t first, count, column;
  };
  template <class F>
  void for_evolve_parts(F&& f) const {
    const DeviceLayout& lay = this->lay_;
    f(EvolvePart{0, lay.outputs, 0});
    if (this->relaxes() && this->is_lstm())
      f(EvolvePart{lay.outputs, lay.hidden, lay.output_units});
  }

  bool evolves() const { return this->layer_.evolve != LACUNA_EVOLVE_NONE; }
  bool wants_columns() const {
    return wanted(LACUNA_BIAS) || wanted(LACUNA_BIAS_HN) ||
           (evolves() && (wanted(LACUNA_EVOLVE_WEIGHT) || wanted(LACUNA_EVOLVE_BIAS) ||
                          wanted(LACUNA_EVOLVE_TARGET)));
  }

  // Biases, and all that evolves the state.
  void column_gradients() const {
    decay_weight_gradients();
    ColumnSums<T> sums;
    if (!this->normalises()) add_bias_sums(sums);
    // By the same launches, if they are of the same type.
    if constexpr (std::is_same_v<T, R>) {
      add_evolve_sums(sums);
    } else {
      ColumnSums<R> of_evolve;
      add_evolve_sums(of_evolve);
      column_sums(this->stream_, this->tokens(), of_evolve, partials());
    }
    column_sums(this->stream_, this->tokens(), sums, partials());
  }

  void decay_weight_gradients() const {
    const DeviceLayout& lay = this->lay_;
    R* const d_weight = wanted(LACUNA_EVOLVE_WEIGHT);
    if (!decays() || !d_weight) return;
    R* const dense = this->template work<R>(this->at_.d_weights_decay);
    this->multiply_wide(Form::tn, lay.output_units, lay.delta_stride, this->tokens(),
                        this->template work<const R>(this->at_.d_exponent), lay.output_units,
                        this->template taped<R>(lay.tape.delta), lay.delta_stride, dense,
                        lay.delta_stride);
    add_gradient(this->stream_, dense, 1, lay.outputs, lay.features, lay.output_units,
                 lay.delta_stride, d_weight);
  }

  void add_evolve_sums(ColumnSums<R>& sums) const {
    if (!evolves()) return;
    const DeviceLayout& lay = this->lay_;
    const R* const d_exponent = this->template work<const R>(this->at_.d_exponent);
    const auto sum = [&](const R* rows, const EvolvePart& part, const R* weight, R* target,
                         const R* slope_of) {
      if (target)
        sums.add({.matrix = rows + part.column,
                  .columns = part.count,
                  .stride = lay.evolve_units,
                  .out = target + part.first,
                  .row_weight = weight,
                  .slope_of = slope_of ? slope_of + part.first : nullptr});
    };
    if (!decays()) {
      const R* const gaps = this->template work<const R>(this->at_.gaps);
      const R* const slope_of = this->relaxes() ? this->parameter(LACUNA_EVOLVE_WEIGHT) : nullptr;
      for_evolve_parts([&](const EvolvePart& part) {
        sum(d_exponent, part, gaps, wanted(LACUNA_EVOLVE_WEIGHT), slope_of);
      });
    }
    sum(d_exponent, EvolvePart{0, lay.outputs, 0}, nullptr, wanted(LACUNA_EVOLVE_BIAS), nullptr);
    if (this->relaxes())
      for_evolve_parts([&](const EvolvePart& part) {
        sum(this->template work<const R>(this->at_.d_target), part, nullptr,
            wanted(LACUNA_EVOLVE_TARGET), nullptr);
      });
  }

  // Of the inputs, then of the gaps, which need them.
  void token_gradients() const {
    input_gradients();
    gap_gradients();
  }

  bool wants_input() const {
    return d_inputs_.d_values || wants_gaps() || wanted(LACUNA_X_MEAN) ||
           wanted(LACUNA_IMPUTE_WEIGHT) || wanted(LACUNA_IMPUTE_BIAS) || d_carry_in_.last_values ||
           d_carry_in_.since;
  }

  void input_gradients() const {
    const DeviceLayout& lay = this->lay_;
    const std::int64_t stride = lay.gradient_gates * lay.units;
    const auto multiply = [&](R* d_input) {
      this->multiply(Form::nn, this->tokens(), lay.input_stride, lay.input_gates * lay.units,
                     this->template work<const T>(this->at_.d_gates), stride, this->weights_x_,
                     lay.input_stride, d_input, lay.input_stride);
    };
    const ObserveBackward<T> args = observed();
    // Of tokens that are not in use, which only the device knows of, the caller's rows are left alone.
    if constexpr (std::is_same_v<T, R>)
      if (this->host_offsets_ && args.copies() && args.d_values &&
          this->is_dense(args.d_values, lay.features, lay.input_stride))
        return multiply(args.d_values);
    multiply(this->template work<R>(this->at_.d_input));
    R* const d_delta = this->template work<R>(this->at_.d_delta);
    if (decays())
      this->multiply_wide(Form::nn, this->tokens(), lay.delta_stride, lay.output_units,
                          this->template work<const R>(this->at_.d_exponent), lay.output_units,
                          this->weights_decay_, lay.delta_stride, d_delta, lay.delta_stride);
    observe_backward(this->stream_, args);
  }

  ObserveBackward<T> observed() const {
    const DeviceLayout& lay = this->lay_;
    ObserveBackward<T> args;
    args.batch = this->batch_;
    args.impute = this->layer_.impute;
    args.sequence_of = this->template work<const std::int32_t>(this->at_.sequence_of);
    args.d_input = this->template work<const R>(this->at_.d_input);
    args.d_input_stride = lay.input_stride;
    if (decays()) args.d_delta = this->template work<const R>(this->at_.d_delta);
    args.d_delta_stride = lay.delta_stride;
    args.input = this->template taped<T>(lay.tape.input);
    args.input_stride = lay.input_stride;
    args.delta = this->template taped<R>(lay.tape.delta);
    args.delta_stride = lay.delta_stride;
    args.mean = this->parameter(LACUNA_X_MEAN);
    args.weight = this->parameter(LACUNA_IMPUTE_WEIGHT);
    args.bias = this->parameter(LACUNA_IMPUTE_BIAS);
    args.summaries = this->template work<ObserveGradient<T>>(this->at_.d_summaries);
    args.sums = this->template work<R>(this->at_.sums);
    args.d_values = static_cast<T*>(d_inputs_.d_values);
    if (wants_gaps() && uses_delta(this->layer_))
      args.d_age = this->template work<R>(this->at_.d_age);
    args.d_mean = wanted(LACUNA_X_MEAN);
    args.d_weight = wanted(LACUNA_IMPUTE_WEIGHT);
    args.d_bias = wanted(LACUNA_IMPUTE_BIAS);
    args.d_last_out = static_cast<const R*>(d_carry_out_.last_values);
    args.d_since_out = static_cast<const R*>(d_carry_out_.since);
    args.d_last_in = static_cast<R*>(d_carry_in_.last_values);
    args.d_since_in = static_cast<R*>(d_carry_in_.since);
    return args;
  }

  // dL/d(gap) of every token: from each stage that reads the gap.
  void gap_gradients() const {
    if (!wants_gaps()) return;
    const DeviceLayout& lay = this->lay_;
    R* const total = this->template work<R>(this->at_.d_gap);
    this->zero_rows(total, this->tokens(), sizeof(R));
    const auto add = [&](const R* rows, std::int64_t columns, std::int64_t stride,
                         const R* weights) {
      row_sums(this->stream_, rows, this->tokens(), columns, stride, weights, total, true);
    };
    const R* const d_exponent = this->template work<const R>(this->at_.d_exponent);
    if (this->layer_.evolve == LACUNA_EVOLVE_DECAY_STEP)
      add(d_exponent, lay.outputs, lay.evolve_units, this->parameter(LACUNA_EVOLVE_WEIGHT));
    if (this->relaxes())
      for_evolve_parts([&](const EvolvePart& part) {
        add(d_exponent + part.column, part.count, lay.evolve_units,
            this->template work<const R>(this->at_.rate) + part.first);
      });
    if (this->layer_.cell == LACUNA_RNN_EULER)
      add(this->template work<const R>(this->at_.d_euler), lay.hidden, lay.units, nullptr);
    if (uses_delta(this->layer_))
      add(this->template work<const R>(this->at_.d_age), lay.features, lay.features, nullptr);
    gap_gradient(this->stream_, this->batch_,
                 this->template work<const std::int32_t>(this->at_.sequence_of),
                 this->template work<const R>(this->at_.gaps), total,
                 this->template work<const R>(this->at_.d_input), lay.input_stride,
                 this->layer_.gap_input ? lay.input - 1 : -1, static_cast<R*>(d_inputs_.d_delta_t));
  }

  const lacuna_parameter_gradients& d_parameters_;
  const lacuna_input_gradients& d_inputs_;
  CarryGradient d_carry_out_, d_carry_in_;
};

}  // namespace lacuna::cuda
