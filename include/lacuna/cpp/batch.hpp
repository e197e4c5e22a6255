// Ragged batches and what goes in and out beside them, as spans over the caller's own arrays.
// Token-major: sequence b owns rows offsets[b] .. offsets[b+1]-1. An empty span means "not given"
// or "not wanted". Where `Real` is of 16 bits, times are floats. On CUDA a span may be over the
// device's memory as well as the host's; see lacuna.h.
#pragma once

#include "lacuna/cpp/layer.hpp"

namespace lacuna {

// What a sequence cut in pieces carries into its next piece besides the state. See lacuna_carry.
template <RealNumber Real>
struct CarryIn {
  std::span<const Real> last_values{};      // [B, D], NaN where nothing has been measured yet
  std::span<const Wide<Real>> since{};      // [B, D]
  std::span<const double> last_time{};      // [B], NaN where there has been no token yet
  std::span<const Wide<Real>> first_gap{};  // [B], reversed layers with delta_t
};

template <RealNumber Real>
struct CarryOut {
  std::span<Real> last_values{};
  std::span<Wide<Real>> since{};
  std::span<double> last_time{};
  std::span<Wide<Real>> first_gap{};
};

// Where zoneout and recurrent dropout, and dropout between a stack's layers, take their random numbers
// from, in runs with a tape. See lacuna_noise. A training loop gives each step numbers of its own:
// batch.noise.seed = step. A stack has its seed as an argument of its forward run instead.
struct NoiseIn {
  std::uint64_t seed = 0;
  std::span<const std::int64_t> sequence{};  // [B], what each is called; empty: 0 .. B-1
  std::span<const std::int64_t> position{};  // [B], tokens read in earlier pieces; empty: 0
};

template <RealNumber Real>
struct Batch {
  std::span<const std::int64_t> offsets{};  // [B + 1]; empty: no sequences
  std::span<const Real> values{};           // [N, D]
  std::span<const std::uint8_t>
      mask{};  // [N, D], 1 measured; empty: NaN in values marks what is missing
  // [N], 1 the cell fires, 0 the state only evolves: EmptyRows::evolve_only without a mask
  std::span<const std::uint8_t> fires{};
  std::span<const Wide<Real>> delta_t{};  // [N]: time since the previous token; or else
  std::span<const double> times{};        // [N]: time stamps
  std::span<const Wide<Real>> delta{};  // [N, D]: time since each feature was measured, ready-made
  std::span<const Real> initial_hidden{};  // [B, R]
  std::span<const Real> initial_cell{};    // [B, H], lstm
  CarryIn<Real> carry_in{};
  // CUDA: the device alone knows `offsets`, which are in its memory, and the arrays have so many
  // rows (lacuna_batch.offsets_on_device). Negative: the host knows them.
  std::int64_t tokens_on_device = -1;
  NoiseIn noise{};

  std::int64_t sequences() const {
    return offsets.empty() ? 0 : static_cast<std::int64_t>(offsets.size()) - 1;
  }
  std::int64_t tokens() const {
    if (tokens_on_device >= 0) return tokens_on_device;
    return offsets.empty() ? 0 : offsets.back();
  }
};

// All optional, all written.
template <RealNumber Real>
struct Outputs {
  std::span<Real> hidden{};          // [N, R]: the state after each token
  std::span<Real> cell{};            // [N, H], lstm
  std::span<Real> evolved_hidden{};  // [N, R]: the state before each update
  std::span<Real> imputed{};         // [N, D]: x, measured or imputed
  std::span<Real> final_hidden{};    // [B, R]
  std::span<Real> final_cell{};      // [B, H], lstm
  CarryOut<Real> carry_out{};
};

// dL/d(output); empty: 0.
template <RealNumber Real>
struct OutputGradients {
  std::span<const Real> d_hidden{};        // [N, R]
  std::span<const Real> d_cell{};          // [N, H], lstm
  std::span<const Real> d_final_hidden{};  // [B, R]
  std::span<const Real> d_final_cell{};    // [B, H], lstm
};

// dL/d(input), all optional, all written.
template <RealNumber Real>
struct InputGradients {
  std::span<Real> d_values{};          // [N, D]: 0 where unmeasured
  std::span<Wide<Real>> d_delta_t{};   // [N]
  std::span<Real> d_initial_hidden{};  // [B, R]
  std::span<Real> d_initial_cell{};    // [B, H], lstm
};

namespace detail {

// The width of h: messages name what was given.
inline Extent output_of(const Layer& layer) {
  return {layer.projection > 0 ? "projection" : "hidden", layer.output_width()};
}

// The extents that the arrays of one run are checked against.
struct Extents {
  Extent sequences, tokens, features, hidden, output;

