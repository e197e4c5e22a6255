// A tile of one lane, for batches that leave a device's multiprocessors idle in tiles of eight: a block walks a single
// sequence at a time, in plain arithmetic. A step is then short, for a thread has one unit to think of and nothing is
// multiplied for lanes that are not there; tensor cores would be seven eighths idle.
//
// Two threads have a unit together, half a warp apart. Each multiplies half of the depth of all gates' rows, and both add
// up: a butterfly leaves the same sum, bit for bit, in both, so that both go on with the unit's gates and nothing has to be
// sent back. The first stores. Half a warp reads the same 16 bytes of the other factor: 2 cycles of shared memory,
// where lanes that differ take 4 (docs/regimes.md).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/recurrence/cell_steps.h"
#include "kernels/recurrence/lone/division.h"
#include "kernels/recurrence/resident/forms.h"
#include "kernels/simt/index.h"
#include "kernels/simt/launch.h"
#include "kernels/simt/shared.h"
#include "kernels/simt/vec.h"
#include "kernels/simt/warp.h"

namespace lacuna::lone {

// What a thread owns, as resident::Own: one unit, of which the other half of the warp has the same.
struct Own {
  static constexpr int pairs = 1;
  static constexpr int lanes = 1, neighbours = 1;
  static constexpr int lanes_per_tile = 1;

  int tile = static_cast<int>(simt::block_index().x);
  int thread = static_cast<int>(simt::lane_index());
  int row = static_cast<int>(simt::warp_index());  // which 16 units
  int first_unit = row * units_per_warp;

  // Registers suffice for addresses.
  template <bool>
  SIMT_DEVICE void forget_addresses() {}

  SIMT_DEVICE int unit(int /*pair*/) const { return first_unit + thread % units_per_warp; }
  SIMT_DEVICE int lane(int /*pair*/) const { return 0; }
  SIMT_DEVICE int place(int pair) const { return unit(pair); }
  SIMT_DEVICE int half() const { return thread / units_per_warp; }
  SIMT_DEVICE bool stores() const { return half() == 0; }
  SIMT_DEVICE static constexpr int side(int /*pair*/) { return 0; }
  SIMT_DEVICE static constexpr int which(int /*pair*/) { return 0; }
  SIMT_DEVICE static constexpr int pair_of(int /*side*/, int /*which*/) { return 0; }
};

// What each half has and the other half lacks.
SIMT_DEVICE float of_both(float half) {
  return half + simt::shuffle_xor(half, static_cast<unsigned>(units_per_warp));
}

// A number of each unit, in shared memory, where half a warp reads the same four at once. The second half of the depth lies
// 16 bytes further, so that both halves of the warp read other banks.
class Vector {
 public:
  static constexpr int gap = 4;
  SIMT_BOTH static constexpr int size(int units) { return units + gap; }

  SIMT_DEVICE Vector(float* numbers, int units) : numbers_(numbers), units_(units) {}
  SIMT_DEVICE void set(int unit, float value) const {
    numbers_[unit + (unit < units_ / 2 ? 0 : gap)] = value;
  }
  // The first of a half of the depth; the others follow.
  SIMT_DEVICE const float* half(int which) const { return numbers_ + which * (units_ / 2 + gap); }

 private:
  float* numbers_;
  int units_;  // whole warps
};

// A thread's weights: of `blocks` matrices as many columns, 4 at a time. Registers hold them as floats; what they have no room
// for lies in shared memory as it came, each thread's own.
template <class T, int blocks, bool backward, bool size_known>
class Weights {
  static constexpr int kept = kept_columns(blocks, size_known);

 public:
  using Four = simt::Vec<T, 4>;

  // weights(block, column): four from there on; 0 beyond the matrix.
  template <class F>
  SIMT_DEVICE Weights(int units, T* shared, F&& weights)
      : columns_(columns_of(units)),
        threads_(threads_of(units)),
        own_(shared + 4 * static_cast<int>(simt::thread_rank())) {
    SIMT_UNROLL
    for (int b = 0; b < blocks; ++b) {
      SIMT_UNROLL
      for (int column = 0; column < kept; column += 4) {
        if (is_beyond(column)) continue;
        const Four four = weights(b, column);
        SIMT_UNROLL
        for (int i = 0; i < 4; ++i) kept_[b][column + i] = simt::to_float(four[i]);
      }
      for (int column = kept; column < columns_; column += 4)
        simt::store(own_ + at(b, column), weights(b, column));
    }
  }

  // to[b - first] += block b's row times vector(b), for first <= b < end.
  template <int first, int end, class F>
  SIMT_DEVICE void multiply(float (&to)[end - first], F&& vector) const {
    constexpr int gates = end - first;
    // So many sums at once that none waits for the one before it.
    constexpr int chains = gates >= 4 ? 1 : gates >= 2 ? 2 : 4;
    float sums[gates][chains] = {};
    const auto add = [&](int b, int column, const auto& weight) {
      const auto four = simt::load<4>(vector(b) + column);
      SIMT_UNROLL
      for (int i = 0; i < 4; ++i) sums[b - first][i % chains] += weight(i) * four[i];
    };
    SIMT_UNROLL
    for (int column = 0; column < kept; column += 4) {
      if (is_beyond(column)) continue;
      SIMT_UNROLL
      for (int b = first; b < end; ++b) add(b, column, [&](int i) { return kept_[b][column + i]; });
    }
    const auto add_beyond = [&](int column) {
      SIMT_UNROLL
      for (int b = first; b < end; ++b) {
        const Four four = simt::load<4>(static_cast<const T*>(own_ + at(b, column)));
        add(b, column, [&](int i) { return simt::to_float(four[i]); });
      }
    };
    if constexpr (size_known && (blocks < 4 || !backward)) {
      SIMT_UNROLL
      for (int column = kept; column < most_columns; column += 4)
        if (!is_beyond(column)) add_beyond(column);
    } else {  // unrolled, it would ask for more at once than there are registers for
      SIMT_NO_UNROLL
      for (int column = kept; column < columns_; column += 4) add_beyond(column);
    }
    SIMT_UNROLL
    for (int g = 0; g < gates; ++g) {
      SIMT_UNROLL
      for (int c = 0; c < chains; ++c) to[g] += sums[g][c];
    }
  }

 private:
  // Columns come by eights, and so do branches.
  SIMT_DEVICE bool is_beyond(int column) const { return column / 8 * 8 >= columns_; }
  SIMT_DEVICE int at(int block, int column) const {
    return ((column - kept) / 4 * blocks + block) * 4 * threads_;
  }

  int columns_, threads_;
  T* own_;
  float kept_[blocks][kept];
};

// start(the cell, the Form) of the kernel that serves.
template <class F>
void with_kernel(lacuna_cell cell, bool usual, std::int64_t hidden, F&& start) {
  with_cell(cell, [&]<class Cell>(Cell) {
    constexpr bool knows = resident::knows_sizes<Cell>;
    resident::with_form_of<knows, knows>(
        usual, hidden, [&]<class Form>(Form form) { start(resident::CellOf<Cell, Form>{}, form); });
  });
}

inline simt::LaunchConfig launch_of_lanes(std::int64_t lanes, const Division& division,
                                          std::size_t shared_bytes) {
  return {.grid = {static_cast<unsigned>(lanes)},
          .block = {static_cast<unsigned>(threads_of(division.slice))},
          .shared_bytes = shared_bytes};
}

}  // namespace lacuna::lone
