// lacuna_linear_*, lacuna_loss_evaluate, lacuna_clip_gradient_norm and lacuna_adam_step: checks,
// then host/training.
#include <cmath>

#include "host/api/arrays.h"
#include "host/api/context.h"
#include "host/api/guard.h"
#include "host/api/layer.h"
#include "host/training/linear.h"
#include "host/training/loss.h"
#include "host/training/optimiser.h"

namespace lacuna::api {
namespace {

using training::LinearShape;
using training::LossSum;

void check_at_least(std::int64_t value, std::int64_t least, std::string_view argument) {
  if (value < least)
    refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", value, ", expected >= ", least);
}

void check_finite(double value, std::string_view argument) {
  if (!std::isfinite(value))
    refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", value, ", expected a finite number");
}

// Calls work with a null pointer of the type that the caller's arrays have.
template <class Work>
void with_type(lacuna_type type, Work&& work) {
  if (type == LACUNA_F64)
    work(static_cast<double*>(nullptr));
  else
    work(static_cast<float*>(nullptr));
}

// ---- Linear ----

LinearShape checked_shape(const lacuna_type& type, std::int64_t rows, std::int64_t in,
                          std::int64_t out) {
  check_type_on_cpu(type, "type");
  check_at_least(rows, 0, "rows");
  check_at_least(in, 1, "in");
  check_at_least(out, 1, "out");
  return {rows, in, out};
}

// ---- Losses ----

// The enumerations are references: reading one before it is checked would be undefined.
struct LossCall {
  const lacuna_loss& kind;
  const lacuna_type& type;
  std::int64_t rows, columns;
  const void* predictions;
  const void* targets;
  const std::uint8_t* mask;
  double scale;
  double* loss;
  std::int64_t* count;
  void* d_predictions;

