// A thread's way from its four (unit, lane) pairs to the numbers of their tokens and sequences in global memory. Numbers of
// the next token are asked for, and neither converted nor added to, nor decide what is asked for besides: whatever first
// looks at one waits for it.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/recurrence/resident/evolve.h"
#include "kernels/recurrence/resident/lanes.h"
#include "kernels/recurrence/resident/tile.h"
#include "kernels/simt/number.h"

namespace lacuna::resident {

// A stored number on its way: 16 bits in a register of their own, for halves of registers are put together, and so waited
// for, where they are loaded.
template <class X>
using OnItsWay = std::conditional_t<sizeof(X) == 2, std::uint32_t, X>;

template <class X>
SIMT_DEVICE OnItsWay<X> sent(X number) {
  if constexpr (sizeof(X) == 2)
    return number.bits;
  else
    return number;
}
template <class X>
SIMT_DEVICE float arrived(OnItsWay<X> number) {
  if constexpr (sizeof(X) == 2)
    return simt::to_float(X{static_cast<std::uint16_t>(number)});
  else
    return number;
}

// Those of a thread's two units, which come by one access: 16 bits each in one register.
template <class X>
using TwoOnTheirWay = std::conditional_t<sizeof(X) == 2, std::uint32_t, simt::Vec<X, 2>>;

template <class X>
SIMT_DEVICE TwoOnTheirWay<X> two_sent(const X* from) {
  return simt::bits_as<TwoOnTheirWay<X>>(simt::load<2>(from));
}
// Of a row's two lanes, a pair's number.
template <class X>
SIMT_DEVICE float arrived(const TwoOnTheirWay<X> (&row)[2], int pair) {
  const TwoOnTheirWay<X>& two = row[Own::side(pair)];
  if constexpr (sizeof(X) == 2)
    return Own::which(pair) == 0 ? simt::unpack_low<X>(two) : simt::unpack_high<X>(two);
  else
    return two[Own::which(pair)];
}
template <class X>
SIMT_DEVICE void store_two(X* to, float first, float second) {
  if constexpr (sizeof(X) == 2)
    simt::store(to, simt::bits_as<simt::Vec<X, 2>>(simt::pack<X>(first, second)));
  else
    simt::store(to, simt::Vec<X, 2>{first, second});
}

// The tokens at which a thread's two lanes stand.
struct Meeting {
  Place place[2];
  std::uint32_t firing[2] = {};  // 0: the cell does not fire
  float dt[2] = {};              // where cell or evolve read it

  SIMT_DEVICE const Place& place_of(int pair) const { return place[Own::side(pair)]; }
  SIMT_DEVICE bool fires(int pair) const { return firing[Own::side(pair)] != 0; }
  SIMT_DEVICE float dt_of(int pair) const { return dt[Own::side(pair)]; }
};

// View: ResidentForward<T> or ResidentBackward<T>.
template <class View>
class TileAccess {
 protected:
  SIMT_DEVICE TileAccess(const View& args, const Own& own) : args_(args), own_(own) {}

  SIMT_DEVICE std::int32_t first_lane() const { return own_.tile * lanes_per_tile + own_.lane(0); }
  SIMT_DEVICE int hidden() const { return static_cast<int>(args_.hidden); }
  SIMT_DEVICE int units() const { return static_cast<int>(args_.units); }
  SIMT_DEVICE bool is_present(int pair) const { return own_.unit(pair) < hidden(); }
  // The thread's first unit of a row. The second is the next, and Own::which() of a pair leads to it.
  template <class X>
  SIMT_DEVICE X* row_of(X* array, std::int32_t row, int width) const {
    return array + (simt::wide_product(row, width) + own_.unit(0));
  }

  // Both lanes go on to their next token.
  template <class Cell, bool backward>
  SIMT_DEVICE void advance(Lane<backward> (&lanes)[2], Meeting& to) const {
    const bool reads_gap = Cell::reads_gap || evolve_reads_gap(args_.evolve.kind);
    SIMT_UNROLL
    for (int side = 0; side < 2; ++side) {
      to.place[side] = lanes[side].next();
      const Place& place = to.place[side];
      if (!place.exists()) continue;
      to.firing[side] = args_.fires ? args_.fires[place.token] : 1;
      if (reads_gap) to.dt[side] = args_.gaps[place.token];
    }
  }

