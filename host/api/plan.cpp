// lacuna_plan_* and lacuna_tape_*, all but running them.
#include "host/api/plan.h"

#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <stdexcept>
#include <string>

#include "host/api/batch_check.h"
#include "host/api/guard.h"
#include "host/api/layer.h"

namespace lacuna::api {

void check_options(const lacuna_plan_options& options) {
  check_flag(options.inference, "options.inference");
  check_enumerator(options.regime, LACUNA_REGIME_LONE, "options.regime", "lacuna_regime");
  check_enumerator(options.precision, LACUNA_PRECISION_TF32, "options.precision",
                   "lacuna_precision");
  check_enumerator(options.tape, LACUNA_TAPE_STATES, "options.tape", "lacuna_tape_kind");
  if (options.blocks != 0) {
    if (options.regime != LACUNA_REGIME_CLUSTER && options.regime != LACUNA_REGIME_GRID)
      refuse(LACUNA_INVALID_ARGUMENT, "options.blocks: ", options.blocks,
             ", expected 0 where options.regime is neither CLUSTER nor GRID; it is ",
             static_cast<int>(options.regime));
    if (options.blocks < 2 || options.blocks > 128 || (options.blocks & (options.blocks - 1)) != 0)
      refuse(LACUNA_INVALID_ARGUMENT, "options.blocks: ", options.blocks,
             ", expected 0 or a power of 2 from 2 to 128");
  }
  if (!options.workspace && options.workspace_bytes > 0)
    refuse(LACUNA_INVALID_ARGUMENT, "options.workspace: null, but options.workspace_bytes is ",
           options.workspace_bytes);
}

namespace {

// What a plan and one tape take of the context's memory.
std::size_t taken(const Recipe& recipe, const lacuna_plan_options& options) {
  return recipe.tape_bytes + (options.workspace ? 0 : recipe.workspace_bytes);
}

// Within the context's limit, if a tape without gates makes it possible: its workspace may be larger.
Recipe within_limit(const Backend& backend, std::size_t limit, Recipe with_gates,
                    lacuna_plan_options options) {
  if (limit == 0 || taken(with_gates, options) <= limit || options.tape != LACUNA_TAPE_BEST ||
      with_gates.device.tape_kind != LACUNA_TAPE_GATES)
    return with_gates;
  options.tape = LACUNA_TAPE_STATES;
  Recipe without = backend.plan(with_gates.layer, with_gates.capacity, options, /*sharers*/ 1);
  if (taken(without, options) >= taken(with_gates, options)) return with_gates;
  without.device.why_no_gates =
      "the context's memory_limit of " + std::to_string(limit) + " bytes leaves no room for them";
  return without;
}

Recipe recipe_for(const Context& context, const lacuna_layer* layer, const lacuna_capacity* given,
                  const lacuna_plan_options& options) {
  checked(layer, *context.backend);
  const lacuna_capacity& capacity = checked_capacity(given, *context.backend);
  check_options(options);
  try {
    return within_limit(*context.backend, context.backend->memory().limits().in_use,
                        context.backend->plan(*layer, capacity, options, /*sharers*/ 1), options);
  } catch (const std::length_error&) {
    refuse(LACUNA_INVALID_ARGUMENT, "capacity: ", capacity.tokens, " tokens in ",
           capacity.sequences, " sequences, too many for any memory with a layer of ",
           layer->features, " features and ", layer->hidden, " hidden units");
  }
}

std::string explain(const lacuna_plan& plan) { return plan.context->backend->explain(plan.recipe); }

std::string explain(const lacuna_plan& plan, const std::int64_t* offsets, std::int64_t sequences) {
  const lacuna_capacity& capacity = plan.recipe.capacity;
  if (sequences < 0)
    refuse(LACUNA_INVALID_ARGUMENT, "sequences: ", sequences, ", expected at least 0");
  if (sequences > capacity.sequences)
    refuse(LACUNA_CAPACITY_EXCEEDED, "sequences: ", sequences,
           ", but the plan was made for at most ", capacity.sequences);
  static constexpr std::int64_t none = 0;
  if (sequences == 0 && !offsets) offsets = &none;
  not_null(offsets, "offsets");
  check_host_reads(*plan.context->backend, "offsets", offsets);
  check_offsets("offsets", offsets, sequences, capacity);
  if (offsets[sequences] > capacity.tokens)
    refuse(LACUNA_CAPACITY_EXCEEDED, "offsets[", sequences, "]: ", offsets[sequences],
           " tokens, but the plan was made for at most ", capacity.tokens);
  return explain(plan) + plan.context->backend->explain_batch(
                             plan.recipe, {offsets, static_cast<std::size_t>(sequences) + 1});
}

lacuna_plan_info info_of(const Recipe& recipe) {
  return {.workspace_bytes = recipe.workspace_bytes,
          .tape_bytes = recipe.tape_bytes,
          .regime = recipe.device.regime,
          .tape = recipe.device.tape_kind};
}

}  // namespace

const lacuna_capacity& checked_capacity(const lacuna_capacity* given, const Backend& backend) {
  // Far beyond any machine, and small enough for the plan to count in 64 bits.
  static constexpr std::int64_t most_rows = std::int64_t{1} << 48;
  // CUDA sorts sequences, and numbers them in 32 bits.
  static constexpr std::int64_t most_on_cuda = std::numeric_limits<std::int32_t>::max();
  const lacuna_capacity& capacity = not_null(given, "capacity");
  const auto check = [](std::int64_t rows, std::string_view argument) {
    if (rows < 0 || rows > most_rows)
      refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", rows, ", expected 0 to ", most_rows);
  };
  check(capacity.tokens, "capacity.tokens");
  check(capacity.sequences, "capacity.sequences");
  check(capacity.max_length, "capacity.max_length");
  if (backend.kind() == LACUNA_BACKEND_CUDA && capacity.sequences > most_on_cuda)
    refuse(LACUNA_INVALID_ARGUMENT, "capacity.sequences: ", capacity.sequences, ", expected 0 to ",
           most_on_cuda, " on CUDA");
  return capacity;
}

memory::Block take_block(Context& context, void* given, std::size_t given_bytes, std::size_t needed,
                         std::string_view argument, std::string_view size_argument) {
  if (given) {
    if (reinterpret_cast<std::uintptr_t>(given) % memory::alignment != 0)
      refuse(LACUNA_INVALID_ARGUMENT, argument, ": address ", Address{given},
             ", expected a multiple of ", memory::alignment);
    if (const std::string wrong = context.backend->refuse_address(given, true); !wrong.empty())
      refuse(LACUNA_INVALID_ARGUMENT, argument, ": address ", Address{given}, ", ", wrong);
    if (given_bytes < needed)
      refuse(LACUNA_INVALID_ARGUMENT, size_argument, ": ", given_bytes, ", expected at least ",
             needed);
    return memory::Block::borrowed(given);
  }
  if (needed == 0) return {};
  memory::Block block = memory::Block::owned(context.backend->memory(), needed);
  if (!block.data()) {
    const memory::Memory& memory = context.backend->memory();
    if (const std::size_t limit = memory.limits().in_use; limit > 0)
      refuse(LACUNA_OUT_OF_MEMORY, argument, ": the context's memory has no block of ", needed,
             " bytes; its limit is ", limit, ", and ", memory.statistics().bytes_in_use,
             " are in use");
    refuse(LACUNA_OUT_OF_MEMORY, argument, ": the context's memory has no block of ", needed,
           " bytes");
  }
  if (reinterpret_cast<std::uintptr_t>(block.data()) % memory::alignment != 0)
    refuse(LACUNA_INVALID_ARGUMENT, "allocator.allocate: returned address ", Address{block.data()},
           ", expected a multiple of ", memory::alignment);
  if (const std::string wrong = context.backend->refuse_address(block.data(), true); !wrong.empty())
    refuse(LACUNA_INVALID_ARGUMENT, "allocator.allocate: returned address ", Address{block.data()},
           ", ", wrong);
  return block;
}

void write_text(const std::string& from, char* text, std::size_t* length) {
  const std::size_t room = not_null(length, "length");
  if (text) {
    if (room < from.size() + 1)
      refuse(LACUNA_INVALID_ARGUMENT, "length: ", room, ", expected at least ", from.size() + 1);
    std::memcpy(text, from.c_str(), from.size() + 1);
  }
  *length = from.size();
}

}  // namespace lacuna::api

