// Where the CPU backend keeps what: the columns of its rows, and the byte offsets of every array in tape and workspace.
//
// An operand row holds all that a token's products multiply, so that one loop over neighbouring columns is one product
// and the bias is the weight of a column that is 1:
//
//     [ .. x m log(1+dt) 1 | h evolved | delta 1 | dt 1 | h evolved, all of it ]
//          ^ x           ^ one  ^ h      ^ delta   ^ step   ^ state
//
// With recurrent dropout, products read at h what it has left; what reads h elementwise reads it at state. Without, both are
// one.
//
// A gradient row holds dL/d(pre-activation) of each gate, in an order in which what W_h sees and what W_x sees are both
// contiguous, and behind them dL/d(decay exponent). Of a layer that projects it goes on with dL/dh' and o tanh c', formed
// again on the way back: whose product is W_p's gradient. With layer_norm it holds dL/d(W_h h) of each gate, and then
// dL/d(W_x x).
//
// h may be narrower than the cell that makes it: `outputs` and `output_units` are widths of h and what becomes of it,
// `hidden` and `units` those of gates and c.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lacuna/lacuna.h"

namespace lacuna {

// One weight-gradient product: C[rows, columns] = sum over tokens of (gradient columns)^T (operand columns).
struct GradientProduct {
  enum class Of { gates, decay, projection };
  std::int64_t first_gate = 0;  // in the gradient row
  std::int64_t gates = 0;
  std::int64_t rows = 0;          // of each gate
  std::int64_t gradient = 0;      // column of the gradient row where the first gate begins
  std::int64_t first_column = 0;  // in the operand row
  std::int64_t columns = 0;
  std::int64_t stride = 0;   // of C
  std::int64_t offset = 0;   // of C in the weight sums, in elements
  bool times_reset = false;  // the operand is r * h, formed on the way
  Of of = Of::gates;         // projection: the operand is part of the gradient row, too
};

struct Layout {
  // Widths, in elements. Padded ones are multiples of a cache line.
  std::int64_t features = 0, hidden = 0, input = 0;
  std::int64_t outputs = 0;       // of h
  std::int64_t units = 0;         // hidden, padded
  std::int64_t output_units = 0;  // outputs, padded
  bool projected = false;         // h is W_p times what the cell makes
  std::int64_t channels = 0;      // features, padded
  std::int64_t d_input =
      0;  // x and the gap column, padded: the columns of W_x whose input has a gradient

  bool zones_out = false, drops_state = false;  // the latter never in inference

  // Operand row.
  std::int64_t x = 0, one = 0, h = 0, delta = 0, step = 0, state = 0, operand_stride = 0;
  std::int64_t elapsed = 0,
               elapsed_width =
                   0;  // what the decay of h multiplies, without its 1; width 0: no decay

  // Gates. Saved: what the tape keeps per token. Gradient row: gates, then the decay exponent when there is one.
  std::int64_t saved_gates = 0, gradient_gates = 0, gradient_stride = 0;
  std::int64_t d_exponent = 0, d_projected = 0, unprojected = 0;  // columns of the gradient row
  std::int64_t h_gates = 0;  // the first ones, which multiply W_h in one product
  std::int64_t first_x_gate = 0, x_gates = 0;
  // layer_norm, else 0: G. As many rows of LN(W_x x) and then of LN(W_h h) are the last ones that are saved.
  std::int64_t norm_gates = 0;

  // Work is split into groups of sequences by shape alone, so that sums have one order at any number of threads.
  std::int64_t groups = 0, max_lanes = 0;
  bool windowed = false;    // weight gradients are summed per group while its rows are in cache
  std::int64_t window = 0;  // rows per partial product

  std::array<GradientProduct, 4> products{};
  int product_count = 0;
  std::int64_t weight_sums = 0;  // elements of all C
  std::int64_t unit_sums =
      0;  // relax: d_lambda, d_target [2][relaxed]; impute: d_w, d_b, d_mean [3][channels]
  std::int64_t relaxed = 0;  // of what relax acts on: h, from output_units on c
  // Where layer_norm's begin: d_gain_x, d_gain_h, d_b [3][G units], d_b_hn, d_gain_c, d_b_c [3][units]
  std::int64_t norm_sums = 0;
  // Last of them: columns of the gradient row from first_bias on, summed as they are. Of gates, unless layer_norm has their
  // biases, and of the decay's exponent.
  std::int64_t bias_sums = 0, first_bias = 0;

  // Elements of the packed panels.
  std::int64_t panel_x = 0, panel_h = 0, panel_candidate = 0, panel_decay = 0, panel_projection = 0;
  std::int64_t panel_h_back = 0, panel_candidate_back = 0, panel_x_back = 0, panel_decay_back = 0,
               panel_projection_back = 0;

  struct Tape {
    std::size_t operands = 0, gates = 0, cells = 0, decay = 0, norm_factors = 0, bytes = 0;
  } tape;
  struct Workspace {
    // Common.
    std::size_t prepared = 0, lanes = 0, panels = 0;
    // Per worker; `worker_bytes` apart.
    std::size_t workers = 0, worker_bytes = 0;
    // Backward.
    std::size_t gradient_rows = 0, weight_sums = 0, unit_sums = 0;
    std::size_t bytes = 0;
  } workspace;
};

inline constexpr std::int64_t most_lanes = 32;
inline constexpr std::int64_t most_window = 512;
// The widest panel of a product in registers, in elements: four AVX-512 registers of float.
inline constexpr std::int64_t widest_panel = 64;

// Throws std::length_error where a size does not fit.
Layout make_layout(const lacuna_layer& layer, const lacuna_capacity& capacity, bool inference,
                   int threads);

// Elements of one worker's part, in the order the engine carves it (host/cpu/engine/scratch.h).
std::int64_t worker_elements(const Layout& layout, bool inference);

}  // namespace lacuna
