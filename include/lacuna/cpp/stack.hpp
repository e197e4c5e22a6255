// Layers on top of each other, in one direction or both, trained within a memory budget. See lacuna/stack.h.
#pragma once

#include <memory>
#include <vector>

#include "lacuna/cpp/batch.hpp"
#include "lacuna/cpp/context.hpp"
#include "lacuna/cpp/parameters.hpp"
#include "lacuna/cpp/plan.hpp"

namespace lacuna {

struct Stack {
  std::vector<Layer> layers;  // the first reads the batch, each further one the one below
  bool bidirectional = false;
  bool residual = false;
  double dropout = 0;

  bool operator==(const Stack&) const = default;

  int directions() const { return bidirectional ? 2 : 1; }
  // Layers times directions: how many parameters, states and so on a stack has. In the order layer 0
  // forward, (layer 0 reverse,) layer 1 forward ...
  std::size_t places() const { return layers.size() * static_cast<std::size_t>(directions()); }
  // Columns of the last layer's output.
  std::int64_t output_width() const {
    if (layers.empty()) detail::refuse("stack.layers: 0 layers, expected 1 or more");
    return layers.back().output_width() * directions();
  }
  // The layer of one place.
  const Layer& at(std::size_t place) const {
    if (place >= places())
      detail::refuse("place: " + std::to_string(place) + ", expected less than " +
                     std::to_string(places()));
    return layers[place / static_cast<std::size_t>(directions())];
  }

  // Throws when the layers do not fit each other.
  void check() const;
};

struct StackShape {
  int depth = 1;
  bool bidirectional = false;
  bool residual = false;
  double dropout = 0;
};

// `depth` layers with the first one's cell, hidden units, projection and policy for empty rows, which are
// the same tokens in all of them. The further ones read what is below them, where nothing is missing:
// they impute nothing, and evolve with each token's gap where the first one evolves.
inline Stack stacked(const Layer& first, const StackShape& shape) {
  if (shape.depth < 1)
    detail::refuse("shape.depth: " + std::to_string(shape.depth) + ", expected >= 1");
  Stack stack{{first}, shape.bidirectional, shape.residual, shape.dropout};
  Layer deeper = first;
  deeper.impute = Impute::none;
  deeper.mask_input = deeper.gap_input = false;
  if (first.evolve == Evolve::decay) deeper.evolve = Evolve::decay_step;
  deeper.features = first.output_width() * stack.directions();
  for (int layer = 1; layer < shape.depth; ++layer) stack.layers.push_back(deeper);
  return stack;
}

// k1 and k2 of truncated backpropagation through time, in tokens; 0: all the way.
struct Truncation {
  std::int64_t every = 0, reach = 0;
};

struct StackOptions {
  bool inference = false;
  std::size_t memory_budget = 0;  // bytes; 0: no limit
  std::int64_t segment = 0;       // tokens; 0: the plan's choice
  Truncation truncation{};
  // The caller's own, aligned to 64 bytes and outliving the plan; empty: the context allocates.
  std::span<std::byte> memory{};
  // One per layer, for both of its directions, or none. See lacuna_stack_options for what is refused.
  std::vector<PlanOptions> layer_options{};
};

// lacuna_stack_info
struct StackInfo {
  std::size_t memory_bytes, memory_floor, memory_without_budget, memory_least;
  std::int64_t segment, windows, kept_tapes, kept_states, windows_again, tasks, waves;
};

namespace detail {

// As that of layers: "layers[1].hidden is 5, expected 4".
inline std::string difference(const Stack& given, const Stack& expected) {
  if (given.layers.size() != expected.layers.size())
    return "it has " + std::to_string(given.layers.size()) + " layers, expected " +
           std::to_string(expected.layers.size());
  for (std::size_t l = 0; l < given.layers.size(); ++l)
    if (given.layers[l] != expected.layers[l])
      return "layers[" + std::to_string(l) + "]." + difference(given.layers[l], expected.layers[l]);
  const auto field = [](const char* name, auto one, auto other) {
    return std::string(name) + " is " + words(one) + ", expected " + words(other);
  };
  if (given.bidirectional != expected.bidirectional)
    return field("bidirectional", given.bidirectional, expected.bidirectional);
  if (given.residual != expected.residual)
    return field("residual", given.residual, expected.residual);
  return field("dropout", given.dropout, expected.dropout);
}

// Parameters or gradients, all of them made for `expected`, which is `whose`.
template <class Places>
void check_same(std::string_view argument, const Places& given, std::string_view whose,
                const Stack& expected) {
  if (given.stack() != expected)
    throw Error(Status::mismatch, std::string(argument) + ": made for a stack other than " +
                                      std::string(whose) + ": " +
                                      difference(given.stack(), expected));
  if (given.size() != expected.places())
    refuse(std::string(argument) + ": " + std::to_string(given.size()) +
           " layers and directions, expected " + std::to_string(expected.places()));
  for (std::size_t place = 0; place < given.size(); ++place) {
    const std::string one = std::string(argument) + "[" + std::to_string(place) + "]";
    given[place].check_not_moved(one);
    check_same(one, given[place].layer(), whose, expected.at(place));
  }
}

}  // namespace detail

// One per place.
template <RealNumber Real>
class StackParameters {
 public:
  explicit StackParameters(const Stack& stack) : stack_(stack) {
    for (std::size_t place = 0; place < stack.places(); ++place)
      places_.emplace_back(stack.at(place));
  }
  // The customary random start; every place gets numbers of its own.
  StackParameters(const Stack& stack, std::uint64_t seed) : stack_(stack) {
    for (std::size_t place = 0; place < stack.places(); ++place)
      places_.emplace_back(stack.at(place), seed + 0x9e3779b97f4a7c15u * place);
  }

