// Everything one run needs, typed: the caller's arrays, the plan's layout, and where its parts lie in tape and workspace.
// Made once per run in host/cpu/run.cpp, read by the engine on every thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "host/plan/lanes.h"
#include "host/plan/layout.h"
#include "kernels/cells/gap.h"
#include "kernels/cells/noise.h"
#include "lacuna/lacuna.h"

namespace lacuna::cpu {

template <class T>
struct Carry {
  T* last_values = nullptr;
  T* since = nullptr;
  double* last_time = nullptr;
  T* first_gap = nullptr;
};

// Gradients of the context that pieces of a sequence hand on; null: 0, or not wanted.
template <class T>
struct CarriedGradient {
  T* last_values = nullptr;
  T* since = nullptr;
};

template <class T>
struct Job {
  lacuna_layer layer{};
  const Layout* layout = nullptr;
  Lanes lanes;

  // The batch.
  std::int64_t sequences = 0, tokens = 0;
  const std::int64_t* offsets = nullptr;
  const T* values = nullptr;
  const std::uint8_t* mask = nullptr;
  const std::uint8_t* fires = nullptr;
  const T* delta_t = nullptr;
  const double* times = nullptr;
  const T* delta = nullptr;
  const T* initial_hidden = nullptr;
  const T* initial_cell = nullptr;
  Carry<const T> carry_in;
  bool drawn = false;  // zoneout and recurrent dropout draw
  Noise noise;
  NoiseNames names;
  std::int64_t first_position = 0;  // comes on top

  const T* parameter[LACUNA_PARAMETERS] = {};

  // Forward.
  T* hidden = nullptr;
  T* cell = nullptr;
  T* evolved_hidden = nullptr;
  T* imputed = nullptr;
  T* final_hidden = nullptr;
  T* final_cell = nullptr;
  Carry<T> carry_out;

  // Backward.
  const T* d_hidden = nullptr;
  const T* d_cell = nullptr;
  const T* d_final_hidden = nullptr;
  const T* d_final_cell = nullptr;
  T* d_parameter[LACUNA_PARAMETERS] = {};
  T* d_values = nullptr;
  T* d_delta_t = nullptr;
  T* d_initial_hidden = nullptr;
  T* d_initial_cell = nullptr;
  CarriedGradient<const T> d_carry_out;
  CarriedGradient<T> d_carry_in;
  T* d_hidden_norms = nullptr;
  // What has to be formed for the gradients that were asked for.
  bool wants_weights = false, wants_input = false, wants_delta = false;

  // The tape; null in inference. The backward run only reads it.
  T* operands = nullptr;  // [N, operand_stride]
  T* gates = nullptr;     // [N, saved_gates, units]
  T* cells = nullptr;     // [N, units]: c as it enters the update
  T* decay = nullptr;     // [N, output_units]: the exponent of h's decay before the clamp
  // [N, norm_factors], layer_norm: where the cell fires
  T* norm_factors = nullptr;

  // Parameters of one unit or feature, padded with zeros. Rates are softplus of the parameter.
  T* relax_rate = nullptr;     // [relaxed]: of h, from output_units on of c
  T* relax_target = nullptr;   // [relaxed]
  T* impute_weight = nullptr;  // [channels]: w, or its softplus for `relax`
  T* impute_bias = nullptr;    // [channels]
  T* mean = nullptr;           // [channels]
  // layer_norm: [G, units], and from bias_hn on [units]. `present`: 1, and 0 in the padding.
  struct Norm {
    T *gain_x, *gain_h, *bias, *bias_hn, *gain_c, *bias_c, *present;
  } norm{};

  // Weights in the order their products read them (panels.h).
  T* panel_x = nullptr;
  T* panel_h = nullptr;
  T* panel_candidate = nullptr;
  T* panel_decay = nullptr;
  T* panel_projection = nullptr;

  T* gradient_rows = nullptr;  // [N, gradient_stride], unless windowed
  T* weight_sums = nullptr;    // [groups or 1, weight_sums]
  T* unit_sums = nullptr;      // [groups, unit_sums]
  T* workers = nullptr;
  std::size_t worker_elements = 0;

  std::int64_t length(std::int64_t sequence) const {
    return offsets[sequence + 1] - offsets[sequence];
  }
  // The token read at `step` of a sequence.
  std::int64_t token(std::int64_t sequence, std::int64_t step) const {
    return layer.reverse ? offsets[sequence + 1] - 1 - step : offsets[sequence] + step;
  }
  // Where the gap before that token's update is found in delta_t; -1: there is none.
  std::int64_t gap_index(std::int64_t sequence, std::int64_t step) const {
    if (!layer.reverse) return offsets[sequence] + step;
    return step == 0 ? -1 : token(sequence, step) + 1;
  }
  T gap(std::int64_t sequence, std::int64_t step) const {
    return gap_before_row(
        GapSource<T>{delta_t, times, carry_in.last_time, carry_in.first_gap, layer.reverse != 0},
        sequence, token(sequence, step), step == 0);
  }

  T* saved(std::int64_t token, std::int64_t gate) const {
    return gates + (token * layout->saved_gates + gate) * layout->units;
  }
};

}  // namespace lacuna::cpu
