// lacuna_layer_*, all but the random start: checks of a description and the table of parameters.
#include "host/api/layer.h"

#include "host/api/guard.h"
#include "host/plan/shape.h"

namespace lacuna::api {
namespace {

void check_probability(double probability, std::string_view argument) {
  if (!(probability >= 0 && probability < 1))
    refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", probability, ", expected 0 to below 1");
}

void check_size(std::int64_t size, std::string_view argument) {
  if (size < 1 || size > most_units)
    refuse(LACUNA_INVALID_ARGUMENT, argument, ": ", size, ", expected 1 to ", most_units);
}

}  // namespace

const lacuna_layer& checked(const lacuna_layer* given) {
  const lacuna_layer& layer = not_null(given, "layer");
  check_enumerator(layer.cell, LACUNA_GRU_RESET_BEFORE, "layer.cell", "lacuna_cell");
  check_enumerator(layer.impute, LACUNA_IMPUTE_RELAX, "layer.impute", "lacuna_impute");
  check_enumerator(layer.evolve, LACUNA_EVOLVE_RELAX, "layer.evolve", "lacuna_evolve");
  check_enumerator(layer.empty_rows, LACUNA_EMPTY_ROWS_EVOLVE_ONLY, "layer.empty_rows",
                   "lacuna_empty_rows");
  check_enumerator(layer.type, LACUNA_BF16, "layer.type", "lacuna_type");
  check_size(layer.features, "layer.features");
  check_size(layer.hidden, "layer.hidden");
  check_flag(layer.mask_input, "layer.mask_input");
  check_flag(layer.gap_input, "layer.gap_input");
  check_flag(layer.reverse, "layer.reverse");
  check_probability(layer.zoneout_hidden, "layer.zoneout_hidden");
  check_probability(layer.zoneout_cell, "layer.zoneout_cell");
  check_probability(layer.recurrent_dropout, "layer.recurrent_dropout");
  check_flag(layer.layer_norm, "layer.layer_norm");
  if (layer.projection < 0 || layer.projection > layer.hidden)
    refuse(LACUNA_INVALID_ARGUMENT, "layer.projection: ", layer.projection, ", expected 0 to ",
           layer.hidden, ", as layer.hidden says");
  if (layer.cell != LACUNA_LSTM) {
    if (layer.zoneout_cell != 0)
      refuse(LACUNA_INVALID_ARGUMENT, "layer.zoneout_cell: ", layer.zoneout_cell,
             " is for LACUNA_LSTM: no other cell has a c");
    if (layer.projection != 0)
      refuse(LACUNA_INVALID_ARGUMENT, "layer.projection: ", layer.projection,
             " is for LACUNA_LSTM, expected 0");
  }
  if (layer.impute == LACUNA_IMPUTE_NONE && layer.mask_input)
    refuse(LACUNA_INVALID_ARGUMENT,
           "layer.mask_input: 1 needs a mask, which impute LACUNA_IMPUTE_NONE does not have");
  return layer;
}

void check_type(const lacuna_type& type, const Backend& backend, std::string_view argument) {
  check_enumerator(type, LACUNA_BF16, argument, "lacuna_type");
  if (!backend.computes_in(type))
    refuse(LACUNA_UNSUPPORTED, argument, ": ", type == LACUNA_F16 ? "LACUNA_F16" : "LACUNA_BF16",
           ", but the CPU backend computes in LACUNA_F32 and LACUNA_F64 only");
}

const lacuna_layer& checked(const lacuna_layer* given, const Backend& backend) {
  const lacuna_layer& layer = checked(given);
  check_type(layer.type, backend, "layer.type");
  return layer;
}

std::string_view name_of(lacuna_cell cell) {
  switch (cell) {
    case LACUNA_RNN_TANH: return "rnn_tanh";
    case LACUNA_RNN_RELU: return "rnn_relu";
    case LACUNA_RNN_EULER: return "rnn_euler";
    case LACUNA_LSTM: return "lstm";
    case LACUNA_GRU: return "gru";
    case LACUNA_GRU_RESET_BEFORE: return "gru_reset_before";
  }
  return "?";
}

std::string_view name_of(lacuna_impute impute) {
  switch (impute) {
    case LACUNA_IMPUTE_NONE: return "none";
    case LACUNA_IMPUTE_MEAN: return "mean";
    case LACUNA_IMPUTE_FORWARD: return "forward";
    case LACUNA_IMPUTE_DECAY: return "decay";
    case LACUNA_IMPUTE_RELAX: return "relax";
  }
  return "?";
}

std::string_view name_of(lacuna_evolve evolve) {
  switch (evolve) {
    case LACUNA_EVOLVE_NONE: return "none";
    case LACUNA_EVOLVE_DECAY: return "decay";
    case LACUNA_EVOLVE_DECAY_STEP: return "decay_step";
    case LACUNA_EVOLVE_RELAX: return "relax";
  }
  return "?";
}

std::string_view name_of(lacuna_parameter kind) {
  switch (kind) {
    case LACUNA_WEIGHTS_X: return "weights_x";
    case LACUNA_WEIGHTS_H: return "weights_h";
    case LACUNA_BIAS: return "bias";
    case LACUNA_BIAS_HN: return "bias_hn";
    case LACUNA_X_MEAN: return "x_mean";
    case LACUNA_IMPUTE_WEIGHT: return "impute_weight";
    case LACUNA_IMPUTE_BIAS: return "impute_bias";
    case LACUNA_EVOLVE_WEIGHT: return "evolve_weight";
    case LACUNA_EVOLVE_BIAS: return "evolve_bias";
    case LACUNA_EVOLVE_TARGET: return "evolve_target";
    case LACUNA_NORM_GAIN_X: return "norm_gain_x";
    case LACUNA_NORM_GAIN_H: return "norm_gain_h";
    case LACUNA_NORM_GAIN_C: return "norm_gain_c";
    case LACUNA_NORM_BIAS_C: return "norm_bias_c";
    case LACUNA_PROJECTION: return "projection";
    case LACUNA_PARAMETERS: break;
  }
  return "?";
}

std::int64_t parameter_offset(const lacuna_layer& layer, lacuna_parameter kind) {
  std::int64_t offset = 0;
  for (int before = 0; before < kind; ++before)
    offset += parameter_shape(layer, static_cast<lacuna_parameter>(before)).count();
  return offset;
}

}  // namespace lacuna::api