  const Stack& stack() const { return stack_; }
  std::size_t size() const { return places_.size(); }
  Parameters<Real>& operator[](std::size_t place) { return places_[place]; }
  const Parameters<Real>& operator[](std::size_t place) const { return places_[place]; }
  auto begin() { return places_.begin(); }
  auto end() { return places_.end(); }
  auto begin() const { return places_.begin(); }
  auto end() const { return places_.end(); }

  std::vector<lacuna_parameters> c() const {
    std::vector<lacuna_parameters> c;
    for (const auto& one : places_) c.push_back(one.c());
    return c;
  }

 private:
  Stack stack_;
  std::vector<Parameters<Real>> places_;
};

// Backward adds to them: set them to 0 before the first batch of a step.
template <RealNumber Real>
class StackGradients {
 public:
  explicit StackGradients(const StackParameters<Real>& parameters) : stack_(parameters.stack()) {
    for (const auto& one : parameters) places_.emplace_back(one);
  }

  void set_zero() {
    for (auto& one : places_) one.set_zero();
  }
  const Stack& stack() const { return stack_; }
  std::size_t size() const { return places_.size(); }
  // The flat array of every place, for what acts on all of them together.
  std::vector<std::span<Wide<Real>>> flat() {
    std::vector<std::span<Wide<Real>>> all;
    for (auto& one : places_) all.push_back(one.flat());
    return all;
  }
  Gradients<Real>& operator[](std::size_t place) { return places_[place]; }
  const Gradients<Real>& operator[](std::size_t place) const { return places_[place]; }

  std::vector<lacuna_parameter_gradients> c(const StackParameters<Real>& parameters) {
    detail::check_same("gradients", *this, "the parameters'", parameters.stack());
    std::vector<lacuna_parameter_gradients> c;
    for (std::size_t place = 0; place < places_.size(); ++place)
      c.push_back(places_[place].c(parameters[place]));
    return c;
  }

 private:
  Stack stack_;
  std::vector<Gradients<Real>> places_;
};

// [B, R] and [B, H] of one place; empty: 0, or not wanted.
template <class Element>
struct State {
  std::span<Element> hidden{};
  std::span<Element> cell{};  // lstm
};

template <RealNumber Real>
struct StackOutputs {
  std::span<Real> hidden{};                 // [N, output width]
  std::vector<State<Real>> final_states{};  // one per place, or none
  CarryOut<Real> carry_out{};
};

template <RealNumber Real>
struct StackOutputGradients {
  std::span<const Real> d_hidden{};
  std::vector<State<const Real>> d_final_states{};
};

template <RealNumber Real>
struct StackInputGradients {
  std::span<Real> d_values{};
  std::span<Wide<Real>> d_delta_t{};
  std::vector<State<Real>> d_initial_states{};
  std::vector<std::span<Wide<Real>>> d_hidden_norms{};  // [N] per place, or none
};

namespace detail {

inline std::vector<lacuna_layer> layers_of(const Stack& stack) {
  std::vector<lacuna_layer> layers;
  for (const Layer& layer : stack.layers) layers.push_back(layer.c());
  return layers;
}

inline lacuna_stack c_of(const Stack& stack, const std::vector<lacuna_layer>& layers) {
  return {.layers = layers.data(),
          .count = static_cast<std::int64_t>(layers.size()),
          .bidirectional = stack.bidirectional,
          .residual = stack.residual,
          .dropout = stack.dropout};
}

inline std::vector<lacuna_plan_options> layer_options_of(const Stack& stack,
                                                         const StackOptions& options) {
  if (!options.layer_options.empty() && options.layer_options.size() != stack.layers.size())
    refuse("options.layer_options: " + std::to_string(options.layer_options.size()) +
           ", expected none or one per layer, " + std::to_string(stack.layers.size()));
  std::vector<lacuna_plan_options> all;
  for (const PlanOptions& one : options.layer_options) all.push_back(c_of(one));
  return all;
}

// What a plan of a stack is made from, in C.
struct StackRequest {
  StackRequest(const Stack& of, const Capacity& up_to, const StackOptions& by)
      : layers(layers_of(of)),
        layer_options(layer_options_of(of, by)),
        stack(c_of(of, layers)),
        capacity{up_to.tokens, up_to.sequences, up_to.max_length},
        options{.inference = by.inference,
                .memory_budget = by.memory_budget,
                .segment = by.segment,
                .truncate_every = by.truncation.every,
                .truncate_reach = by.truncation.reach,
                .memory = by.memory.data(),
                .memory_bytes = by.memory.size(),
                .layer_options = layer_options.empty() ? nullptr : layer_options.data()} {}
  StackRequest(const StackRequest&) = delete;  // it points into itself
  StackRequest& operator=(const StackRequest&) = delete;

