// The forward run: all that does not depend on the state for all tokens at once, then the recurrence, step by step.
#pragma once

#include "host/cuda/run.h"
#include "kernels/recurrence/resident/forward.h"
#include "kernels/recurrence/split/forward.h"
#include "kernels/recurrence/stepwise/forward.h"
#include "kernels/recurrence/stepwise/projected.h"
#include "kernels/tokens/observe.h"

namespace lacuna::cuda {

template <class T>
class Forward : Run<T> {
  using Base = Run<T>;
  using R = simt::Real<T>;

 public:
  Forward(const Device& device, const ForwardRun& call)
      : Base(device, call), batch_given_(call.batch), outputs_(call.outputs), tape_(call.tape) {}

  void run() {
    this->arrange(this->locates());
    observe_tokens();
    if (this->sequences() == 0) return;
    this->pack(true);  // kernels fetch weights before they know that there are no tokens
    const bool any = this->steps_ > 0;
    this->template side_by_side<Forward>(*this, {{any, &Forward::multiply_inputs},
                                                 {any && decays(), &Forward::multiply_delta},
                                                 {orders(), &Forward::order_and_draw}});
    recur();
  }

 private:
  // Of the tape; inference keeps the same in the workspace, and only as long as it runs.
  template <class X>
  X* kept(std::size_t on_tape, std::size_t in_workspace) const {
    return tape_ ? reinterpret_cast<X*>(tape_ + on_tape) : this->template work<X>(in_workspace);
  }
  template <class X>
  X* taped(std::size_t offset) const {
    return tape_ ? reinterpret_cast<X*>(tape_ + offset) : nullptr;
  }

  T* input() const { return kept<T>(this->lay_.tape.input, this->at_.input); }
  R* delta() const { return kept<R>(this->lay_.tape.delta, this->at_.delta); }
  R* exponent() const { return kept<R>(this->lay_.tape.exponent, this->at_.exponent); }
  std::uint8_t* found_fires() const {
    return kept<std::uint8_t>(this->lay_.tape.fires, this->at_.fires);
  }

  void observe_tokens() {
    const lacuna_layer& layer = this->layer_;
    const lacuna_carry& carry = outputs_.carry_out;
    Observe<T> args;
    args.batch = this->batch_;
    args.impute = layer.impute;
    args.mask_input = layer.mask_input != 0;
    args.gap_input = layer.gap_input != 0;
    args.sequence_of = this->template work<const std::int32_t>(this->at_.sequence_of);
    args.gaps = this->template work<const R>(this->at_.gaps);
    args.mean = this->parameter(LACUNA_X_MEAN);
    args.weight = this->parameter(LACUNA_IMPUTE_WEIGHT);
    args.bias = this->parameter(LACUNA_IMPUTE_BIAS);
    args.summaries = this->template work<ObserveSummary<T>>(this->at_.summaries);
    args.input = input();
    args.input_stride = this->lay_.input_stride;
    args.delta = uses_delta(layer) ? delta() : nullptr;
    args.delta_stride = this->lay_.delta_stride;
    args.imputed = static_cast<T*>(outputs_.imputed);
    args.fires = finds_fires(layer) ? found_fires() : nullptr;
    args.last_values = static_cast<T*>(carry.last_values);
    args.since = static_cast<R*>(carry.since);
    args.last_time = carry.last_time;
    args.first_gap = static_cast<R*>(carry.first_gap);
    observe(this->stream_, args);
  }

  bool decays() const { return this->layer_.evolve == LACUNA_EVOLVE_DECAY; }
  bool draws_noise() const { return this->steps_ > 0 && Base::draws_noise(); }
  bool orders() const { return this->sorts() || draws_noise(); }
  void order_and_draw() const {
    if (this->sorts()) this->sort_sequences();
    if (draws_noise()) this->draw();
  }