  // 0 where a unit is not present, or the cell does not fire. Warps that have no such unit pass by.
  template <int rows>
  SIMT_DEVICE void clear_idle(const Meeting& at, float (&values)[rows][pairs]) const {
    if (is_present(pairs - 1) && at.fires(0) && at.fires(1)) return;
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      if (is_present(i) && at.fires(i)) continue;
      SIMT_UNROLL
      for (int row = 0; row < rows; ++row) values[row][i] = 0;
    }
  }

  // Arrays with `rows` rows of the library for each token, of which those from `first` to `end`; null: not wanted.
  // value(row, pair): 0 where the unit is not present. Nothing is written beyond the array's units.
  template <int rows, int first = 0, int end = rows, class X, class F>
  SIMT_DEVICE void keep(X* array, const Meeting& at, F&& value) const {
    if (array == nullptr || own_.unit(0) >= units()) return;
    each_lane(at, [&](int side, std::int32_t token) {
      X* const to = row_of(array, token, rows * units());
      SIMT_UNROLL
      for (int row = first; row < end; ++row)
        store_two(to + row * units(), value(row, Own::pair_of(side, 0)),
                  value(row, Own::pair_of(side, 1)));
    });
  }
  template <class X, class F>
  SIMT_DEVICE void keep(X* array, const Meeting& at, F&& value) const {
    keep<1>(array, at, [&](int, int pair) { return value(pair); });
  }
  // What they hold, of both lanes. Where neither unit is present it remains as it was.
  template <int rows, class X>
  SIMT_DEVICE void kept(const X* array, const Meeting& at, TwoOnTheirWay<X> (&to)[rows][2]) const {
    if (!is_present(0)) return;
    each_lane(at, [&](int side, std::int32_t token) {
      const X* const from = row_of(array, token, rows * units());
      SIMT_UNROLL
      for (int row = 0; row < rows; ++row) to[row][side] = two_sent(from + row * units());
    });
  }
  // One row for each token. 0 where there is none.
  template <class X>
  SIMT_DEVICE float kept_one(const X* array, const Meeting& at, int pair) const {
    const Place& place = at.place_of(pair);
    if (!place.exists() || !is_present(pair)) return 0;
    return simt::to_float(row_of(array, place.token, units())[Own::which(pair)]);
  }

  // Arrays of the caller, a row for each token; null: not wanted, and nothing is read.
  template <class X, class F>
  SIMT_DEVICE void give(X* array, const Meeting& at, F&& value) const {
    if (array == nullptr) return;
    each_lane(at, [&](int side, std::int32_t token) {
      X* const to = row_of(array, token, hidden());
      SIMT_UNROLL
      for (int i = side; i < pairs; i += 2)
        if (is_present(i)) to[Own::which(i)] = simt::from_float<X>(value(i));
    });
  }
  template <class X>
  SIMT_DEVICE void given(const X* array, const Meeting& at, OnItsWay<X> (&to)[pairs]) const {
    if (array == nullptr) return;
    each_lane(at, [&](int side, std::int32_t token) {
      const X* const from = row_of(array, token, hidden());
      SIMT_UNROLL
      for (int i = side; i < pairs; i += 2)
        if (is_present(i)) to[i] = sent(from[Own::which(i)]);
    });
  }

  // The same with a row for each sequence, which reads as 0 where the array is null.
  template <class X>
  SIMT_DEVICE void give_sequence(X* array, std::int32_t sequence, int pair, float value) const {
    if (array && is_present(pair))
      row_of(array, sequence, hidden())[Own::which(pair)] = simt::from_float<X>(value);
  }
  template <class X>
  SIMT_DEVICE float given_sequence(const X* array, std::int32_t sequence, int pair) const {
    return array && is_present(pair)
               ? simt::to_float(row_of(array, sequence, hidden())[Own::which(pair)])
               : 0;
  }
  // Of sequences without tokens, what comes out is what went in.
  template <bool backward, class X>
  SIMT_DEVICE void pass_empty(const Lane<backward> (&lanes)[2], X* to, const X* from) const {
    if (to == nullptr) return;
    SIMT_UNROLL
    for (int side = 0; side < 2; ++side)
      lanes[side].each_empty([&](std::int32_t sequence) {
        SIMT_UNROLL
        for (int i = side; i < pairs; i += 2)
          give_sequence(to, sequence, i, given_sequence(from, sequence, i));
      });
  }

  const View& args_;
  Own own_;

 private:
  // f(side, token) for both lanes, but those that have no token left.
  template <class F>
  SIMT_DEVICE static void each_lane(const Meeting& at, F&& f) {
    SIMT_UNROLL
    for (int side = 0; side < 2; ++side)
      if (at.place[side].exists()) f(side, at.place[side].token);
  }
};

}  // namespace lacuna::resident
