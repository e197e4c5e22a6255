// Runs a case through the C ABI, every output guarded and filled with NaN before, so that tests can compare it with the
// oracle or with another run.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "lacuna/lacuna.h"
#include "support/convert.h"
#include "support/generate.h"
#include "support/guarded_buffer.h"

namespace support {

inline void must(lacuna_status status) {
  if (status != LACUNA_OK)
    throw std::runtime_error(std::string(lacuna_status_name(status)) + ": " + lacuna_last_error());
}

struct ContextDeleter {
  void operator()(lacuna_context* context) const { lacuna_context_destroy(context); }
};
struct PlanDeleter {
  void operator()(lacuna_plan* plan) const { lacuna_plan_destroy(plan); }
};
struct TapeDeleter {
  void operator()(lacuna_tape* tape) const { lacuna_tape_destroy(tape); }
};
using ContextHandle = std::unique_ptr<lacuna_context, ContextDeleter>;
using PlanHandle = std::unique_ptr<lacuna_plan, PlanDeleter>;
using TapeHandle = std::unique_ptr<lacuna_tape, TapeDeleter>;

inline ContextHandle make_cpu_context(int threads = 1, lacuna_isa isa = LACUNA_ISA_BEST) {
  lacuna_context_options options{};
  options.backend = LACUNA_BACKEND_CPU;
  options.threads = threads;
  options.isa = isa;
  lacuna_context* context = nullptr;
  must(lacuna_context_create(&options, &context));
  return ContextHandle(context);
}

// The oracle's enumerators and the library's stand in the same order.
inline lacuna_layer library_layer(const Case& c) {
  const reference::Layer& from = c.layer;
  lacuna_layer layer{};
  layer.cell = static_cast<lacuna_cell>(from.cell);
  layer.impute = static_cast<lacuna_impute>(from.impute);
  layer.evolve = static_cast<lacuna_evolve>(from.evolve);
  layer.empty_rows = static_cast<lacuna_empty_rows>(from.empty_rows);
  layer.type = c.type == Type::f64 ? LACUNA_F64 : LACUNA_F32;
  layer.features = from.features;
  layer.hidden = from.hidden;
  layer.mask_input = from.mask_input;
  layer.gap_input = from.gap_input;
  layer.reverse = from.reverse;
  return layer;
}

template <class Real>
const Real* pointer(const std::vector<Real>& data) {
  return data.empty() ? nullptr : data.data();
}

// Named outputs, in the order they were added.
template <class Real>
class NamedBuffers {
 public:
  GuardedBuffer<Real>& add(const std::string& name, std::size_t size) {
    entries_.emplace_back(name, std::make_unique<GuardedBuffer<Real>>(size));
    return *entries_.back().second;
  }
  const GuardedBuffer<Real>* find(const std::string& name) const {
    for (const auto& [key, buffer] : entries_)
      if (key == name) return buffer.get();
    return nullptr;
  }
  const auto& entries() const { return entries_; }

 private:
  std::vector<std::pair<std::string, std::unique_ptr<GuardedBuffer<Real>>>> entries_;
};

// A case's data in the tested type, and what a forward and a backward run made of it.
template <class Real>
class LibraryRun {
 public:
  LibraryRun(const Case& c, const reference::Parameters& parameters, const reference::Batch& batch,
             const reference::Upstream& upstream)
      : layer_(library_layer(c)),
        parameters_(convert<Real>(parameters)),
        batch_(convert<Real>(batch)),
        upstream_(convert<Real>(upstream)) {}
  explicit LibraryRun(const Case& c)
      : LibraryRun(c, make_parameters(c), make_batch(c), make_upstream(c)) {}

  const lacuna_layer& layer() const { return layer_; }
  lacuna_capacity capacity() const { return {batch_.tokens(), batch_.sequences()}; }

  lacuna_parameters parameters() const {
    lacuna_parameters out{};
    int kind = 0;
    for (const auto& [name, tensor] : reference::named_tensors(parameters_))
      out.tensor[kind++] = pointer(*tensor);
    return out;
  }

