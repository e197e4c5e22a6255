#include "host/plan/layout.h"

#include <algorithm>
#include <stdexcept>

#include "host/plan/lanes.h"
#include "host/plan/shape.h"
#include "kernels/cells/norm.h"

namespace lacuna {
namespace {

constexpr std::int64_t line_bytes = 64;

std::int64_t real_bytes(lacuna_type type) { return type == LACUNA_F64 ? 8 : 4; }

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::int64_t times(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product))
    throw std::length_error("a size does not fit 64 bits");
  return product;
}

// Hands out consecutive, cache-line aligned byte ranges.
class Arena {
 public:
  std::size_t take(std::int64_t count, std::int64_t bytes_each) {
    const std::int64_t start = at_;
    if (__builtin_add_overflow(at_, round_up(times(count, bytes_each), line_bytes), &at_))
      throw std::length_error("a size does not fit 64 bits");
    return static_cast<std::size_t>(start);
  }
  std::size_t size() const { return static_cast<std::size_t>(at_); }

 private:
  std::int64_t at_ = 0;
};

// The same columns of many rows are read one after the other. An odd number of cache lines between them spreads them over
// all sets of a cache; rows a multiple of 2 KB apart would share two, and cost up to half the speed.
std::int64_t row_stride(std::int64_t elements, std::int64_t bytes_each) {
  const std::int64_t line = line_bytes / bytes_each;
  return times(round_up(elements, line) / line | 1, line);
}

void lay_out_rows(Layout& out, const lacuna_layer& layer, bool inference, std::int64_t bytes_each) {
  const std::int64_t line = line_bytes / bytes_each;
  out.features = layer.features;
  out.hidden = layer.hidden;
  out.input = input_width(layer);
  out.units = round_up(layer.hidden, line);
  out.outputs = output_width(layer);
  out.projected = layer.projection > 0;
  out.output_units = round_up(out.outputs, line);
  out.relaxed = out.output_units + out.units;
  out.channels = round_up(layer.features, line);
  out.d_input = round_up(layer.features + layer.gap_input, line);

  out.h = round_up(out.input + 1, line);
  out.one = out.h - 1;
  out.x = out.one - out.input;
  std::int64_t end = out.h + out.output_units;
  out.delta = end;
  if (uses_delta(layer)) end += out.features + 1;
  out.step = end;
  if (layer.evolve == LACUNA_EVOLVE_DECAY_STEP) end += 2;
  out.zones_out = zones_out(layer);
  out.drops_state = drops_state(layer) && !inference;
  out.state = out.h;
  if (out.drops_state) {
    out.state = round_up(end, line);
    end = out.state + out.output_units;
  }
  out.operand_stride = row_stride(end, bytes_each);
  if (layer.evolve == LACUNA_EVOLVE_DECAY) {
    out.elapsed = out.delta;
    out.elapsed_width = out.features;
  } else if (layer.evolve == LACUNA_EVOLVE_DECAY_STEP) {
    out.elapsed = out.step;
    out.elapsed_width = 1;
  }
}

void lay_out_gates(Layout& out, const lacuna_layer& layer, std::int64_t bytes_each) {
  switch (layer.cell) {
    case LACUNA_LSTM:  // i f g o
      out.saved_gates = out.gradient_gates = out.h_gates = out.x_gates = 4;
      break;
    case LACUNA_GRU:  // saved: r z n and W_hn h + b_hn; gradients: of that product, then r z n
      out.saved_gates = out.gradient_gates = 4;
      out.h_gates = out.x_gates = 3;
      out.first_x_gate = 1;
      break;
    case LACUNA_GRU_RESET_BEFORE:  // r z n
      out.saved_gates = out.gradient_gates = out.x_gates = 3;
      out.h_gates = 2;
      break;
    default: out.saved_gates = out.gradient_gates = out.h_gates = out.x_gates = 1;
  }
  // Gradients: of W_h h, in the order that its gates have without; then of W_x x.
  if (layer.layer_norm != 0) {
    out.norm_gates = out.first_x_gate = out.x_gates = gates(layer.cell);
    out.saved_gates += 2 * out.norm_gates;
    out.gradient_gates = 2 * out.norm_gates;
  }
  out.d_exponent = times(out.gradient_gates, out.units);
  std::int64_t end = out.d_exponent;
  if (out.elapsed_width > 0) end += out.output_units;
  if (out.projected) {
    out.d_projected = end;
    out.unprojected = end + out.output_units;
    end = out.unprojected + out.units;
  }
  out.gradient_stride = row_stride(end, bytes_each);
}