  void multiply_inputs() const {
    const DeviceLayout& lay = this->lay_;
    const std::int64_t wide = lay.input_gates * lay.units;
    this->multiply(Form::nt, this->tokens(), wide, lay.input_stride, input(), lay.input_stride,
                   this->weights_x_, lay.input_stride, this->template work<R>(this->at_.gx), wide);
    if (this->normalises()) normalise_inputs();
  }
  void multiply_delta() const {
    const DeviceLayout& lay = this->lay_;
    this->multiply_wide(Form::nt, this->tokens(), lay.output_units, lay.delta_stride, delta(),
                        lay.delta_stride, this->weights_decay_, lay.delta_stride, exponent(),
                        lay.output_units);
  }

  using NormKept = typename Base::NormKept;
  // Null where a backward run is to compute it again.
  NormKept norm_kept() const {
    if (!this->saves_gates()) return {};
    return {taped<T>(this->lay_.tape.norm), taped<R>(this->lay_.tape.norm_factors)};
  }

  void normalise_inputs() const {
    const NormKept kept = norm_kept();
    // Of tokens that are not in use, which only the device knows of, no product with W_h is made; sums multiply what stands
    // there by 0.
    if (!this->host_offsets_ && kept.normalised) {
      const auto tokens = static_cast<std::size_t>(this->tokens());
      this->device_.zero(this->stream_, kept.normalised,
                         tokens * static_cast<std::size_t>(this->norm_stride()) * sizeof(T));
      this->device_.zero(this->stream_, kept.factors, tokens * norm_factors * sizeof(R));
    }
    auto args = this->normalise_x(kept, this->template work<R>(this->at_.gx));
    args.by_token = true;
    normalise_rows(this->stream_, args, this->tokens());
  }

  // The product of a step, from gate `first` on.
  void normalise_step(R* product, int gates, int first, std::int64_t step,
                      std::int64_t rows) const {
    if (!this->normalises()) return;
    auto args = this->normalise_h(norm_kept(), product, gates, first);
    args.first = step;
    normalise_rows(this->stream_, args, rows);
  }

  ForwardView<T> view() const {
    const DeviceLayout& lay = this->lay_;
    const auto& at = this->at_;
    ForwardView<T> args;
    args.sequences = this->sequence_view();
    args.cell = this->layer_.cell;
    args.hidden = lay.hidden;
    args.units = lay.units;
    args.gx = this->template work<const R>(at.gx);
    args.gaps = this->template work<const R>(at.gaps);
    args.fires = this->fires(found_fires());
    args.evolve = this->evolve_view(exponent());
    args.noise = this->noise_view();
    args.bias = this->parameter(LACUNA_BIAS);
    args.bias_hn = this->parameter(LACUNA_BIAS_HN);
    args.initial_hidden = static_cast<const T*>(batch_given_.initial_hidden);
    args.initial_cell = static_cast<const T*>(batch_given_.initial_cell);
    args.hidden_out = static_cast<T*>(outputs_.hidden);
    args.cell_out = static_cast<T*>(outputs_.cell);
    args.evolved_hidden = static_cast<T*>(outputs_.evolved_hidden);
    args.final_hidden = static_cast<T*>(outputs_.final_hidden);
    args.final_cell = static_cast<T*>(outputs_.final_cell);
    args.tape_h = taped<T>(lay.tape.h);
    if (drops_state(this->layer_)) args.tape_operand = taped<T>(lay.tape.operand);
    args.tape_c = this->is_lstm() ? taped<R>(lay.tape.c) : nullptr;
    if (this->saves_gates()) args.gates = taped<T>(lay.tape.gates);
    return args;
  }

  void recur() const {
    const ForwardView<T> args = view();
    // Of tokens that are not in use, which only the device knows of, no state is taped; the weight gradients multiply
    // what stands there by 0.
    const auto clear = [&](T* rows) {
      if (!this->host_offsets_ && rows)
        this->device_.zero(
            this->stream_, rows,
            static_cast<std::size_t>(this->tokens() * this->output_units()) * sizeof(T));
    };
    clear(args.tape_h);
    clear(args.tape_operand);
    if (this->template walk<ResidentForward, SplitForward>(args)) return;
    if (this->lay_.projected) return recur_projected(args);
    recur_stepwise(args);
  }

