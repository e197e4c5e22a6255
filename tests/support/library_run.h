// Runs a case through the C ABI, every output guarded and filled with NaN before, so that tests can
// compare it with the oracle or with another run.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lacuna/lacuna.h"
#include "support/backend.h"
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

// A setting of what is done while one of these lives.
template <class Value, Value usual>
class Setting {
 public:
  explicit Setting(Value value) : before_(std::exchange(current, value)) {}
  ~Setting() { current = before_; }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;

  inline static Value current = usual;

 private:
  Value before_;
};

// Of plans: their regime, the precision of their products, what their tapes keep.
using InRegime = Setting<lacuna_regime, LACUNA_REGIME_BEST>;
using InPrecision = Setting<lacuna_precision, LACUNA_PRECISION_DEFAULT>;
using InTape = Setting<lacuna_tape_kind, LACUNA_TAPE_BEST>;

inline PlanHandle make_plan(lacuna_context* context, const lacuna_layer& layer,
                            const lacuna_capacity& capacity, bool inference = false) {
  lacuna_plan_options options{};
  options.inference = inference;
  options.regime = InRegime::current;
  options.precision = InPrecision::current;
  options.tape = InTape::current;
  lacuna_plan* plan = nullptr;
  must(lacuna_plan_create(context, &layer, &capacity, &options, &plan));
  return PlanHandle(plan);
}

// What lacuna_plan_explain says of it.
inline std::string explained(const lacuna_plan* plan) {
  std::size_t length = 0;
  must(lacuna_plan_explain(plan, nullptr, &length));
  std::string text(length + 1, ' ');
  std::size_t room = text.size();
  must(lacuna_plan_explain(plan, text.data(), &room));
  text.resize(length);
  return text;
}

inline TapeHandle make_tape(lacuna_plan* plan) {
  lacuna_tape* tape = nullptr;
  must(lacuna_tape_create(plan, nullptr, 0, &tape));
  return TapeHandle(tape);
}

// Of the tested backend. Threads and instruction sets are the CPU's.
inline ContextHandle make_context(int threads = 1, lacuna_isa isa = LACUNA_ISA_BEST) {
  lacuna_context_options options{};
  options.backend = tested_backend;
  if (on_cpu) {
    options.threads = threads;
    options.isa = isa;
  }
  lacuna_context* context = nullptr;
  must(lacuna_context_create(&options, &context));
  return ContextHandle(context);
}

// Every one that this machine and this build have, in rising order; a single one on other backends.
inline std::vector<lacuna_isa> instruction_sets() {
  if (!on_cpu) return {LACUNA_ISA_BEST};
  lacuna_context_info info{};
  must(lacuna_context_query(make_context().get(), &info));
  std::vector<lacuna_isa> sets;
  for (int isa = LACUNA_ISA_BASELINE; isa <= info.isa; ++isa)
    sets.push_back(static_cast<lacuna_isa>(isa));
  return sets;
}

inline lacuna_type library_type(Type type) {
  switch (type) {
    case Type::f64: return LACUNA_F64;
    case Type::f16: return LACUNA_F16;
    case Type::bf16: return LACUNA_BF16;
    default: return LACUNA_F32;
  }
}

// The oracle's enumerators and the library's stand in the same order.
inline lacuna_layer library_layer(const Case& c) {
  const reference::Layer& from = c.layer;
  lacuna_layer layer{};
  layer.cell = static_cast<lacuna_cell>(from.cell);
  layer.impute = static_cast<lacuna_impute>(from.impute);
  layer.evolve = static_cast<lacuna_evolve>(from.evolve);
  layer.empty_rows = static_cast<lacuna_empty_rows>(from.empty_rows);
  layer.type = library_type(c.type);
  layer.features = from.features;
  layer.hidden = from.hidden;
  layer.mask_input = from.mask_input;
  layer.gap_input = from.gap_input;
  layer.reverse = from.reverse;
  layer.projection = from.projection;
  layer.zoneout_hidden = from.zoneout_hidden_percent / 100.0;
  layer.zoneout_cell = from.zoneout_cell_percent / 100.0;
  layer.recurrent_dropout = from.recurrent_dropout_percent / 100.0;
  layer.layer_norm = from.layer_norm;
  return layer;
}

// By the name that the oracle gives it.
inline lacuna_parameter parameter_of(std::string_view name) {
  constexpr std::string_view names[LACUNA_PARAMETERS] = {
      "weights_x",     "weights_h",   "bias",          "bias_hn",     "x_mean",
      "impute_weight", "impute_bias", "evolve_weight", "evolve_bias", "s_inf",
      "norm_gain_x",   "norm_gain_h", "norm_gain_c",   "norm_bias_c", "projection"};
  for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind)
    if (names[kind] == name) return static_cast<lacuna_parameter>(kind);
  throw std::invalid_argument("no parameter " + std::string(name));
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

