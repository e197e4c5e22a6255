// Zoneout and recurrent dropout of one row of units.
#pragma once

#include <algorithm>

#include "host/cpu/engine/job.h"
#include "host/cpu/simd.h"

namespace lacuna::cpu {

// row[u] = word of unit u below the threshold ? drawn : other, for `units` (a multiple of four).
template <class V, class T>
void draw_row(const Noise& noise, NoiseUse use, std::int64_t sequence, std::int64_t position,
              std::uint32_t threshold, T drawn, T other, std::int64_t units, T* row) {
  // Round by round over many draws, so that the compiler makes vectors of them: which it does not of what it has unrolled.
  constexpr int at_once = 16;
  const PhiloxNumbers counter = Noise::counter(use, sequence, position);
  for (std::int64_t first = 0; first < units; first += 4 * at_once) {
    alignas(64) std::uint32_t word[4][at_once];
    for (int i = 0; i < at_once; ++i) {
      word[0][i] = counter.word[0];
      word[1][i] = counter.word[1];
      word[2][i] = counter.word[2];
      word[3][i] = counter.word[3] + static_cast<std::uint32_t>(first / 4 + i);
    }
    auto k0 = static_cast<std::uint32_t>(noise.seed);
    auto k1 = static_cast<std::uint32_t>(noise.seed >> 32);
    for (int round = 0; round < philox_rounds; ++round) {
#pragma GCC unroll 1
      for (int i = 0; i < at_once; ++i)
        philox_round(k0, k1, word[0][i], word[1][i], word[2][i], word[3][i]);
      k0 += philox_step0;
      k1 += philox_step1;
    }
    alignas(64) T value[4 * at_once];
    for (int i = 0; i < at_once; ++i)
      for (int w = 0; w < 4; ++w) value[4 * i + w] = word[w][i] < threshold ? drawn : other;
    std::copy_n(value, std::min<std::int64_t>(4 * at_once, units - first), row + first);
  }
}

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
void draw_zoneout(const Job<T>& job, const Zoned& part, const Place& at, T* row) {
  draw_row<V>(job.noise, part.use, job.noise_name(at.sequence),
              job.noise_position(at.sequence) + at.step, threshold_of(part.probability), T(1), T(0),
              part.units, row);
}

// What W_h reads of each unit of h, over the whole sequence.
template <class V, class T>
void draw_dropout(const Job<T>& job, std::int64_t sequence, T* factors) {
  const double probability = job.layer.recurrent_dropout;
  draw_row<V>(job.noise, NoiseUse::recurrent_dropout, job.noise_name(sequence), 0,
              threshold_of(probability), T(0), static_cast<T>(1 / (1 - probability)),
              job.layout->output_units, factors);
}

// The state after a token, in place of what its update made of it. `drawn`: a row to work in.
template <class V, class T>
void zone_out(const Job<T>& job, const Zoned& part, const Place& at, const T* evolved, T* next,
              T* drawn) {
  if (part.probability == 0) return;
  if (!job.drawn) {  // the expectation
    const V share(static_cast<T>(part.probability));
    for (std::int64_t u = 0; u < part.units; u += V::size) {
      const V updated = V::load(next + u);
      multiply_add(share, V::load(evolved + u) - updated, updated).store(next + u);
    }
    return;
  }
  draw_zoneout<V>(job, part, at, drawn);
  for (std::int64_t u = 0; u < part.units; u += V::size)
    select(V::load(drawn + u) > V(0), V::load(evolved + u), V::load(next + u)).store(next + u);
}

// d_next: in, dL/d(state after the token); out, of what its update made. `passed`: what goes to the evolved state past it.
template <class V, class T>
void zone_out_backward(const Job<T>& job, const Zoned& part, const Place& at, T* d_next, T* passed,
                       T* drawn) {
  if (part.probability == 0) {
    std::fill_n(passed, part.units, T(0));
    return;
  }
  draw_zoneout<V>(job, part, at, drawn);
  for (std::int64_t u = 0; u < part.units; u += V::size) {
    const auto zoned = V::load(drawn + u) > V(0);
    const V d = V::load(d_next + u);
    select(zoned, d, V(0)).store(passed + u);
    select(zoned, V(0), d).store(d_next + u);
  }
}

}  // namespace lacuna::cpu