  lacuna_batch batch() const {
    lacuna_batch out{};
    out.sequences = batch_.sequences();
    out.tokens = batch_.tokens();
    out.offsets = batch_.offsets.data();
    out.values = pointer(batch_.values);
    out.mask = pointer(batch_.mask);
    out.delta_t = pointer(batch_.delta_t);
    out.times = pointer(batch_.times);
    out.delta = pointer(batch_.delta);
    out.initial_hidden = pointer(batch_.initial_hidden);
    out.initial_cell = pointer(batch_.initial_cell);
    out.carry_in.last_values = const_cast<Real*>(pointer(batch_.context.last_value));
    out.carry_in.since = const_cast<Real*>(pointer(batch_.context.since));
    out.carry_in.last_time = const_cast<double*>(pointer(batch_.context.last_time));
    out.carry_in.first_gap = const_cast<Real*>(pointer(batch_.context.first_gap));
    return out;
  }

  // Null tape: inference.
  void forward(lacuna_plan* plan, lacuna_tape* tape) {
    const std::size_t n = count(batch_.tokens()), b = count(batch_.sequences());
    const std::size_t h = count(layer_.hidden), d = count(layer_.features);
    const bool lstm = layer_.cell == LACUNA_LSTM, mask = layer_.impute != LACUNA_IMPUTE_NONE;
    lacuna_outputs out{};
    out.hidden = results.add("hidden", n * h).data();
    out.evolved_hidden = results.add("evolved_hidden", n * h).data();
    out.imputed = results.add("imputed", n * d).data();
    out.final_hidden = results.add("final_hidden", b * h).data();
    if (lstm) {
      out.cell = results.add("cell", n * h).data();
      out.final_cell = results.add("final_cell", b * h).data();
    }
    if (mask) {
      out.carry_out.last_values = results.add("carry_last_values", b * d).data();
      out.carry_out.since = results.add("carry_since", b * d).data();
    }
    const lacuna_parameters weights = parameters();
    const lacuna_batch data = batch();
    must(lacuna_forward(plan, &weights, &data, &out, tape, nullptr));
  }

  // Parameter gradients start from `start`, so that "+=" shows.
  void backward(lacuna_plan* plan, const lacuna_tape* tape, Real start = Real(0)) {
    const std::size_t n = count(batch_.tokens()), b = count(batch_.sequences());
    const std::size_t h = count(layer_.hidden), d = count(layer_.features);
    const bool lstm = layer_.cell == LACUNA_LSTM;
    lacuna_output_gradients given{};
    given.d_hidden = pointer(upstream_.d_hidden);
    given.d_cell = pointer(upstream_.d_cell);
    given.d_final_hidden = pointer(upstream_.d_final_hidden);
    given.d_final_cell = pointer(upstream_.d_final_cell);
    lacuna_parameter_gradients d_weights{};
    int kind = 0;
    for (const auto& [name, tensor] : reference::named_tensors(parameters_)) {
      if (!tensor->empty()) {
        GuardedBuffer<Real>& buffer = results.add(std::string("d_") + name, tensor->size());
        for (Real& element : buffer.span()) element = start;
        d_weights.tensor[kind] = buffer.data();
      }
      ++kind;
    }
    lacuna_input_gradients d_in{};
    d_in.d_values = results.add("d_values", n * d).data();
    if (!batch_.delta_t.empty() || !batch_.times.empty())
      d_in.d_delta_t = results.add("d_delta_t", n).data();
    d_in.d_initial_hidden = results.add("d_initial_hidden", b * h).data();
    if (lstm) d_in.d_initial_cell = results.add("d_initial_cell", b * h).data();
    const lacuna_parameters weights = parameters();
    const lacuna_batch data = batch();
    must(lacuna_backward(plan, &weights, &data, &given, tape, &d_weights, &d_in, nullptr));
  }

  // Plan, tape, forward, backward.
  void run(lacuna_context* context) {
    const lacuna_capacity room = capacity();
    lacuna_plan* plan = nullptr;
    must(lacuna_plan_create(context, &layer_, &room, nullptr, &plan));
    const PlanHandle plan_owner(plan);
    lacuna_tape* tape = nullptr;
    must(lacuna_tape_create(plan, nullptr, 0, &tape));
    const TapeHandle tape_owner(tape);
    forward(plan, tape);
    backward(plan, tape);
  }

  NamedBuffers<Real> results;

 private:
  static std::size_t count(std::int64_t value) { return static_cast<std::size_t>(value); }

  lacuna_layer layer_;
  reference::BasicParameters<Real> parameters_;
  reference::BasicBatch<Real> batch_;
  reference::BasicUpstream<Real> upstream_;
};

}  // namespace support
