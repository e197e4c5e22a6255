// Draws zoneout for all tokens and recurrent dropout for all sequences at once, before the recurrence.
#pragma once

#include <cstdint>

#include "kernels/cells/noise.h"
#include "kernels/recurrence/sequences.h"
#include "kernels/recurrence/stepwise/grid.h"

namespace lacuna {

template <class R>
struct DrawNoise {
  SequenceView sequences;
  std::int64_t units = 0, output_units = 0;
  const std::int32_t* sequence_of = nullptr;  // [N]
  Noise noise;
  NoiseNames names;
  std::int64_t first_position = 0;                                    // comes on top
  std::uint32_t hidden_below = 0, cell_below = 0, dropout_below = 0;  // which words are drawn
  R scale = R(1);                                                     // of what dropout leaves
  std::uint8_t* zoned = nullptr;                                      // NoiseView's, "="
  R* factors = nullptr;
};

namespace stepwise {

inline constexpr int drawn_at_once = 4;  // words that the generator makes, a unit's each

// Rows are tokens. Those that only the device knows not to be in use have nothing to draw.
template <class R>
SIMT_KERNEL(threads_per_block, resident_blocks)
void draw_zoneout(DrawNoise<R> args, std::int64_t /*step*/, std::int64_t tokens) {
  for_each_of<drawn_at_once>(tokens, args.units, [&](std::int64_t token, std::int64_t unit) {
    const SequenceView& all = args.sequences;
    if (token >= all.offsets[all.count]) return;
    const std::int64_t sequence = args.sequence_of[token];
    const std::int64_t step =
        all.reverse ? all.offsets[sequence + 1] - 1 - token : token - all.offsets[sequence];
    const std::int64_t position = args.first_position + args.names.first_position(sequence) + step;
    unsigned bits = 0;
    const auto draw = [&](NoiseUse use, std::uint32_t below, int first_bit) {
      if (below == 0) return;
      const PhiloxNumbers numbers = args.noise.draw(use, args.names.name(sequence), position, unit);
      SIMT_UNROLL
      for (int i = 0; i < drawn_at_once; ++i)
        bits |= (numbers.word[i] < below ? 1u : 0u) << (first_bit + i);
    };
    draw(NoiseUse::zoneout_hidden, args.hidden_below, 0);
    draw(NoiseUse::zoneout_cell, args.cell_below, 4);
    args.zoned[(token * args.units + unit) / drawn_at_once] = static_cast<std::uint8_t>(bits);
  });
}

// Rows are sequences.
template <class R>
SIMT_KERNEL(threads_per_block, resident_blocks)
void draw_dropout(DrawNoise<R> args, std::int64_t /*step*/, std::int64_t sequences) {
  for_each_of<drawn_at_once>(
      sequences, args.output_units, [&](std::int64_t sequence, std::int64_t unit) {
        const PhiloxNumbers numbers =
            args.noise.draw(NoiseUse::recurrent_dropout, args.names.name(sequence), 0, unit);
        SIMT_UNROLL
        for (int i = 0; i < drawn_at_once; ++i)
          args.factors[sequence * args.output_units + unit + i] =
              numbers.word[i] < args.dropout_below ? R(0) : args.scale;
      });
}

}  // namespace stepwise

// Either array may be null: not wanted.
template <class R>
void draw_noise(simt::Stream stream, const DrawNoise<R>& args, std::int64_t tokens) {
  if (args.zoned != nullptr)
    stepwise::launch_of<stepwise::drawn_at_once>(stream, stepwise::draw_zoneout<R>, args, 0, tokens,
                                                 args.units);
  if (args.factors != nullptr)
    stepwise::launch_of<stepwise::drawn_at_once>(stream, stepwise::draw_dropout<R>, args, 0,
                                                 args.sequences.count, args.output_units);
}

}  // namespace lacuna
