// The recurrence of a backward run, in whatever regime: from dL/d(output) to the gradients of every token's gates, of what
// evolves the state, and of the initial states.
#pragma once

#include "host/cuda/run.h"
#include "kernels/recurrence/norms.h"
#include "kernels/recurrence/resident/backward.h"
#include "kernels/recurrence/split/backward.h"
#include "kernels/recurrence/stepwise/backward.h"
#include "kernels/recurrence/stepwise/gates.h"
#include "kernels/recurrence/stepwise/projected.h"

namespace lacuna::cuda {

template <class T>
class BackwardRecurrence : protected Run<T> {
  using Base = Run<T>;
  using R = simt::Real<T>;

 protected:
  BackwardRecurrence(const Device& device, const BackwardRun& call)
      : Base(device, call),
        initial_hidden_(static_cast<const T*>(call.batch.initial_hidden)),
        d_outputs_(call.d_outputs),
        tape_(call.tape),
        d_initial_hidden_(static_cast<T*>(call.d_inputs.d_initial_hidden)),
        d_initial_cell_(static_cast<T*>(call.d_inputs.d_initial_cell)),
        d_hidden_norms_(static_cast<R*>(call.d_hidden_norms)) {}

  template <class X>
  const X* taped(std::size_t offset) const {
    return reinterpret_cast<const X*>(tape_ + offset);
  }
  bool relaxes() const { return this->layer_.evolve == LACUNA_EVOLVE_RELAX; }

  BackwardView<T> view() const {
    const DeviceLayout& lay = this->lay_;
    const auto& at = this->at_;
    BackwardView<T> args;
    args.sequences = this->sequence_view();
    args.cell = this->layer_.cell;
    args.hidden = lay.hidden;
    args.units = lay.units;
    args.gaps = this->template work<const R>(at.gaps);
    args.fires = this->fires(taped<std::uint8_t>(lay.tape.fires));
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
    args.d_initial_hidden = d_initial_hidden_;
    args.d_initial_cell = d_initial_cell_;
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
    if (!this->template walk<ResidentBackward, SplitBackward>(args)) {
      if (this->lay_.projected)
        recur_projected(args);
      else
        recur_stepwise(args);
    }
    if (d_hidden_norms_)
      norms_of_rows<R>(this->stream_, args.d_hidden_rows, this->tokens(), this->output_units(),
                       this->lay_.outputs, d_hidden_norms_);
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
      args.product = {product};
      args.update = this->template work<R>(at.update_again);
      args.candidate_product = {candidate_product};
      args.states = view.tape_operand + first * outputs;
      this->multiply(Form::nt, rows, wide_x, lay.input_stride,
                     taped<T>(lay.tape.input) + first * lay.input_stride, lay.input_stride,
                     this->weights_x_, lay.input_stride, gx, wide_x);
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
    const DeviceLayout& lay = this->lay_;
    const std::int64_t units = lay.units, outputs = lay.output_units,
                       wide = lay.product_gates * units;
    const auto& at = this->at_;
    StepBackward<T> args{view};
    args.d_step = this->template work<T>(at.d_step);
    args.d_product = this->step_product(at.d_product, outputs, lay.d_product_parts);
    args.d_state = this->template work<R>(at.d_state);
    args.d_cell_state = this->template work<R>(at.d_cell);
    args.d_candidate = this->template work<T>(at.d_candidate);
    args.d_reset = this->step_product(at.d_reset, units, lay.candidate_parts);
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
        this->multiply_step(Form::nn, rows, units, units, args.d_candidate, units,
                            this->candidate_weights(), units, args.d_reset);
        reset_backward(this->stream_, args, step, rows);
      }
      normalise_step_backward(args.d_step, static_cast<int>(lay.product_gates), 0, step, rows);
      this->multiply_step(Form::nn, rows, outputs, wide, args.d_step, wide, this->weights(),
                          outputs, args.d_product);
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
    args.d_product = this->step_product(at.d_product, outputs, lay.d_product_parts);
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
      this->multiply_step(Form::nn, rows, outputs, wide, args.d_step, wide, this->weights(),
                          outputs, args.d_product);
    }
    end_projected(this->stream_, args);
  }

  const T* initial_hidden_;
  const lacuna_output_gradients& d_outputs_;
  const std::byte* tape_;
  T *d_initial_hidden_, *d_initial_cell_;
  R* d_hidden_norms_;
};

}  // namespace lacuna::cuda
