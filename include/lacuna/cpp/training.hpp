// The last mile that training needs: a linear head, losses on targets of which some are missing,
// gradient clipping, Adam and dynamic loss scaling.
//
// On CUDA, Parameters, Gradients, Linear, Adam and LossScaler are the host's memory, as for the CPU:
// every call copies what it needs of them to the device and back, and waits. That is right for a small
// model, and for a program that is to run anywhere. To keep weights, gradients and moments on the
// device, or to record a whole step in a CUDA graph, use the C functions of lacuna.h on arrays of the
// device, with context.get(), plan.get() and tape.get(). Spans of batches, outputs, predictions and
// targets may be over the device's memory here, too.
//
// `stream`, last and optional everywhere: a cudaStream_t on CUDA, null on the CPU.
#pragma once

#include <cmath>
#include <concepts>
#include <initializer_list>
#include <limits>
#include <ranges>
#include <vector>

#include "lacuna/cpp/context.hpp"
#include "lacuna/cpp/parameters.hpp"
#include "lacuna/cpp/stack.hpp"

namespace lacuna {

// The number type of a vector, array or span, so that the functions below deduce it from their
// first array.
template <class Array>
using real_of = std::remove_cv_t<std::ranges::range_value_t<Array>>;

// A linear head, y = x W^T + b, with its parameters in one flat array: weights [out, in], then bias
// [out]. They are floats where x and y are of 16 bits.
template <RealNumber Real>
class Linear {
 public:
  // All zero.
  Linear(std::int64_t in, std::int64_t out) : in_(in), out_(out) {
    if (in < 1) detail::refuse("in: " + std::to_string(in) + ", expected >= 1");
    if (out < 1) detail::refuse("out: " + std::to_string(out) + ", expected >= 1");
    if (in >= std::numeric_limits<std::int64_t>::max() / out)
      detail::refuse("in: " + std::to_string(in) + " for out " + std::to_string(out) +
                     ", which do not fit in memory");
    flat_.resize(static_cast<std::size_t>(out * in + out));
  }

  std::int64_t in() const { return in_; }
  std::int64_t out() const { return out_; }
  std::size_t count() const { return flat_.size(); }
  std::span<Wide<Real>> flat() { return flat_; }
  std::span<const Wide<Real>> flat() const { return flat_; }
  std::span<Wide<Real>> weights() { return flat().first(weight_count()); }
  std::span<const Wide<Real>> weights() const { return flat().first(weight_count()); }
  std::span<Wide<Real>> bias() { return flat().subspan(weight_count()); }
  std::span<const Wide<Real>> bias() const { return flat().subspan(weight_count()); }

  // x [rows, in] -> y [rows, out], written.
  void forward(const Context& context, std::span<const Real> x, std::span<Real> y,
               void* stream = nullptr) const {
    check_not_moved();
    const std::int64_t rows = rows_of(x.size());
    detail::check_shape("y", y.size(), {"rows", rows}, {"out", out_});
    detail::check(lacuna_linear_forward(context.get(), type(), rows, in_, out_, x.data(),
                                        weights().data(), bias().data(), y.data(), stream));
  }

  // d_x is written (empty: not wanted); `gradients`, laid out as flat(), is added to.
  void backward(const Context& context, std::span<const Real> x, std::span<const Real> d_y,
                std::span<Real> d_x, std::span<Wide<Real>> gradients,
                void* stream = nullptr) const {
    check_not_moved();
    const std::int64_t rows = rows_of(x.size());
    detail::check_shape("d_y", d_y.size(), {"rows", rows}, {"out", out_});
    detail::check_shape("gradients", gradients.size(),
                        {"count", static_cast<std::int64_t>(count())});
    Real* const d_x_or_null = detail::optional("d_x", d_x, {"rows", rows}, {"in", in_});
    detail::check(lacuna_linear_backward(
        context.get(), type(), rows, in_, out_, x.data(), weights().data(), d_y.data(), d_x_or_null,
        gradients.data(), gradients.data() + weight_count(), stream));
  }

