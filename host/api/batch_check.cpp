#include "host/api/batch_check.h"

#include <cmath>
#include <limits>

#include "host/api/guard.h"
#include "host/api/layer.h"
#include "host/plan/shape.h"
#include "kernels/cells/noise.h"

namespace lacuna::api {
namespace {

void check_counts(const Recipe& recipe, const lacuna_batch& batch) {
  const auto check = [](std::int64_t count, std::int64_t most, std::string_view name) {
    if (count < 0) refuse(LACUNA_INVALID_ARGUMENT, "batch.", name, ": ", count, ", expected >= 0");
    if (count > most)
      refuse(LACUNA_CAPACITY_EXCEEDED, "batch.", name, ": ", count,
             ", but the plan was made for at most ", most);
  };
  check(batch.sequences, recipe.capacity.sequences, "sequences");
  check(batch.tokens, recipe.capacity.tokens, "tokens");
  if (batch.sequences == 0 && batch.tokens > 0)
    refuse(LACUNA_INVALID_ARGUMENT, "batch.tokens: ", batch.tokens,
           ", expected 0, for batch.sequences is 0");
}

void check_presence(const lacuna_layer& layer, const lacuna_batch& batch) {
  const auto without_mask = [&](const void* array, std::string_view name) {
    if (array && !has_mask(layer))
      refuse(LACUNA_INVALID_ARGUMENT, "batch.", name,
             ": given, but the layer has no mask; impute is LACUNA_IMPUTE_NONE");
  };
  without_mask(batch.mask, "mask");
  without_mask(batch.carry_in.last_values, "carry_in.last_values");
  without_mask(batch.carry_in.since, "carry_in.since");
  if (batch.fires && !reads_fires(layer))
    refuse(LACUNA_INVALID_ARGUMENT, "batch.fires: given, but ",
           has_mask(layer) ? "the layer's mask tells which rows are empty"
                           : "empty_rows is LACUNA_EMPTY_ROWS_UPDATE: the cell fires at all tokens",
           "; expected null");
  if (batch.tokens > 0 && reads_fires(layer) && !batch.fires)
    refuse(LACUNA_INVALID_ARGUMENT,
           "batch.fires: null, but empty_rows is LACUNA_EMPTY_ROWS_EVOLVE_ONLY, and impute "
           "LACUNA_IMPUTE_NONE has no mask to tell which rows are empty");
  if (batch.delta_t && batch.times)
    refuse(LACUNA_INVALID_ARGUMENT,
           "batch.times: given, and batch.delta_t too; expected one of them");
  if (batch.tokens > 0 && !batch.delta_t && !batch.times && needs_gaps(layer, batch))
    refuse(LACUNA_INVALID_ARGUMENT, "batch.delta_t: null, and batch.times too, but the layer (",
           name_of(layer.cell), ", impute ", name_of(layer.impute), ", evolve ",
           name_of(layer.evolve), layer.gap_input ? ", gap_input" : "", ") reads elapsed time");
  if (batch.carry_in.last_time && !batch.times && batch.tokens > 0)
    refuse(LACUNA_INVALID_ARGUMENT, "batch.carry_in.last_time: given, but batch.times is null");
  check_first_gap(layer, batch, batch.carry_in.first_gap, "batch.carry_in.first_gap");
  if (batch.initial_cell && layer.cell != LACUNA_LSTM)
    refuse(LACUNA_INVALID_ARGUMENT, "batch.initial_cell: given, but a cell of ",
           name_of(layer.cell), " has no c; expected null");
}

void check_offsets_of(const lacuna_batch& batch, const lacuna_capacity& capacity) {
  if (batch.sequences == 0 && !batch.offsets) return;
  check_offsets("batch.offsets", batch.offsets, batch.sequences, capacity);
  const std::int64_t tokens = batch.offsets[batch.sequences];
  if (tokens != batch.tokens)
    refuse(LACUNA_INVALID_ARGUMENT, "batch.offsets[", batch.sequences, "]: ", tokens,
           ", expected batch.tokens = ", batch.tokens);
}

template <class Real>
bool is_duration(Real time) {
  // False for NaN; & and not &&, which would branch.
  return static_cast<bool>(static_cast<int>(time >= 0) &
                           static_cast<int>(time <= std::numeric_limits<Real>::max()));
}

// [rows, columns] of finite numbers >= 0. The first loop has no way out, so that it vectorises.
template <class Real>
void check_durations(std::string_view name, const void* data, std::int64_t rows,
                     std::int64_t columns) {
  const Real* const times = static_cast<const Real*>(data);
  const std::int64_t count = rows * columns;
  int wrong = 0;
  for (std::int64_t i = 0; i < count; ++i) wrong |= static_cast<int>(!is_duration(times[i]));
  if (!wrong) return;
  std::int64_t i = 0;
  while (is_duration(times[i])) ++i;
  if (columns == 1)
    refuse(LACUNA_INVALID_ARGUMENT, "batch.", name, "[", i, "]: ", times[i],
           ", expected a finite number >= 0");
  refuse(LACUNA_INVALID_ARGUMENT, "batch.", name, "[", i / columns, ", ", i % columns,
         "]: ", times[i], ", expected a finite number >= 0");
}

// Time stamps must be finite, must not fall within a sequence, and their gaps must fit the layer's
// type. `last_time`: carry_in's, or null.
void check_times(const lacuna_layer& layer, const lacuna_batch& batch, const double* last_time) {
  const double* const times = batch.times;
  const double longest = layer.type == LACUNA_F64
                             ? std::numeric_limits<double>::max()
                             : static_cast<double>(std::numeric_limits<float>::max());
  const auto is_gap = [longest](double gap) { return gap >= 0 && gap <= longest; };
  for (std::int64_t b = 0; b < batch.sequences; ++b) {
    const std::int64_t begin = batch.offsets[b], end = batch.offsets[b + 1];
    if (begin == end) continue;
    if (!std::isfinite(times[begin]))
      refuse(LACUNA_INVALID_ARGUMENT, "batch.times[", begin, "]: ", times[begin],
             ", expected a finite number");
    for (std::int64_t s = begin + 1; s < end; ++s) {
      if (is_gap(times[s] - times[s - 1]) && std::isfinite(times[s])) continue;
      refuse(LACUNA_INVALID_ARGUMENT, "batch.times[", s, "]: ", times[s],
             ", expected a finite number not below times[", s - 1, "] = ", times[s - 1],
             " of the same sequence, and a gap within the layer's type");
    }

    if (!last_time) continue;
    const double carried = last_time[b];
    if (std::isnan(carried)) continue;
    // What preceded a reversed piece lies after it in time.
    const std::int64_t first = layer.reverse ? end - 1 : begin;
    const double gap = layer.reverse ? carried - times[first] : times[first] - carried;
    if (!is_gap(gap))
      refuse(LACUNA_INVALID_ARGUMENT, "batch.carry_in.last_time[", b, "]: ", carried,
             ", expected NaN or a finite time not ", layer.reverse ? "before" : "after", " times[",
             first, "] = ", times[first]);
  }
}

// [B], each below what random numbers tell apart.
void check_noise(std::string_view name, const std::int64_t* numbers, std::int64_t sequences) {
  for (std::int64_t b = 0; b < sequences; ++b)
    if (numbers[b] < 0 || numbers[b] >= noise_limit)
      refuse(LACUNA_INVALID_ARGUMENT, "batch.noise.", name, "[", b, "]: ", numbers[b],
             ", expected 0 to below 2^47");
}

// [N], each 0 or 1.
void check_fires(const std::uint8_t* fires, std::int64_t tokens) {
  for (std::int64_t s = 0; s < tokens; ++s)
    if (fires[s] > 1)
      refuse(LACUNA_INVALID_ARGUMENT, "batch.fires[", s, "]: ", int{fires[s]}, ", expected 0 or 1");
}

template <class Wide>
void check_content_of(const Recipe& recipe, const Backend& backend, const lacuna_batch& batch) {
  const lacuna_layer& layer = recipe.layer;
  const auto durations = [&](std::string_view name, const void* data, std::int64_t rows,
                             std::int64_t columns) {
    if (data && backend.host_reads(data)) check_durations<Wide>(name, data, rows, columns);
  };
  const bool knows_lengths = !batch.offsets_on_device;
  if (knows_lengths) check_offsets_of(batch, recipe.capacity);
  // Where the device alone knows the lengths, rows behind the last token may hold anything.
  const std::int64_t tokens = knows_lengths ? batch.tokens : 0;
  if (batch.fires && backend.host_reads(batch.fires)) check_fires(batch.fires, tokens);
  durations("delta_t", batch.delta_t, tokens, 1);
  if (tokens > 0 && batch.times && backend.host_reads(batch.times)) {
    const double* const carried = batch.carry_in.last_time;
    check_times(layer, batch, carried && backend.host_reads(carried) ? carried : nullptr);
  }
  durations("delta", batch.delta, tokens, layer.features);
  durations("carry_in.since", batch.carry_in.since, batch.sequences, layer.features);
  durations("carry_in.first_gap", batch.carry_in.first_gap, batch.sequences, 1);
  const auto noise = [&](std::string_view name, const std::int64_t* numbers) {
    if (numbers && backend.host_reads(numbers)) check_noise(name, numbers, batch.sequences);
  };
  noise("sequence", batch.noise.sequence);
  noise("position", batch.noise.position);
}

}  // namespace

// Which of a layer's inputs are gaps; delta needs them only where it is not ready-made.
bool needs_gaps(const lacuna_layer& layer, const lacuna_batch& batch) {
  return layer.gap_input || layer.cell == LACUNA_RNN_EULER ||
         layer.evolve == LACUNA_EVOLVE_DECAY_STEP || layer.evolve == LACUNA_EVOLVE_RELAX ||
         (uses_delta(layer) && !batch.delta);
}

void check_first_gap(const lacuna_layer& layer, const lacuna_batch& batch, const void* first_gap,
                     std::string_view name) {
  if (!first_gap) return;
  if (!layer.reverse)
    refuse(LACUNA_INVALID_ARGUMENT, name,
           ": given, but layer.reverse is 0; its delta_t has that gap at the first token");
  if (batch.tokens > 0 && !batch.delta_t)
    refuse(LACUNA_INVALID_ARGUMENT, name, ": given, but batch.delta_t is null");
}

void check_carry_out(const lacuna_layer& layer, const lacuna_batch& batch,
                     const lacuna_carry& carry) {
  if (!has_mask(layer) && (carry.last_values || carry.since))
    refuse(LACUNA_INVALID_ARGUMENT, "outputs.carry_out.",
           carry.last_values ? "last_values" : "since",
           ": given, but the layer has no mask; impute is LACUNA_IMPUTE_NONE");
  if (batch.tokens > 0 && carry.since && !batch.delta_t && !batch.times && !batch.delta)
    refuse(LACUNA_INVALID_ARGUMENT,
           "outputs.carry_out.since: given, but the batch has neither delta_t, times nor delta");
  if (batch.tokens > 0 && carry.last_time && !batch.times)
    refuse(LACUNA_INVALID_ARGUMENT, "outputs.carry_out.last_time: given, but batch.times is null");
  check_first_gap(layer, batch, carry.first_gap, "outputs.carry_out.first_gap");
}

void check_offsets(std::string_view name, const std::int64_t* offsets, std::int64_t sequences,
                   const lacuna_capacity& capacity) {
  if (offsets[0] != 0) refuse(LACUNA_INVALID_ARGUMENT, name, "[0]: ", offsets[0], ", expected 0");
  for (std::int64_t b = 1; b <= sequences; ++b) {
    if (offsets[b] < offsets[b - 1])
      refuse(LACUNA_INVALID_ARGUMENT, name, "[", b, "]: ", offsets[b], " falls below offsets[",
             b - 1, "] = ", offsets[b - 1]);
    const std::int64_t length = offsets[b] - offsets[b - 1];
    if (capacity.max_length > 0 && length > capacity.max_length)
      refuse(LACUNA_CAPACITY_EXCEEDED, name, "[", b, "]: sequence ", b - 1, " has ", length,
             " tokens, but the plan was made for at most ", capacity.max_length);
  }
}

void check_shape(const Recipe& recipe, const Backend& backend, const lacuna_batch& batch,
                 Arrays& arrays) {
  const lacuna_layer& layer = recipe.layer;
  check_counts(recipe, batch);
  check_flag(batch.offsets_on_device, "batch.offsets_on_device");
  if (batch.offsets_on_device && backend.kind() == LACUNA_BACKEND_CPU)
    refuse(LACUNA_INVALID_ARGUMENT, "batch.offsets_on_device: 1, expected 0 on the CPU");
  if (batch.offsets_on_device && recipe.capacity.max_length == 0)
    refuse(
        LACUNA_INVALID_ARGUMENT,
        "batch.offsets_on_device: 1, but the plan's capacity.max_length is 0; where the host does "
        "not know the lengths it has to know their limit");
  check_presence(layer, batch);

  const std::int64_t N = batch.tokens, B = batch.sequences, D = layer.features, H = layer.hidden,
                     R = output_width(layer);
  const std::size_t real = size_of(layer.type), wide = wide_size_of(layer.type);
  if (B > 0 || batch.offsets)
    arrays.input("batch.offsets", batch.offsets, {.rows = B + 1, .element = sizeof(std::int64_t)},
                 batch.offsets_on_device ? Where::backend : Where::host);
  if (batch.offsets && !batch.offsets_on_device)
    check_host_reads(backend, "batch.offsets", batch.offsets, ", for batch.offsets_on_device is 0");
  arrays.input("batch.values", batch.values, {.rows = N, .columns = D, .element = real});
  arrays.optional_input("batch.mask", batch.mask, {.rows = N, .columns = D});
  arrays.optional_input("batch.fires", batch.fires, {.rows = N});
  arrays.optional_input("batch.delta_t", batch.delta_t, {.rows = N, .element = wide});
  arrays.optional_input("batch.times", batch.times, {.rows = N, .element = sizeof(double)});
  arrays.optional_input("batch.delta", batch.delta, {.rows = N, .columns = D, .element = wide});
  arrays.optional_input("batch.initial_hidden", batch.initial_hidden,
                        {.rows = B, .columns = R, .element = real});
  arrays.optional_input("batch.initial_cell", batch.initial_cell,
                        {.rows = B, .columns = H, .element = real});
  const lacuna_carry& carry = batch.carry_in;
  arrays.optional_input("batch.carry_in.last_values", carry.last_values,
                        {.rows = B, .columns = D, .element = real});
  arrays.optional_input("batch.carry_in.since", carry.since,
                        {.rows = B, .columns = D, .element = wide});
  arrays.optional_input("batch.carry_in.last_time", carry.last_time,
                        {.rows = B, .element = sizeof(double)});
  arrays.optional_input("batch.carry_in.first_gap", carry.first_gap, {.rows = B, .element = wide});
  arrays.optional_input("batch.noise.sequence", batch.noise.sequence,
                        {.rows = B, .element = sizeof(std::int64_t)});
  arrays.optional_input("batch.noise.position", batch.noise.position,
                        {.rows = B, .element = sizeof(std::int64_t)});
}

void check_content(const Recipe& recipe, const Backend& backend, const lacuna_batch& batch) {
  if (recipe.layer.type == LACUNA_F64)
    check_content_of<double>(recipe, backend, batch);
  else
    check_content_of<float>(recipe, backend, batch);
}

BatchIdentity identify(const lacuna_batch& batch, bool drawn) {
  BatchIdentity identity{.sequences = batch.sequences, .tokens = batch.tokens};
  if (batch.offsets && !batch.offsets_on_device)
    for (std::int64_t b = 0; b <= batch.sequences; ++b)
      identity.offsets =
          (identity.offsets ^ static_cast<std::uint64_t>(batch.offsets[b])) * 0x9e3779b97f4a7c15u;
  const lacuna_carry& carry = batch.carry_in;
  const void* const optional[] = {batch.mask,        batch.delta_t,        batch.times,
                                  batch.delta,       batch.initial_hidden, batch.initial_cell,
                                  carry.last_values, carry.since,          carry.last_time,
                                  carry.first_gap,   batch.fires};
  std::uint32_t bit = 1;
  for (const void* array : optional) {
    if (array) identity.presence |= bit;
    bit <<= 1;
  }
  if (batch.offsets_on_device) identity.presence |= bit;
  if (!drawn) return identity;
  identity.seed = batch.noise.seed;
  if (batch.noise.sequence) identity.presence |= bit << 1;
  if (batch.noise.position) identity.presence |= bit << 2;
  return identity;
}

}  // namespace lacuna::api