// A case's data in the tested type, and what a forward and a backward run made of it. `Stored` is what values, states
// and their gradients are stored in; results are kept as Real whatever it is.
template <class Real, class Stored = Real>
class LibraryRun {
 public:
  LibraryRun(const Case& c, const reference::Parameters& parameters, const reference::Batch& batch,
             const reference::Upstream& upstream)
      : layer_(library_layer(c)),
        parameters_(convert<Real>(parameters)),
        batch_(convert<Real>(batch)),
        upstream_(convert<Real>(upstream)) {
    if constexpr (!std::is_same_v<Real, Stored>) {
      values_ = store<Stored>(batch_.values);
      initial_hidden_ = store<Stored>(batch_.initial_hidden);
      initial_cell_ = store<Stored>(batch_.initial_cell);
      last_value_ = store<Stored>(batch_.context.last_value);
      d_hidden_ = store<Stored>(upstream_.d_hidden);
      d_cell_ = store<Stored>(upstream_.d_cell);
      d_final_hidden_ = store<Stored>(upstream_.d_final_hidden);
      d_final_cell_ = store<Stored>(upstream_.d_final_cell);
    }
  }
  explicit LibraryRun(const Case& c)
      : LibraryRun(c, make_parameters(c), make_batch(c), make_upstream(c)) {}

  const lacuna_layer& layer() const { return layer_; }
  lacuna_capacity capacity() const { return {batch_.tokens(), batch_.sequences(), 0}; }

  // In the host's memory.
  lacuna_parameters parameters() const {
    return parameters_at([](const auto* host, std::size_t) { return host; });
  }
  lacuna_batch batch() const {
    return batch_at([](const auto* host, std::size_t) { return host; });
  }

  // Null tape: inference.
  void forward(lacuna_plan* plan, lacuna_tape* tape) {
    const std::size_t n = count(batch_.tokens()), b = count(batch_.sequences());
    const std::size_t h = count(layer_.hidden), d = count(layer_.features);
    const std::size_t r = layer_.projection > 0 ? count(layer_.projection) : h;
    const bool lstm = layer_.cell == LACUNA_LSTM, mask = layer_.impute != LACUNA_IMPUTE_NONE;
    Mirror mirror;
    Outputs outputs(*this, mirror);
    lacuna_outputs out{};
    out.hidden = outputs.stored("hidden", n * r);
    out.evolved_hidden = outputs.stored("evolved_hidden", n * r);
    out.imputed = outputs.stored("imputed", n * d);
    out.final_hidden = outputs.stored("final_hidden", b * r);
    if (lstm) {
      out.cell = outputs.stored("cell", n * h);
      out.final_cell = outputs.stored("final_cell", b * h);
    }
    if (mask) {
      out.carry_out.last_values = outputs.stored("carry_last_values", b * d);
      out.carry_out.since = outputs.wide("carry_since", b * d);
    }
    if (layer_.reverse && !batch_.delta_t.empty())
      out.carry_out.first_gap = outputs.wide("carry_first_gap", b);
    if (!batch_.times.empty() && is_wanted("carry_last_time")) {
      last_time = std::make_unique<GuardedBuffer<double>>(b);
      out.carry_out.last_time = mirror.out(*last_time);
    }
    const auto there = [&](const auto* host, std::size_t size) { return mirror.in(host, size); };
    const lacuna_parameters weights = parameters_at(there);
    const lacuna_batch data = batch_at(there);
    must(lacuna_forward(plan, &weights, &data, &out, tape, nullptr));
    mirror.bring_back();
    outputs.keep();
  }