  void recur_projected(const ForwardView<T>& view) const {
    const DeviceLayout& lay = this->lay_;
    const std::int64_t units = lay.units, outputs = lay.output_units,
                       wide = lay.product_gates * units;
    const auto& at = this->at_;
    ProjectedForward<T> args{{view}};
    args.outputs = lay.outputs;
    args.output_units = outputs;
    args.product = this->step_product(at.product, wide, lay.product_parts);
    args.operand = this->template work<T>(at.operand);
    args.state = this->template work<R>(at.state);
    args.cell_state = this->template work<R>(at.cell);
    args.unprojected = this->template work<T>(at.unprojected);
    args.projected = this->template work<const R>(at.projected);
    if (this->shows_cell()) args.shown = this->template work<R>(at.shown);
    if (sizeof(T) < sizeof(R) && this->layer_.evolve == LACUNA_EVOLVE_RELAX)
      args.tape_relaxed = taped<R>(lay.tape.relaxed);
    const auto rows_of = [&](std::int64_t width) {
      return static_cast<std::size_t>(this->sequences() * width) * sizeof(T);
    };
    this->device_.zero(this->stream_, args.operand, rows_of(outputs));
    this->device_.zero(this->stream_, args.unprojected, rows_of(units));
    begin_projected(this->stream_, args);
    for (std::int64_t step = 0; step < this->steps_; ++step) {
      const std::int64_t rows = this->rows(step);
      this->multiply_step(Form::nt, rows, wide, outputs, args.operand, outputs, this->weights(),
                          outputs, args.product);
      normalise_step(args.product.rows, static_cast<int>(lay.product_gates), 0, step, rows);
      if (this->shows_cell()) show_cells<T>(this->stream_, args, this->show_view(), step, rows);
      step_cells(this->stream_, args, step, rows);
      this->multiply(Form::nt, rows, outputs, units, args.unprojected, units, this->projection(),
                     units, this->template work<R>(at.projected), outputs);
      step_outputs(this->stream_, args, step, rows);
    }
  }

  void recur_stepwise(const ForwardView<T>& view) const {
    const DeviceLayout& lay = this->lay_;
    const std::int64_t units = lay.units, outputs = lay.output_units,
                       wide = lay.product_gates * units;
    const auto& at = this->at_;
    StepForward<T> args{view};
    args.product = this->step_product(at.product, wide, lay.product_parts);
    args.operand = this->template work<T>(at.operand);
    args.state = this->template work<R>(at.state);
    args.cell_state = this->template work<R>(at.cell);
    args.reset_operand = this->template work<T>(at.reset_operand);
    args.update = this->template work<R>(at.update);
    args.candidate_product = this->step_product(at.candidate_product, units, lay.candidate_parts);
    if (this->shows_cell()) args.shown = this->template work<R>(at.shown);
    // Products read rows that a step did not write: those of sequences that have ended, or have no tokens.
    this->device_.zero(this->stream_, args.operand,
                       static_cast<std::size_t>(this->sequences() * outputs) * sizeof(T));
    if (this->resets_before())
      this->device_.zero(this->stream_, args.reset_operand,
                         static_cast<std::size_t>(this->sequences() * units) * sizeof(T));
    begin_forward(this->stream_, args);
    for (std::int64_t step = 0; step < this->steps_; ++step) {
      const std::int64_t rows = this->rows(step);
      this->multiply_step(Form::nt, rows, wide, outputs, args.operand, outputs, this->weights(),
                          outputs, args.product);
      normalise_step(args.product.rows, static_cast<int>(lay.product_gates), 0, step, rows);
      if (this->shows_cell()) show_cells(this->stream_, args, this->show_view(), step, rows);
      if (this->resets_before()) {
        reset_forward(this->stream_, args, step, rows);
        this->multiply_step(Form::nt, rows, units, units, args.reset_operand, units,
                            this->candidate_weights(), units, args.candidate_product);
        normalise_step(args.candidate_product.rows, 1, 2, step, rows);
      }
      step_forward(this->stream_, args, step, rows);
    }
  }

  const lacuna_batch& batch_given_;
  const lacuna_outputs& outputs_;
  std::byte* tape_;
};

}  // namespace lacuna::cuda
