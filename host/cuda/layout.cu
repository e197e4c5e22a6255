#include "host/cuda/layout.h"

#include <algorithm>
#include <stdexcept>

#include "host/cuda/regime.h"
#include "host/plan/shape.h"
#include "kernels/recurrence/cell_steps.h"
#include "kernels/recurrence/split/division.h"
#include "kernels/recurrence/stepwise/normalise.h"
#include "kernels/recurrence/stepwise/product.h"
#include "kernels/tokens/observe.h"
#include "kernels/tokens/observe_backward.h"
#include "kernels/tokens/offsets.h"
#include "kernels/tokens/reduce.h"

namespace lacuna::cuda {
namespace {

std::int64_t real_bytes(lacuna_type type) { return static_cast<std::int64_t>(size_of(type)); }
std::int64_t wide_bytes(lacuna_type type) { return static_cast<std::int64_t>(wide_size_of(type)); }

std::int64_t padded(std::int64_t count) { return (count + 7) / 8 * 8; }

// Hands out consecutive byte ranges, aligned to what a device likes.
class Arena {
 public:
  // A product of sizes, each >= 0.
  std::size_t take(std::initializer_list<std::int64_t> sizes) {
    const std::int64_t start = at_;
    std::int64_t bytes = 1;
    for (const std::int64_t size : sizes)
      if (__builtin_mul_overflow(bytes, size, &bytes)) overflow();
    if (__builtin_add_overflow(at_, bytes, &at_) || __builtin_add_overflow(at_, 255, &at_))
      overflow();
    at_ -= at_ % 256;
    most_ = std::max(most_, at_);
    return static_cast<std::size_t>(start);
  }
  // What follows may lie where something else was: only one of the two is in use at a time.
  std::int64_t mark() const { return at_; }
  void back_to(std::int64_t mark) { at_ = mark; }
  std::size_t size() const { return static_cast<std::size_t>(most_); }