void lay_out_products(Layout& out, const lacuna_layer& layer, std::int64_t bytes_each) {
  const std::int64_t line = line_bytes / bytes_each;
  using Of = GradientProduct::Of;
  const auto place = [&](GradientProduct product) {
    product.stride = round_up(product.columns, line);
    product.offset = out.weight_sums;
    out.weight_sums += times(times(product.gates, product.rows), product.stride);
    out.products[static_cast<std::size_t>(out.product_count++)] = product;
  };
  const auto add = [&](std::int64_t gate, std::int64_t gates, std::int64_t begin, std::int64_t end,
                       bool times_reset = false) {
    place({.first_gate = gate,
           .gates = gates,
           .rows = out.hidden,
           .gradient = times(gate, out.units),
           .first_column = begin,
           .columns = end - begin,
           .times_reset = times_reset});
  };
  // Of W_h, then of W_x: each operand is packed once for all gates. Biases are sums of units, and a column of ones would
  // often cost one more vector of columns.
  add(0, out.h_gates, out.h, out.h + out.outputs);
  if (layer.cell == LACUNA_GRU_RESET_BEFORE) add(out.h_gates, 1, out.h, out.h + out.outputs, true);
  add(out.first_x_gate, out.x_gates, out.x, out.one);
  if (out.elapsed_width > 0)
    place({.gates = 1,
           .rows = out.outputs,
           .gradient = out.d_exponent,
           .first_column = out.elapsed,
           .columns = out.elapsed_width,
           .of = Of::decay});
  if (out.projected)
    place({.gates = 1,
           .rows = out.outputs,
           .gradient = out.d_projected,
           .first_column = out.unprojected,
           .columns = out.hidden,
           .of = Of::projection});
  out.norm_sums = 2 * out.relaxed + 3 * out.channels;
  out.bias_sums = out.norm_sums + (out.norm_gates > 0 ? 3 * out.norm_gates + 3 : 0) * out.units;
  out.first_bias = out.norm_gates > 0 ? out.d_exponent : 0;
  const std::int64_t end = out.d_exponent + (out.elapsed_width > 0 ? out.output_units : 0);
  out.unit_sums = out.bias_sums + end - out.first_bias;
}

void lay_out_panels(Layout& out, const lacuna_layer& layer) {
  const std::int64_t cell_gates = gates(layer.cell);
  const bool split_candidate = layer.cell == LACUNA_GRU_RESET_BEFORE;
  out.panel_x = times(times(out.input + 1, cell_gates), out.units);  // followed by panel_h
  out.panel_h = times(times(out.outputs + 1, cell_gates - split_candidate), out.units);
  out.panel_candidate = split_candidate ? times(out.hidden, out.units) : 0;
  out.panel_decay = out.elapsed_width > 0 ? times(out.elapsed_width + 1, out.output_units) : 0;
  out.panel_projection = out.projected ? times(out.hidden, out.output_units) : 0;
  out.panel_projection_back = out.projected ? times(out.outputs, out.units) : 0;
  out.panel_h_back = times(times(out.hidden, out.h_gates), out.output_units);
  out.panel_candidate_back = out.panel_candidate;
  out.panel_x_back = times(times(out.hidden, out.x_gates), out.d_input);
  out.panel_decay_back = layer.evolve == LACUNA_EVOLVE_DECAY ? times(out.outputs, out.channels) : 0;
}

// How the batch is split. Enough groups to keep threads busy; lanes enough to reuse weights that do not fit the cache.
void choose_groups(Layout& out, const lacuna_capacity& capacity, std::int64_t bytes_each) {
  const std::int64_t b = capacity.sequences;
  const std::int64_t weight_bytes =
      times(out.panel_x + out.panel_h + out.panel_candidate + out.panel_projection, bytes_each);
  constexpr std::int64_t megabyte = std::int64_t{1} << 20;
  const std::int64_t lanes = weight_bytes <= 4 * megabyte ? 16 : 32;
  // Weights that stay in the cache lose little with 8 lanes, and eight threads then find work.
  const std::int64_t shared = weight_bytes <= megabyte ? std::min<std::int64_t>(b / 8, 8) : 0;
  out.groups = std::clamp<std::int64_t>(std::max(b / lanes, shared), b >= 8 ? 2 : 1, 16);
  out.max_lanes = std::clamp<std::int64_t>((b + out.groups - 1) / out.groups, 1, most_lanes);

  // Rows of a partial product: as many as stay in the second-level cache, but enough to make up for reading and writing
  // the sums themselves.
  constexpr std::int64_t row_budget = 256 << 10;
  const std::int64_t row_bytes = times(out.gradient_stride, bytes_each);
  out.window = std::clamp<std::int64_t>(row_budget / row_bytes, 256, most_window);

  // Weight gradients: sums of every group, or the gradient rows of all tokens and one pass over them at the end. Sums
  // that the caches do not hold are read and written once per window, so rows are kept where they take less room.
  const std::int64_t sums_bytes = times(times(out.weight_sums, bytes_each), out.groups);
  const std::int64_t rows_bytes = times(capacity.tokens, row_bytes);
  out.windowed = sums_bytes <= 4 * megabyte || sums_bytes <= std::min(16 * megabyte, rows_bytes);
}

}  // namespace

