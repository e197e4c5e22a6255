// Where the CUDA backend keeps what: widths, and the byte offsets of every array in tape and workspace. Filled by
// host/cuda/layout.cu, which knows what the kernels need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "lacuna/lacuna.h"

namespace lacuna {

struct DeviceLayout {
  lacuna_regime regime = LACUNA_REGIME_BEST;
  std::string considered;       // the other regimes, a line each: why not, or what they would take
  std::int32_t most_lanes = 0;  // resident, cluster, grid
  int blocks = 1;               // cluster, grid: of a group
  std::size_t block_bytes = 0;  // of shared memory, forward; 0: stepwise
  std::size_t backward_block_bytes = 0;
  double step_us = 0;   // predicted, of a step of all sequences
  double floor_us = 0;  // below which no kernel gets
  double start_us = 0;  // predicted, before the first step; 0: steps enough that it does not count
  int most_multiprocessors = 0;  // that its blocks take at once; 0: as many as products please
  int multiprocessors = 0;       // of the device
  int sharers = 1;               // plans that have them at once
  std::string constants;         // of the prediction: where they come from
  int branches = 1;              // of the caller's stream, itself among them
  std::string one_stream;        // why there is but one
  // With one stream, whether each product may have the whole scratch: where no plan of the layer has branches.
  bool whole_scratch = false;
  bool tf32 = false;  // operands of products of T are rounded to 11 bits
  lacuna_tape_kind tape_kind = LACUNA_TAPE_BEST;  // BEST: no tape
  std::string why_no_gates;                       // in a tape of STATES; empty: the caller says so

  // Widths, in elements. Strides are multiples of 8, so that rows of any type are aligned to 16 bytes.
  std::int64_t features = 0, hidden = 0, input = 0;
  std::int64_t outputs = 0;       // of h
  std::int64_t units = 0;         // hidden, padded
  std::int64_t output_units = 0;  // outputs, padded
  bool projected = false;         // h is W_p times what the cell makes
  std::int64_t input_stride = 0;  // input, padded
  std::int64_t delta_stride = 0;  // features, padded
  // Of what evolve leaves a gradient for: output_units, for an LSTM that relaxes those of c behind them, or 0.
  std::int64_t evolve_units = 0;
  std::int64_t recomputed_tokens = 0;  // at once
  std::int64_t input_gates = 0, product_gates = 0, saved_gates = 0, gradient_gates = 0;
  // stepwise: into how many parts a step's products are cut (kernels/recurrence/stepwise/product.h). Those with W_h, with W_hn
  // of gru_reset_before, and with W_h on the way back.
  int product_parts = 1, candidate_parts = 1, d_product_parts = 1;

  struct Tape {
    std::size_t input = 0, delta = 0, fires = 0, h = 0, c = 0, gates = 0, exponent = 0, relaxed = 0,
                bytes = 0;
    std::size_t operand = 0;                 // where h is, unless there is recurrent dropout
    std::size_t norm = 0, norm_factors = 0;  // layer_norm, where gates are taped
  } tape;
  struct Workspace {
    // Both runs.
    std::size_t offsets = 0, order = 0, lengths = 0, sorted_lengths = 0, index = 0, sort = 0,
                sort_bytes = 0;
    std::size_t sequence_of = 0, gaps = 0, weights_x = 0, weights_h = 0, weights_decay = 0,
                rate = 0, zoned = 0, factors = 0, weights_projection = 0;
    std::size_t product_scratch = 0, product_scratch_bytes = 0;
    std::size_t exchange = 0, arrivals = 0, arrivals_bytes = 0;  // grid
    // Forward. Inference has a part of the tape here.
    std::size_t summaries = 0, gx = 0, product = 0, operand = 0, state = 0, cell = 0,
                reset_operand = 0, update = 0, candidate_product = 0, unprojected = 0,
                projected = 0, input = 0, delta = 0, fires = 0, exponent = 0;
    // Backward.
    std::size_t d_gates = 0, d_step = 0, d_product = 0, d_state = 0, d_cell = 0, d_candidate = 0,
                d_reset = 0, reset_rows = 0, d_projected = 0, d_unprojected = 0,
                d_projected_rows = 0, unprojected_rows = 0, d_exponent = 0, d_target = 0,
                d_euler = 0, d_input = 0, d_hidden_rows = 0, d_delta = 0, d_age = 0, d_gap = 0,
                d_summaries = 0, sums = 0, partials = 0;
    // Gradients with their padding, one for each branch that makes some.
    std::size_t d_weights_x = 0, d_weights_h = 0, d_weights_decay = 0;
    // Of as many tokens as gates are computed again for at once. In use before the recurrence is.
    std::size_t gx_again = 0, product_again = 0, update_again = 0, candidate_product_again = 0;
    // layer_norm. Both runs, of an lstm: shown. Of a backward run, besides, what a tape of gates has.
    std::size_t shown = 0, d_shown = 0, d_shown_rows = 0, d_norm = 0, norm = 0, norm_factors = 0;
    std::size_t bytes = 0;
  } workspace;
};

}  // namespace lacuna
