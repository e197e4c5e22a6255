// The arguments of each call with every array where the device can reach it: what has which size stands here, and for what
// stacks need, too, in host/staging.h.
#pragma once

#include <algorithm>
#include <string>

#include "host/cuda/stage.h"
#include "host/plan/shape.h"

namespace lacuna::cuda {

inline lacuna_outputs staged(Stage& stage, const lacuna_layer& layer, const lacuna_batch& batch,
                             const lacuna_outputs& from) {
  const std::int64_t N = batch.tokens, B = batch.sequences, D = layer.features, H = layer.hidden,
                     R = output_width(layer);
  const std::size_t real = size_of(layer.type);
  lacuna_outputs to{};
  to.hidden = stage.out(from.hidden, N * R, real);
  to.cell = stage.out(from.cell, N * H, real);
  to.evolved_hidden = stage.out(from.evolved_hidden, N * R, real);
  to.imputed = stage.out(from.imputed, N * D, real);
  to.final_hidden = stage.out(from.final_hidden, B * R, real);
  to.final_cell = stage.out(from.final_cell, B * H, real);
  to.carry_out = staged_carry_out(stage, layer, B, from.carry_out);
  return to;
}

inline lacuna_output_gradients staged(Stage& stage, const lacuna_layer& layer,
                                      const lacuna_batch& batch,
                                      const lacuna_output_gradients& from) {
  const std::int64_t N = batch.tokens, B = batch.sequences, H = layer.hidden,
                     R = output_width(layer);
  const std::size_t real = size_of(layer.type);
  return {.d_hidden = stage.in(from.d_hidden, N * R, real),
          .d_cell = stage.in(from.d_cell, N * H, real),
          .d_final_hidden = stage.in(from.d_final_hidden, B * R, real),
          .d_final_cell = stage.in(from.d_final_cell, B * H, real)};
}

inline lacuna_input_gradients staged(Stage& stage, const lacuna_layer& layer,
                                     const lacuna_batch& batch,
                                     const lacuna_input_gradients& from) {
  const std::int64_t N = batch.tokens, B = batch.sequences, D = layer.features, H = layer.hidden,
                     R = output_width(layer);
  const std::size_t real = size_of(layer.type);
  return {.d_values = stage.out(from.d_values, N * D, real),
          .d_delta_t = stage.out(from.d_delta_t, N, wide_size_of(layer.type)),
          .d_initial_hidden = stage.out(from.d_initial_hidden, B * R, real),
          .d_initial_cell = stage.out(from.d_initial_cell, B * H, real)};
}

inline LinearForwardRun staged(Stage& stage, const LinearForwardRun& from) {
  const auto [rows, in, out] = from.shape;
  const std::size_t real = size_of(from.type), wide = wide_size_of(from.type);
  LinearForwardRun to = from;
  to.x = stage.in(from.x, rows * in, real);
  to.weights = stage.in(from.weights, out * in, wide);
  to.bias = stage.in(from.bias, out, wide);
  to.y = stage.out(from.y, rows * out, real);
  return to;
}

inline LinearBackwardRun staged(Stage& stage, const LinearBackwardRun& from) {
  const auto [rows, in, out] = from.shape;
  const std::size_t real = size_of(from.type), wide = wide_size_of(from.type);
  LinearBackwardRun to = from;
  to.x = stage.in(from.x, rows * in, real);
  to.weights = stage.in(from.weights, out * in, wide);
  to.d_y = stage.in(from.d_y, rows * out, real);
  to.d_x = stage.out(from.d_x, rows * in, real);
  to.d_weights = stage.out(from.d_weights, out * in, wide);
  to.d_bias = stage.out(from.d_bias, out, wide);
  return to;
}

inline LossRun staged(Stage& stage, const LossRun& from) {
  const std::size_t real = size_of(from.type);
  LossRun to = from;
  to.predictions = stage.in(from.predictions, from.rows * from.columns, real);
  to.targets = stage.in(from.targets, from.rows * from.target_columns(),
                        from.per_row() ? sizeof(std::int32_t) : real);
  to.mask = stage.in(from.mask, from.rows * from.target_columns());
  to.loss_scale = stage.in(from.loss_scale, 1);
  to.loss = stage.out(from.loss, 1);
  to.count = stage.out(from.count, 1);
  to.d_predictions = stage.out(from.d_predictions, from.rows * from.columns, real);
  return to;
}

inline AdamRun staged(Stage& stage, const AdamRun& from) {
  const std::size_t wide = wide_size_of(from.type);
  AdamRun to = from;
  to.gradients = stage.in(from.gradients, from.count, wide);
  to.parameters = stage.out(from.parameters, from.count, wide);
  to.first_moment = stage.out(from.first_moment, from.count, wide);
  to.second_moment = stage.out(from.second_moment, from.count, wide);
  return to;
}

inline std::int64_t padded_bytes(const PaddedShape& shape) {
  return shape.sequences * shape.max_length * shape.row_bytes;
}

// How many rows are packed stands in `counts`: an array of the host can only be sized by an array of the host.
template <class Rows>
std::int64_t packed_bytes(const Stage& stage, const PaddedShape& shape, const std::int64_t* counts,
                          const void* packed, const char* name, Rows&& rows) {
  if (!stage.needs_copy(packed)) return 0;
  if (!stage.needs_copy(counts))
    throw BackendError(
        LACUNA_INVALID_ARGUMENT,
        std::string("packed: memory of the host, expected the device's, as ") + name + " are");
  return rows() * shape.row_bytes;
}

inline PackRun staged(Stage& stage, const PackRun& from) {
  const PaddedShape& shape = from.shape;
  PackRun to = from;
  to.lengths = stage.in(from.lengths, shape.sequences);
  to.padded = stage.in(from.padded, padded_bytes(shape));
  to.offsets = stage.out(from.offsets, shape.sequences + 1);
  to.packed =
      stage.out(from.packed, packed_bytes(stage, shape, from.lengths, from.packed, "lengths", [&] {
                  std::int64_t rows = 0;
                  for (std::int64_t b = 0; b < shape.sequences; ++b)
                    rows += std::clamp<std::int64_t>(from.lengths[b], 0, shape.max_length);
                  return rows;
                }));
  return to;
}

inline UnpackRun staged(Stage& stage, const UnpackRun& from) {
  const PaddedShape& shape = from.shape;
  UnpackRun to = from;
  to.offsets = stage.in(from.offsets, shape.sequences + 1);
  to.packed = stage.in(from.packed, packed_bytes(stage, shape, from.offsets, from.packed, "offsets",
                                                 [&] { return from.offsets[shape.sequences]; }));
  to.padded = stage.out(from.padded, padded_bytes(shape));
  return to;
}

}  // namespace lacuna::cuda
