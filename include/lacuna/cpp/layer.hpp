// What is computed: one choice of impute, evolve and update (docs/equations.md), and the models
// that have names.
#pragma once

#include <string>

#include "lacuna/cpp/error.hpp"
#include "lacuna/cpp/number.hpp"

namespace lacuna {

enum class Cell {
  rnn_tanh = LACUNA_RNN_TANH,
  rnn_relu = LACUNA_RNN_RELU,
  rnn_euler = LACUNA_RNN_EULER,
  lstm = LACUNA_LSTM,
  gru = LACUNA_GRU,                            // reset after the product: cuDNN, PyTorch
  gru_reset_before = LACUNA_GRU_RESET_BEFORE,  // Cho 2014, the GRU-D paper
};

// What a feature that was not measured reads as.
enum class Impute {
  none = LACUNA_IMPUTE_NONE,
  mean = LACUNA_IMPUTE_MEAN,
  forward = LACUNA_IMPUTE_FORWARD,
  decay = LACUNA_IMPUTE_DECAY,
  relax = LACUNA_IMPUTE_RELAX,
};

// What elapsed time does to the state.
enum class Evolve {
  none = LACUNA_EVOLVE_NONE,
  decay = LACUNA_EVOLVE_DECAY,
  decay_step = LACUNA_EVOLVE_DECAY_STEP,
  relax = LACUNA_EVOLVE_RELAX,
};

// What happens at a token where nothing was measured; without a mask, where Batch::fires is 0.
enum class EmptyRows {
  update = LACUNA_EMPTY_ROWS_UPDATE,
  evolve_only = LACUNA_EMPTY_ROWS_EVOLVE_ONLY
};

struct Layer {
  Cell cell = Cell::gru;
  Impute impute = Impute::none;
  Evolve evolve = Evolve::none;
  EmptyRows empty_rows = EmptyRows::update;
  std::int64_t features = 0;  // D
  std::int64_t hidden = 0;    // H
  bool mask_input = false;    // the cell reads [x, m]
  bool gap_input = false;     // log(1 + dt) is the last column of its input
  bool reverse = false;       // each sequence is read from its end
  Type type = Type::f32;
  // In training a unit keeps its evolved state with this probability (Krueger et al. 2017).
  double zoneout_hidden = 0;
  double zoneout_cell = 0;       // lstm
  double recurrent_dropout = 0;  // of h where W_h reads it, alike at every token (Gal 2016)
  bool layer_norm = false;       // of gates, and of an lstm's c (Ba et al. 2016)
  std::int64_t projection = 0;   // P, lstm: h has P numbers instead of H (Sak et al. 2014)

  bool operator==(const Layer&) const = default;

  lacuna_layer c() const {
    return {.cell = static_cast<lacuna_cell>(cell),
            .impute = static_cast<lacuna_impute>(impute),
            .evolve = static_cast<lacuna_evolve>(evolve),
            .empty_rows = static_cast<lacuna_empty_rows>(empty_rows),
            .type = static_cast<lacuna_type>(type),
            .features = features,
            .hidden = hidden,
            .mask_input = mask_input,
            .gap_input = gap_input,
            .reverse = reverse,
            .zoneout_hidden = zoneout_hidden,
            .zoneout_cell = zoneout_cell,
            .recurrent_dropout = recurrent_dropout,
            .layer_norm = layer_norm,
            .projection = projection};
  }

  // Throws when the choices contradict each other.
  void check() const {
    const lacuna_layer layer = c();
    detail::check(lacuna_layer_check(&layer));
  }

  // K, the width of the cell's input.
  std::int64_t input_width() const {
    const lacuna_layer layer = c();
    std::int64_t width = 0;
    detail::check(lacuna_layer_input_width(&layer, &width));
    return width;
  }

  // R, the width of h and of the layer's output.
  std::int64_t output_width() const { return projection > 0 ? projection : hidden; }

