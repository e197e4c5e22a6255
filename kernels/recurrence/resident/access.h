// A thread's way from its (unit, lane) pairs to the numbers of their tokens and sequences in global memory. Numbers of
// the next token are asked for, and neither converted nor added to, nor decide what is asked for besides: whatever first
// looks at one waits for it.
//
// `usual`, `units`: of the walk's Form (forms.h).
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/recurrence/resident/evolve.h"
#include "kernels/recurrence/resident/forms.h"
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

// A loaded float that goes to a register in which numbers are computed otherwise. Its load is waited for here, in a branch
// that is seldom taken. Else whoever uses the register next would wait, in every step, for all loads on their way that
// the same of a warp's counters counts.
SIMT_DEVICE float landed(float number) {
  return number * simt::bits_as<float>(simt::opaque(simt::bits_as<std::uint32_t>(1.0f)));
}

// Those of a thread's `n` neighbouring units of one lane, which come by one access; of two, 16 bits each in one register.
template <class X, int n>
struct OnTheirWay;

template <class X>
struct OnTheirWay<X, 2> {
  using Bits = std::conditional_t<sizeof(X) == 2, std::uint32_t, simt::Vec<X, 2>>;
  Bits bits;

  SIMT_DEVICE static OnTheirWay from(const X* array) {
    return {simt::bits_as<Bits>(simt::load<2>(array))};
  }
  // As they will be stored. value(0), value(1).
  template <class F>
  SIMT_DEVICE static OnTheirWay of(F&& value) {
    if constexpr (sizeof(X) == 2)
      return {simt::pack<X>(value(0), value(1))};
    else
      return {{value(0), value(1)}};
  }
  SIMT_DEVICE void store(X* to) const { simt::store(to, simt::bits_as<simt::Vec<X, 2>>(bits)); }
  SIMT_DEVICE float arrived(int which) const {
    if constexpr (sizeof(X) == 2)
      return which == 0 ? simt::unpack_low<X>(bits) : simt::unpack_high<X>(bits);
    else
      return bits[which];
  }
};

template <class X>
struct OnTheirWay<X, 1> {
  OnItsWay<X> bits;

  SIMT_DEVICE static OnTheirWay from(const X* array) { return {sent(*array)}; }
  template <class F>
  SIMT_DEVICE static OnTheirWay of(F&& value) {
    return {sent(simt::from_float<X>(value(0)))};
  }
  SIMT_DEVICE void store(X* to) const {
    if constexpr (sizeof(X) == 2)
      *to = X{static_cast<std::uint16_t>(bits)};
    else
      *to = bits;
  }
  SIMT_DEVICE float arrived(int /*which*/) const { return resident::arrived<X>(bits); }
};

// Of a row: a thread's lanes.
template <class X, class Own>
using RowOnItsWay = OnTheirWay<X, Own::neighbours>[Own::lanes];

// The tokens at which a thread's lanes stand.
template <class Own, bool usual>
struct Meeting {
  Place place[Own::lanes];
  std::uint32_t firing[Own::lanes] = {};  // 0: the cell does not fire
  float dt[Own::lanes] = {};              // where cell or evolve read it

  SIMT_DEVICE const Place& place_of(int pair) const { return place[Own::side(pair)]; }
  SIMT_DEVICE bool fires(int pair) const { return usual || firing[Own::side(pair)] != 0; }
  SIMT_DEVICE float dt_of(int pair) const { return dt[Own::side(pair)]; }
  SIMT_DEVICE bool any_first() const { return place[0].first() || place[Own::lanes - 1].first(); }
  SIMT_DEVICE bool any_last() const { return place[0].last() || place[Own::lanes - 1].last(); }
};

// View: ForwardView<T> or BackwardView<T>, or what is made of them. Own: what a thread owns.
template <class View, class Own, class Form>
class TileAccess {
 protected:
  static constexpr bool usual = Form::usual;
  static constexpr int pairs = Own::pairs;
  using Meeting = resident::Meeting<Own, usual>;
  template <class X>
  using Some = OnTheirWay<X, Own::neighbours>;
  template <class X>
  using Row = RowOnItsWay<X, Own>;

  SIMT_DEVICE TileAccess(const View& args, const Own& own)
      : args_(args),
        own_(own),
        present_(Form::units > 0 || own.unit(0) < hidden()),
        stored_(Form::units > 0 || own.unit(0) < units()) {}

