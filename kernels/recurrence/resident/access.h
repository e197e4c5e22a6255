// A thread's way from its four (unit, lane) pairs to the numbers of their tokens and sequences in global memory.
#pragma once

#include <cstdint>

#include "kernels/recurrence/resident/evolve.h"
#include "kernels/recurrence/resident/lanes.h"
#include "kernels/recurrence/resident/tile.h"
#include "kernels/simt/number.h"

namespace lacuna::resident {

// View: ResidentForward<T> or ResidentBackward<T>.
template <class View>
class TileAccess {
 protected:
  SIMT_DEVICE explicit TileAccess(const View& args) : args_(args) {}

  SIMT_DEVICE std::int32_t first_lane() const {
    return static_cast<std::int32_t>(simt::block_index().x) * lanes_per_tile + own_.lane(0);
  }
  SIMT_DEVICE bool is_present(int pair) const { return own_.unit(pair) < args_.hidden; }
  SIMT_DEVICE UnitOfToken unit_of(const Place (&places)[2], int pair) const {
    return {places[Own::side(pair)].token, own_.unit(pair), args_.hidden, args_.units};
  }

  // Arrays of the library, null: not wanted. Zeros beside the state, nothing beyond.
  template <class X>
  SIMT_DEVICE void keep(X* array, std::int64_t row, int pair, float value) const {
    if (array && own_.unit(pair) < args_.units)
      array[row * args_.units + own_.unit(pair)] =
          simt::from_float<X>(is_present(pair) ? value : 0);
  }
  template <class X>
  SIMT_DEVICE float kept(const X* array, std::int64_t row, int pair) const {
    return is_present(pair) ? simt::to_float(array[row * args_.units + own_.unit(pair)]) : 0;
  }

  // Arrays of the caller; null: not wanted, reads as 0.
  template <class X>
  SIMT_DEVICE void give(X* array, std::int64_t row, int pair, float value) const {
    if (array && is_present(pair))
      array[row * args_.hidden + own_.unit(pair)] = simt::from_float<X>(value);
  }
  template <class X>
  SIMT_DEVICE float given(const X* array, std::int64_t row, int pair) const {
    return array && is_present(pair) ? simt::to_float(array[row * args_.hidden + own_.unit(pair)])
                                     : 0;
  }

  const View& args_;
  Own own_;
};

}  // namespace lacuna::resident
