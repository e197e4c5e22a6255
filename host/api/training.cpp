// lacuna_linear_*, lacuna_loss_evaluate, lacuna_clip_gradient_norm and lacuna_adam_step*: checks,
// then the backend.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "host/api/arrays.h"
#include "host/api/context.h"
#include "host/api/guard.h"
#include "host/api/layer.h"
#include "lacuna/cpp/number.hpp"

namespace lacuna::api {
namespace {

void check_at_least(std::int64_t value, std::int64_t least, std::string_view argument) {
  if (value < least)
    refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", value, ", expected >= ", least);
}

void check_finite(double value, std::string_view argument) {
  if (!std::isfinite(value))
    refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", value, ", expected a finite number");
}

// ---- Linear ----

LinearShape checked_shape(const Backend& backend, const lacuna_type& type, std::int64_t rows,
                          std::int64_t in, std::int64_t out) {
  check_type(type, backend, "type");
  check_at_least(rows, 0, "rows");
  check_at_least(in, 1, "in");
  check_at_least(out, 1, "out");
  return {rows, in, out};
}

// ---- The scale of a loss ----

constexpr Extent loss_scale_extent{.rows = sizeof(lacuna_loss_scale) / 8, .element = 8};

// What only the state itself tells, where the host can read it.
void check_loss_scale(const Backend& backend, const lacuna_loss_scale* state) {
  if (!state || !backend.host_reads(state)) return;
  if (!(state->scale >= least_loss_scale && state->scale <= most_loss_scale))
    refuse(LACUNA_INVALID_ARGUMENT, "loss_scale.scale: ", state->scale,
           ", expected 2^-126 to 2^126");
  check_at_least(state->finite_steps, 0, "loss_scale.finite_steps");
  check_at_least(state->steps, 0, "loss_scale.steps");
}

void check(const lacuna_loss_scaling& scaling) {
  if (!(scaling.growth > 1) || !std::isfinite(scaling.growth))
    refuse(LACUNA_INVALID_ARGUMENT, "scaling.growth: ", scaling.growth,
           ", expected a finite number > 1");
  if (!(scaling.backoff > 0 && scaling.backoff < 1))
    refuse(LACUNA_INVALID_ARGUMENT, "scaling.backoff: ", scaling.backoff,
           ", expected 0 < backoff < 1");
  check_at_least(scaling.interval, 1, "scaling.interval");
}

// ---- Losses ----

void check_class_indices(const LossRun& run) {
  const auto* const targets = static_cast<const std::int32_t*>(run.targets);
  for (std::int64_t row = 0; row < run.rows; ++row) {
    if (run.mask && !run.mask[row]) continue;
    if (targets[row] < 0 || targets[row] >= run.columns)
      refuse(LACUNA_INVALID_ARGUMENT, "targets[", row, "]: ", targets[row],
             ", expected a class, 0 to ", run.columns - 1);
  }
}

template <class Real>
void check_probabilities(const LossRun& run) {
  const auto* const targets = static_cast<const Real*>(run.targets);
  for (std::int64_t i = 0; i < run.rows * run.columns; ++i) {
    if (run.mask && !run.mask[i]) continue;
    const Wide<Real> target = targets[i];
    if (!(target >= 0 && target <= 1))
      refuse(LACUNA_INVALID_ARGUMENT, "targets[", i, "]: ", target, ", expected 0 to 1");
  }
}

void check(const Backend& backend, const LossRun& run) {
  check_at_least(run.rows, 0, "rows");
  check_at_least(run.columns, 1, "columns");
  check_finite(run.scale, "scale");
  not_null(run.loss, "loss");
  not_null(run.count, "count");
  const std::size_t real = size_of(run.type);
  const Extent per_prediction{run.rows, run.columns, real};
  LayerArrays arrays;
  arrays.input("predictions", run.predictions, per_prediction);
  arrays.input("targets", run.targets,
               {run.rows, run.target_columns(), run.per_row() ? sizeof(std::int32_t) : real});
  arrays.optional_input("mask", run.mask, {.rows = run.rows, .columns = run.target_columns()});
  arrays.optional_input("loss_scale", run.loss_scale, loss_scale_extent);
  arrays.output("loss", run.loss, {.rows = 1, .element = sizeof(double)});
  arrays.output("count", run.count, {.rows = 1, .element = sizeof(std::int64_t)});
  arrays.optional_output("d_predictions", run.d_predictions, per_prediction);
  arrays.check(backend);
}

// What only the targets themselves tell, where the host can read them.
void check_targets(const Backend& backend, const LossRun& run) {
  if (!run.targets || !backend.host_reads(run.targets)) return;
  if (run.mask && !backend.host_reads(run.mask)) return;
  if (run.per_row()) return check_class_indices(run);
  if (run.kind != LACUNA_LOSS_BINARY_CROSS_ENTROPY) return;
  switch (run.type) {
    case LACUNA_F64: return check_probabilities<double>(run);
    case LACUNA_F16: return check_probabilities<Half>(run);
    case LACUNA_BF16: return check_probabilities<BFloat16>(run);
    default: return check_probabilities<float>(run);
  }
}

// ---- Clipping and Adam ----

// An array that a list names: list[index] field. What is no list's has index -1.
struct Listed {
  std::string_view list, field;
  std::int64_t index;
  const void* array;
  std::int64_t count;
  std::size_t element;  // bytes, and its alignment
  bool written;
  bool optional = false;
};

// As a message names it.
struct Named {
  explicit Named(const Listed& one) : list(one.list), field(one.field), index(one.index) {}
  std::string_view list, field;
  std::int64_t index;
};

template <class... What>
[[noreturn]] void refuse_listed(const Named& one, const What&... what) {
  if (one.index < 0) refuse(LACUNA_INVALID_ARGUMENT, one.list, what...);
  refuse(LACUNA_INVALID_ARGUMENT, one.list, "[", one.index, "]", one.field, what...);
}
template <class... What>
[[noreturn]] void refuse_overlap(const Named& one, const Named& other) {
  constexpr std::string_view rule = "; what is written needs memory of its own";
  if (other.index < 0) refuse_listed(one, ": overlaps ", other.list, rule);
  refuse_listed(one, ": overlaps ", other.list, "[", other.index, "]", other.field, rule);
}

// What an array occupies, and which one of the call's it is.
struct Interval {
  std::uintptr_t begin, end;
  std::int64_t number;
  bool written;
};

// Of an array by itself: null, alignment, size, an address that the backend can use. Empty where there is none.
Interval check_one(const Backend& backend, const Listed& one, std::int64_t number) {
  const Named name(one);
  const auto begin = reinterpret_cast<std::uintptr_t>(one.array);
  if (one.array == nullptr) {
    if (one.count > 0 && !one.optional)
      refuse_listed(name, ": null, expected ", one.count, " elements");
    return {0, 0, number, one.written};
  }
  if (begin % one.element != 0)
    refuse_listed(name, ": address ", Address{one.array}, ", expected a multiple of ", one.element);
  std::size_t bytes = 0;
  std::uintptr_t end = 0;
  if (__builtin_mul_overflow(static_cast<std::size_t>(one.count), one.element, &bytes) ||
      __builtin_add_overflow(begin, bytes, &end))
    refuse_listed(name, ": ", one.count, " elements do not fit in memory");
  if (bytes > 0)
    if (const std::string wrong = backend.refuse_address(one.array, false); !wrong.empty())
      refuse_listed(name, ": address ", Address{one.array}, ", ", wrong);
  return {begin, end, number, one.written};
}

// Refuses an overlap with what is written. Sorts.
template <class At>
void check_apart(std::span<Interval> intervals, At at) {
  std::sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) {
    return std::pair(a.begin, a.number) < std::pair(b.begin, b.number);
  });
  // Of those so far, the one that reaches furthest, among the written and among all.
  const Interval *written = nullptr, *any = nullptr;
  for (const Interval& one : intervals) {
    if (one.begin == one.end) continue;
    const Interval* const before = one.written ? any : written;
    if (before && before->end > one.begin)
      refuse_overlap(Named(at(std::max(one.number, before->number))),
                     Named(at(std::min(one.number, before->number))));
    if (!any || any->end < one.end) any = &one;
    if (one.written && (!written || written->end < one.end)) written = &one;
  }
}

