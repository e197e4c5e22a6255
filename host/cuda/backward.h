// The backward run: the recurrence in reverse, step by step; then everything that sums over tokens, for all of them at
// once.
#pragma once

#include "host/cuda/run.h"
#include "host/cuda/split.h"
#include "kernels/recurrence/norms.h"
#include "kernels/recurrence/resident/backward.h"
#include "kernels/recurrence/split/backward.h"
#include "kernels/recurrence/stepwise/backward.h"
#include "kernels/recurrence/stepwise/gates.h"
#include "kernels/recurrence/stepwise/projected.h"
#include "kernels/tokens/gap_gradient.h"
#include "kernels/tokens/observe_backward.h"
#include "kernels/tokens/reduce.h"

namespace lacuna::cuda {

template <class T>
class Backward : Run<T> {
  using Base = Run<T>;
  using R = simt::Real<T>;

 public:
  Backward(const Device& device, const BackwardRun& call)
      : Base(device, call),
        initial_hidden_(static_cast<const T*>(call.batch.initial_hidden)),
        d_outputs_(call.d_outputs),
        tape_(call.tape),
        d_parameters_(call.d_parameters),
        d_inputs_(call.d_inputs),
        d_hidden_norms_(static_cast<R*>(call.d_hidden_norms)),
        d_carry_out_(call.d_carry_out),
        d_carry_in_(call.d_carry_in) {}

  void run() {
    this->arrange();
    if (this->sequences() == 0) return;
    this->draw();
    this->pack();
    recur();
    pass_carry_gradients(this->stream_, observed());
    if (this->tokens() == 0) return;
    weight_gradients();
    evolve_gradients();
    input_gradients();
    gap_gradients();
  }

 private:
  template <class X>
  const X* taped(std::size_t offset) const {
    return reinterpret_cast<const X*>(tape_ + offset);
  }
  R* wanted(lacuna_parameter kind) const { return static_cast<R*>(d_parameters_.tensor[kind]); }
  R* partials() const { return this->template work<R>(this->at_.partials); }
  bool decays() const { return this->layer_.evolve == LACUNA_EVOLVE_DECAY; }
  bool relaxes() const { return this->layer_.evolve == LACUNA_EVOLVE_RELAX; }
  bool wants_gaps() const { return d_inputs_.d_delta_t != nullptr; }

  BackwardView<T> view() const {
    const DeviceLayout& lay = this->lay_;
    const auto& at = this->at_;
    BackwardView<T> args;
    args.sequences = this->sequence_view();
    args.cell = this->layer_.cell;
    args.hidden = lay.hidden;
    args.units = lay.units;
    args.gaps = this->template work<const R>(at.gaps);
    if (this->layer_.empty_rows == LACUNA_EMPTY_ROWS_EVOLVE_ONLY)
      args.fires = taped<std::uint8_t>(lay.tape.fires);
    args.evolve = this->evolve_view(taped<R>(lay.tape.exponent));
    args.noise = this->noise_view();
    args.initial_hidden = initial_hidden_;
    args.tape_h = taped<T>(lay.tape.h);
    args.tape_operand = taped<T>(lay.tape.operand);
    args.tape_c = taped<R>(lay.tape.c);
    args.gates =
        this->saves_gates() ? taped<T>(lay.tape.gates) : this->template work<T>(at.d_gates);
    args.d_hidden_out = static_cast<const T*>(d_outputs_.d_hidden);
    args.d_cell_out = static_cast<const T*>(d_outputs_.d_cell);
    args.d_final_hidden = static_cast<const T*>(d_outputs_.d_final_hidden);
    args.d_final_cell = static_cast<const T*>(d_outputs_.d_final_cell);
    args.d_gates = this->template work<T>(at.d_gates);
    args.reset_operand = this->template work<T>(at.reset_rows);
    if (this->layer_.cell == LACUNA_RNN_EULER) args.d_euler = this->template work<R>(at.d_euler);
    if (this->layer_.evolve != LACUNA_EVOLVE_NONE)
      args.d_evolve.d_exponent = this->template work<R>(at.d_exponent);
    if (relaxes()) args.d_evolve.d_target = this->template work<R>(at.d_target);
    if (d_hidden_norms_) args.d_hidden_rows = this->template work<R>(this->at_.d_hidden_rows);
    args.d_initial_hidden = static_cast<T*>(d_inputs_.d_initial_hidden);
    args.d_initial_cell = static_cast<T*>(d_inputs_.d_initial_cell);
    return args;
  }

