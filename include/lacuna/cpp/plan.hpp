// A layer made ready for batches up to a capacity, and the tape between its forward and its
// backward run. After both are made, running allocates nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "lacuna/cpp/batch.hpp"
#include "lacuna/cpp/context.hpp"
#include "lacuna/cpp/parameters.hpp"

namespace lacuna {

// The largest batch a plan will see.
struct Capacity {
  std::int64_t tokens = 0;
  std::int64_t sequences = 0;
  std::int64_t max_length = 0;  // 0: as long as `tokens`; see lacuna_capacity
};

// lacuna_regime
enum class Regime {
  best = LACUNA_REGIME_BEST,
  stepwise = LACUNA_REGIME_STEPWISE,
  resident = LACUNA_REGIME_RESIDENT,
  cluster = LACUNA_REGIME_CLUSTER,
  grid = LACUNA_REGIME_GRID,
  lone = LACUNA_REGIME_LONE,
};

// lacuna_precision
enum class Precision {
  of_type = LACUNA_PRECISION_DEFAULT,
  tf32 = LACUNA_PRECISION_TF32,
};

// lacuna_tape_kind
enum class TapeKind {
  best = LACUNA_TAPE_BEST,
  gates = LACUNA_TAPE_GATES,
  states = LACUNA_TAPE_STATES,
};

struct PlanOptions {
  // The caller's own, aligned to 64 bytes and outliving the plan; empty: the context allocates.
  std::span<std::byte> workspace{};
  bool inference = false;                    // no backward will be run
  Regime regime = Regime::best;              // CUDA: how tokens are walked
  Precision precision = Precision::of_type;  // CUDA, fp32 layers: tf32
  TapeKind tape = TapeKind::best;            // CUDA: what it keeps
  std::size_t tape_budget = 0;               // bytes, for TapeKind::best; 0: any
  std::int32_t blocks = 0;  // of a group, for Regime::cluster and grid; 0: the plan's choice
};

struct PlanInfo {
  std::size_t workspace_bytes;
  std::size_t tape_bytes;
  Regime regime;
  TapeKind tape;
};

namespace detail {

inline lacuna_plan_options c_of(const PlanOptions& options) {
  return {.workspace = options.workspace.data(),
          .workspace_bytes = options.workspace.size(),
          .inference = options.inference,
          .regime = static_cast<lacuna_regime>(options.regime),
          .precision = static_cast<lacuna_precision>(options.precision),
          .tape = static_cast<lacuna_tape_kind>(options.tape),
          .tape_budget = options.tape_budget,
          .blocks = options.blocks};
}

inline PlanInfo info_of(const lacuna_plan_info& info) {
  return {.workspace_bytes = info.workspace_bytes,
          .tape_bytes = info.tape_bytes,
          .regime = static_cast<Regime>(info.regime),
          .tape = static_cast<TapeKind>(info.tape)};
}

}  // namespace detail

// What a plan would need, without making one.
inline PlanInfo measure(const Context& context, const Layer& layer, const Capacity& capacity,
                        const PlanOptions& options = {}) {
  const lacuna_layer c_layer = layer.c();
  const lacuna_capacity c_capacity{capacity.tokens, capacity.sequences, capacity.max_length};
  const lacuna_plan_options c_options = detail::c_of(options);
  lacuna_plan_info info{};
  detail::check(lacuna_plan_measure(context.get(), &c_layer, &c_capacity, &c_options, &info));
  return detail::info_of(info);
}

class Tape;

// Serves one thread at a time; make one plan per thread to run concurrently.
class Plan {
 public:
  Plan(const Context& context, const Layer& layer, const Capacity& capacity,
       const PlanOptions& options = {})
      : layer_(layer), capacity_(capacity) {
    const lacuna_layer c_layer = layer.c();
    const lacuna_capacity c_capacity{capacity.tokens, capacity.sequences, capacity.max_length};
    const lacuna_plan_options c_options = detail::c_of(options);
    lacuna_plan* made = nullptr;
    detail::check(lacuna_plan_create(context.get(), &c_layer, &c_capacity, &c_options, &made));
    handle_.reset(made);
  }

  // Without a tape: inference, nothing is kept.
  template <RealNumber Real>
  void forward(const Parameters<Real>& parameters, const Batch<Real>& batch,
               const Outputs<Real>& outputs, std::nullptr_t /*tape*/ = nullptr,
               void* stream = nullptr) {
    run_forward(parameters, batch, outputs, nullptr, stream);
  }

  // With a tape, for backward.
  template <RealNumber Real>
  void forward(const Parameters<Real>& parameters, const Batch<Real>& batch,
               const Outputs<Real>& outputs, Tape& tape, void* stream = nullptr);

