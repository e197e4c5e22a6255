#include "host/api/stack_check.h"

#include <cmath>

#include "host/api/batch_check.h"
#include "host/api/guard.h"
#include "host/api/layer.h"
#include "host/api/parameter_check.h"

namespace lacuna::api {
namespace {

constexpr std::int64_t most_layers = 64;

// A message about a layer's own fields says "layer.", one about its options "options."; which they are stands before.
template <class Check>
void check_one_of(std::string_view array, std::int64_t number, Check&& check) {
  try {
    check();
  } catch (const Refusal& refusal) {
    const std::string said = last_error().text();
    refuse(refusal.status, array, "[", number, "]: ", said);
  }
}

void check_layers_agree(const lacuna_stack& stack) {
  const lacuna_layer& first = stack.layers[0];
  for (std::int64_t l = 0; l < stack.count; ++l) {
    const lacuna_layer& layer = stack.layers[l];
    if (stack.bidirectional && layer.reverse)
      refuse(LACUNA_INVALID_ARGUMENT, "stack.layers[", l,
             "].reverse: 1, expected 0, for stack.bidirectional is 1 and gives each layer both "
             "directions");
    if (layer.reverse != first.reverse)
      refuse(LACUNA_INVALID_ARGUMENT, "stack.layers[", l, "].reverse: ", layer.reverse,
             ", expected layers[0].reverse = ", first.reverse);
    if (layer.type != first.type)
      refuse(LACUNA_INVALID_ARGUMENT, "stack.layers[", l, "].type: ", static_cast<int>(layer.type),
             ", expected layers[0].type = ", static_cast<int>(first.type));
    if (l == 0) continue;
    const std::int64_t below = output_width(stack.layers[l - 1]) * (stack.bidirectional ? 2 : 1);
    if (layer.features != below)
      refuse(LACUNA_INVALID_ARGUMENT, "stack.layers[", l, "].features: ", layer.features,
             ", expected ", below, ", the width of the output of the layer below");
    if (layer.impute != LACUNA_IMPUTE_NONE)
      refuse(LACUNA_INVALID_ARGUMENT, "stack.layers[", l, "].impute: ", name_of(layer.impute),
             ", expected none: nothing is missing in the output of the layer below");
    const std::int64_t width = output_width(layer) * (stack.bidirectional ? 2 : 1);
    if (stack.residual && width != below)
      refuse(LACUNA_INVALID_ARGUMENT, "stack.residual: 1, but the output of stack.layers[", l,
             "] has ", width, " columns and its input ", below);
  }
}

void check_layer_options(const lacuna_plan_options& options, std::int64_t number, bool inference) {
  check_one_of("options.layer_options", number, [&] { check_options(options); });
  const auto refuse_field = [&](std::string_view field, auto value, std::string_view expected) {
    refuse(LACUNA_INVALID_ARGUMENT, "options.layer_options[", number, "].", field, ": ", value,
           ", expected ", expected);
  };
  if (options.workspace)
    refuse_field("workspace", Address{options.workspace},
                 "null: what all layers work in lies in options.memory");
  if (options.inference && !inference)
    refuse_field("inference", options.inference, "0, for options.inference is 0");
  if (options.tape_budget != 0)
    refuse_field("tape_budget", options.tape_budget,
                 "0: options.memory_budget limits the tapes of all layers and windows");
}

std::vector<std::string> groups_of(const stack::StackRecipe& recipe, const char* name) {
  const std::size_t places = recipe.stack.places();
  std::vector<std::string> groups;
  groups.reserve(places);
  for (std::size_t i = 0; i < places; ++i)
    groups.push_back(std::string(name) + "[" + std::to_string(i) + "].");
  return groups;
}

}  // namespace

schedule::Stack checked(const lacuna_stack* given, const Backend* backend) {
  const lacuna_stack& stack = not_null(given, "stack");
  if (stack.count < 1 || stack.count > most_layers)
    refuse(LACUNA_INVALID_ARGUMENT, "stack.count: ", stack.count, ", expected 1 to ", most_layers);
  not_null(stack.layers, "stack.layers");
  check_flag(stack.bidirectional, "stack.bidirectional");
  check_flag(stack.residual, "stack.residual");
  if (!(stack.dropout >= 0 && stack.dropout < 1))
    refuse(LACUNA_INVALID_ARGUMENT, "stack.dropout: ", stack.dropout,
           ", expected 0 or more and less than 1");
  for (std::int64_t l = 0; l < stack.count; ++l)
    check_one_of("stack.layers", l, [&] {
      backend ? checked(&stack.layers[l], *backend) : checked(&stack.layers[l]);
    });
  check_layers_agree(stack);
  return {.layers = {stack.layers, stack.layers + stack.count},
          .bidirectional = stack.bidirectional != 0,
          .residual = stack.residual != 0,
          .dropout = stack.dropout};
}

stack::Options checked(const lacuna_stack_options& options, const schedule::Stack& stack,
                       const lacuna_capacity& capacity) {
  check_flag(options.inference, "options.inference");
  if (!options.memory && options.memory_bytes > 0)
    refuse(LACUNA_INVALID_ARGUMENT, "options.memory: null, but options.memory_bytes is ",
           options.memory_bytes);
  const std::int64_t longest = capacity.max_length > 0 ? capacity.max_length : capacity.tokens;
  const std::int64_t least = (longest + schedule::most_windows - 1) / schedule::most_windows;
  const auto check_segment = [&](std::int64_t segment, std::string_view argument) {
    if (segment < std::max<std::int64_t>(least, 1))
      refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", segment, ", expected at least ",
             std::max<std::int64_t>(least, 1), ", for sequences of up to ", longest,
             " tokens to be cut into no more than ", schedule::most_windows, " windows");
  };
  if (options.segment != 0) check_segment(options.segment, "options.segment");
  if (options.truncate_every == 0 && options.truncate_reach != 0)
    refuse(LACUNA_INVALID_ARGUMENT, "options.truncate_reach: ", options.truncate_reach,
           ", expected 0, for options.truncate_every is 0");
  if (options.truncate_every != 0) {
    if (stack.bidirectional)
      refuse(LACUNA_INVALID_ARGUMENT, "options.truncate_every: ", options.truncate_every,
             ", expected 0: a bidirectional stack needs whole sequences, for its reverse direction "
             "starts at their ends");
    check_segment(options.truncate_every, "options.truncate_every");
    if (options.segment != 0 && options.segment != options.truncate_every)
      refuse(LACUNA_INVALID_ARGUMENT, "options.segment: ", options.segment,
             ", expected 0 or options.truncate_every = ", options.truncate_every);
    if (options.truncate_reach < options.truncate_every ||
        options.truncate_reach % options.truncate_every != 0)
      refuse(LACUNA_INVALID_ARGUMENT, "options.truncate_reach: ", options.truncate_reach,
             ", expected a multiple of options.truncate_every = ", options.truncate_every);
  }
  stack::Options chosen{.inference = options.inference != 0,
                        .budget = options.memory_budget,
                        .segment = options.segment,
                        .truncate_every = options.truncate_every,
                        .truncate_reach = options.truncate_reach};
  for (std::size_t l = 0; options.layer_options != nullptr && l < stack.layers.size(); ++l) {
    const lacuna_plan_options& of_layer = options.layer_options[l];
    check_layer_options(of_layer, static_cast<std::int64_t>(l), chosen.inference);
    chosen.layers.push_back(of_layer);
  }
  return chosen;
}