  void zero_rows(void* rows, std::int64_t count, std::size_t bytes_each) const {
    this->device_.zero(this->stream_, rows, static_cast<std::size_t>(count) * bytes_each);
  }

  // Tokens that are not in use, which only the device knows of, take part in the sums over all tokens.
  void clear_tokens(const BackwardView<T>& args) const {
    if (this->host_offsets_) return;
    const DeviceLayout& lay = this->lay_;
    const std::int64_t n = this->tokens();
    if (this->saves_gates()) {  // else they hold the gates, and zeros already
      zero_rows(args.d_gates, n * lay.gradient_gates * lay.units, sizeof(T));
      if (this->resets_before()) zero_rows(args.reset_operand, n * lay.units, sizeof(T));
    }
    if (lay.projected) {
      zero_rows(this->template work<T>(this->at_.d_projected_rows), n * lay.output_units,
                sizeof(T));
      zero_rows(this->template work<T>(this->at_.unprojected_rows), n * lay.units, sizeof(T));
    }
    if (args.d_euler) zero_rows(args.d_euler, n * lay.units, sizeof(R));
    if (args.d_evolve.d_exponent)
      zero_rows(args.d_evolve.d_exponent, n * lay.evolve_units, sizeof(R));
    if (args.d_evolve.d_target) zero_rows(args.d_evolve.d_target, n * lay.evolve_units, sizeof(R));
    if (this->normalises()) zero_rows(d_norm(), n * lay.input_gates * lay.units, sizeof(T));
    if (this->shows_cell()) zero_rows(d_shown_rows(), n * 2 * lay.units, sizeof(R));
  }

  using NormKept = typename Base::NormKept;
  NormKept norm_kept() const {
    const auto& tape = this->lay_.tape;
    if (!this->saves_gates())
      return {this->template work<T>(this->at_.norm),
              this->template work<R>(this->at_.norm_factors)};
    // Shared with the forward run, which writes it.
    return {const_cast<T*>(taped<T>(tape.norm)), const_cast<R*>(taped<R>(tape.norm_factors))};
  }
  T* d_norm() const { return this->template work<T>(this->at_.d_norm); }
  R* d_shown_rows() const { return this->template work<R>(this->at_.d_shown_rows); }

  // Of tokens from `first` on, in place.
  void normalise_again(Normalise<T> args, std::int64_t first, std::int64_t rows) const {
    if (!this->normalises()) return;
    args.by_token = true;
    args.first = first;
    normalise_rows(this->stream_, args, rows);
  }

  // A step's gradients of gates, from gate `first` on, in place: from those of gain LN(W_h h) to those of W_h h.
  void normalise_step_backward(T* d_product, int gates, int first, std::int64_t step,
                               std::int64_t rows) const {
    if (!this->normalises()) return;
    const std::int64_t units = this->units();
    const Normalise<T> forward = this->normalise_h(norm_kept(), nullptr, gates, first);
    NormaliseBackward<T> args = backward_of(forward, d_product, gates * units);
    args.first = step;
    args.by_token_too = d_norm() + first * units;
    args.copy_stride = this->lay_.input_gates * units;
    normalise_rows_backward(this->stream_, args, rows);
  }
  static NormaliseBackward<T> backward_of(const Normalise<T>& forward, T* rows,
                                          std::int64_t stride) {
    NormaliseBackward<T> args{static_cast<const NormRows&>(forward)};
    args.rows = rows;
    args.row_stride = stride;
    args.gain = forward.gain;
    args.normalised = forward.normalised;
    args.stride = forward.stride;
    args.factors = forward.factors;
    return args;
  }

  void recur() const {
    const BackwardView<T> args = view();
    if (!this->saves_gates()) recompute_gates(args);
    clear_tokens(args);
    if (this->is_resident() || this->is_split())
      recur_on_chip(args);
    else if (this->lay_.projected)
      recur_projected(args);
    else
      recur_stepwise(args);
    if (d_hidden_norms_)
      norms_of_rows<R>(this->stream_, args.d_hidden_rows, this->tokens(), this->output_units(),
                       this->lay_.outputs, d_hidden_norms_);
  }

