// Zoneout and recurrent dropout: what is drawn, for all tokens and all sequences at once, and what it does to a few units of a
// state. Shared by every regime of the recurrence.
#pragma once

#include <cstdint>

#include "kernels/cells/noise.h"
#include "kernels/recurrence/sequences.h"
#include "kernels/recurrence/stepwise/grid.h"
#include "kernels/recurrence/units.h"

namespace lacuna {

template <class R>
struct NoiseView {
  std::int64_t units = 0, output_units = 0;  // strides
  R zoneout[2] = {};                         // probabilities: of h, of c
  // [N, units / 4]: of four units, bit i: the i-th one's h stays as it was evolved; bit 4 + i: its c. Null: nothing is drawn,
  // and zoneout is what can be expected of it.
  const std::uint8_t* zoned = nullptr;
  const R* factors = nullptr;  // [B, output_units]: what W_h reads of h; null: all of it

  SIMT_BOTH bool zones_out() const { return zoneout[0] > R(0) || zoneout[1] > R(0); }
  // Bit i: unit + i of the token stays. part: 0 for h, 1 for c.
  SIMT_DEVICE unsigned zoned_units(std::int64_t token, std::int64_t unit, int part) const {
    return zoned[(token * units + unit) / 4] >> (4 * part + unit % 4);
  }
};

// The state after a token, in place of what its update made of it.
template <class R>
SIMT_DEVICE void zone_out(const NoiseView<R>& noise, const UnitsAt& at, int part,
                          const Units<R>& evolved, Units<R>& next) {
  if (noise.zoned != nullptr) {
    const unsigned zoned = noise.zoned_units(at.token, at.unit, part);
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i)
      if ((zoned >> i & 1u) != 0) next[i] = evolved[i];
  } else if (noise.zoneout[part] > R(0)) {
    SIMT_UNROLL
    for (int i = 0; i < units_per_thread<R>; ++i)
      next[i] += noise.zoneout[part] * (evolved[i] - next[i]);
  }
}

// d_next: in, dL/d(state after the token); out, of what its update made. past: what reaches the evolved state past the update.
template <class R>
SIMT_DEVICE void zone_out_backward(const NoiseView<R>& noise, const UnitsAt& at, int part,
                                   Units<R>& d_next, Units<R>& past) {
  const unsigned zoned = noise.zoned_units(at.token, at.unit, part);
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) {
    const bool stays = (zoned >> i & 1u) != 0;
    past[i] = stays ? d_next[i] : R(0);
    if (stays) d_next[i] = R(0);
  }
}

// What W_h reads of a state of the sequence, or what of that gradient reaches the state.
template <class R>
SIMT_DEVICE Units<R> dropped(const NoiseView<R>& noise, std::int64_t sequence, std::int64_t unit,
                             Units<R> state) {
  if (noise.factors == nullptr) return state;
  const Units<R> factors = load_units(noise.factors, sequence * noise.output_units + unit);
  SIMT_UNROLL
  for (int i = 0; i < units_per_thread<R>; ++i) state[i] *= factors[i];
  return state;
}

template <class R>
struct DrawNoise {
  SequenceView sequences;
  std::int64_t units = 0, output_units = 0;
  const std::int32_t* sequence_of = nullptr;  // [N]
  Noise noise;
  const std::int64_t* names = nullptr;                                // [B]; null: 0 .. B-1
  const std::int64_t* positions = nullptr;                            // [B]; null: 0
  std::int64_t first_position = 0;                                    // comes on top
  std::uint32_t hidden_below = 0, cell_below = 0, dropout_below = 0;  // which words are drawn
  R scale = R(1);                                                     // of what dropout leaves
  std::uint8_t* zoned = nullptr;                                      // NoiseView's, "="
  R* factors = nullptr;

  SIMT_DEVICE std::int64_t name(std::int64_t sequence) const {
    return names != nullptr ? names[sequence] : sequence;
  }
};

namespace stepwise {

// Rows are tokens. Those that only the device knows not to be in use have nothing to draw.
template <class R>
SIMT_KERNEL(threads_per_block, resident_blocks)
void draw_zoneout(DrawNoise<R> args, std::int64_t /*step*/, std::int64_t tokens) {
  for_each_group<float>(tokens, args.units, [&](std::int64_t token, std::int64_t unit) {
    const SequenceView& all = args.sequences;
    if (token >= all.offsets[all.count]) return;
    const std::int64_t sequence = args.sequence_of[token];
    const std::int64_t step =
        all.reverse ? all.offsets[sequence + 1] - 1 - token : token - all.offsets[sequence];
    const std::int64_t position =
        args.first_position + (args.positions != nullptr ? args.positions[sequence] : 0) + step;
    unsigned bits = 0;
    const auto draw = [&](NoiseUse use, std::uint32_t below, int first_bit) {
      if (below == 0) return;
      const PhiloxNumbers numbers = args.noise.draw(use, args.name(sequence), position, unit);
      SIMT_UNROLL
      for (int i = 0; i < 4; ++i) bits |= (numbers.word[i] < below ? 1u : 0u) << (first_bit + i);
    };
    draw(NoiseUse::zoneout_hidden, args.hidden_below, 0);
    draw(NoiseUse::zoneout_cell, args.cell_below, 4);
    args.zoned[(token * args.units + unit) / 4] = static_cast<std::uint8_t>(bits);
  });
}

// Rows are sequences.
template <class R>
SIMT_KERNEL(threads_per_block, resident_blocks)
void draw_dropout(DrawNoise<R> args, std::int64_t /*step*/, std::int64_t sequences) {
  for_each_group<float>(
      sequences, args.output_units, [&](std::int64_t sequence, std::int64_t unit) {
        const PhiloxNumbers numbers =
            args.noise.draw(NoiseUse::recurrent_dropout, args.name(sequence), 0, unit);
        SIMT_UNROLL
        for (int i = 0; i < 4; ++i)
          args.factors[sequence * args.output_units + unit + i] =
              numbers.word[i] < args.dropout_below ? R(0) : args.scale;
      });
}

}  // namespace stepwise

// Either array may be null: not wanted.
template <class R>
void draw_noise(simt::Stream stream, const DrawNoise<R>& args, std::int64_t tokens) {
  if (args.zoned != nullptr)
    stepwise::launch_rows<float>(stream, stepwise::draw_zoneout<R>, args, 0, tokens);
  if (args.factors != nullptr)
    stepwise::launch_rows<float>(stream, stepwise::draw_dropout<R>, args, 0, args.sequences.count);
}

}  // namespace lacuna
