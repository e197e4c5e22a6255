// What a layer reads: ragged sequences back to back, and what a sequence cut in two carries across.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "reference/layer.h"

namespace reference {

// What a piece must know of the pieces read before it, besides the state. Every member may be
// empty. These are values: no gradient flows through them into earlier pieces.
template <class Real>
struct BasicContext {
  std::vector<Real> last_value;   // [B, D] latest measured value; NaN where there was none
  std::vector<Real> since;        // [B, D] (1-m)*delta at the last token read; default 0
  std::vector<double> last_time;  // [B] time stamp of the last token read; NaN if unknown
  // [B] Used by a reversed layer with given delta_t only: time from the first token it reads (the
  // last of the piece) to the token read before it, which belongs to the piece read before and so
  // is missing from this piece's delta_t. Default 0.
  std::vector<Real> first_gap;
};

// Where random numbers come from. `drawn` false: none do, as in a run that nobody trains.
struct Noise {
  std::uint64_t seed = 0;
  std::vector<std::int64_t> sequence;  // [B]; empty: 0 .. B-1
  std::vector<std::int64_t> position;  // [B] of the first token read; empty: 0
  bool drawn = true;
};

// B sequences, N tokens. Sequence b owns tokens offsets[b] .. offsets[b+1]-1.
template <class Real>
struct BasicBatch {
  std::vector<std::int64_t> offsets = {0};  // [B+1], non-decreasing, starts at 0
  std::vector<Real> values;                 // [N, D]
  std::vector<std::uint8_t> mask;           // [N, D] nonzero: measured. Empty: NaN is unmeasured
  // [N] nonzero: the cell fires. Read under Impute::none and EmptyRows::evolve_only; empty: it always does
  std::vector<std::uint8_t> fires;
  std::vector<Real> delta_t;         // [N] time since the previous token. Or empty, and:
  std::vector<double> times;         // [N] time stamps; both empty: no time passes
  std::vector<Real> delta;           // [N, D] ready-made, for this layer's direction; or empty
  std::vector<Real> initial_hidden;  // [B, R]; empty: zero
  std::vector<Real> initial_cell;    // [B, H], lstm; empty: zero
  BasicContext<Real> context;
  Noise noise;

  std::int64_t sequences() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t tokens() const { return offsets.back(); }
};

using Context = BasicContext<double>;
using Batch = BasicBatch<double>;

// One sequence in the order in which the layer reads it.
struct Reading {
  std::int64_t begin = 0, end = 0;
  bool reverse = false;

  std::int64_t length() const { return end - begin; }
  std::int64_t token(std::int64_t step) const { return reverse ? end - 1 - step : begin + step; }
};

template <class Real>
Reading reading(const Layer& layer, const BasicBatch<Real>& batch, std::int64_t sequence) {
  const auto b = static_cast<std::size_t>(sequence);
  return {batch.offsets[b], batch.offsets[b + 1], layer.reverse};
}

}  // namespace reference