  template <RealNumber Real>
  Extents(const Layer& layer, const Batch<Real>& batch)
      : sequences{"sequences", batch.sequences()},
        tokens{"tokens", batch.tokens()},
        features{"features", layer.features},
        hidden{"hidden", layer.hidden},
        output(output_of(layer)) {
    if (batch.tokens_on_device < 0 && !batch.offsets.empty() && batch.offsets.front() != 0)
      refuse("batch.offsets[0]: " + std::to_string(batch.offsets.front()) + ", expected 0");
    if (tokens.count < 0)
      refuse("batch.offsets: ends in " + std::to_string(tokens.count) + ", expected >= 0");
  }
};

template <RealNumber Real>
lacuna_batch checked(const Batch<Real>& batch, const Extents& is) {
  lacuna_batch c{};
  c.sequences = is.sequences.count;
  c.tokens = is.tokens.count;
  c.offsets = batch.offsets.data();
  c.offsets_on_device = batch.tokens_on_device >= 0;
  c.values = optional("batch.values", batch.values, is.tokens, is.features);
  c.mask = optional("batch.mask", batch.mask, is.tokens, is.features);
  c.fires = optional("batch.fires", batch.fires, is.tokens);
  c.delta_t = optional("batch.delta_t", batch.delta_t, is.tokens);
  c.times = optional("batch.times", batch.times, is.tokens);
  c.delta = optional("batch.delta", batch.delta, is.tokens, is.features);
  c.initial_hidden =
      optional("batch.initial_hidden", batch.initial_hidden, is.sequences, is.output);
  c.initial_cell = optional("batch.initial_cell", batch.initial_cell, is.sequences, is.hidden);
  c.noise.seed = batch.noise.seed;
  c.noise.sequence = optional("batch.noise.sequence", batch.noise.sequence, is.sequences);
  c.noise.position = optional("batch.noise.position", batch.noise.position, is.sequences);
  // The C struct serves input and output alike; the library only reads this one.
  const auto& carry = batch.carry_in;
  c.carry_in.last_values = const_cast<Real*>(
      optional("batch.carry_in.last_values", carry.last_values, is.sequences, is.features));
  c.carry_in.since = const_cast<Wide<Real>*>(
      optional("batch.carry_in.since", carry.since, is.sequences, is.features));
  c.carry_in.last_time =
      const_cast<double*>(optional("batch.carry_in.last_time", carry.last_time, is.sequences));
  c.carry_in.first_gap =
      const_cast<Wide<Real>*>(optional("batch.carry_in.first_gap", carry.first_gap, is.sequences));
  return c;
}

template <RealNumber Real>
lacuna_outputs checked(const Outputs<Real>& outputs, const Extents& is) {
  lacuna_outputs c{};
  c.hidden = optional("outputs.hidden", outputs.hidden, is.tokens, is.output);
  c.cell = optional("outputs.cell", outputs.cell, is.tokens, is.hidden);
  c.evolved_hidden =
      optional("outputs.evolved_hidden", outputs.evolved_hidden, is.tokens, is.output);
  c.imputed = optional("outputs.imputed", outputs.imputed, is.tokens, is.features);
  c.final_hidden = optional("outputs.final_hidden", outputs.final_hidden, is.sequences, is.output);
  c.final_cell = optional("outputs.final_cell", outputs.final_cell, is.sequences, is.hidden);
  const auto& carry = outputs.carry_out;
  c.carry_out.last_values =
      optional("outputs.carry_out.last_values", carry.last_values, is.sequences, is.features);
  c.carry_out.since = optional("outputs.carry_out.since", carry.since, is.sequences, is.features);
  c.carry_out.last_time = optional("outputs.carry_out.last_time", carry.last_time, is.sequences);
  c.carry_out.first_gap = optional("outputs.carry_out.first_gap", carry.first_gap, is.sequences);
  return c;
}

template <RealNumber Real>
lacuna_output_gradients checked(const OutputGradients<Real>& gradients, const Extents& is) {
  lacuna_output_gradients c{};
  c.d_hidden = optional("d_outputs.d_hidden", gradients.d_hidden, is.tokens, is.output);
  c.d_cell = optional("d_outputs.d_cell", gradients.d_cell, is.tokens, is.hidden);
  c.d_final_hidden =
      optional("d_outputs.d_final_hidden", gradients.d_final_hidden, is.sequences, is.output);
  c.d_final_cell =
      optional("d_outputs.d_final_cell", gradients.d_final_cell, is.sequences, is.hidden);
  return c;
}

template <RealNumber Real>
lacuna_input_gradients checked(const InputGradients<Real>& gradients, const Extents& is) {
  lacuna_input_gradients c{};
  c.d_values = optional("d_inputs.d_values", gradients.d_values, is.tokens, is.features);
  c.d_delta_t = optional("d_inputs.d_delta_t", gradients.d_delta_t, is.tokens);
  c.d_initial_hidden =
      optional("d_inputs.d_initial_hidden", gradients.d_initial_hidden, is.sequences, is.output);
  c.d_initial_cell =
      optional("d_inputs.d_initial_cell", gradients.d_initial_cell, is.sequences, is.hidden);
  return c;
}

}  // namespace detail
}  // namespace lacuna