 private:
  [[noreturn]] static void overflow() { throw std::length_error("a size does not fit 64 bits"); }
  std::int64_t at_ = 0, most_ = 0;
};

void set_widths(DeviceLayout& out, const lacuna_layer& layer) {
  const CellShape cell = cell_shape(layer.cell);
  out.features = layer.features;
  out.hidden = layer.hidden;
  out.input = input_width(layer);
  out.outputs = output_width(layer);
  out.projected = layer.projection > 0;
  out.units = padded(layer.hidden);
  out.output_units = padded(out.outputs);
  out.input_stride = padded(out.input);
  out.delta_stride = padded(layer.features);
  out.input_gates = cell.input_gates;
  out.product_gates = cell.product_gates;
  out.saved_gates = cell.saved_gates;
  out.gradient_gates = cell.gradient_gates;
  if (layer.evolve != LACUNA_EVOLVE_NONE) out.evolve_units = out.output_units;
  if (layer.evolve == LACUNA_EVOLVE_RELAX && cell.has_cell) out.evolve_units += out.units;
}

// h' is of a c' that was normalised.
bool shows_cell(const lacuna_layer& layer) {
  return layer.layer_norm != 0 && layer.cell == LACUNA_LSTM;
}

// LN of both products, and what it was divided by.
template <class Kept>
void lay_out_norm(Kept& kept, Arena& arena, const DeviceLayout& lay, const lacuna_layer& layer,
                  std::int64_t tokens) {
  if (layer.layer_norm == 0) return;
  kept.norm = arena.take({tokens, 2 * lay.input_gates, lay.units, real_bytes(layer.type)});
  kept.norm_factors = arena.take({tokens, norm_factors, wide_bytes(layer.type)});
}

// What a forward run leaves for its backward run.
template <class Kept>
void lay_out_kept(Kept& kept, Arena& arena, const DeviceLayout& lay, const lacuna_layer& layer,
                  std::int64_t tokens) {
  const std::int64_t real = real_bytes(layer.type), wide = wide_bytes(layer.type);
  kept.input = arena.take({tokens, lay.input_stride, real});
  if (uses_delta(layer)) kept.delta = arena.take({tokens, lay.delta_stride, wide});
  if (finds_fires(layer)) kept.fires = arena.take({tokens});
  if (layer.evolve == LACUNA_EVOLVE_DECAY)
    kept.exponent = arena.take({tokens, lay.output_units, wide});
}

// A fork into four branches and its join are ten calls, some 5 µs of the host: assumed, not measured. Backward they are queued
// while the recurrence runs, forward before it.
constexpr std::int64_t fewest_forked_steps = 16;
// Of a product's target, that a multiprocessor makes at once.
constexpr std::int64_t tile_elements = 128 * 128;

void choose_branches(DeviceLayout& lay, const lacuna_layer& layer, const lacuna_capacity& capacity,
                     bool inference, int sharers, const DeviceFacts& facts) {
  const std::int64_t longest =
      capacity.max_length > 0 ? std::min(capacity.max_length, capacity.tokens) : capacity.tokens;
  // Before the recurrence: W_x x, decays, and the order of sequences with what is drawn.
  const bool orders = capacity.sequences > most_ranked_sequences || (!inference && draws(layer));
  const int forward = 1 + (layer.evolve == LACUNA_EVOLVE_DECAY ? 1 : 0) + (orders ? 1 : 0);
  const bool fills =
      gates(layer.cell) * lay.units * lay.output_units >= facts.multiprocessors * tile_elements;
  if (sharers > 1)
    lay.one_stream = "other tasks of the stack run beside it";
  else if (longest < fewest_forked_steps)
    lay.one_stream =
        "fewer than " + std::to_string(fewest_forked_steps) + " steps are too few for a fork";
  else if (fills)
    lay.one_stream = "the gradient of W_h alone fills the device";
  else if (inference && forward == 1)
    lay.one_stream = "nothing to run beside W_x x";
  else
    lay.branches = inference ? forward : Device::product_parts;
  lay.whole_scratch = fills;
}

// Into so many parts that blocks of 64 x 64 sums fill half of the device, for a product of few rows is a matter of waiting
// for memory. cuBLASLt would cut such a product too, and add up its parts by another kernel. By the capacity's sequences, so
// that all runs of a layer, whole or in windows, add up alike.
int parts_of(std::int64_t rows, std::int64_t columns, std::int64_t depth,
             const DeviceFacts& facts) {
  constexpr std::int64_t block = 64, fewest_depth = 128;
  const auto blocks = [](std::int64_t size) { return (size + block - 1) / block; };
  for (int parts = most_product_parts; parts > 1; --parts)
    if (blocks(rows) * blocks(columns) * parts <= facts.multiprocessors / 2 &&
        depth % (8 * parts) == 0 && depth / parts >= fewest_depth)
      return parts;
  return 1;
}

void choose_parts(DeviceLayout& lay, const lacuna_layer& layer, std::int64_t sequences,
                  bool inference, const DeviceFacts& facts) {
  if (lay.regime != LACUNA_REGIME_STEPWISE) return;
  const std::int64_t wide = lay.product_gates * lay.units;
  if (!inference) lay.d_product_parts = parts_of(sequences, lay.output_units, wide, facts);
  if (layer.layer_norm != 0) return;  // what normalises rows reads them whole
  lay.product_parts = parts_of(sequences, wide, lay.output_units, facts);
  if (layer.cell == LACUNA_GRU_RESET_BEFORE)
    lay.candidate_parts = parts_of(sequences, lay.units, lay.units, facts);
}

void lay_out_common(DeviceLayout& lay, Arena& arena, const lacuna_layer& layer,
                    const lacuna_capacity& capacity, bool inference, const DeviceFacts& facts) {
  const std::int64_t real = real_bytes(layer.type), wide = wide_bytes(layer.type);
  const std::int64_t N = capacity.tokens, B = capacity.sequences;
  auto& out = lay.workspace;
  out.offsets = arena.take({B + 1, 8});
  out.order = arena.take({B, 4});
  if (B > most_ranked_sequences) {
    out.lengths = arena.take({B, 8});
    out.sorted_lengths = arena.take({B, 8});
    out.index = arena.take({B, 4});
    out.sort_bytes = facts.sort_bytes;
    out.sort = arena.take({static_cast<std::int64_t>(facts.sort_bytes)});
  }
  out.sequence_of = arena.take({N, 4});
  out.gaps = arena.take({N, wide});
  out.weights_x = arena.take({lay.input_gates, lay.units, lay.input_stride, real});
  out.weights_h = arena.take({gates(layer.cell), lay.units, lay.output_units, real});
  if (layer.evolve == LACUNA_EVOLVE_DECAY)
    out.weights_decay = arena.take({lay.output_units, lay.delta_stride, wide});
  if (layer.evolve == LACUNA_EVOLVE_RELAX) out.rate = arena.take({relaxed_units(layer), wide});
  if (!inference && zones_out(layer)) out.zoned = arena.take({N, lay.units / 4});
  if (!inference && drops_state(layer)) out.factors = arena.take({B, lay.output_units, wide});
  if (lay.projected) out.weights_projection = arena.take({lay.output_units, lay.units, real});
  if (shows_cell(layer)) out.shown = arena.take({B, lay.units, wide});
  if (lay.regime == LACUNA_REGIME_GRID) {
    const std::int64_t groups = lay.most_lanes / resident::lanes_per_tile;
    out.exchange =
        arena.take({groups, static_cast<std::int64_t>(exchange_bytes(lay, layer, inference))});
    out.arrivals_bytes =
        static_cast<std::size_t>(groups) * split::arrival_stride * sizeof(unsigned);
    out.arrivals = arena.take({static_cast<std::int64_t>(out.arrivals_bytes)});
  }
  out.product_scratch_bytes = facts.product_bytes;
  out.product_scratch = arena.take({static_cast<std::int64_t>(facts.product_bytes)});
}

void lay_out_forward(DeviceLayout& lay, Arena& arena, const lacuna_layer& layer,
                     const lacuna_capacity& capacity) {
  const std::int64_t real = real_bytes(layer.type), wide = wide_bytes(layer.type);
  const std::int64_t N = capacity.tokens, B = capacity.sequences;
  auto& out = lay.workspace;
  // ObserveSummary<double> is the largest of them.
  const auto summary = static_cast<std::int64_t>(sizeof(ObserveSummary<double>));
  if (has_mask(layer)) out.summaries = arena.take({observe_summaries(N, lay.features), summary});
  out.gx = arena.take({N, lay.input_gates, lay.units, wide});
  if (lay.regime == LACUNA_REGIME_STEPWISE) {
    out.product = arena.take({lay.product_parts, B, lay.product_gates, lay.units, wide});
    out.operand = arena.take({B, lay.output_units, real});
    out.state = arena.take({B, lay.output_units, wide});
    if (layer.cell == LACUNA_LSTM) out.cell = arena.take({B, lay.units, wide});
    if (layer.cell == LACUNA_GRU_RESET_BEFORE) {
      out.reset_operand = arena.take({B, lay.units, real});
      out.update = arena.take({B, lay.units, wide});
      out.candidate_product = arena.take({lay.candidate_parts, B, lay.units, wide});
    }
    if (lay.projected) {
      out.unprojected = arena.take({B, lay.units, real});
      out.projected = arena.take({B, lay.output_units, wide});
    }
  }
  // A plan that makes tapes serves runs without one, too.
  lay_out_kept(out, arena, lay, layer, N);
}

void lay_out_backward(DeviceLayout& lay, Arena& arena, const lacuna_layer& layer,
                      const lacuna_capacity& capacity) {
  const std::int64_t real = real_bytes(layer.type), wide = wide_bytes(layer.type);
  const std::int64_t N = capacity.tokens, B = capacity.sequences;
  auto& out = lay.workspace;
  out.d_gates = arena.take({N, lay.gradient_gates, lay.units, real});
  const bool resets_before = layer.cell == LACUNA_GRU_RESET_BEFORE;
  if (resets_before) out.reset_rows = arena.take({N, lay.units, real});
  if (layer.layer_norm != 0) out.d_norm = arena.take({N, lay.input_gates, lay.units, real});
  if (shows_cell(layer)) {
    out.d_shown = arena.take({B, lay.units, wide});
    out.d_shown_rows = arena.take({N, 2, lay.units, wide});
  }
  if (lay.tape_kind == LACUNA_TAPE_STATES) {
    lay_out_norm(out, arena, lay, layer, N);
    // Gates come to lie where their gradients will: each is read before its gradient is written.
    const std::int64_t tokens = lay.recomputed_tokens, begin = arena.mark();
    out.gx_again = arena.take({tokens, lay.input_gates, lay.units, wide});
    out.product_again = arena.take({tokens, lay.product_gates, lay.units, wide});
    if (resets_before) {
      out.update_again = arena.take({tokens, lay.units, wide});
      out.candidate_product_again = arena.take({tokens, lay.units, wide});
    }
    arena.back_to(begin);
  }
  if (lay.regime == LACUNA_REGIME_STEPWISE) {
    out.d_step = arena.take({B, lay.product_gates, lay.units, real});
    out.d_product = arena.take({lay.d_product_parts, B, lay.output_units, wide});
    out.d_state = arena.take({B, lay.output_units, wide});
    if (layer.cell == LACUNA_LSTM) out.d_cell = arena.take({B, lay.units, wide});
    if (resets_before) {
      out.d_candidate = arena.take({B, lay.units, real});
      out.d_reset = arena.take({lay.candidate_parts, B, lay.units, wide});
    }
    if (lay.projected) {
      out.d_projected = arena.take({B, lay.output_units, real});
      out.d_unprojected = arena.take({B, lay.units, wide});
    }
  }
  if (lay.projected) {
    out.d_projected_rows = arena.take({N, lay.output_units, real});
    out.unprojected_rows = arena.take({N, lay.units, real});
  }
  out.d_exponent = arena.take({N, lay.evolve_units, wide});
  if (layer.evolve == LACUNA_EVOLVE_RELAX) out.d_target = arena.take({N, lay.evolve_units, wide});
  if (layer.cell == LACUNA_RNN_EULER) out.d_euler = arena.take({N, lay.units, wide});
  // Norms are taken of the rows of dL/dh before the input's gradients are formed.
  out.d_input = out.d_hidden_rows =
      arena.take({N, std::max(lay.input_stride, lay.output_units), wide});
  if (layer.evolve == LACUNA_EVOLVE_DECAY) out.d_delta = arena.take({N, lay.delta_stride, wide});
  if (uses_delta(layer)) out.d_age = arena.take({N, lay.features, wide});
  out.d_gap = arena.take({N, wide});
  if (has_mask(layer)) {
    out.d_summaries = arena.take({observe_backward_summaries(N, lay.features),
                                  static_cast<std::int64_t>(sizeof(ObserveGradient<double>))});
    out.sums = arena.take({observe_backward_sums(N, lay.features), wide});
  }
  // Of gates and what evolve has, by weight, bias and target; or gains of both norms.
  const std::int64_t widest = std::max(lay.gradient_gates * lay.hidden + 3 * lay.evolve_units,
                                       2 * lay.input_gates * lay.hidden);
  out.partials = arena.take({column_sum_partials(N, widest), wide});
  const std::int64_t begin = arena.mark();
  const auto dense = [&](std::initializer_list<std::int64_t> sizes) {
    if (lay.branches == 1) arena.back_to(begin);
    return arena.take(sizes);
  };
  out.d_weights_x = dense({lay.input_gates, lay.units, lay.input_stride, wide});
  out.d_weights_h = dense({gates(layer.cell), lay.units, lay.units, wide});
  if (layer.evolve == LACUNA_EVOLVE_DECAY)
    out.d_weights_decay = dense({lay.output_units, lay.delta_stride, wide});
}

// Many enough for a product to fill the device, few enough for what it leaves to matter little beside the tokens' arrays.
constexpr std::int64_t most_recomputed_tokens = std::int64_t{1} << 14;

// With the gates, or without.
void lay_out_tape(DeviceLayout& lay, const lacuna_layer& layer, std::int64_t tokens,
                  lacuna_tape_kind kind) {
  const std::int64_t real = real_bytes(layer.type), wide = wide_bytes(layer.type);
  Arena tape;
  lay.tape_kind = kind;
  lay_out_kept(lay.tape, tape, lay, layer, tokens);
  lay.tape.h = lay.tape.operand = tape.take({tokens, lay.output_units, real});
  if (drops_state(layer)) lay.tape.operand = tape.take({tokens, lay.output_units, real});
  if (layer.cell == LACUNA_LSTM) lay.tape.c = tape.take({tokens, lay.units, wide});
  // What a rounded tape does not do for (kernels/recurrence/evolve_units.h) and no gate gives back.
  if (lay.projected && layer.evolve == LACUNA_EVOLVE_RELAX && real < wide)
    lay.tape.relaxed = tape.take({tokens, lay.output_units, wide});
  if (kind == LACUNA_TAPE_GATES) {
    lay.tape.gates = tape.take({tokens, lay.saved_gates, lay.units, real});
    lay_out_norm(lay.tape, tape, lay, layer, tokens);
  }
  lay.tape.bytes = tape.size();
  lay.recomputed_tokens = std::min(tokens, most_recomputed_tokens);
}

}  // namespace

Recipe make_recipe(const lacuna_layer& layer, const lacuna_capacity& capacity,
                   const lacuna_plan_options& options, int sharers, const DeviceFacts& facts) {
  const bool inference = options.inference != 0;
  Recipe recipe;
  recipe.layer = layer;
  recipe.capacity = capacity;
  recipe.inference = inference;
  DeviceLayout& lay = recipe.device;
  set_widths(lay, layer);
  choose_regime(lay, layer, capacity, options, sharers, facts);
  choose_parts(lay, layer, capacity.sequences, inference, facts);
  choose_branches(lay, layer, capacity, inference, sharers, facts);

  if (!inference) {
    const auto with = [&](lacuna_tape_kind kind) {
      lay_out_tape(lay, layer, capacity.tokens, kind);
    };
    with(options.tape == LACUNA_TAPE_STATES ? LACUNA_TAPE_STATES : LACUNA_TAPE_GATES);
    const std::size_t budget = options.tape_budget;
    if (options.tape == LACUNA_TAPE_BEST && budget > 0 && lay.tape.bytes > budget) {
      with(LACUNA_TAPE_STATES);
      lay.why_no_gates =
          "options.tape_budget of " + std::to_string(budget) + " bytes leaves no room for them";
    }
  }

  Arena workspace;
  lay_out_common(lay, workspace, layer, capacity, inference, facts);
  const std::int64_t runs = workspace.mark();
  lay_out_forward(lay, workspace, layer, capacity);
  if (!inference) {
    workspace.back_to(runs);
    lay_out_backward(lay, workspace, layer, capacity);
  }
  lay.workspace.bytes = workspace.size();
  recipe.workspace_bytes = lay.workspace.bytes;
  recipe.tape_bytes = inference ? 0 : lay.tape.bytes;
  return recipe;
}

DeviceFacts facts_of(const Device& device) {
  return {.multiprocessors = device.multiprocessors(),
          .shared_bytes = device.shared_bytes(),
          .gigahertz = device.gigahertz(),
          .capability = device.capability(),
          .clusters = device.clusters(),
          .group = device.group_blocks(),
          .costs = constants_of(device.capability(), device.multiprocessors())};
}

}  // namespace lacuna::cuda
