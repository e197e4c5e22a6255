// A thread's way from its four (unit, lane) pairs to the numbers of their tokens and sequences in global memory.
#pragma once

#include <cstdint>

#include "kernels/recurrence/resident/evolve.h"
#include "kernels/recurrence/resident/lanes.h"
#include "kernels/recurrence/resident/tile.h"
#include "kernels/simt/number.h"

namespace lacuna::resident {

// The tokens at which a thread's two lanes stand.
struct Meeting {
  Place place[2];
  bool fires[2] = {};
  float dt[2] = {};  // where cell or evolve read it
};

// View: ResidentForward<T> or ResidentBackward<T>.
template <class View>
class TileAccess {
 protected:
  SIMT_DEVICE TileAccess(const View& args, const Own& own) : args_(args), own_(own) {}

  SIMT_DEVICE std::int32_t first_lane() const { return own_.tile * lanes_per_tile + own_.lane(0); }
  SIMT_DEVICE bool is_present(int pair) const { return own_.unit(pair) < args_.hidden; }
  SIMT_DEVICE UnitOfToken unit_of(const Meeting& at, int pair) const {
    return {at.place[Own::side(pair)].token, own_.unit(pair), args_.hidden, args_.units};
  }

  // Both lanes go on to their next token. pass(sequence, pair) is called for sequences without tokens on the way.
  template <class Cell, bool backward, class F>
  SIMT_DEVICE void advance(Lane<backward> (&lanes)[2], Meeting& to, F&& pass) const {
    const bool reads_gap = Cell::reads_gap || evolve_reads_gap(args_.evolve.kind);
    SIMT_UNROLL
    for (int side = 0; side < 2; ++side) {
      to.place[side] = lanes[side].next([&](std::int32_t sequence) {
        SIMT_UNROLL
        for (int i = side; i < pairs; i += 2) pass(sequence, i);
      });
      const Place& place = to.place[side];
      if (!place.exists()) continue;
      to.fires[side] = does_fire(args_.fires, place.token);
      if (reads_gap) to.dt[side] = args_.gaps[place.token];
    }
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