StackChecks::StackChecks(const stack::StackRecipe& recipe)
    : recipe_(recipe),
      parameters_(groups_of(recipe, "parameters")),
      d_parameters_(groups_of(recipe, "d_parameters")),
      initial_(groups_of(recipe, "initial_states")),
      final_(groups_of(recipe, "outputs.final_states")),
      d_final_(groups_of(recipe, "d_outputs.d_final_states")),
      d_initial_(groups_of(recipe, "d_inputs.d_initial_states")),
      d_norms_(groups_of(recipe, "d_inputs.d_hidden_norms")) {
  for (std::string& name : d_norms_) name.pop_back();  // these are arrays, not structs of arrays
  // What comes with the batch serves all layers.
  door_.layer = recipe.stack.layers.front();
  for (const lacuna_layer& layer : recipe.stack.layers)
    if (reads_fires(layer)) door_.layer.empty_rows = LACUNA_EMPTY_ROWS_EVOLVE_ONLY;
  door_.capacity = recipe.capacity;
  // Of each layer and direction: its parameters, their gradients, states and theirs; the batch and the rest.
  constexpr std::size_t of_layer = 2 * LACUNA_PARAMETERS + 2 * 4 + 1, of_call = 32;
  room_.resize(parameters_.size() * of_layer + of_call);
}