// A list may be longer than LayerArrays has room for, so its rules stand here once more; at(i): array i of `arrays`. Only a
// list of more arrays than `room` takes memory.
template <class At>
void check_listed(const Backend& backend, std::int64_t arrays, At at) {
  std::array<Interval, 258> room;
  std::vector<Interval> more;
  std::span<Interval> intervals(room);
  const auto number = static_cast<std::size_t>(arrays);
  if (number > room.size()) {
    more.resize(number);
    intervals = more;
  }
  for (std::size_t i = 0; i < number; ++i) {
    const auto index = static_cast<std::int64_t>(i);
    intervals[i] = check_one(backend, at(index), index);
  }
  check_apart(intervals.first(number), at);
}

Listed listed_norm(double* norm) {
  return {.list = "norm",
          .field = {},
          .index = -1,
          .array = norm,
          .count = 1,
          .element = sizeof(double),
          .written = true,
          .optional = true};
}

void check_gradient_list(const Backend& backend, lacuna_type type, std::int64_t arrays,
                         void* const* gradients, const std::int64_t* counts, double* norm) {
  check_at_least(arrays, 0, "arrays");
  if (arrays > 0) {
    not_null(gradients, "gradients");
    not_null(counts, "counts");
  }
  for (std::int64_t a = 0; a < arrays; ++a)
    if (counts[a] < 0)
      refuse(LACUNA_INVALID_ARGUMENT, "counts[", a, "]: ", counts[a], ", expected >= 0");
  const std::size_t wide = wide_size_of(type);
  check_listed(backend, arrays + 1, [&](std::int64_t a) {
    if (a == arrays) return listed_norm(norm);
    return Listed{"gradients", "", a, gradients[a], counts[a], wide, true};
  });
}