  bool per_row() const { return kind == LACUNA_LOSS_CROSS_ENTROPY; }
  std::int64_t target_columns() const { return per_row() ? 1 : columns; }
};

void check_class_indices(const LossCall& call) {
  const auto* const targets = static_cast<const std::int32_t*>(call.targets);
  for (std::int64_t row = 0; row < call.rows; ++row) {
    if (call.mask && !call.mask[row]) continue;
    if (targets[row] < 0 || targets[row] >= call.columns)
      refuse(LACUNA_INVALID_ARGUMENT, "targets[", row, "]: ", targets[row],
             ", expected a class, 0 to ", call.columns - 1);
  }
}

template <class Real>
void check_probabilities(const LossCall& call) {
  const auto* const targets = static_cast<const Real*>(call.targets);
  for (std::int64_t i = 0; i < call.rows * call.columns; ++i) {
    if (call.mask && !call.mask[i]) continue;
    if (!(targets[i] >= 0 && targets[i] <= 1))
      refuse(LACUNA_INVALID_ARGUMENT, "targets[", i, "]: ", targets[i], ", expected 0 to 1");
  }
}

void check(const LossCall& call) {
  check_enumerator(call.kind, LACUNA_LOSS_ABSOLUTE_ERROR, "kind", "lacuna_loss");
  check_type_on_cpu(call.type, "type");
  check_at_least(call.rows, 0, "rows");
  check_at_least(call.columns, 1, "columns");
  check_finite(call.scale, "scale");
  not_null(call.loss, "loss");
  not_null(call.count, "count");
  const std::size_t real = size_of(call.type);
  const Extent per_prediction{call.rows, call.columns, real};
  Arrays arrays;
  arrays.input("predictions", call.predictions, per_prediction);
  arrays.input("targets", call.targets,
               {call.rows, call.target_columns(), call.per_row() ? sizeof(std::int32_t) : real});
  arrays.optional_input("mask", call.mask, {.rows = call.rows, .columns = call.target_columns()});
  arrays.output("loss", call.loss, {.rows = 1, .element = sizeof(double)});
  arrays.output("count", call.count, {.rows = 1, .element = sizeof(std::int64_t)});
  arrays.optional_output("d_predictions", call.d_predictions, per_prediction);
  arrays.check();
}

template <class Real>
LossSum evaluate(cpu::Team& team, const LossCall& call) {
  const auto* const predictions = static_cast<const Real*>(call.predictions);
  auto* const d_predictions = static_cast<Real*>(call.d_predictions);
  if (call.per_row()) {
    check_class_indices(call);
    return training::cross_entropy(team, call.rows, call.columns, predictions,
                                   static_cast<const std::int32_t*>(call.targets), call.mask,
                                   call.scale, d_predictions);
  }
  if (call.kind == LACUNA_LOSS_BINARY_CROSS_ENTROPY) check_probabilities<Real>(call);
  return training::elementwise_loss(team, call.kind, call.rows * call.columns, predictions,
                                    static_cast<const Real*>(call.targets), call.mask, call.scale,
                                    d_predictions);
}

// ---- Clipping and Adam ----

// A list may be longer than Arrays has room for, so the same rules stand here once more.
void check_gradient_list(lacuna_type type, std::int64_t arrays, void* const* gradients,
                         const std::int64_t* counts) {
  check_at_least(arrays, 0, "arrays");
  if (arrays == 0) return;
  not_null(gradients, "gradients");
  not_null(counts, "counts");
  const std::size_t real = size_of(type);
  const auto begin = [&](std::int64_t a) { return reinterpret_cast<std::uintptr_t>(gradients[a]); };
  const auto end = [&](std::int64_t a) {
    return begin(a) + static_cast<std::size_t>(counts[a]) * real;
  };
  for (std::int64_t a = 0; a < arrays; ++a) {
    if (counts[a] < 0)
      refuse(LACUNA_INVALID_ARGUMENT, "counts[", a, "]: ", counts[a], ", expected >= 0");
    if (counts[a] > 0 && !gradients[a])
      refuse(LACUNA_INVALID_ARGUMENT, "gradients[", a, "]: null, expected ", counts[a],
             " elements");
    if (begin(a) % real != 0)
      refuse(LACUNA_INVALID_ARGUMENT, "gradients[", a, "]: address ", Address{gradients[a]},
             ", expected a multiple of ", real);
    for (std::int64_t other = 0; other < a; ++other)
      if (begin(a) < end(other) && begin(other) < end(a))
        refuse(LACUNA_INVALID_ARGUMENT, "gradients[", a, "]: overlaps gradients[", other,
               "]; each may be scaled once only");
  }
}

void check(const lacuna_adam& adam) {
  const auto check_not_negative = [](double value, std::string_view argument) {
    if (!(value >= 0) || !std::isfinite(value))
      refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", value, ", expected a finite number >= 0");
  };
  const auto check_beta = [](double value, std::string_view argument) {
    if (!(value >= 0 && value < 1))
      refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", value, ", expected 0 <= beta < 1");
  };
  check_not_negative(adam.learning_rate, "adam.learning_rate");
  check_beta(adam.beta1, "adam.beta1");
  check_beta(adam.beta2, "adam.beta2");
  // 0 would divide by zero wherever a gradient has always been 0.
  if (!(adam.epsilon > 0) || !std::isfinite(adam.epsilon))
    refuse(LACUNA_INVALID_ARGUMENT, "adam.epsilon: ", adam.epsilon,
           ", expected a finite number > 0");
  check_not_negative(adam.weight_decay, "adam.weight_decay");
  check_at_least(adam.step, 1, "adam.step");
}

}  // namespace
}  // namespace lacuna::api

namespace api = lacuna::api;
namespace training = lacuna::training;
using api::not_null;