std::int64_t worker_elements(const Layout& layout, bool inference) {
  const std::int64_t n = layout.max_lanes;
  // State h, c; the reset state (or what is to be projected), update gate and candidate of gru_reset_before (or a c' that
  // is normalised); last value, time since. Both products of layer_norm.
  // And stand-ins for the tape's rows, for a plan with a backward run may also run forward without a tape; what is
  // drawn of a step, and what is left of h for each lane.
  const std::int64_t forward = n * (layout.output_units + 4 * layout.units + 2 * layout.channels) +
                               3 * layout.channels +
                               n * (layout.operand_stride + layout.units + layout.output_units) +
                               n * 2 * layout.norm_gates * layout.units +
                               (layout.zones_out ? n * (layout.output_units + layout.units) : 0) +
                               (layout.drops_state ? n * layout.output_units : 0);
  // Gradients of h, c and of what the reset gate let through or is to be projected; of the input, of delta and of x_last; Δt.
  // What zoneout passes on; what is left of h, and its gradient.
  const std::int64_t backward =
      n * (layout.output_units + 2 * layout.units + layout.d_input + 3 * layout.channels) +
      3 * layout.channels + layout.window * (layout.windowed ? layout.gradient_stride : 0) +
      layout.window * widest_panel +
      (layout.zones_out ? n * (layout.output_units + layout.units) : 0) +
      (layout.drops_state ? 2 * n * layout.output_units : 0);
  return inference ? forward : std::max(forward, backward);
}

Layout make_layout(const lacuna_layer& layer, const lacuna_capacity& capacity, bool inference,
                   int threads) {
  const std::int64_t real = real_bytes(layer.type);
  Layout out;
  lay_out_rows(out, layer, inference, real);
  lay_out_gates(out, layer, real);
  lay_out_products(out, layer, real);
  lay_out_panels(out, layer);
  choose_groups(out, capacity, real);

  Arena tape;
  const std::int64_t n = capacity.tokens;
  out.tape.operands = tape.take(times(n, out.operand_stride), real);
  out.tape.gates = tape.take(times(n, times(out.saved_gates, out.units)), real);
  if (layer.cell == LACUNA_LSTM) out.tape.cells = tape.take(times(n, out.units), real);
  if (out.elapsed_width > 0) out.tape.decay = tape.take(times(n, out.output_units), real);
  if (out.norm_gates > 0) out.tape.norm_factors = tape.take(times(n, norm_factors), real);
  out.tape.bytes = tape.size();

  Arena workspace;
  out.workspace.prepared =
      workspace.take(2 * out.relaxed + 3 * out.channels +
                         (out.norm_gates > 0 ? 3 * out.norm_gates + 4 : 0) * out.units,
                     real);
  out.workspace.lanes = workspace.take(
      static_cast<std::int64_t>(lanes_bytes(capacity.sequences, out.groups, out.max_lanes)), 1);
  const std::int64_t forward_panels =
      out.panel_x + out.panel_h + out.panel_candidate + out.panel_decay + out.panel_projection;
  const std::int64_t backward_panels = out.panel_h_back + out.panel_candidate_back +
                                       out.panel_x_back + out.panel_decay_back +
                                       out.panel_projection_back;
  out.workspace.panels =
      workspace.take(inference ? forward_panels : std::max(forward_panels, backward_panels), real);
  Arena worker;
  worker.take(worker_elements(out, inference), real);
  out.workspace.worker_bytes = worker.size();
  out.workspace.workers =
      workspace.take(std::min<std::int64_t>(threads, std::max<std::int64_t>(out.groups, threads)),
                     static_cast<std::int64_t>(worker.size()));
  if (!inference) {
    if (!out.windowed)
      out.workspace.gradient_rows = workspace.take(times(n, out.gradient_stride), real);
    out.workspace.weight_sums =
        workspace.take(times(out.weight_sums, out.windowed ? out.groups : 1), real);
    out.workspace.unit_sums = workspace.take(times(out.unit_sums, out.groups), real);
  }
  out.workspace.bytes = workspace.size();
  return out;
}

}  // namespace lacuna