 private:
  static constexpr lacuna_type type() { return static_cast<lacuna_type>(type_of<Real>); }
  // Of one that has been moved from: 0.
  std::size_t weight_count() const {
    return flat_.empty() ? 0 : static_cast<std::size_t>(out_ * in_);
  }
  void check_not_moved() const {
    if (flat_.empty())
      detail::refuse("weights: 0 elements, expected a Linear that has not been moved from");
  }
  std::int64_t rows_of(std::size_t size) const {
    const auto wide = static_cast<std::size_t>(in_);
    if (size % wide != 0)
      detail::refuse("x: " + std::to_string(size) + " elements, expected rows x in " +
                     std::to_string(in_));
    return static_cast<std::int64_t>(size / wide);
  }

  std::int64_t in_, out_;
  AlignedVector<Wide<Real>> flat_;
};

// ---- Dynamic loss scaling ----

struct LossScalingOptions {
  double growth = 2;             // > 1: of the scale, after `interval` finite norms in a row
  double backoff = 0.5;          // in (0, 1): of the scale, after a norm that is not finite
  std::int64_t interval = 2000;  // steps, >= 1
  double initial_scale = 65536;
};

// Keeps gradients of fp16 layers from vanishing (Micikevicius et al. 2018): LossOptions::scaler multiplies those of a loss by
// scale(), Adam::step divides by it, and raises or lowers it. Nothing is scaled by hand.
class LossScaler {
 public:
  explicit LossScaler(const LossScalingOptions& options = {})
      : LossScaler(lacuna_loss_scale{options.initial_scale, 0, 0}, options) {}
  // To go on from a state() that was saved; options.initial_scale is not read.
  explicit LossScaler(const lacuna_loss_scale& state, const LossScalingOptions& options = {})
      : scaling_{options.growth, options.backoff, options.interval}, state_(state) {
    using limits = std::numeric_limits<double>;
    check(options.growth > 1 && options.growth <= limits::max(), "options.growth", options.growth,
          "a finite number > 1");
    check(options.backoff > 0 && options.backoff < 1, "options.backoff", options.backoff,
          "0 < backoff < 1");
    check(options.interval >= 1, "options.interval", options.interval, ">= 1");
    check(state.scale >= 0x1p-126 && state.scale <= 0x1p126, "scale", state.scale,
          "2^-126 to 2^126");
    check(state.finite_steps >= 0, "state.finite_steps", state.finite_steps, ">= 0");
    check(state.steps >= 0, "state.steps", state.steps, ">= 0");
  }

  double scale() const { return state_.scale; }
  // To be saved.
  const lacuna_loss_scale& state() const { return state_; }

 private:
  template <RealNumber>
  friend class Adam;

  template <class Number>
  static void check(bool holds, const char* argument, Number value, const char* expected) {
    if (!holds)
      detail::refuse(std::string(argument) + ": " + detail::words(value) + ", expected " +
                     expected);
  }

