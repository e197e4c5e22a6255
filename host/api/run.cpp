// lacuna_forward and lacuna_backward: every argument is checked before anything is written, then
// the backend runs.
#include "host/api/batch_check.h"
#include "host/api/guard.h"
#include "host/api/layer.h"
#include "host/api/parameter_check.h"
#include "host/api/turn.h"
#include "host/plan/shape.h"

namespace lacuna::api {
namespace {

void check_outputs(const lacuna_layer& layer, const lacuna_batch& batch,
                   const lacuna_outputs& outputs, Arrays& arrays) {
  const lacuna_carry& carry = outputs.carry_out;
  check_cell(layer, outputs.cell, "outputs.cell");
  check_cell(layer, outputs.final_cell, "outputs.final_cell");
  check_carry_out(layer, batch, carry);

  const std::int64_t N = batch.tokens, B = batch.sequences, D = layer.features, H = layer.hidden,
                     R = output_width(layer);
  const std::size_t real = size_of(layer.type), wide = wide_size_of(layer.type);
  arrays.optional_output("outputs.hidden", outputs.hidden, {N, R, real});
  arrays.optional_output("outputs.cell", outputs.cell, {N, H, real});
  arrays.optional_output("outputs.evolved_hidden", outputs.evolved_hidden, {N, R, real});
  arrays.optional_output("outputs.imputed", outputs.imputed, {N, D, real});
  arrays.optional_output("outputs.final_hidden", outputs.final_hidden, {B, R, real});
  arrays.optional_output("outputs.final_cell", outputs.final_cell, {B, H, real});
  arrays.optional_output("outputs.carry_out.last_values", carry.last_values, {B, D, real});
  arrays.optional_output("outputs.carry_out.since", carry.since, {B, D, wide});
  arrays.optional_output("outputs.carry_out.last_time", carry.last_time, {B, 1, sizeof(double)});
  arrays.optional_output("outputs.carry_out.first_gap", carry.first_gap, {B, 1, wide});
}

void check_output_gradients(const lacuna_layer& layer, const lacuna_batch& batch,
                            const lacuna_output_gradients& gradients, Arrays& arrays) {
  check_cell(layer, gradients.d_cell, "d_outputs.d_cell");
  check_cell(layer, gradients.d_final_cell, "d_outputs.d_final_cell");
  const std::int64_t N = batch.tokens, B = batch.sequences, H = layer.hidden,
                     R = output_width(layer);
  const std::size_t real = size_of(layer.type);
  arrays.optional_input("d_outputs.d_hidden", gradients.d_hidden, {N, R, real});
  arrays.optional_input("d_outputs.d_cell", gradients.d_cell, {N, H, real});
  arrays.optional_input("d_outputs.d_final_hidden", gradients.d_final_hidden, {B, R, real});
  arrays.optional_input("d_outputs.d_final_cell", gradients.d_final_cell, {B, H, real});
}

void check_input_gradients(const lacuna_layer& layer, const lacuna_batch& batch,
                           const lacuna_input_gradients& gradients, Arrays& arrays) {
  check_cell(layer, gradients.d_initial_cell, "d_inputs.d_initial_cell");
  const std::int64_t N = batch.tokens, B = batch.sequences, D = layer.features, H = layer.hidden,
                     R = output_width(layer);
  const std::size_t real = size_of(layer.type), wide = wide_size_of(layer.type);
  if (N > 0 && gradients.d_delta_t && !batch.delta_t && !batch.times)
    refuse(LACUNA_INVALID_ARGUMENT,
           "d_inputs.d_delta_t: given, but the batch has neither delta_t nor times");
  arrays.optional_output("d_inputs.d_values", gradients.d_values, {N, D, real});
  arrays.optional_output("d_inputs.d_delta_t", gradients.d_delta_t, {N, 1, wide});
  arrays.optional_output("d_inputs.d_initial_hidden", gradients.d_initial_hidden, {B, R, real});
  arrays.optional_output("d_inputs.d_initial_cell", gradients.d_initial_cell, {B, H, real});
}

bool same_recipe(const Recipe& a, const Recipe& b) {
  const lacuna_layer &p = a.layer, &q = b.layer;
  return p.cell == q.cell && p.impute == q.impute && p.evolve == q.evolve &&
         p.empty_rows == q.empty_rows && p.type == q.type && p.features == q.features &&
         p.hidden == q.hidden && p.mask_input == q.mask_input && p.gap_input == q.gap_input &&
         p.reverse == q.reverse && p.zoneout_hidden == q.zoneout_hidden &&
         p.zoneout_cell == q.zoneout_cell && p.recurrent_dropout == q.recurrent_dropout &&
         p.layer_norm == q.layer_norm && p.projection == q.projection &&
         a.capacity.tokens == b.capacity.tokens && a.capacity.sequences == b.capacity.sequences &&
         a.capacity.max_length == b.capacity.max_length && a.inference == b.inference &&
         a.isa == b.isa && a.threads == b.threads && a.tape_bytes == b.tape_bytes;
}

void check_tape_fits(const lacuna_plan& plan, const lacuna_tape& tape) {
  // Its memory may be another device's.
  if (plan.context != tape.context)
    refuse(LACUNA_MISMATCH,
           "tape: made for a plan of another context, expected one of this plan's");
  if (!same_recipe(plan.recipe, tape.recipe))
    refuse(LACUNA_MISMATCH, "tape: made for a plan of another layer, capacity or kind of tape (",
           name_of(tape.recipe.layer.cell), " with ", tape.recipe.layer.features, " features, ",
           tape.recipe.layer.hidden, " hidden units, ", tape.recipe.capacity.tokens, " tokens in ",
           tape.recipe.capacity.sequences, " sequences)");
}

void check_same_batch(const lacuna_tape& tape, const BatchIdentity& now) {
  if (!tape.filled)
    refuse(LACUNA_MISMATCH, "tape: empty, expected one that a forward run has filled");
  const BatchIdentity& then = tape.batch;
  const auto check = [](std::int64_t given, std::int64_t expected, std::string_view name) {
    if (given != expected)
      refuse(LACUNA_MISMATCH, "batch.", name, ": ", given,
             ", but the run that filled the tape had ", expected);
  };
  check(now.sequences, then.sequences, "sequences");
  check(now.tokens, then.tokens, "tokens");
  if (now.offsets != then.offsets)
    refuse(LACUNA_MISMATCH, "batch.offsets: not those of the run that filled the tape");
  if (now.seed != then.seed)
    refuse(LACUNA_MISMATCH, "batch.noise.seed: ", now.seed,
           ", but the run that filled the tape had ", then.seed);
  if (now.presence != then.presence)
    refuse(LACUNA_MISMATCH,
           "batch: an optional array is given now and was not in the run that filled the tape, or "
           "the other way round");
}

// The plan's own memory takes part in the search for overlaps.
void add_workspace(const lacuna_plan& plan, Arrays& arrays) {
  arrays.optional_output("the plan's workspace", plan.workspace.data(),
                         {.rows = static_cast<std::int64_t>(plan.recipe.workspace_bytes)});
}

Extent tape_extent(const lacuna_tape& tape) {
  return {.rows = static_cast<std::int64_t>(tape.recipe.tape_bytes)};
}

void forward(lacuna_plan& plan, const lacuna_parameters& parameters, const lacuna_batch& batch,
             const lacuna_outputs& outputs, lacuna_tape* tape, void* stream) {
  Backend& backend = *plan.context->backend;
  const lacuna_layer& layer = plan.recipe.layer;
  LayerArrays arrays;
  check_parameters(layer, "parameters.", parameters, arrays);
  check_shape(plan.recipe, backend, batch, arrays);
  check_outputs(layer, batch, outputs, arrays);
  add_workspace(plan, arrays);
  if (tape) {
    check_tape_fits(plan, *tape);
    arrays.optional_output("the tape's memory", tape->memory.data(), tape_extent(*tape));
  }
  arrays.check(backend);
  check_content(plan.recipe, backend, batch);

  backend.forward({plan.recipe, plan.prepared.get(), parameters, batch, outputs,
                   tape ? tape->memory.data() : nullptr, plan.workspace.data(), stream,
                   /*staged*/ false, /*drawn*/ tape != nullptr});
  if (tape) {
    tape->batch = identify(batch, draws(layer));
    tape->filled = true;
  }
}

void backward(lacuna_plan& plan, const lacuna_parameters& parameters, const lacuna_batch& batch,
              const lacuna_output_gradients& d_outputs, const lacuna_tape& tape,
              const lacuna_parameter_gradients& d_parameters,
              const lacuna_input_gradients& d_inputs, void* stream) {
  Backend& backend = *plan.context->backend;
  const lacuna_layer& layer = plan.recipe.layer;
  if (plan.recipe.inference)
    refuse(LACUNA_MISMATCH, "plan: made with options.inference = 1, which has no backward run");
  LayerArrays arrays;
  check_tape_fits(plan, tape);
  check_parameters(layer, "parameters.", parameters, arrays);
  check_shape(plan.recipe, backend, batch, arrays);
  check_output_gradients(layer, batch, d_outputs, arrays);
  check_gradients(layer, "d_parameters.", d_parameters, arrays);
  check_input_gradients(layer, batch, d_inputs, arrays);
  add_workspace(plan, arrays);
  arrays.optional_input("the tape's memory", tape.memory.data(), tape_extent(tape));
  arrays.check(backend);
  check_content(plan.recipe, backend, batch);
  check_same_batch(tape, identify(batch, draws(layer)));

  backend.backward({plan.recipe, plan.prepared.get(), parameters, batch, d_outputs,
                    tape.memory.data(), d_parameters, d_inputs, plan.workspace.data(), stream});
}

}  // namespace
}  // namespace lacuna::api

