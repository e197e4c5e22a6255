// Zoneout and recurrent dropout of one row of units.
#pragma once

#include <algorithm>

#include "host/cpu/engine/job.h"
#include "host/cpu/simd.h"

namespace lacuna::cpu {

// Draws for many short rows, gathered so that each pass of the generator has all of its vectors full.
template <class V, class T>
class RowDraws {
 public:
  RowDraws(const Noise& noise, T drawn, T other)
      : seed_(noise.seed), drawn_(drawn), other_(other) {}

  // row[u] = word of unit u below the threshold ? drawn : other, for `units` (a multiple of four); by flush at the latest.
  void add(NoiseUse use, std::int64_t sequence, std::int64_t position, std::uint32_t threshold,
           std::int64_t units, T* row) {
    const PhiloxNumbers counter = Noise::counter(use, sequence, position);
    for (std::int64_t u = 0; u < units; u += 4) {
      for (int w = 0; w < 4; ++w) word_[w][count_] = counter.word[w];
      word_[3][count_] += static_cast<std::uint32_t>(u / 4);
      threshold_[count_] = threshold;
      row_[count_] = row + u;
      if (++count_ == at_once) flush();
    }
  }

  void flush() {
    if (count_ == 0) return;
    auto k0 = static_cast<std::uint32_t>(seed_), k1 = static_cast<std::uint32_t>(seed_ >> 32);
    for (int round = 0; round < philox_rounds; ++round) {
      // The compiler makes vectors of this loop, but not of what it has unrolled.
#pragma GCC unroll 1
      for (int i = 0; i < at_once; ++i)
        philox_round(k0, k1, word_[0][i], word_[1][i], word_[2][i], word_[3][i]);
      k0 += philox_step0;
      k1 += philox_step1;
    }
    for (int i = 0; i < count_; ++i)
      for (int w = 0; w < 4; ++w) row_[i][w] = word_[w][i] < threshold_[i] ? drawn_ : other_;
    count_ = 0;
  }

 private:
  static constexpr int at_once = 16;
  alignas(64) std::uint32_t word_[4][at_once] = {};
  std::uint32_t threshold_[at_once];
  T* row_[at_once];
  int count_ = 0;
  std::uint64_t seed_;
  T drawn_, other_;
};

// A part of the state that zoneout acts on, and where the walk is.
struct Zoned {
  NoiseUse use;
  double probability;
  std::int64_t units;
};
template <class T>
LACUNA_FN Zoned of_hidden(const Job<T>& job) {
  return {NoiseUse::zoneout_hidden, job.layer.zoneout_hidden, job.layout->output_units};
}
template <class T>
LACUNA_FN Zoned of_cell(const Job<T>& job) {
  return {NoiseUse::zoneout_cell, job.layer.zoneout_cell, job.layout->units};
}
struct Place {
  std::int64_t sequence, step;
};

// row[u] = 1 where the unit stays as it was evolved, else 0.
template <class V, class T>
void draw_zoneout(const Job<T>& job, const Zoned& part, const Place& at, T* row,
                  RowDraws<V, T>& draws) {
  if (part.probability == 0) return;
  draws.add(part.use, job.names.name(at.sequence),
            job.first_position + job.names.first_position(at.sequence) + at.step,
            threshold_of(part.probability), part.units, row);
}

// What W_h reads of each unit of h, over the whole sequence.
template <class V, class T>
void draw_dropout(const Job<T>& job, std::int64_t sequence, T* factors) {
  const double probability = job.layer.recurrent_dropout;
  RowDraws<V, T> draws(job.noise, T(0), static_cast<T>(1 / (1 - probability)));
  draws.add(NoiseUse::recurrent_dropout, job.names.name(sequence), 0, threshold_of(probability),
            job.layout->output_units, factors);
  draws.flush();
}

// The state after a token, in place of what its update made of it. `drawn`: from draw_zoneout; null: nothing is, and the
// expectation takes its place.
template <class V, class T>
void zone_out(const Zoned& part, const T* drawn, const T* evolved, T* next) {
  if (part.probability == 0) return;
  if (drawn == nullptr) {
    const V share(static_cast<T>(part.probability));
    for (std::int64_t u = 0; u < part.units; u += V::size) {
      const V updated = V::load(next + u);
      multiply_add(share, V::load(evolved + u) - updated, updated).store(next + u);
    }
    return;
  }
  for (std::int64_t u = 0; u < part.units; u += V::size)
    select(V::load(drawn + u) > V(0), V::load(evolved + u), V::load(next + u)).store(next + u);
}

// d_next: in, dL/d(state after the token); out, of what its update made. `passed`: in, from draw_zoneout; out, what goes to the
// evolved state past the update.
template <class V, class T>
void zone_out_backward(const Zoned& part, T* d_next, T* passed) {
  if (part.probability == 0) {
    std::fill_n(passed, part.units, T(0));
    return;
  }
  for (std::int64_t u = 0; u < part.units; u += V::size) {
    const auto zoned = V::load(passed + u) > V(0);
    const V d = V::load(d_next + u);
    select(zoned, d, V(0)).store(passed + u);
    select(zoned, V(0), d).store(d_next + u);
  }
}

}  // namespace lacuna::cpu