// Array i of the 4 that each entry has.
Listed listed(const lacuna_adam_array* list, std::int64_t i, std::size_t wide) {
  const lacuna_adam_array& one = list[i / 4];
  switch (i % 4) {
    case 0: return {"list", ".gradients", i / 4, one.gradients, one.count, wide, false};
    case 1: return {"list", ".parameters", i / 4, one.parameters, one.count, wide, true};
    case 2: return {"list", ".first_moment", i / 4, one.first_moment, one.count, wide, true};
    default: return {"list", ".second_moment", i / 4, one.second_moment, one.count, wide, true};
  }
}

// All that lacuna_adam_step_clipped is given to read and write. `loss_scale`: null where there is no scaling.
void check_adam_list(const Backend& backend, lacuna_type type, std::int64_t arrays,
                     const lacuna_adam_array* list, double* norm, lacuna_loss_scale* loss_scale) {
  check_at_least(arrays, 0, "arrays");
  if (arrays > 0) not_null(list, "list");
  for (std::int64_t a = 0; a < arrays; ++a)
    if (list[a].count < 0)
      refuse(LACUNA_INVALID_ARGUMENT, "list[", a, "].count: ", list[a].count, ", expected >= 0");
  const std::size_t wide = wide_size_of(type);
  check_listed(backend, 4 * arrays + 2, [&](std::int64_t i) {
    if (i < 4 * arrays) return listed(list, i, wide);
    if (i == 4 * arrays) return listed_norm(norm);
    return Listed{.list = "loss_scale",
                  .field = {},
                  .index = -1,
                  .array = loss_scale,
                  .count = loss_scale_extent.rows,
                  .element = loss_scale_extent.element,
                  .written = true,
                  .optional = true};
  });
}

void check_max_norm(double max_norm) {
  if (!(max_norm > 0)) refuse(LACUNA_INVALID_ARGUMENT, "max_norm: ", max_norm, ", expected > 0");
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
}

void check_with_step(const lacuna_adam& adam) {
  check(adam);
  check_at_least(adam.step, 1, "adam.step");
}

// The scale stays: no growth is reached, and a step that is skipped multiplies it by one.
constexpr lacuna_loss_scaling constant_scale{1, 1, std::numeric_limits<std::int64_t>::max()};

void check_scaling(const lacuna_loss_scaling& scaling, const lacuna_loss_scale* state) {
  check(scaling);
  if (!state)
    refuse(LACUNA_INVALID_ARGUMENT, "loss_scale: null, expected ", loss_scale_extent.rows,
           " elements with a scaling");
}

}  // namespace
}  // namespace lacuna::api

namespace api = lacuna::api;
using api::not_null;