template <class State>
void StackChecks::states(const State* given, const std::vector<std::string>& groups,
                         std::int64_t sequences, bool written, Arrays& arrays) const {
  if (given == nullptr) return;
  for (std::size_t place = 0; place < groups.size(); ++place) {
    const lacuna_layer& of = layer(place);
    const Extent of_hidden{
        .rows = sequences, .columns = output_width(of), .element = size_of(of.type)};
    const Extent of_cell{.rows = sequences, .columns = of.hidden, .element = size_of(of.type)};
    const Name hidden(groups[place], "hidden"), cell(groups[place], "cell");
    check_cell(of, given[place].cell, cell);
    if (written) {
      arrays.optional_output(hidden, given[place].hidden, of_hidden);
      arrays.optional_output(cell, given[place].cell, of_cell);
    } else {
      arrays.optional_input(hidden, given[place].hidden, of_hidden);
      arrays.optional_input(cell, given[place].cell, of_cell);
    }
  }
}

void StackChecks::batch_of_stack(const lacuna_batch& batch) const {
  const auto unwanted = [](const void* array, std::string_view name, std::string_view because) {
    if (array) refuse(LACUNA_INVALID_ARGUMENT, "batch.", name, ": given, expected null: ", because);
  };
  unwanted(batch.initial_hidden, "initial_hidden", "a stack has initial_states for each layer");
  unwanted(batch.initial_cell, "initial_cell", "a stack has initial_states for each layer");
  if (batch.offsets_on_device)
    refuse(LACUNA_UNSUPPORTED,
           "batch.offsets_on_device: 1, expected 0: a stack's windows are cut by the host");
  if (recipe_.stack.bidirectional) {
    constexpr std::string_view whole =
        "a bidirectional stack needs whole sequences, for its reverse direction starts at their "
        "ends";
    unwanted(batch.carry_in.last_values, "carry_in.last_values", whole);
    unwanted(batch.carry_in.since, "carry_in.since", whole);
    unwanted(batch.carry_in.last_time, "carry_in.last_time", whole);
    unwanted(batch.carry_in.first_gap, "carry_in.first_gap", whole);
    unwanted(batch.delta, "delta",
             "the two directions of a bidirectional stack do not share the time since a "
             "measurement");
  }
  if (batch.tokens == 0 || batch.delta_t || batch.times) return;
  for (std::size_t l = 1; l < recipe_.stack.layers.size(); ++l)
    if (needs_gaps(recipe_.stack.layers[l], batch) ||
        recipe_.stack.layers[l].evolve == LACUNA_EVOLVE_DECAY)
      refuse(LACUNA_INVALID_ARGUMENT, "batch.delta_t: null, and batch.times too, but stack.layers[",
             l, "] reads elapsed time");
}

void StackChecks::inputs(const Backend& backend, std::byte* memory,
                         const lacuna_parameters* parameters, const lacuna_batch& batch,
                         const lacuna_state* initial_states, Arrays& arrays) {
  not_null(parameters, "parameters");
  for (std::size_t place = 0; place < parameters_.size(); ++place)
    check_parameters(layer(place), parameters_[place], parameters[place], arrays);
  check_shape(door_, backend, batch, arrays);
  batch_of_stack(batch);
  states(initial_states, initial_, batch.sequences, false, arrays);
  arrays.optional_output("the plan's memory", memory,
                         {.rows = static_cast<std::int64_t>(recipe_.graph.bytes)});
}