  // The same parameters and batch as the forward run that wrote the tape. Adds to `d_parameters`,
  // writes `d_inputs`.
  template <RealNumber Real>
  void backward(const Parameters<Real>& parameters, const Batch<Real>& batch,
                const OutputGradients<Real>& d_outputs, const Tape& tape,
                Gradients<Real>& d_parameters, const InputGradients<Real>& d_inputs = {},
                void* stream = nullptr);

  const Layer& layer() const { return layer_; }
  const Capacity& capacity() const { return capacity_; }

  PlanInfo info() const {
    lacuna_plan_info info{};
    detail::check(lacuna_plan_query(get(), &info));
    return detail::info_of(info);
  }

  // What will run and why, as text for people.
  std::string explain() const {
    return detail::text_of([this](char* text, std::size_t* length) {
      return lacuna_plan_explain(get(), text, length);
    });
  }

  // The same, and what the plan makes of a batch of these lengths: its lanes, and how many of their steps are idle.
  // `offsets`: [B+1], or none.
  std::string explain(std::span<const std::int64_t> offsets) const {
    const std::int64_t sequences = offsets.empty() ? 0 : std::ssize(offsets) - 1;
    return detail::text_of([&](char* text, std::size_t* length) {
      return lacuna_plan_explain_batch(get(), offsets.data(), sequences, text, length);
    });
  }

  lacuna_plan* get() const noexcept { return handle_.get(); }

 private:
  template <RealNumber Real>
  void run_forward(const Parameters<Real>& parameters, const Batch<Real>& batch,
                   const Outputs<Real>& outputs, lacuna_tape* tape, void* stream) {
    check_of_layer("parameters", parameters);
    const detail::Extents extents(layer_, batch);
    const lacuna_parameters c_parameters = parameters.c();
    const lacuna_batch c_batch = detail::checked(batch, extents);
    const lacuna_outputs c_outputs = detail::checked(outputs, extents);
    detail::check(lacuna_forward(get(), &c_parameters, &c_batch, &c_outputs, tape, stream));
  }

  template <RealNumber Real>
  void check_of_layer(std::string_view argument, const detail::TensorTable<Real>& table) const {
    table.check_not_moved(argument);
    detail::check_same(argument, table.layer(), "the plan's", layer_);
  }

  struct Destroy {
    void operator()(lacuna_plan* plan) const { lacuna_plan_destroy(plan); }
  };
  Layer layer_;
  Capacity capacity_;
  std::unique_ptr<lacuna_plan, Destroy> handle_;
};

// What a forward run leaves for its backward run. It may be read many times, and outlives its plan.
class Tape {
 public:
  explicit Tape(const Plan& plan) : Tape(plan, {}) {}
  // In the caller's memory: at least plan.info().tape_bytes, aligned to 64 bytes, outliving the
  // tape.
  Tape(const Plan& plan, std::span<std::byte> memory) {
    lacuna_tape* made = nullptr;
    detail::check(lacuna_tape_create(plan.get(), memory.data(), memory.size(), &made));
    handle_.reset(made);
  }

  lacuna_tape* get() const noexcept { return handle_.get(); }

 private:
  struct Destroy {
    void operator()(lacuna_tape* tape) const { lacuna_tape_destroy(tape); }
  };
  std::unique_ptr<lacuna_tape, Destroy> handle_;
};

template <RealNumber Real>
void Plan::forward(const Parameters<Real>& parameters, const Batch<Real>& batch,
                   const Outputs<Real>& outputs, Tape& tape, void* stream) {
  // In C, null is for inference.
  if (!tape.get()) detail::refuse("tape: null, expected one that has not been moved from");
  run_forward(parameters, batch, outputs, tape.get(), stream);
}

template <RealNumber Real>
void Plan::backward(const Parameters<Real>& parameters, const Batch<Real>& batch,
                    const OutputGradients<Real>& d_outputs, const Tape& tape,
                    Gradients<Real>& d_parameters, const InputGradients<Real>& d_inputs,
                    void* stream) {
  check_of_layer("parameters", parameters);
  check_of_layer("d_parameters", d_parameters);
  const detail::Extents extents(layer_, batch);
  const lacuna_parameters c_parameters = parameters.c();
  const lacuna_batch c_batch = detail::checked(batch, extents);
  const lacuna_output_gradients c_d_outputs = detail::checked(d_outputs, extents);
  const lacuna_parameter_gradients c_d_parameters = d_parameters.c(parameters);
  const lacuna_input_gradients c_d_inputs = detail::checked(d_inputs, extents);
  detail::check(lacuna_backward(get(), &c_parameters, &c_batch, &c_d_outputs, tape.get(),
                                &c_d_parameters, &c_d_inputs, stream));
}

}  // namespace lacuna