  std::vector<lacuna_layer> layers;
  std::vector<lacuna_plan_options> layer_options;
  lacuna_stack stack;
  lacuna_capacity capacity;
  lacuna_stack_options options;
};

inline StackInfo info_of(const lacuna_stack_info& info) {
  return {.memory_bytes = info.memory_bytes,
          .memory_floor = info.memory_floor,
          .memory_without_budget = info.memory_without_budget,
          .memory_least = info.memory_least,
          .segment = info.segment,
          .windows = info.windows,
          .kept_tapes = info.kept_tapes,
          .kept_states = info.kept_states,
          .windows_again = info.windows_again,
          .tasks = info.tasks,
          .waves = info.waves};
}

template <class Element>
std::vector<lacuna_state> c_of(std::string_view argument, const Stack& stack,
                               const std::vector<State<Element>>& states, Extent sequences) {
  std::vector<lacuna_state> c;
  if (states.empty()) return c;
  if (states.size() != stack.places())
    refuse(std::string(argument) + ": " + std::to_string(states.size()) +
           " states, expected one per layer and direction, " + std::to_string(stack.places()));
  for (std::size_t place = 0; place < states.size(); ++place) {
    const std::string name = std::string(argument) + "[" + std::to_string(place) + "]";
    const Layer& layer = stack.at(place);
    const auto array = [&](const char* part, std::span<Element> span, Extent columns) {
      return const_cast<std::remove_const_t<Element>*>(
          optional(name + part, span, sequences, columns));
    };
    c.push_back({array(".hidden", states[place].hidden, output_of(layer)),
                 array(".cell", states[place].cell, {"hidden", layer.hidden})});
  }
  return c;
}

}  // namespace detail

inline void Stack::check() const {
  const std::vector<lacuna_layer> c_layers = detail::layers_of(*this);
  const lacuna_stack c = detail::c_of(*this, c_layers);
  detail::check(lacuna_stack_check(&c));
}

// What a stack would need, without making a plan: what a budget has to be at least, for example.
inline StackInfo measure(const Context& context, const Stack& stack, const Capacity& capacity,
                         const StackOptions& options = {}) {
  const detail::StackRequest c(stack, capacity, options);
  lacuna_stack_info info{};
  detail::check(lacuna_stack_plan_measure(context.get(), &c.stack, &c.capacity, &c.options, &info));
  return detail::info_of(info);
}

// Serves one thread at a time. A training plan keeps what the backward run of its latest forward run
// needs.
class StackPlan {
 public:
  StackPlan(const Context& context, const Stack& stack, const Capacity& capacity,
            const StackOptions& options = {})
      : stack_(stack) {
    const detail::StackRequest c(stack, capacity, options);
    lacuna_stack_plan* made = nullptr;
    detail::check(
        lacuna_stack_plan_create(context.get(), &c.stack, &c.capacity, &c.options, &made));
    handle_.reset(made);
  }

  // `batch` without initial states, which are per layer. `seed` decides what is dropped and drawn: a
  // training loop gives each step one of its own. batch.noise.seed is not read; its sequence and position
  // let pieces of sequences draw what the whole would.
  template <RealNumber Real>
  void forward(const StackParameters<Real>& parameters, const Batch<Real>& batch,
               const StackOutputs<Real>& outputs, std::uint64_t seed = 0,
               const std::vector<State<const Real>>& initial_states = {}, void* stream = nullptr) {
    const Given<Real> given(*this, parameters, batch, initial_states);
    const detail::Extents& is = given.extents;
    auto final_states =
        detail::c_of("outputs.final_states", stack_, outputs.final_states, is.sequences);
    lacuna_stack_outputs c{};
    c.hidden = detail::optional("outputs.hidden", outputs.hidden, is.tokens,
                                {"output width", stack_.output_width()});
    c.final_states = final_states.empty() ? nullptr : final_states.data();
    c.carry_out = detail::checked(Outputs<Real>{.carry_out = outputs.carry_out}, is).carry_out;
    detail::check(lacuna_stack_forward(get(), given.parameters.data(), &given.batch, given.states(),
                                       seed, &c, stream));
  }