namespace api = lacuna::api;
using api::not_null;

extern "C" {

lacuna_status lacuna_forward(lacuna_plan* plan, const lacuna_parameters* parameters,
                             const lacuna_batch* batch, const lacuna_outputs* outputs,
                             lacuna_tape* tape, void* stream) {
  return api::guarded([&] {
    not_null(plan, "plan");
    not_null(parameters, "parameters");
    not_null(batch, "batch");
    not_null(outputs, "outputs");
    api::check_stream(*plan->context->backend, stream);
    const api::Turn turn(plan->running);
    api::forward(*plan, *parameters, *batch, *outputs, tape, stream);
  });
}

lacuna_status lacuna_backward(lacuna_plan* plan, const lacuna_parameters* parameters,
                              const lacuna_batch* batch, const lacuna_output_gradients* d_outputs,
                              const lacuna_tape* tape,
                              const lacuna_parameter_gradients* d_parameters,
                              const lacuna_input_gradients* d_inputs, void* stream) {
  return api::guarded([&] {
    not_null(plan, "plan");
    not_null(parameters, "parameters");
    not_null(batch, "batch");
    not_null(d_outputs, "d_outputs");
    not_null(tape, "tape");
    api::check_stream(*plan->context->backend, stream);
    const api::Turn turn(plan->running);
    api::backward(*plan, *parameters, *batch, *d_outputs, *tape,
                  d_parameters ? *d_parameters : lacuna_parameter_gradients{},
                  d_inputs ? *d_inputs : lacuna_input_gradients{}, stream);
  });
}
}