namespace api = lacuna::api;
using api::guarded;
using api::not_null;
using api::refuse;

extern "C" {

lacuna_status lacuna_plan_create(lacuna_context* context, const lacuna_layer* layer,
                                 const lacuna_capacity* capacity,
                                 const lacuna_plan_options* options, lacuna_plan** plan) {
  return guarded([&] {
    not_null(plan, "plan") = nullptr;
    auto& shared = not_null(context, "context").shared;
    const lacuna_plan_options chosen = options ? *options : lacuna_plan_options{};
    const lacuna::Recipe recipe = api::recipe_for(*shared, layer, capacity, chosen);
    *plan =
        new lacuna_plan{.context = shared,
                        .recipe = recipe,
                        .workspace = api::take_block(
                            *shared, chosen.workspace, chosen.workspace_bytes,
                            recipe.workspace_bytes, "options.workspace", "options.workspace_bytes"),
                        .prepared = shared->backend->prepare(recipe),
                        .running = {}};
  });
}

lacuna_status lacuna_plan_measure(lacuna_context* context, const lacuna_layer* layer,
                                  const lacuna_capacity* capacity,
                                  const lacuna_plan_options* options, lacuna_plan_info* info) {
  return guarded([&] {
    const auto& shared = *not_null(context, "context").shared;
    const lacuna_plan_options chosen = options ? *options : lacuna_plan_options{};
    const lacuna_plan_info answer = api::info_of(api::recipe_for(shared, layer, capacity, chosen));
    not_null(info, "info") = answer;
  });
}

lacuna_status lacuna_plan_query(const lacuna_plan* plan, lacuna_plan_info* info) {
  return guarded([&] {
    const lacuna::Recipe& recipe = not_null(plan, "plan").recipe;
    not_null(info, "info") = api::info_of(recipe);
  });
}

lacuna_status lacuna_plan_explain(const lacuna_plan* plan, char* text, size_t* length) {
  return guarded([&] { api::write_text(api::explain(not_null(plan, "plan")), text, length); });
}

lacuna_status lacuna_plan_explain_batch(const lacuna_plan* plan, const int64_t* offsets,
                                        int64_t sequences, char* text, size_t* length) {
  return guarded([&] {
    api::write_text(api::explain(not_null(plan, "plan"), offsets, sequences), text, length);
  });
}

void lacuna_plan_destroy(lacuna_plan* plan) { delete plan; }

lacuna_status lacuna_tape_create(lacuna_plan* plan, void* memory, size_t bytes,
                                 lacuna_tape** tape) {
  return guarded([&] {
    not_null(tape, "tape") = nullptr;
    const lacuna::Recipe& recipe = not_null(plan, "plan").recipe;
    if (recipe.inference)
      refuse(LACUNA_MISMATCH,
             "plan: made with options.inference = 1, which has no backward run and so no tape");
    if (!memory && bytes > 0) refuse(LACUNA_INVALID_ARGUMENT, "memory: null, but bytes is ", bytes);
    *tape = new lacuna_tape{.context = plan->context,
                            .recipe = recipe,
                            .memory = api::take_block(*plan->context, memory, bytes,
                                                      recipe.tape_bytes, "memory", "bytes"),
                            .batch = {}};
  });
}

void lacuna_tape_destroy(lacuna_tape* tape) { delete tape; }
}