extern "C" {

lacuna_status lacuna_linear_forward(lacuna_context* context, lacuna_type type, int64_t rows,
                                    int64_t in, int64_t out, const void* x, const void* weights,
                                    const void* bias, void* y) {
  return api::guarded([&] {
    auto& team = not_null(context, "context").shared->team;
    const training::LinearShape shape = api::checked_shape(type, rows, in, out);
    const std::size_t real = api::size_of(type);
    api::Arrays arrays;
    arrays.input("x", x, {rows, in, real});
    arrays.input("weights", weights, {out, in, real});
    arrays.optional_input("bias", bias, {out, 1, real});
    arrays.output("y", y, {rows, out, real});
    arrays.check();
    api::with_type(type, [&](auto* typed) {
      using Real = std::remove_pointer_t<decltype(typed)>;
      training::linear_forward(team, shape, static_cast<const Real*>(x),
                               static_cast<const Real*>(weights), static_cast<const Real*>(bias),
                               static_cast<Real*>(y));
    });
  });
}

lacuna_status lacuna_linear_backward(lacuna_context* context, lacuna_type type, int64_t rows,
                                     int64_t in, int64_t out, const void* x, const void* weights,
                                     const void* d_y, void* d_x, void* d_weights, void* d_bias) {
  return api::guarded([&] {
    auto& team = not_null(context, "context").shared->team;
    const training::LinearShape shape = api::checked_shape(type, rows, in, out);
    const std::size_t real = api::size_of(type);
    api::Arrays arrays;
    arrays.input("x", x, {rows, in, real});
    arrays.input("weights", weights, {out, in, real});
    arrays.input("d_y", d_y, {rows, out, real});
    arrays.optional_output("d_x", d_x, {rows, in, real});
    arrays.optional_output("d_weights", d_weights, {out, in, real});
    arrays.optional_output("d_bias", d_bias, {out, 1, real});
    arrays.check();
    api::with_type(type, [&](auto* typed) {
      using Real = std::remove_pointer_t<decltype(typed)>;
      training::linear_backward(team, shape, static_cast<const Real*>(x),
                                static_cast<const Real*>(weights), static_cast<const Real*>(d_y),
                                static_cast<Real*>(d_x), static_cast<Real*>(d_weights),
                                static_cast<Real*>(d_bias));
    });
  });
}

lacuna_status lacuna_loss_evaluate(lacuna_context* context, lacuna_loss kind, lacuna_type type,
                                   int64_t rows, int64_t columns, const void* predictions,
                                   const void* targets, const uint8_t* mask, double scale,
                                   double* loss, int64_t* count, void* d_predictions) {
  return api::guarded([&] {
    auto& team = not_null(context, "context").shared->team;
    const api::LossCall call{kind, type,  rows, columns, predictions,  targets,
                             mask, scale, loss, count,   d_predictions};
    api::check(call);
    api::with_type(type, [&](auto* typed) {
      using Real = std::remove_pointer_t<decltype(typed)>;
      const training::LossSum sum = api::evaluate<Real>(team, call);
      *loss = sum.loss;
      *count = sum.count;
    });
  });
}

lacuna_status lacuna_clip_gradient_norm(lacuna_context* context, lacuna_type type, int64_t arrays,
                                        void* const* gradients, const int64_t* counts,
                                        double max_norm, double* norm) {
  return api::guarded([&] {
    auto& team = not_null(context, "context").shared->team;
    api::check_type_on_cpu(type, "type");
    api::check_gradient_list(type, arrays, gradients, counts);
    if (!(max_norm > 0))
      api::refuse(LACUNA_INVALID_ARGUMENT, "max_norm: ", max_norm, ", expected > 0");
    api::with_type(type, [&](auto* typed) {
      using Real = std::remove_pointer_t<decltype(typed)>;
      const double before =
          training::clip_gradient_norm<Real>(team, arrays, gradients, counts, max_norm);
      if (norm) *norm = before;
    });
  });
}

lacuna_status lacuna_adam_step(lacuna_context* context, const lacuna_adam* adam, lacuna_type type,
                               int64_t count, const void* gradients, void* parameters,
                               void* first_moment, void* second_moment) {
  return api::guarded([&] {
    auto& team = not_null(context, "context").shared->team;
    api::check(not_null(adam, "adam"));
    api::check_type_on_cpu(type, "type");
    api::check_at_least(count, 0, "count");
    const api::Extent extent{count, 1, api::size_of(type)};
    api::Arrays arrays;
    arrays.input("gradients", gradients, extent);
    arrays.output("parameters", parameters, extent);
    arrays.output("first_moment", first_moment, extent);
    arrays.output("second_moment", second_moment, extent);
    arrays.check();
    api::with_type(type, [&](auto* typed) {
      using Real = std::remove_pointer_t<decltype(typed)>;
      training::adam_step(team, *adam, count, static_cast<const Real*>(gradients),
                          static_cast<Real*>(parameters), static_cast<Real*>(first_moment),
                          static_cast<Real*>(second_moment));
    });
  });
}
}
