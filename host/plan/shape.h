// The few numbers that follow from a layer's description.
#pragma once

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

// S, the units that `relax` acts on.
inline std::int64_t relaxed_units(const lacuna_layer& layer) {
  return layer.hidden * (layer.cell == LACUNA_LSTM ? 2 : 1);
}

inline bool has_mask(const lacuna_layer& layer) { return layer.impute != LACUNA_IMPUTE_NONE; }

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

}  // namespace lacuna