namespace api = lacuna::api;

extern "C" {

lacuna_status lacuna_layer_check(const lacuna_layer* layer) {
  return api::guarded([&] { api::checked(layer); });
}

lacuna_status lacuna_layer_input_width(const lacuna_layer* layer, int64_t* width) {
  return api::guarded([&] {
    const std::int64_t answer = lacuna::input_width(api::checked(layer));
    api::not_null(width, "width") = answer;
  });
}

lacuna_status lacuna_layer_output_width(const lacuna_layer* layer, int64_t* width) {
  return api::guarded([&] {
    const std::int64_t answer = lacuna::output_width(api::checked(layer));
    api::not_null(width, "width") = answer;
  });
}

lacuna_status lacuna_layer_parameter(const lacuna_layer* layer, lacuna_parameter kind,
                                     lacuna_parameter_info* info) {
  return api::guarded([&] {
    api::checked(layer);
    api::check_enumerator(kind, LACUNA_PROJECTION, "kind", "lacuna_parameter");
    const lacuna::Shape shape = lacuna::parameter_shape(*layer, kind);
    api::not_null(info, "info") = {.name = api::name_of(kind).data(),
                                   .rows = shape.rows,
                                   .columns = shape.columns,
                                   .offset = api::parameter_offset(*layer, kind)};
  });
}

lacuna_status lacuna_layer_parameter_count(const lacuna_layer* layer, int64_t* count) {
  return api::guarded([&] {
    api::checked(layer);
    api::not_null(count, "count") = api::parameter_offset(*layer, LACUNA_PARAMETERS);
  });
}
}