  lacuna_loss_scaling scaling_;
  lacuna_loss_scale state_;
};

// ---- Losses. Unmeasured targets are never read. ----

template <RealNumber Real>
struct LossOptions {
  std::span<const std::uint8_t> mask{};  // 1 measured; empty: all are
  double scale = 1;                      // multiplies the gradient, not the loss
  const LossScaler* scaler = nullptr;    // so does its scale; null: none
  std::span<Real> d_predictions{};       // written; empty: not wanted
};

struct LossValue {
  double sum = 0;          // over the measured targets
  std::int64_t count = 0;  // how many there were
  double mean() const { return count > 0 ? sum / static_cast<double>(count) : 0; }
};

namespace detail {

template <RealNumber Real, class Target>
LossValue evaluate(const Context& context, lacuna_loss kind, std::int64_t rows,
                   std::int64_t columns, std::span<const Real> predictions,
                   std::span<const Target> targets, const LossOptions<Real>& options,
                   void* stream) {
  const Extent row_extent{"rows", rows}, column_extent{"columns", columns};
  const bool per_row = kind == LACUNA_LOSS_CROSS_ENTROPY;
  const Extent per_target = per_row ? Extent{"", 1} : column_extent;
  check_shape("predictions", predictions.size(), row_extent, column_extent);
  check_shape("targets", targets.size(), row_extent, per_target);
  LossValue value;
  check(lacuna_loss_evaluate(
      context.get(), kind, static_cast<lacuna_type>(type_of<Real>), rows, columns,
      predictions.data(), targets.data(), optional("mask", options.mask, row_extent, per_target),
      options.scale, options.scaler ? &options.scaler->state() : nullptr, &value.sum, &value.count,
      optional("d_predictions", options.d_predictions, row_extent, column_extent), stream));
  return value;
}

template <class Predictions>
LossValue per_element(const Context& context, lacuna_loss kind, const Predictions& predictions,
                      std::span<const real_of<Predictions>> targets,
                      const LossOptions<real_of<Predictions>>& options, void* stream) {
  const std::span<const real_of<Predictions>> all(predictions);
  return evaluate(context, kind, static_cast<std::int64_t>(all.size()), 1, all, targets, options,
                  stream);
}

}  // namespace detail

// From logits; targets in [0, 1].
template <class Predictions>
LossValue binary_cross_entropy(const Context& context, const Predictions& logits,
                               std::span<const real_of<Predictions>> targets,
                               const LossOptions<real_of<Predictions>>& options = {},
                               void* stream = nullptr) {
  return detail::per_element(context, LACUNA_LOSS_BINARY_CROSS_ENTROPY, logits, targets, options,
                             stream);
}

// From logits [rows, classes]; one target class per row. The mask has one entry per row.
template <class Predictions>
LossValue cross_entropy(const Context& context, std::int64_t classes, const Predictions& logits,
                        std::span<const std::int32_t> targets,
                        const LossOptions<real_of<Predictions>>& options = {},
                        void* stream = nullptr) {
  return detail::evaluate(context, LACUNA_LOSS_CROSS_ENTROPY,
                          static_cast<std::int64_t>(targets.size()), classes,
                          std::span<const real_of<Predictions>>(logits), targets, options, stream);
}

template <class Predictions>
LossValue squared_error(const Context& context, const Predictions& predictions,
                        std::span<const real_of<Predictions>> targets,
                        const LossOptions<real_of<Predictions>>& options = {},
                        void* stream = nullptr) {
  return detail::per_element(context, LACUNA_LOSS_SQUARED_ERROR, predictions, targets, options,
                             stream);
}

template <class Predictions>
LossValue absolute_error(const Context& context, const Predictions& predictions,
                         std::span<const real_of<Predictions>> targets,
                         const LossOptions<real_of<Predictions>>& options = {},
                         void* stream = nullptr) {
  return detail::per_element(context, LACUNA_LOSS_ABSOLUTE_ERROR, predictions, targets, options,
                             stream);
}

// ---- Optimiser ----

// Scales all arrays together to Euclidean norm `max_norm` when theirs is larger; returns the norm
// before. One that is not finite changes nothing. For example: clip_gradient_norm<float>(context,
// {gradients.flat(), d_head}, 1.0). Of a layer of 16 bits, too, gradients are floats.
template <std::floating_point Real>
double clip_gradient_norm(const Context& context, std::span<const std::span<Real>> gradients,
                          double max_norm, void* stream = nullptr) {
  std::vector<void*> arrays;
  std::vector<std::int64_t> counts;
  for (const std::span<Real> gradient : gradients) {
    arrays.push_back(gradient.data());
    counts.push_back(static_cast<std::int64_t>(gradient.size()));
  }
  double norm = 0;
  detail::check(lacuna_clip_gradient_norm(context.get(), static_cast<lacuna_type>(type_of<Real>),
                                          static_cast<std::int64_t>(arrays.size()), arrays.data(),
                                          counts.data(), max_norm, &norm, stream));
  return norm;
}

template <std::floating_point Real>
double clip_gradient_norm(const Context& context, std::initializer_list<std::span<Real>> gradients,
                          double max_norm, void* stream = nullptr) {
  return clip_gradient_norm(context,
                            std::span<const std::span<Real>>(gradients.begin(), gradients.size()),
                            max_norm, stream);
}

struct AdamOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;  // decoupled, as in AdamW
};