  void recur_on_chip(const BackwardView<T>& args) const {
    if constexpr (!std::is_same_v<T, double>) {
      const ResidentBackward<T> resident{args, this->weights(), this->lanes(), this->lay_.tf32};
      if (this->is_resident())
        resident_backward(this->stream_, resident);
      else
        Split<T>::backward(this->stream_, this->lay_.regime,
                           SplitBackward<T>{resident, this->division(), this->exchange_room()});
    }
  }

  // The gates, which lie where their gradients will.
  void recompute_gates(const BackwardView<T>& view) const {
    const DeviceLayout& lay = this->lay_;
    const auto& at = this->at_;
    const std::int64_t units = lay.units, outputs = lay.output_units,
                       wide_x = lay.input_gates * units, wide_h = lay.product_gates * units;
    R* const gx = this->template work<R>(at.gx_again);
    R* const product = this->template work<R>(at.product_again);
    R* const candidate_product = this->template work<R>(at.candidate_product_again);
    for (std::int64_t first = 0; first < this->tokens(); first += lay.recomputed_tokens) {
      const std::int64_t rows = std::min(lay.recomputed_tokens, this->tokens() - first);
      TokenGates<T> args;
      args.sequences = view.sequences;
      args.cell = view.cell;
      args.hidden = view.hidden;
      args.units = units;
      args.gx = gx;
      args.gaps = view.gaps + first;
      if (view.fires) args.fires = view.fires + first;
      args.bias = this->parameter(LACUNA_BIAS);
      args.bias_hn = this->parameter(LACUNA_BIAS_HN);
      args.gates = this->template work<T>(at.d_gates) + first * lay.saved_gates * units;
      args.product = product;
      args.update = this->template work<R>(at.update_again);
      args.candidate_product = candidate_product;
      args.states = view.tape_operand + first * outputs;
      this->multiply(Form::nt, rows, wide_x, lay.input_stride,
                     taped<T>(lay.tape.input) + first * lay.input_stride, lay.input_stride,
                     this->template work<const T>(at.weights_x), lay.input_stride, gx, wide_x);
      normalise_again(this->normalise_x(norm_kept(), gx), first, rows);
      this->multiply(Form::nt, rows, wide_h, outputs, args.states, outputs, this->weights(),
                     outputs, product, wide_h);
      normalise_again(this->normalise_h(norm_kept(), product, static_cast<int>(lay.product_gates)),
                      first, rows);
      if (this->resets_before()) {
        args.reset_operand = view.reset_operand + first * units;
        recompute_reset(this->stream_, args, first, rows);
        this->multiply(Form::nt, rows, units, units, args.reset_operand, units,
                       this->candidate_weights(), units, candidate_product, units);
        normalise_again(this->normalise_h(norm_kept(), candidate_product, 1, 2), first, rows);
      }
      lacuna::recompute_gates(this->stream_, args, first, rows);
    }
  }

  // What normalises an lstm's c', and its room in `args`.
  ShowView<R> show_backward(StepBackward<T>& args) const {
    ShowView<R> show;
    if (!this->shows_cell()) return show;
    args.shown = this->template work<R>(this->at_.shown);
    args.d_shown = this->template work<R>(this->at_.d_shown);
    show = this->show_view();
    show.d_rows = d_shown_rows();
    return show;
  }

  void recur_stepwise(const BackwardView<T>& view) const {
    const std::int64_t units = this->units(), outputs = this->output_units(),
                       wide = this->lay_.product_gates * units;
    const auto& at = this->at_;
    StepBackward<T> args{view};
    args.d_step = this->template work<T>(at.d_step);
    args.d_product = this->template work<const R>(at.d_product);
    args.d_state = this->template work<R>(at.d_state);
    args.d_cell_state = this->template work<R>(at.d_cell);
    args.d_candidate = this->template work<T>(at.d_candidate);
    args.d_reset = this->template work<const R>(at.d_reset);
    const ShowView<R> show = show_backward(args);
    // Products read rows that a step did not write: those of sequences that are shorter.
    zero_rows(args.d_step, this->sequences() * wide, sizeof(T));
    if (this->resets_before()) zero_rows(args.d_candidate, this->sequences() * units, sizeof(T));
    for (std::int64_t step = this->steps_; step-- > 0;) {
      const std::int64_t rows = this->rows(step);
      if (this->shows_cell()) show_cells_backward(this->stream_, args, show, step, rows);
      step_backward(this->stream_, args, step, rows);
      if (this->resets_before()) {
        normalise_step_backward(args.d_candidate, 1, 2, step, rows);
        this->multiply(Form::nn, rows, units, units, args.d_candidate, units,
                       this->candidate_weights(), units, this->template work<R>(this->at_.d_reset),
                       units);
        reset_backward(this->stream_, args, step, rows);
      }
      normalise_step_backward(args.d_step, static_cast<int>(this->lay_.product_gates), 0, step,
                              rows);
      this->multiply(Form::nn, rows, outputs, wide, args.d_step, wide, this->weights(), outputs,
                     this->template work<R>(this->at_.d_product), outputs);
    }
    end_backward(this->stream_, args);
  }