  SIMT_DEVICE std::int32_t first_lane() const {
    return own_.tile * Own::lanes_per_tile + own_.lane(0);
  }
  SIMT_DEVICE int hidden() const {
    return Form::units > 0 ? Form::units : static_cast<int>(args_.hidden);
  }
  SIMT_DEVICE int units() const {
    return Form::units > 0 ? Form::units : static_cast<int>(args_.units);
  }
  // units(), of which no multiple, one for each row of an array's token, is kept in a register from token to token.
  SIMT_DEVICE int width() const {
    return Form::units > 0 ? Form::units
                           : static_cast<int>(simt::opaque(static_cast<std::uint32_t>(units())));
  }
  // In the usual case all of a thread's units are, or none.
  SIMT_DEVICE bool is_present(int pair) const {
    return usual ? present_ : own_.unit(pair) < hidden();
  }
  // The thread's first unit of a row. A second is the next, and Own::which() of a pair leads to it.
  template <class X>
  SIMT_DEVICE X* row_of(X* array, std::int32_t row, int width) const {
    return array + (simt::wide_product(row, width) + own_.unit(0));
  }
  // The same, of some row and unit where there is none of this thread's, so that it can be read without asking first.
  template <class X>
  SIMT_DEVICE const X* any_row_of(const X* array, std::int32_t row, int width,
                                  bool has_unit) const {
    return array + (simt::wide_product(row > 0 ? row : 0, width) + (has_unit ? own_.unit(0) : 0));
  }

  // All lanes go on to their next token. cell_reads_gap: as evolve may.
  template <bool backward>
  SIMT_DEVICE void advance(Lanes<backward, Own::lanes>& lanes, Meeting& to,
                           bool cell_reads_gap) const {
    const bool reads_gap = cell_reads_gap || (!usual && evolve_reads_gap(args_.evolve.kind));
    SIMT_UNROLL
    for (int side = 0; side < Own::lanes; ++side) {
      to.place[side] = lanes.of[side].next();
      const Place& place = to.place[side];
      if constexpr (usual) {
        if (reads_gap) to.dt[side] = args_.gaps[place.exists() ? place.token : 0];
        continue;
      }
      if (!place.exists()) continue;
      to.firing[side] = args_.fires ? args_.fires[place.token] : 1;
      if (reads_gap) to.dt[side] = args_.gaps[place.token];
    }
  }

  // 0 where a unit is not present, or the cell does not fire. Warps that have no such unit pass by.
  template <int rows>
  SIMT_DEVICE void clear_idle(const Meeting& at, float (&values)[rows][pairs]) const {
    if (is_present(pairs - 1) && (usual || (at.fires(0) && at.fires(pairs - 1)))) return;
    SIMT_UNROLL
    for (int i = 0; i < pairs; ++i) {
      if (is_present(i) && at.fires(i)) continue;
      SIMT_UNROLL
      for (int row = 0; row < rows; ++row) values[row][i] = 0;
    }
  }

  // Arrays with `rows` rows of the library for each token, of which those from `first` to `end`; null: not wanted.
  // some(row, side): what a lane's units have, 0 where they are not present. Nothing is written beyond the array's units.
  template <int rows, int first = 0, int end = rows, class X, class F>
  SIMT_DEVICE void keep_some(X* array, const Meeting& at, F&& some) const {
    if (array == nullptr || !own_.stores()) return;
    if (!usual && own_.unit(0) >= units()) return;
    each_lane(at, [&](int side, std::int32_t token) {
      if (usual && !stored_) return;
      const int width = this->width();
      X* const to = row_of(array, token, rows * width);
      SIMT_UNROLL
      for (int row = first; row < end; ++row) some(row, side).store(to + row * width);
    });
  }
  // value(row, pair).
  template <int rows, int first = 0, int end = rows, class X, class F>
  SIMT_DEVICE void keep(X* array, const Meeting& at, F&& value) const {
    keep_some<rows, first, end>(array, at, [&](int row, int side) {
      return some_of<X>(side, [&](int pair) { return value(row, pair); });
    });
  }
  template <class X, class F>
  SIMT_DEVICE void keep(X* array, const Meeting& at, F&& value) const {
    keep<1>(array, at, [&](int, int pair) { return value(pair); });
  }
  // What they hold, of all lanes; anything where there is no token or no such unit.
  template <int rows, class X>
  SIMT_DEVICE void kept(const X* array, const Meeting& at, Some<X> (&to)[rows][Own::lanes]) const {
    const int width = this->width();
    SIMT_UNROLL
    for (int side = 0; side < Own::lanes; ++side) {
      const X* const from = any_row_of(array, at.place[side].token, rows * width, stored_);
      SIMT_UNROLL
      for (int row = 0; row < rows; ++row) to[row][side] = Some<X>::from(from + row * width);
    }
  }
  // One row for each token. 0 where there is none.
  template <class X>
  SIMT_DEVICE float kept_one(const X* array, const Meeting& at, int pair) const {
    const Place& place = at.place_of(pair);
    if (!place.exists() || !is_present(pair)) return 0;
    return simt::to_float(row_of(array, place.token, units())[Own::which(pair)]);
  }

