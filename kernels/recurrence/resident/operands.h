// What a product multiplies by its weights: a column of every lane, on its way through shared memory from those who made it to
// those who multiply it.
#pragma once

#include <cstddef>

#include "kernels/recurrence/resident/products.h"
#include "kernels/recurrence/resident/tile.h"
#include "kernels/simt/index.h"
#include "kernels/simt/shared.h"
#include "kernels/simt/sync.h"
#include "kernels/simt/vec.h"

namespace lacuna::resident {

// Channels that operands come by: the state's, in turn, and what a reset lets through.
inline constexpr int reset_channel = 2;
template <class Cell>
inline constexpr int channels = Cell::reset_before ? 3 : 2;

// The gates whose weights multiply a state: those before a reset, and the candidate behind it.
template <class Cell>
inline constexpr int weight_blocks = Cell::product_gates + (Cell::reset_before ? 1 : 0);

// A column of every lane: what a channel brings.
template <class E>
SIMT_BOTH constexpr std::size_t operand_size(int units) {
  return static_cast<std::size_t>(lanes_per_tile * column_stride<E>(units));
}

// The same for several channels, in shared memory.
template <class E>
class Operands {
 public:
  using Stored = typename Operand<E>::Stored;

  static void add_to(simt::SharedLayout& shared, int units, int channels) {
    shared.add<Stored>(static_cast<std::size_t>(channels) * operand_size<E>(units));
  }
  SIMT_DEVICE Operands(simt::SharedCarver& shared, int units, int channels)
      : units_(units),
        operands_(
            shared.take<Stored>(static_cast<std::size_t>(channels) * operand_size<E>(units))) {}

  SIMT_DEVICE Stored* column(int channel, int lane) const {
    return operands_ + (channel * lanes_per_tile + lane) * column_stride<E>(units_);
  }

 private:
  int units_;
  Stored* operands_;
};

// The Gather of a block that has all units itself.
template <class E>
class OwnOperands {
 public:
  using Stored = typename Operand<E>::Stored;
  static constexpr bool in_group = false;

  static void add_to(simt::SharedLayout& shared, const Division& division, int channels) {
    Operands<E>::add_to(shared, division.slice, channels);
  }
  SIMT_DEVICE OwnOperands(simt::SharedCarver& shared, const Division& division, int channels)
      : operands_(shared, division.slice, channels) {}

  SIMT_DEVICE int tile() const { return static_cast<int>(simt::block_index().x); }
  SIMT_DEVICE int rank() const { return 0; }

  // What this block has published is there, and who read it the time before has done so.
  SIMT_DEVICE void meet_own() { simt::sync_block(); }
  SIMT_DEVICE Stored* own_column(int channel, int lane) const {
    return operands_.column(channel, lane);
  }

 private:
  Operands<E> operands_;
};

}  // namespace lacuna::resident