  // Parameter gradients start from `start`, so that "+=" shows.
  void backward(lacuna_plan* plan, const lacuna_tape* tape, Real start = Real(0)) {
    const std::size_t n = count(batch_.tokens()), b = count(batch_.sequences());
    const std::size_t h = count(layer_.hidden), d = count(layer_.features);
    const std::size_t r = layer_.projection > 0 ? count(layer_.projection) : h;
    const bool lstm = layer_.cell == LACUNA_LSTM;
    Mirror mirror;
    Outputs outputs(*this, mirror);
    const auto there = [&](const auto* host, std::size_t size) { return mirror.in(host, size); };
    lacuna_output_gradients given{};
    given.d_hidden = stored(upstream_.d_hidden, d_hidden_, there);
    given.d_cell = stored(upstream_.d_cell, d_cell_, there);
    given.d_final_hidden = stored(upstream_.d_final_hidden, d_final_hidden_, there);
    given.d_final_cell = stored(upstream_.d_final_cell, d_final_cell_, there);
    lacuna_parameter_gradients d_weights{};
    for (const auto& [name, tensor] : reference::named_tensors(parameters_)) {
      const std::string d_name = std::string("d_") + name;
      if (!tensor->empty() && is_wanted(d_name)) {
        GuardedBuffer<Real>& buffer = results.add(d_name, tensor->size());
        for (Real& element : buffer.span()) element = start;
        d_weights.tensor[parameter_of(name)] = mirror.out(buffer);
      }
    }
    lacuna_input_gradients d_in{};
    d_in.d_values = outputs.stored("d_values", n * d);
    if (!batch_.delta_t.empty() || !batch_.times.empty())
      d_in.d_delta_t = outputs.wide("d_delta_t", n);
    d_in.d_initial_hidden = outputs.stored("d_initial_hidden", b * r);
    if (lstm) d_in.d_initial_cell = outputs.stored("d_initial_cell", b * h);
    const lacuna_parameters weights = parameters_at(there);
    const lacuna_batch data = batch_at(there);
    must(lacuna_backward(plan, &weights, &data, &given, tape, &d_weights, &d_in, nullptr));
    mirror.bring_back();
    outputs.keep();
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
  bool offsets_on_device = false;
  std::vector<std::int64_t> told_offsets;  // what the device then finds instead, unless empty
  // Which of the outputs and gradients to ask for, by name; empty: all.
  std::function<bool(const std::string& name)> wanted;

 private:
  // The outputs of one call. Those in another type than Real are turned into it when the call is done.
  class Outputs {
   public:
    Outputs(LibraryRun& run, Mirror& mirror) : run_(run), mirror_(mirror) {}
    Real* wide(const std::string& name, std::size_t size) {
      return run_.is_wanted(name) ? mirror_.out(run_.results.add(name, size)) : nullptr;
    }
    void* stored(const std::string& name, std::size_t size) {
      if constexpr (std::is_same_v<Real, Stored>) {
        return wide(name, size);
      } else {
        if (!run_.is_wanted(name)) return nullptr;
        Pending pending{&run_.results.add(name, size),
                        std::make_unique<GuardedBuffer<Stored>>(size)};
        for (Stored& element : pending.from->span()) element.bits = Stored::nan_bits;
        pending_.push_back(std::move(pending));
        return mirror_.out(*pending_.back().from);
      }
    }
    void keep() {
      if constexpr (std::is_same_v<Real, Stored>)
        return;
      else
        for (Pending& pending : pending_) {
          if (const std::string damage = pending.from->damage(); !damage.empty())
            throw std::runtime_error(damage);
          for (std::size_t i = 0; i < pending.to->size(); ++i)
            pending.to->data()[i] = widen<Real>(pending.from->data()[i]);
        }
    }

   private:
    struct Pending {
      GuardedBuffer<Real>* to;
      std::unique_ptr<GuardedBuffer<Stored>> from;
    };
    LibraryRun& run_;
    Mirror& mirror_;
    std::vector<Pending> pending_;
  };

  // `there(host, count)`: where the backend finds an array of the host.
  template <class There>
  const void* stored(const std::vector<Real>& wide, const std::vector<Stored>& narrow,
                     There&& there) const {
    if constexpr (std::is_same_v<Real, Stored>)
      return there(pointer(wide), wide.size());
    else
      return there(pointer(narrow), narrow.size());
  }

  template <class There>
  lacuna_parameters parameters_at(There&& there) const {
    lacuna_parameters out{};
    for (const auto& [name, tensor] : reference::named_tensors(parameters_))
      out.tensor[parameter_of(name)] = there(pointer(*tensor), tensor->size());
    return out;
  }

  template <class There>
  lacuna_batch batch_at(There&& there) const {
    const auto wide = [&](const auto& array) { return there(pointer(array), array.size()); };
    const reference::BasicContext<Real>& carry = batch_.context;
    lacuna_batch out{};
    out.sequences = batch_.sequences();
    out.tokens = batch_.tokens();
    out.offsets = batch_.offsets.data();
    if (offsets_on_device) out.offsets = wide(told_offsets.empty() ? batch_.offsets : told_offsets);
    out.offsets_on_device = offsets_on_device;
    out.values = stored(batch_.values, values_, there);
    out.mask = wide(batch_.mask);
    out.fires = wide(batch_.fires);
    out.delta_t = wide(batch_.delta_t);
    out.times = wide(batch_.times);
    out.delta = wide(batch_.delta);
    out.initial_hidden = stored(batch_.initial_hidden, initial_hidden_, there);
    out.initial_cell = stored(batch_.initial_cell, initial_cell_, there);
    out.carry_in.last_values = const_cast<void*>(stored(carry.last_value, last_value_, there));
    out.carry_in.since = const_cast<Real*>(wide(carry.since));
    out.carry_in.last_time = const_cast<double*>(wide(carry.last_time));
    out.carry_in.first_gap = const_cast<Real*>(wide(carry.first_gap));
    out.noise = {batch_.noise.seed, wide(batch_.noise.sequence), wide(batch_.noise.position)};
    return out;
  }

  bool is_wanted(const std::string& name) const { return !wanted || wanted(name); }
  static std::size_t count(std::int64_t value) { return static_cast<std::size_t>(value); }

  lacuna_layer layer_;
  reference::BasicParameters<Real> parameters_;
  reference::BasicBatch<Real> batch_;
  reference::BasicUpstream<Real> upstream_;
  // Of the above, where they are stored in another type.
  std::vector<Stored> values_, initial_hidden_, initial_cell_, last_value_, d_hidden_, d_cell_,
      d_final_hidden_, d_final_cell_;
};

}  // namespace support