  void recur_projected(const BackwardView<T>& view) const {
    const DeviceLayout& lay = this->lay_;
    const std::int64_t units = lay.units, outputs = lay.output_units,
                       wide = lay.product_gates * units;
    const auto& at = this->at_;
    ProjectedBackward<T> args{{view}};
    args.outputs = lay.outputs;
    args.output_units = outputs;
    args.evolve_units = lay.evolve_units;
    args.d_step = this->template work<T>(at.d_step);
    args.d_product = this->template work<const R>(at.d_product);
    args.d_state = this->template work<R>(at.d_state);
    args.d_cell_state = this->template work<R>(at.d_cell);
    args.tape_relaxed = taped<R>(lay.tape.relaxed);
    args.d_projected = this->template work<T>(at.d_projected);
    args.d_unprojected = this->template work<const R>(at.d_unprojected);
    args.d_projected_rows = this->template work<T>(at.d_projected_rows);
    args.unprojected_rows = this->template work<T>(at.unprojected_rows);
    const ShowView<R> show = show_backward(args);
    // Products read rows that a step did not write: those of sequences that are shorter.
    zero_rows(args.d_step, this->sequences() * wide, sizeof(T));
    zero_rows(args.d_projected, this->sequences() * outputs, sizeof(T));
    for (std::int64_t step = this->steps_; step-- > 0;) {
      const std::int64_t rows = this->rows(step);
      step_outputs_backward(this->stream_, args, step, rows);
      this->multiply(Form::nn, rows, units, outputs, args.d_projected, outputs, this->projection(),
                     units, this->template work<R>(at.d_unprojected), units);
      if (this->shows_cell()) show_cells_backward<T>(this->stream_, args, show, step, rows);
      step_cells_backward(this->stream_, args, step, rows);
      normalise_step_backward(args.d_step, static_cast<int>(lay.product_gates), 0, step, rows);
      this->multiply(Form::nn, rows, outputs, wide, args.d_step, wide, this->weights(), outputs,
                     this->template work<R>(at.d_product), outputs);
    }
    end_projected(this->stream_, args);
  }

  // target [gates H, columns] += (gate rows)^T operand, over all tokens.
  void add_product(const T* rows, std::int64_t row_stride, std::int64_t gates, const T* operand,
                   std::int64_t stride, std::int64_t columns, R* target) const {
    R* const dense = this->template work<R>(this->at_.d_weights);
    this->multiply(Form::tn, gates * this->units(), stride, this->tokens(), rows, row_stride,
                   operand, stride, dense, stride);
    add_gradient(this->stream_, dense, gates, this->lay_.hidden, columns, this->units(), stride,
                 target);
  }

  void add_bias(const T* rows, std::int64_t stride, std::int64_t gates, R* target) const {
    for (std::int64_t g = 0; g < gates; ++g)
      column_sums(this->stream_, rows + g * this->units(), this->tokens(), this->lay_.hidden,
                  stride, static_cast<const R*>(nullptr), partials(),
                  target + g * this->lay_.hidden);
  }