  // Once for each forward run, with the same parameters, batch and initial states.
  template <RealNumber Real>
  void backward(const StackParameters<Real>& parameters, const Batch<Real>& batch,
                const StackOutputGradients<Real>& d_outputs, StackGradients<Real>& d_parameters,
                const StackInputGradients<Real>& d_inputs = {},
                const std::vector<State<const Real>>& initial_states = {}, void* stream = nullptr) {
    const Given<Real> given(*this, parameters, batch, initial_states);
    const detail::Extents& is = given.extents;
    auto d_final =
        detail::c_of("d_outputs.d_final_states", stack_, d_outputs.d_final_states, is.sequences);
    auto d_initial =
        detail::c_of("d_inputs.d_initial_states", stack_, d_inputs.d_initial_states, is.sequences);
    lacuna_stack_output_gradients c_out{};
    c_out.d_hidden = detail::optional("d_outputs.d_hidden", d_outputs.d_hidden, is.tokens,
                                      {"output width", stack_.output_width()});
    c_out.d_final_states = d_final.empty() ? nullptr : d_final.data();
    lacuna_stack_input_gradients c_in{};
    c_in.d_values =
        detail::optional("d_inputs.d_values", d_inputs.d_values, is.tokens, is.features);
    c_in.d_delta_t = detail::optional("d_inputs.d_delta_t", d_inputs.d_delta_t, is.tokens);
    c_in.d_initial_states = d_initial.empty() ? nullptr : d_initial.data();
    const auto norms = norms_of(d_inputs.d_hidden_norms, is.tokens);
    c_in.d_hidden_norms = norms.empty() ? nullptr : norms.data();
    detail::check_same("d_parameters", d_parameters, "the plan's", stack_);
    const auto c_gradients = d_parameters.c(parameters);
    detail::check(lacuna_stack_backward(get(), given.parameters.data(), &given.batch,
                                        given.states(), &c_out, c_gradients.data(), &c_in, stream));
  }

  const Stack& stack() const { return stack_; }
  StackInfo info() const {
    lacuna_stack_info info{};
    detail::check(lacuna_stack_plan_query(get(), &info));
    return detail::info_of(info);
  }
  // What will run and why, as text for people; the schedule as a picture (SVG).
  std::string explain() const {
    return detail::text_of([this](char* text, std::size_t* length) {
      return lacuna_stack_plan_explain(get(), text, length);
    });
  }
  std::string timeline() const {
    return detail::text_of([this](char* svg, std::size_t* length) {
      return lacuna_stack_plan_timeline(get(), svg, length);
    });
  }

  lacuna_stack_plan* get() const noexcept { return handle_.get(); }

 private:
  // What both runs are given, checked.
  template <RealNumber Real>
  struct Given {
    Given(const StackPlan& plan, const StackParameters<Real>& of, const Batch<Real>& from,
          const std::vector<State<const Real>>& initial_states)
        : extents(first_layer(plan), from) {
      detail::check_same("parameters", of, "the plan's", plan.stack_);
      parameters = of.c();
      batch = detail::checked(from, extents);
      initial = detail::c_of("initial_states", plan.stack_, initial_states, extents.sequences);
    }
    static const Layer& first_layer(const StackPlan& plan) {
      if (!plan.handle_) detail::refuse("plan: null, expected one that has not been moved from");
      return plan.stack_.layers.front();
    }
    const lacuna_state* states() const { return initial.empty() ? nullptr : initial.data(); }

    detail::Extents extents;
    std::vector<lacuna_parameters> parameters;
    lacuna_batch batch{};
    std::vector<lacuna_state> initial;
  };

  template <class Number>
  std::vector<void*> norms_of(const std::vector<std::span<Number>>& norms,
                              detail::Extent tokens) const {
    if (!norms.empty() && norms.size() != stack_.places())
      detail::refuse("d_inputs.d_hidden_norms: " + std::to_string(norms.size()) +
                     " arrays, expected one per layer and direction, " +
                     std::to_string(stack_.places()));
    std::vector<void*> c;
    for (const std::span<Number> one : norms)
      c.push_back(detail::optional("d_inputs.d_hidden_norms", one, tokens));
    return c;
  }

  struct Destroy {
    void operator()(lacuna_stack_plan* plan) const { lacuna_stack_plan_destroy(plan); }
  };
  Stack stack_;
  std::unique_ptr<lacuna_stack_plan, Destroy> handle_;
};

}  // namespace lacuna