  // Arrays of the caller, a row for each token; null: not wanted, and nothing is read. some(side) and value(pair): the same.
  template <class X, class F>
  SIMT_DEVICE void give_some(X* array, const Meeting& at, F&& some) const {
    if constexpr (usual) {
      if (array == nullptr || !own_.stores()) return;
      each_lane(at, [&](int side, std::int32_t token) {
        if (present_) some(side).store(row_of(array, token, hidden()));
      });
    } else {
      Row<X> all;
      SIMT_UNROLL
      for (int side = 0; side < Own::lanes; ++side) all[side] = some(side);
      give(array, at, [&](int pair) { return at_pair<X>(all, pair); });
    }
  }
  template <class X, class F>
  SIMT_DEVICE void give(X* array, const Meeting& at, F&& value) const {
    static_assert(!usual);
    if (array == nullptr || !own_.stores()) return;
    each_lane(at, [&](int side, std::int32_t token) {
      X* const to = row_of(array, token, hidden());
      SIMT_UNROLL
      for (int i = side; i < pairs; i += Own::lanes)
        if (is_present(i)) to[Own::which(i)] = simt::from_float<X>(value(i));
    });
  }
  // What given() fetches: pairs, or in the usual case neighbours, of which the units that are not present are anything.
  template <class X>
  struct Given {
    OnItsWay<X> one[usual ? 1 : pairs] = {};
    Some<X> some[usual ? Own::lanes : 1] = {};
  };
  template <class X>
  SIMT_DEVICE void given(const X* array, const Meeting& at, Given<X>& to) const {
    if (array == nullptr) return;
    if constexpr (usual) {
      SIMT_UNROLL
      for (int side = 0; side < Own::lanes; ++side)
        to.some[side] = Some<X>::from(any_row_of(array, at.place[side].token, hidden(), present_));
    } else {
      each_lane(at, [&](int side, std::int32_t token) {
        const X* const from = row_of(array, token, hidden());
        SIMT_UNROLL
        for (int i = side; i < pairs; i += Own::lanes)
          if (is_present(i)) to.one[i] = sent(from[Own::which(i)]);
      });
    }
  }
  // 0 where the unit is not present or the array null.
  template <class X>
  SIMT_DEVICE float number(const Given<X>& from, int pair) const {
    if constexpr (usual)
      return present_ ? from.some[Own::side(pair)].arrived(Own::which(pair)) : 0;
    else
      return arrived<X>(from.one[pair]);
  }

  // The same with a row for each sequence, which reads as 0 where the array is null.
  template <class X>
  SIMT_DEVICE void give_sequence(X* array, std::int32_t sequence, int pair, float value) const {
    if (array && is_present(pair) && own_.stores())
      row_of(array, sequence, hidden())[Own::which(pair)] = simt::from_float<X>(value);
  }
  template <class X>
  SIMT_DEVICE float given_sequence(const X* array, std::int32_t sequence, int pair) const {
    return array && is_present(pair)
               ? landed(simt::to_float(row_of(array, sequence, hidden())[Own::which(pair)]))
               : 0;
  }
  // Of sequences without tokens, what comes out is what went in.
  template <bool backward, class X>
  SIMT_DEVICE void pass_empty(const Lanes<backward, Own::lanes>& lanes, X* to,
                              const X* from) const {
    if (to == nullptr) return;
    SIMT_UNROLL
    for (int side = 0; side < Own::lanes; ++side)
      lanes.of[side].each_empty([&](std::int32_t sequence) {
        SIMT_UNROLL
        for (int i = side; i < pairs; i += Own::lanes)
          give_sequence(to, sequence, i, given_sequence(from, sequence, i));
      });
  }

  // As they will be stored, of one lane. value(pair).
  template <class X, class F>
  SIMT_DEVICE static Some<X> some_of(int side, F&& value) {
    return Some<X>::of([&](int which) { return value(Own::pair_of(side, which)); });
  }
  template <class X>
  SIMT_DEVICE static float at_pair(const Row<X>& row, int pair) {
    return row[Own::side(pair)].arrived(Own::which(pair));
  }

  const View& args_;
  Own own_;

 private:
  bool present_, stored_;  // of the first unit: it is the state's, the library's arrays have it

  // f(side, token) for all lanes, but those that have no token left.
  template <class F>
  SIMT_DEVICE static void each_lane(const Meeting& at, F&& f) {
    SIMT_UNROLL
    for (int side = 0; side < Own::lanes; ++side)
      if (at.place[side].exists()) f(side, at.place[side].token);
  }
};

}  // namespace lacuna::resident
