// What zoneout and recurrent dropout do to a few units of a state, once they are drawn (stepwise/draw_noise.h).
#pragma once

#include <cstdint>

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

}  // namespace lacuna