void StackChecks::forward(const Backend& backend, std::byte* memory,
                          const lacuna_parameters* parameters, const lacuna_batch& batch,
                          const lacuna_state* initial_states, const lacuna_stack_outputs& outputs) {
  Arrays arrays(room_);
  inputs(backend, memory, parameters, batch, initial_states, arrays);
  const schedule::Stack& stack = recipe_.stack;
  const lacuna_layer& first = stack.layers.front();
  const std::int64_t N = batch.tokens, B = batch.sequences, D = first.features;
  const std::size_t real = size_of(first.type), wide = wide_size_of(first.type);
  const lacuna_carry& carry = outputs.carry_out;
  if (stack.bidirectional &&
      (carry.last_values || carry.since || carry.last_time || carry.first_gap))
    refuse(LACUNA_INVALID_ARGUMENT,
           "outputs.carry_out: given, expected null: a bidirectional stack's reverse direction "
           "begins where the pieces that come later end");
  check_carry_out(first, batch, carry);
  arrays.optional_output("outputs.hidden", outputs.hidden,
                         {N, stack.output_width(stack.depth() - 1), real});
  states(outputs.final_states, final_, B, true, arrays);
  arrays.optional_output("outputs.carry_out.last_values", carry.last_values, {B, D, real});
  arrays.optional_output("outputs.carry_out.since", carry.since, {B, D, wide});
  arrays.optional_output("outputs.carry_out.last_time", carry.last_time, {B, 1, sizeof(double)});
  arrays.optional_output("outputs.carry_out.first_gap", carry.first_gap, {B, 1, wide});
  arrays.check(backend);
  check_content(door_, backend, batch);
}

void StackChecks::backward(const Backend& backend, std::byte* memory,
                           const lacuna_parameters* parameters, const lacuna_batch& batch,
                           const lacuna_state* initial_states,
                           const lacuna_stack_output_gradients& d_outputs,
                           const lacuna_parameter_gradients* d_parameters,
                           const lacuna_stack_input_gradients& d_inputs) {
  Arrays arrays(room_);
  inputs(backend, memory, parameters, batch, initial_states, arrays);
  const schedule::Stack& stack = recipe_.stack;
  const lacuna_layer& first = stack.layers.front();
  const std::int64_t N = batch.tokens, B = batch.sequences;
  arrays.optional_input("d_outputs.d_hidden", d_outputs.d_hidden,
                        {N, stack.output_width(stack.depth() - 1), size_of(first.type)});
  states(d_outputs.d_final_states, d_final_, B, false, arrays);
  if (d_parameters != nullptr)
    for (std::size_t place = 0; place < parameters_.size(); ++place)
      check_gradients(layer(place), d_parameters_[place], d_parameters[place], arrays);
  if (N > 0 && d_inputs.d_delta_t && !batch.delta_t && !batch.times)
    refuse(LACUNA_INVALID_ARGUMENT,
           "d_inputs.d_delta_t: given, but the batch has neither delta_t nor times");
  arrays.optional_output("d_inputs.d_values", d_inputs.d_values,
                         {N, first.features, size_of(first.type)});
  arrays.optional_output("d_inputs.d_delta_t", d_inputs.d_delta_t,
                         {N, 1, wide_size_of(first.type)});
  states(d_inputs.d_initial_states, d_initial_, B, true, arrays);
  for (std::size_t place = 0; d_inputs.d_hidden_norms != nullptr && place < d_norms_.size();
       ++place)
    arrays.optional_output(Name(d_norms_[place], ""), d_inputs.d_hidden_norms[place],
                           {N, 1, wide_size_of(first.type)});
  arrays.check(backend);
  check_content(door_, backend, batch);
}

}  // namespace lacuna::api
