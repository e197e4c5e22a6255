// The few numbers that follow from a layer's description.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lacuna/lacuna.h"

namespace lacuna {

inline std::int64_t gates(lacuna_cell cell) {
  switch (cell) {
    case LACUNA_LSTM: return 4;
    case LACUNA_GRU:
    case LACUNA_GRU_RESET_BEFORE: return 3;
    default: return 1;
  }
}

// K, the columns of W_x: [x, m, log(1 + dt)], the last two on request.
inline std::int64_t input_width(const lacuna_layer& layer) {
  return layer.features * (1 + layer.mask_input) + layer.gap_input;
}

// R, the width of h.
inline std::int64_t output_width(const lacuna_layer& layer) {
  return layer.projection > 0 ? layer.projection : layer.hidden;
}

// S, the units that `relax` acts on.
inline std::int64_t relaxed_units(const lacuna_layer& layer) {
  return output_width(layer) + (layer.cell == LACUNA_LSTM ? layer.hidden : 0);
}

inline bool has_mask(const lacuna_layer& layer) { return layer.impute != LACUNA_IMPUTE_NONE; }

inline bool zones_out(const lacuna_layer& layer) {
  return layer.zoneout_hidden > 0 || layer.zoneout_cell > 0;
}
inline bool drops_state(const lacuna_layer& layer) { return layer.recurrent_dropout > 0; }

// Does a run with a tape need random numbers?
inline bool draws(const lacuna_layer& layer) { return zones_out(layer) || drops_state(layer); }

// How does a layer know at which tokens its cell fires, if not at all of them: from its mask, or from batch.fires?
inline bool finds_fires(const lacuna_layer& layer) {
  return layer.empty_rows == LACUNA_EMPTY_ROWS_EVOLVE_ONLY && has_mask(layer);
}
inline bool reads_fires(const lacuna_layer& layer) {
  return layer.empty_rows == LACUNA_EMPTY_ROWS_EVOLVE_ONLY && !has_mask(layer);
}

// Does anything read delta[s,d], the time since feature d was measured?
inline bool uses_delta(const lacuna_layer& layer) {
  return layer.impute == LACUNA_IMPUTE_DECAY || layer.impute == LACUNA_IMPUTE_RELAX ||
         layer.evolve == LACUNA_EVOLVE_DECAY;
}

// Does anything read dt[s], the time since the previous token?
inline bool uses_gaps(const lacuna_layer& layer) {
  return uses_delta(layer) || layer.gap_input || layer.evolve != LACUNA_EVOLVE_NONE ||
         layer.cell == LACUNA_RNN_EULER;
}

// Bytes of a `real`, and of a `wide` (lacuna.h).
inline std::size_t size_of(lacuna_type type) {
  switch (type) {
    case LACUNA_F64: return 8;
    case LACUNA_F32: return 4;
    default: return 2;
  }
}
inline std::size_t wide_size_of(lacuna_type type) { return type == LACUNA_F64 ? 8 : 4; }

// Columns 1 for a vector, both 0 when the layer does not have it.
struct Shape {
  std::int64_t rows = 0, columns = 0;
  std::int64_t count() const { return rows * columns; }
};

inline Shape parameter_shape(const lacuna_layer& layer, lacuna_parameter kind) {
  const std::int64_t D = layer.features, H = layer.hidden, GH = gates(layer.cell) * H;
  const std::int64_t R = output_width(layer);
  const bool normalises_c = layer.layer_norm != 0 && layer.cell == LACUNA_LSTM;
  const bool imputes_by_decay =
      layer.impute == LACUNA_IMPUTE_DECAY || layer.impute == LACUNA_IMPUTE_RELAX;
  const auto vector_if = [](bool has, std::int64_t size) { return has ? Shape{size, 1} : Shape{}; };
  switch (kind) {
    case LACUNA_WEIGHTS_X: return {GH, input_width(layer)};
    case LACUNA_WEIGHTS_H: return {GH, R};
    case LACUNA_BIAS: return {GH, 1};
    case LACUNA_BIAS_HN: return vector_if(layer.cell == LACUNA_GRU, H);
    case LACUNA_X_MEAN: return vector_if(layer.impute != LACUNA_IMPUTE_NONE, D);
    case LACUNA_IMPUTE_WEIGHT: return vector_if(imputes_by_decay, D);
    case LACUNA_IMPUTE_BIAS: return vector_if(layer.impute == LACUNA_IMPUTE_DECAY, D);
    case LACUNA_EVOLVE_WEIGHT:
      if (layer.evolve == LACUNA_EVOLVE_DECAY) return {R, D};
      if (layer.evolve == LACUNA_EVOLVE_DECAY_STEP) return {R, 1};
      return vector_if(layer.evolve == LACUNA_EVOLVE_RELAX, relaxed_units(layer));
    case LACUNA_EVOLVE_BIAS:
      return vector_if(
          layer.evolve == LACUNA_EVOLVE_DECAY || layer.evolve == LACUNA_EVOLVE_DECAY_STEP, R);
    case LACUNA_EVOLVE_TARGET:
      return vector_if(layer.evolve == LACUNA_EVOLVE_RELAX, relaxed_units(layer));
    case LACUNA_NORM_GAIN_X:
    case LACUNA_NORM_GAIN_H: return vector_if(layer.layer_norm != 0, GH);
    case LACUNA_NORM_GAIN_C:
    case LACUNA_NORM_BIAS_C: return vector_if(normalises_c, H);
    case LACUNA_PROJECTION: return layer.projection > 0 ? Shape{R, H} : Shape{};
    case LACUNA_PARAMETERS: break;
  }
  return {};
}

}  // namespace lacuna
