// Whether a batch keeps every rule that lacuna.h writes down: one pass over what places and times
// tokens, none over values.
#pragma once

#include <string_view>

#include "host/api/arrays.h"
#include "host/api/plan.h"

namespace lacuna::api {

// Whether the layer cannot do without delta_t or times.
bool needs_gaps(const lacuna_layer& layer, const lacuna_batch& batch);

// Offsets [B+1] of the host: from 0, none below the one before, no sequence longer than the plan allows.
void check_offsets(std::string_view name, const std::int64_t* offsets, std::int64_t sequences,
                   const lacuna_capacity& capacity);

// Sizes, and which arrays are given; adds them to `arrays`. Reads none.
void check_shape(const Recipe& recipe, const Backend& backend, const lacuna_batch& batch,
                 Arrays& arrays);

// For carry_in and carry_out alike: only a reversed layer with delta_t has use for it.
void check_first_gap(const lacuna_layer& layer, const lacuna_batch& batch, const void* first_gap,
                     std::string_view name);

// Which parts of outputs.carry_out the layer and the batch can fill.
void check_carry_out(const lacuna_layer& layer, const lacuna_batch& batch,
                     const lacuna_carry& carry);

// Offsets, gaps, times, delta and carry, as far as the host can read them. After check_shape.
void check_content(const Recipe& recipe, const Backend& backend, const lacuna_batch& batch);

// After check_content: offsets of another batch of the same size would send backward astray on the
// tape. `drawn`: so would other random numbers.
BatchIdentity identify(const lacuna_batch& batch, bool drawn);

}  // namespace lacuna::api