namespace detail {

// Gradients of these parameters.
template <RealNumber Real>
void check_together(const Gradients<Real>& gradients, const Parameters<Real>& parameters) {
  gradients.check_not_moved("gradients");
  parameters.check_not_moved("parameters");
  check_same("gradients", gradients.layer(), "the parameters'", parameters.layer());
}

}  // namespace detail

// Gradients and the parameters they change, array by array: what one step of Adam changes together.
// It keeps their addresses, so it may be made once and used for every step, as long as what it has
// been given lives and is not moved.
template <RealNumber Real>
class AdamArrays {
 public:
  AdamArrays& add(std::span<const Wide<Real>> gradients, std::span<Wide<Real>> parameters) {
    detail::check_shape("gradients", gradients.size(),
                        {"parameters", static_cast<std::int64_t>(parameters.size())});
    entries_.push_back({count_, gradients, parameters});
    count_ += parameters.size();
    return *this;
  }
  // Leaves out what is frozen now. With nothing frozen, an array of the library's list.
  AdamArrays& add(const Gradients<Real>& gradients, Parameters<Real>& parameters) {
    detail::check_together(gradients, parameters);
    parameters.each_unfrozen([&](std::size_t offset, std::size_t count) {
      entries_.push_back({count_ + offset, gradients.flat().subspan(offset, count),
                          parameters.flat().subspan(offset, count)});
    });
    count_ += parameters.count();
    return *this;
  }
  AdamArrays& add(const StackGradients<Real>& gradients, StackParameters<Real>& parameters) {
    detail::check_same("gradients", gradients, "the parameters'", parameters.stack());
    detail::check_same("parameters", parameters, "their own", parameters.stack());
    for (std::size_t place = 0; place < parameters.size(); ++place)
      add(gradients[place], parameters[place]);
    return *this;
  }

  // Elements of all parameters, frozen ones included.
  std::size_t count() const { return count_; }
  // Arrays that one step names to the library.
  std::size_t arrays() const { return entries_.size(); }

 private:
  template <RealNumber>
  friend class Adam;
  struct Entry {
    std::size_t moment;  // where its moments begin
    std::span<const Wide<Real>> gradients;
    std::span<Wide<Real>> parameters;
  };

  std::vector<Entry> entries_;
  std::size_t count_ = 0;
};

// Adam (Kingma & Ba 2015), with its two moments. To save training, write options, moments, steps() and
// a LossScaler's state() beside the parameters; to resume, fill the moments of a new one, set_steps(),
// and make the LossScaler from its state.
template <RealNumber Real>
class Adam {
 public:
  // May be changed between steps, for a schedule.
  AdamOptions options;

  // `count`: of all parameters it changes.
  explicit Adam(std::size_t count, const AdamOptions& chosen = {})
      : options(chosen), first_moment_(count), second_moment_(count) {}
  explicit Adam(const AdamArrays<Real>& arrays, const AdamOptions& chosen = {})
      : Adam(arrays.count(), chosen) {}