  bool has_cell_state() const { return cell == Cell::lstm; }
};

namespace detail {

inline std::string words(Type type) {
  switch (type) {
    case Type::f32: return "f32";
    case Type::f64: return "f64";
    case Type::f16: return "f16";
    case Type::bf16: return "bf16";
  }
  return std::to_string(static_cast<int>(type));
}
inline std::string words(Cell cell) {
  switch (cell) {
    case Cell::rnn_tanh: return "rnn_tanh";
    case Cell::rnn_relu: return "rnn_relu";
    case Cell::rnn_euler: return "rnn_euler";
    case Cell::lstm: return "lstm";
    case Cell::gru: return "gru";
    case Cell::gru_reset_before: return "gru_reset_before";
  }
  return std::to_string(static_cast<int>(cell));
}
inline std::string words(Impute impute) {
  switch (impute) {
    case Impute::none: return "none";
    case Impute::mean: return "mean";
    case Impute::forward: return "forward";
    case Impute::decay: return "decay";
    case Impute::relax: return "relax";
  }
  return std::to_string(static_cast<int>(impute));
}
inline std::string words(Evolve evolve) {
  switch (evolve) {
    case Evolve::none: return "none";
    case Evolve::decay: return "decay";
    case Evolve::decay_step: return "decay_step";
    case Evolve::relax: return "relax";
  }
  return std::to_string(static_cast<int>(evolve));
}
inline std::string words(EmptyRows rows) {
  switch (rows) {
    case EmptyRows::update: return "update";
    case EmptyRows::evolve_only: return "evolve_only";
  }
  return std::to_string(static_cast<int>(rows));
}

// The first field in which they differ, "hidden is 5, expected 4"; empty: there is none.
inline std::string difference(const Layer& given, const Layer& expected) {
  std::string first;
  const auto compare = [&](const char* field, const auto& one, const auto& other) {
    if (first.empty() && one != other)
      first = std::string(field) + " is " + words(one) + ", expected " + words(other);
  };
  compare("cell", given.cell, expected.cell);
  compare("impute", given.impute, expected.impute);
  compare("evolve", given.evolve, expected.evolve);
  compare("empty_rows", given.empty_rows, expected.empty_rows);
  compare("features", given.features, expected.features);
  compare("hidden", given.hidden, expected.hidden);
  compare("mask_input", given.mask_input, expected.mask_input);
  compare("gap_input", given.gap_input, expected.gap_input);
  compare("reverse", given.reverse, expected.reverse);
  compare("type", given.type, expected.type);
  compare("zoneout_hidden", given.zoneout_hidden, expected.zoneout_hidden);
  compare("zoneout_cell", given.zoneout_cell, expected.zoneout_cell);
  compare("recurrent_dropout", given.recurrent_dropout, expected.recurrent_dropout);
  compare("layer_norm", given.layer_norm, expected.layer_norm);
  compare("projection", given.projection, expected.projection);
  return first;
}

// `whose`: "the plan's".
inline void check_same(std::string_view argument, const Layer& given, std::string_view whose,
                       const Layer& expected) {
  if (given != expected)
    throw Error(Status::mismatch, std::string(argument) + ": made for a layer other than " +
                                      std::string(whose) + ": " + difference(given, expected));
}

}  // namespace detail

// ---- Models by name. Every one is a Layer whose fields may be changed afterwards. ----

inline Layer rnn(std::int64_t features, std::int64_t hidden, Type type = Type::f32) {
  return {.cell = Cell::rnn_tanh, .features = features, .hidden = hidden, .type = type};
}

inline Layer lstm(std::int64_t features, std::int64_t hidden, Type type = Type::f32) {
  return {.cell = Cell::lstm, .features = features, .hidden = hidden, .type = type};
}

inline Layer gru(std::int64_t features, std::int64_t hidden, Type type = Type::f32) {
  return {.cell = Cell::gru, .features = features, .hidden = hidden, .type = type};
}

// A GRU that is told the gaps: it reads [x, m, log(1 + dt)].
inline Layer gru_with_gaps(std::int64_t features, std::int64_t hidden, Type type = Type::f32) {
  return {.cell = Cell::gru,
          .impute = Impute::forward,
          .features = features,
          .hidden = hidden,
          .mask_input = true,
          .gap_input = true,
          .type = type};
}

// RNN-, GRU- and LSTM-decay, as RITS uses them (Cao et al. 2018): the state decays with each
// token's own gap.
inline Layer rnn_decay(std::int64_t features, std::int64_t hidden, Type type = Type::f32) {
  return {.cell = Cell::rnn_tanh,
          .impute = Impute::forward,
          .evolve = Evolve::decay_step,
          .features = features,
          .hidden = hidden,
          .mask_input = true,
          .type = type};
}

inline Layer gru_decay(std::int64_t features, std::int64_t hidden, Type type = Type::f32) {
  Layer layer = rnn_decay(features, hidden, type);
  layer.cell = Cell::gru;
  return layer;
}

inline Layer lstm_decay(std::int64_t features, std::int64_t hidden, Type type = Type::f32) {
  Layer layer = rnn_decay(features, hidden, type);
  layer.cell = Cell::lstm;
  return layer;
}

// GRU-D as its paper has it (Che et al. 2018).
inline Layer gru_d(std::int64_t features, std::int64_t hidden, Type type = Type::f32) {
  return {.cell = Cell::gru_reset_before,
          .impute = Impute::decay,
          .evolve = Evolve::decay,
          .features = features,
          .hidden = hidden,
          .mask_input = true,
          .type = type};
}

// GRU-D whose state and inputs return to learned resting values by an exact flow: empty rows change
// nothing.
inline Layer gru_d_homeostatic(std::int64_t features, std::int64_t hidden, Type type = Type::f32) {
  return {.cell = Cell::gru,
          .impute = Impute::relax,
          .evolve = Evolve::relax,
          .empty_rows = EmptyRows::evolve_only,
          .features = features,
          .hidden = hidden,
          .mask_input = true,
          .type = type};
}

// A latent ODE whose derivative is learned, by one forward-Euler step per token.
inline Layer latent_ode_euler(std::int64_t features, std::int64_t hidden, Type type = Type::f32) {
  return {.cell = Cell::rnn_euler,
          .impute = Impute::forward,
          .features = features,
          .hidden = hidden,
          .mask_input = true,
          .type = type};
}

}  // namespace lacuna