  void weight_gradients() const {
    const DeviceLayout& lay = this->lay_;
    const std::int64_t units = lay.units, stride = lay.gradient_gates * units, h = lay.hidden;
    const std::int64_t outputs = lay.output_units;
    const T* const d_gates = this->template work<const T>(this->at_.d_gates);
    const T* const state = taped<T>(lay.tape.operand);
    if (R* const d_bias = wanted(LACUNA_BIAS)) add_bias(d_gates, stride, lay.input_gates, d_bias);
    if (R* const d_bias = wanted(LACUNA_BIAS_HN)) add_bias(d_gates + 3 * units, stride, 1, d_bias);
    if (this->normalises()) norm_gradients();
    if (R* const d_x = wanted(LACUNA_WEIGHTS_X))
      add_product(d_gates, stride, lay.input_gates, taped<T>(lay.tape.input), lay.input_stride,
                  lay.input, d_x);
    if (R* const d_h = wanted(LACUNA_WEIGHTS_H)) {
      if (this->normalises()) {
        const std::int64_t norm_stride = lay.input_gates * units;
        add_product(d_norm(), norm_stride, lay.product_gates, state, outputs, lay.outputs, d_h);
        if (this->resets_before())
          add_product(d_norm() + 2 * units, norm_stride, 1,
                      this->template work<const T>(this->at_.reset_rows), units, h,
                      d_h + 2 * h * h);
      } else if (this->resets_before()) {
        add_product(d_gates, stride, 2, state, units, h, d_h);
        add_product(d_gates + 2 * units, stride, 1,
                    this->template work<const T>(this->at_.reset_rows), units, h, d_h + 2 * h * h);
      } else if (this->layer_.cell == LACUNA_GRU) {
        add_product(d_gates, stride, 2, state, units, h, d_h);
        add_product(d_gates + 3 * units, stride, 1, state, units, h, d_h + 2 * h * h);
      } else {
        add_product(d_gates, stride, lay.product_gates, state, outputs, lay.outputs, d_h);
      }
    }
    if (R* const d_projection = wanted(LACUNA_PROJECTION); d_projection && lay.projected) {
      R* const dense = this->template work<R>(this->at_.d_weights);
      this->multiply(Form::tn, outputs, units, this->tokens(),
                     this->template work<const T>(this->at_.d_projected_rows), outputs,
                     this->template work<const T>(this->at_.unprojected_rows), units, dense, units);
      add_gradient(this->stream_, dense, 1, lay.outputs, h, outputs, units, d_projection);
    }
  }

  // Gains, and from here on gates' gradients are those of W_x x, which is what is left to multiply.
  void norm_gradients() const {
    const DeviceLayout& lay = this->lay_;
    const std::int64_t units = lay.units, stride = lay.gradient_gates * units, h = lay.hidden;
    T* const d_gates = this->template work<T>(this->at_.d_gates);
    const auto sum = [&](const auto* rows, std::int64_t row_stride, R* target, const auto* factor,
                         std::int64_t factor_stride) {
      column_sums(this->stream_, rows, this->tokens(), h, row_stride,
                  static_cast<const R*>(nullptr), partials(), target,
                  static_cast<const R*>(nullptr), factor, factor_stride);
    };
    const auto sum_gate = [&](R* d_gain, std::int64_t gate, std::int64_t gradient,
                              std::int64_t place) {
      sum(d_gates + gradient * units, stride, d_gain + gate * h,
          static_cast<const T*>(norm_kept().normalised) + (place + gate) * units,
          this->norm_stride());
    };
    const bool of_gru = this->layer_.cell == LACUNA_GRU;  // its W_hn h has a gradient of its own
    for (std::int64_t g = 0; g < lay.input_gates; ++g) {
      if (R* const d_gain = wanted(LACUNA_NORM_GAIN_X)) sum_gate(d_gain, g, g, 0);
      if (R* const d_gain = wanted(LACUNA_NORM_GAIN_H))
        sum_gate(d_gain, g, of_gru && g == 2 ? 3 : g, lay.input_gates);
    }
    const R* const none = nullptr;
    if (R* const d_gain = wanted(LACUNA_NORM_GAIN_C))
      sum(d_shown_rows(), 2 * units, d_gain, none, 0);
    if (R* const d_bias = wanted(LACUNA_NORM_BIAS_C))
      sum(d_shown_rows() + units, 2 * units, d_bias, none, 0);
    NormaliseBackward<T> args =
        backward_of(this->normalise_x(norm_kept(), nullptr), d_gates, stride);
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
    if (relaxes() && this->is_lstm()) f(EvolvePart{lay.outputs, lay.hidden, lay.output_units});
  }