  // Changes all arrays in one call, their gradients scaled together to Euclidean norm `max_norm`
  // where theirs is larger; returns the norm before. Where it is not finite, nothing changes, and
  // no step is counted. With a scaler, gradients are those of the loss it scaled: norms mean them
  // divided by its scale, which is then updated. One scaler is for one Adam.
  double step(const Context& context, const AdamArrays<Real>& arrays,
              double max_norm = std::numeric_limits<double>::infinity(),
              LossScaler* scaler = nullptr, void* stream = nullptr) {
    check_count("arrays", arrays.count());
    list_.clear();
    for (const auto& entry : arrays.entries_)
      list_.push_back({.count = static_cast<std::int64_t>(entry.parameters.size()),
                       .gradients = entry.gradients.data(),
                       .parameters = entry.parameters.data(),
                       .first_moment = first_moment_.data() + entry.moment,
                       .second_moment = second_moment_.data() + entry.moment});
    const lacuna_adam adam = settings(steps_ + 1);
    if (scaler) scaler->state_.steps = steps_;
    double norm = 0;
    detail::check(lacuna_adam_step_clipped(
        context.get(), &adam, static_cast<lacuna_type>(type_of<Real>),
        static_cast<std::int64_t>(list_.size()), list_.data(), max_norm,
        scaler ? &scaler->scaling_ : nullptr, scaler ? &scaler->state_ : nullptr, &norm, stream));
    if (std::isfinite(norm)) ++steps_;
    return norm;
  }

  void step(const Context& context, std::span<const Wide<Real>> gradients,
            std::span<Wide<Real>> parameters, void* stream = nullptr) {
    check_count("gradients", gradients.size());
    check_count("parameters", parameters.size());
    update(context, 0, gradients, parameters, stream);
    ++steps_;
  }

  // Leaves frozen parameters alone.
  void step(const Context& context, const Gradients<Real>& gradients, Parameters<Real>& parameters,
            void* stream = nullptr) {
    detail::check_together(gradients, parameters);
    check_count("gradients", gradients.count());
    parameters.each_unfrozen([&](std::size_t offset, std::size_t count) {
      update(context, offset, gradients.flat().subspan(offset, count),
             parameters.flat().subspan(offset, count), stream);
    });
    ++steps_;
  }

  // How many have been taken.
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) {
    if (steps < 0) detail::refuse("steps: " + std::to_string(steps) + ", expected >= 0");
    steps_ = steps;
  }
  // [count], in the order in which AdamArrays were given their parameters, frozen ones included.
  std::span<Wide<Real>> first_moment() { return first_moment_; }
  std::span<const Wide<Real>> first_moment() const { return first_moment_; }
  std::span<Wide<Real>> second_moment() { return second_moment_; }
  std::span<const Wide<Real>> second_moment() const { return second_moment_; }

 private:
  void check_count(std::string_view argument, std::size_t size) const {
    detail::check_shape(argument, size, {"count", static_cast<std::int64_t>(first_moment_.size())});
  }

  lacuna_adam settings(std::int64_t step) const {
    return {.learning_rate = options.learning_rate,
            .beta1 = options.beta1,
            .beta2 = options.beta2,
            .epsilon = options.epsilon,
            .weight_decay = options.weight_decay,
            .step = step};
  }

  void update(const Context& context, std::size_t from, std::span<const Wide<Real>> gradients,
              std::span<Wide<Real>> parameters, void* stream) {
    const lacuna_adam adam = settings(steps_ + 1);
    detail::check(lacuna_adam_step(context.get(), &adam, static_cast<lacuna_type>(type_of<Real>),
                                   static_cast<std::int64_t>(gradients.size()), gradients.data(),
                                   parameters.data(), first_moment_.data() + from,
                                   second_moment_.data() + from, stream));
  }

  AlignedVector<Wide<Real>> first_moment_, second_moment_;
  std::vector<lacuna_adam_array> list_;  // of a step; kept for its memory
  std::int64_t steps_ = 0;
};

}  // namespace lacuna