extern "C" {

lacuna_status lacuna_linear_forward(lacuna_context* context, lacuna_type type, int64_t rows,
                                    int64_t in, int64_t out, const void* x, const void* weights,
                                    const void* bias, void* y, void* stream) {
  return api::guarded([&] {
    auto& backend = *not_null(context, "context").shared->backend;
    const lacuna::LinearShape shape = api::checked_shape(backend, type, rows, in, out);
    api::check_stream(backend, stream);
    const std::size_t real = lacuna::size_of(type), wide = lacuna::wide_size_of(type);
    api::LayerArrays arrays;
    arrays.input("x", x, {rows, in, real});
    arrays.input("weights", weights, {out, in, wide});
    arrays.optional_input("bias", bias, {out, 1, wide});
    arrays.output("y", y, {rows, out, real});
    arrays.check(backend);
    backend.linear_forward({type, shape, x, weights, bias, y, stream});
  });
}

lacuna_status lacuna_linear_backward(lacuna_context* context, lacuna_type type, int64_t rows,
                                     int64_t in, int64_t out, const void* x, const void* weights,
                                     const void* d_y, void* d_x, void* d_weights, void* d_bias,
                                     void* stream) {
  return api::guarded([&] {
    auto& backend = *not_null(context, "context").shared->backend;
    const lacuna::LinearShape shape = api::checked_shape(backend, type, rows, in, out);
    api::check_stream(backend, stream);
    const std::size_t real = lacuna::size_of(type), wide = lacuna::wide_size_of(type);
    api::LayerArrays arrays;
    arrays.input("x", x, {rows, in, real});
    arrays.input("weights", weights, {out, in, wide});
    arrays.input("d_y", d_y, {rows, out, real});
    arrays.optional_output("d_x", d_x, {rows, in, real});
    arrays.optional_output("d_weights", d_weights, {out, in, wide});
    arrays.optional_output("d_bias", d_bias, {out, 1, wide});
    arrays.check(backend);
    backend.linear_backward({type, shape, x, weights, d_y, d_x, d_weights, d_bias, stream});
  });
}

lacuna_status lacuna_loss_evaluate(lacuna_context* context, lacuna_loss kind, lacuna_type type,
                                   int64_t rows, int64_t columns, const void* predictions,
                                   const void* targets, const uint8_t* mask, double scale,
                                   const lacuna_loss_scale* loss_scale, double* loss,
                                   int64_t* count, void* d_predictions, void* stream) {
  return api::guarded([&] {
    auto& backend = *not_null(context, "context").shared->backend;
    // Before the enumerators are copied: reading an impossible one would be undefined.
    api::check_enumerator(kind, LACUNA_LOSS_ABSOLUTE_ERROR, "kind", "lacuna_loss");
    api::check_type(type, backend, "type");
    api::check_stream(backend, stream);
    const lacuna::LossRun run{kind,  type,       rows, columns, predictions,   targets, mask,
                              scale, loss_scale, loss, count,   d_predictions, stream};
    api::check(backend, run);
    api::check_loss_scale(backend, loss_scale);
    api::check_targets(backend, run);
    backend.loss(run);
  });
}

lacuna_status lacuna_clip_gradient_norm(lacuna_context* context, lacuna_type type, int64_t arrays,
                                        void* const* gradients, const int64_t* counts,
                                        double max_norm, double* norm, void* stream) {
  return api::guarded([&] {
    auto& backend = *not_null(context, "context").shared->backend;
    api::check_type(type, backend, "type");
    api::check_stream(backend, stream);
    api::check_gradient_list(backend, type, arrays, gradients, counts, norm);
    api::check_max_norm(max_norm);
    backend.clip_gradient_norm({type, arrays, gradients, counts, max_norm, norm, stream});
  });
}

lacuna_status lacuna_adam_step(lacuna_context* context, const lacuna_adam* adam, lacuna_type type,
                               int64_t count, const void* gradients, void* parameters,
                               void* first_moment, void* second_moment, void* stream) {
  return api::guarded([&] {
    auto& backend = *not_null(context, "context").shared->backend;
    api::check_with_step(not_null(adam, "adam"));
    api::check_type(type, backend, "type");
    api::check_stream(backend, stream);
    api::check_at_least(count, 0, "count");
    const api::Extent extent{count, 1, lacuna::wide_size_of(type)};
    api::LayerArrays arrays;
    arrays.input("gradients", gradients, extent);
    arrays.output("parameters", parameters, extent);
    arrays.output("first_moment", first_moment, extent);
    arrays.output("second_moment", second_moment, extent);
    arrays.check(backend);
    backend.adam_step(
        {*adam, type, count, gradients, parameters, first_moment, second_moment, stream});
  });
}

lacuna_status lacuna_adam_step_clipped(lacuna_context* context, const lacuna_adam* adam,
                                       lacuna_type type, int64_t arrays,
                                       const lacuna_adam_array* list, double max_norm,
                                       const lacuna_loss_scaling* scaling,
                                       lacuna_loss_scale* loss_scale, double* norm, void* stream) {
  return api::guarded([&] {
    auto& backend = *not_null(context, "context").shared->backend;
    if (loss_scale || scaling)
      api::check(not_null(adam, "adam"));
    else
      api::check_with_step(not_null(adam, "adam"));
    api::check_type(type, backend, "type");
    api::check_stream(backend, stream);
    api::check_max_norm(max_norm);
    if (scaling) api::check_scaling(*scaling, loss_scale);
    api::check_adam_list(backend, type, arrays, list, norm, loss_scale);
    api::check_loss_scale(backend, loss_scale);
    backend.adam_step_clipped(
        {{*adam, max_norm, scaling ? *scaling : api::constant_scale, loss_scale},
         type,
         arrays,
         list,
         norm,
         stream});
  });
}
}