  void evolve_gradients() const {
    const DeviceLayout& lay = this->lay_;
    const lacuna_evolve evolve = this->layer_.evolve;
    if (evolve == LACUNA_EVOLVE_NONE) return;
    const R* const d_exponent = this->template work<const R>(this->at_.d_exponent);
    const R* const gaps = this->template work<const R>(this->at_.gaps);
    const auto sum = [&](const R* rows, const EvolvePart& part, const R* weight, R* target,
                         const R* slope_of) {
      if (target)
        column_sums(this->stream_, rows + part.column, this->tokens(), part.count, lay.evolve_units,
                    weight, partials(), target + part.first,
                    slope_of ? slope_of + part.first : nullptr);
    };
    R* const d_weight = wanted(LACUNA_EVOLVE_WEIGHT);
    if (decays()) {
      if (d_weight) {
        R* const dense = this->template work<R>(this->at_.d_weights);
        this->multiply_wide(Form::tn, lay.output_units, lay.delta_stride, this->tokens(),
                            d_exponent, lay.output_units, taped<R>(lay.tape.delta),
                            lay.delta_stride, dense, lay.delta_stride);
        add_gradient(this->stream_, dense, 1, lay.outputs, lay.features, lay.output_units,
                     lay.delta_stride, d_weight);
      }
    } else {
      const R* const slope_of = relaxes() ? this->parameter(LACUNA_EVOLVE_WEIGHT) : nullptr;
      for_evolve_parts(
          [&](const EvolvePart& part) { sum(d_exponent, part, gaps, d_weight, slope_of); });
    }
    sum(d_exponent, EvolvePart{0, lay.outputs, 0}, nullptr, wanted(LACUNA_EVOLVE_BIAS), nullptr);
    if (!relaxes()) return;
    for_evolve_parts([&](const EvolvePart& part) {
      sum(this->template work<const R>(this->at_.d_target), part, nullptr,
          wanted(LACUNA_EVOLVE_TARGET), nullptr);
    });
  }

  bool wants_input() const {
    return d_inputs_.d_values || wants_gaps() || wanted(LACUNA_X_MEAN) ||
           wanted(LACUNA_IMPUTE_WEIGHT) || wanted(LACUNA_IMPUTE_BIAS) || d_carry_in_.last_values ||
           d_carry_in_.since;
  }

  void input_gradients() const {
    if (!wants_input()) return;
    const DeviceLayout& lay = this->lay_;
    const std::int64_t stride = lay.gradient_gates * lay.units;
    R* const d_input = this->template work<R>(this->at_.d_input);
    this->multiply(Form::nn, this->tokens(), lay.input_stride, lay.input_gates * lay.units,
                   this->template work<const T>(this->at_.d_gates), stride,
                   this->template work<const T>(this->at_.weights_x), lay.input_stride, d_input,
                   lay.input_stride);
    R* const d_delta = this->template work<R>(this->at_.d_delta);
    if (decays())
      this->multiply_wide(Form::nn, this->tokens(), lay.delta_stride, lay.output_units,
                          this->template work<const R>(this->at_.d_exponent), lay.output_units,
                          this->template work<const R>(this->at_.weights_decay), lay.delta_stride,
                          d_delta, lay.delta_stride);
    observe_backward(this->stream_, observed());
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
    args.input = taped<T>(lay.tape.input);
    args.input_stride = lay.input_stride;
    args.delta = taped<R>(lay.tape.delta);
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
    zero_rows(total, this->tokens(), sizeof(R));
    const auto add = [&](const R* rows, std::int64_t columns, std::int64_t stride,
                         const R* weights) {
      row_sums(this->stream_, rows, this->tokens(), columns, stride, weights, total, true);
    };
    const R* const d_exponent = this->template work<const R>(this->at_.d_exponent);
    if (this->layer_.evolve == LACUNA_EVOLVE_DECAY_STEP)
      add(d_exponent, lay.outputs, lay.evolve_units, this->parameter(LACUNA_EVOLVE_WEIGHT));
    if (relaxes())
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

  const T* initial_hidden_;
  const lacuna_output_gradients& d_outputs_;
  const std::byte* tape_;
  const lacuna_parameter_gradients& d_parameters_;
  const lacuna_input_gradients& d_inputs_;
  R* d_hidden_norms_;
  CarryGradient d_carry_out_, d_carry_in_;
};

}  // namespace lacuna::cuda
