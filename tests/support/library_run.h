// Runs a case through the C ABI, every output guarded and filled with NaN before, so that tests can
// compare it with the oracle or with another run.
#pragma once

#include <functional>
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

inline PlanHandle make_plan(lacuna_context* context, const lacuna_layer& layer,
                            const lacuna_capacity& capacity, bool inference = false) {
  lacuna_plan_options options{};
  options.inference = inference;
  lacuna_plan* plan = nullptr;
  must(lacuna_plan_create(context, &layer, &capacity, &options, &plan));
  return PlanHandle(plan);
}

inline TapeHandle make_tape(lacuna_plan* plan) {
  lacuna_tape* tape = nullptr;
  must(lacuna_tape_create(plan, nullptr, 0, &tape));
  return TapeHandle(tape);
}

inline ContextHandle make_cpu_context(int threads = 1, lacuna_isa isa = LACUNA_ISA_BEST) {
  lacuna_context_options options{};
  options.backend = LACUNA_BACKEND_CPU;
  options.threads = threads;
  options.isa = isa;
  lacuna_context* context = nullptr;
  must(lacuna_context_create(&options, &context));
  return ContextHandle(context);
}

// Every one that this machine and this build have, in rising order.
inline std::vector<lacuna_isa> instruction_sets() {
  lacuna_context_info info{};
  must(lacuna_context_query(make_cpu_context().get(), &info));
  std::vector<lacuna_isa> sets;
  for (int isa = LACUNA_ISA_BASELINE; isa <= info.isa; ++isa)
    sets.push_back(static_cast<lacuna_isa>(isa));
  return sets;
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
  lacuna_capacity capacity() const { return {batch_.tokens(), batch_.sequences(), 0}; }

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
    out.hidden = output("hidden", n * h);
    out.evolved_hidden = output("evolved_hidden", n * h);
    out.imputed = output("imputed", n * d);
    out.final_hidden = output("final_hidden", b * h);
    if (lstm) {
      out.cell = output("cell", n * h);
      out.final_cell = output("final_cell", b * h);
    }
    if (mask) {
      out.carry_out.last_values = output("carry_last_values", b * d);
      out.carry_out.since = output("carry_since", b * d);
    }
    if (layer_.reverse && !batch_.delta_t.empty())
      out.carry_out.first_gap = output("carry_first_gap", b);
    if (!batch_.times.empty() && is_wanted("carry_last_time")) {
      last_time = std::make_unique<GuardedBuffer<double>>(b);
      out.carry_out.last_time = last_time->data();
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
      const std::string d_name = std::string("d_") + name;
      if (!tensor->empty() && is_wanted(d_name)) {
        GuardedBuffer<Real>& buffer = results.add(d_name, tensor->size());
        for (Real& element : buffer.span()) element = start;
        d_weights.tensor[kind] = buffer.data();
      }
      ++kind;
    }
    lacuna_input_gradients d_in{};
    d_in.d_values = output("d_values", n * d);
    if (!batch_.delta_t.empty() || !batch_.times.empty()) d_in.d_delta_t = output("d_delta_t", n);
    d_in.d_initial_hidden = output("d_initial_hidden", b * h);
    if (lstm) d_in.d_initial_cell = output("d_initial_cell", b * h);
    const lacuna_parameters weights = parameters();
    const lacuna_batch data = batch();
    must(lacuna_backward(plan, &weights, &data, &given, tape, &d_weights, &d_in, nullptr));
  }

  // Plan, tape, forward, backward; in a plan of the batch's size, or a larger one.
  void run(lacuna_context* context) { run(context, capacity()); }
  void run(lacuna_context* context, const lacuna_capacity& room) {
    const PlanHandle plan = make_plan(context, layer_, room);
    const TapeHandle tape = make_tape(plan.get());
    forward(plan.get(), tape.get());
    backward(plan.get(), tape.get());
  }

  NamedBuffers<Real> results;
  std::unique_ptr<GuardedBuffer<double>> last_time;  // carry_out's, after a forward with times
  // Which of the outputs and gradients to ask for, by name; empty: all.
  std::function<bool(const std::string& name)> wanted;

 private:
  bool is_wanted(const std::string& name) const { return !wanted || wanted(name); }
  Real* output(const std::string& name, std::size_t size) {
    return is_wanted(name) ? results.add(name, size).data() : nullptr;
  }
  static std::size_t count(std::int64_t value) { return static_cast<std::size_t>(value); }

  lacuna_layer layer_;
  reference::BasicParameters<Real> parameters_;
  reference::BasicBatch<Real> batch_;
  reference::BasicUpstream<Real> upstream_;
};

}  // namespace support
