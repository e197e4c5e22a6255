// One token of one lane: which features were measured, how long ago, and what the missing ones read as; and the way back
// for gradients. A lane carries its latest values and their age in a few rows of its own, so the caller's arrays are read
// once and nothing is kept per token but the operand row.
//
// Functions name the vector type even where they use none: each instruction set's file has its own, and the linker cannot
// give one machine another's.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/cpu/engine/job.h"
#include "host/cpu/measured.h"
#include "host/cpu/simd.h"
#include "host/plan/shape.h"
#include "kernels/cells/impute.h"

namespace lacuna::cpu {

// Rows of `channels` elements that one call works in.
template <class T>
struct ObserveScratch {
  T* measured;  // 1 or 0
  T* value;     // anything where not measured
  T* delta;
};

// Fills `measured`, zero in the padding. Returns whether the update sees a row with something in it.
template <class V, class T>
bool read_mask(const Job<T>& job, std::int64_t token, T* measured) {
  const std::int64_t at = token * job.layout->features;
  const MeasuredRow<T> row{job.mask != nullptr ? job.mask + at : nullptr, job.values + at,
                           job.layout->features};
  row.write(measured);
  return row.any();
}

// A row without any measurement lets the state evolve only, if the layer says so; without a mask the caller tells which.
template <class T>
LACUNA_FN bool fires(const Job<T>& job, std::int64_t token, bool any_measured) {
  if (reads_fires(job.layer)) return job.fires[token] != 0;
  return any_measured || !finds_fires(job.layer);
}

template <class V>
struct ImputeFactors {
  lacuna_impute kind;
  template <class T>
  LACUNA_FN V exponent(const Job<T>& job, std::int64_t d, V delta) const {
    return multiply_add(V::load(job.impute_weight + d), delta, V::load(job.impute_bias + d));
  }
  LACUNA_FN V factor(V exponent) const {
    if (kind == LACUNA_IMPUTE_MEAN) return V(0);
    if (kind == LACUNA_IMPUTE_FORWARD) return V(1);
    return decay_factor(exponent);
  }
  // `decayed` is factor (x_last - x_mean). For `relax` the weight is a rate >= 0 and the bias 0: nothing is clamped, and
  // at a gap of 0 the slope is the one from the right.
  LACUNA_FN V d_exponent(V exponent, V decayed, V d_filled) const {
    return kind == LACUNA_IMPUTE_RELAX ? -d_filled * decayed
                                       : decay_d_pre(exponent, decayed, d_filled);
  }
};

// Starts a sequence in its lane. `last` is NaN where nothing has been measured.
template <class V, class T>
void begin_observation(const Job<T>& job, std::int64_t sequence, T* last, T* since) {
  const Layout& lay = *job.layout;
  const std::int64_t at = sequence * lay.features;
  for (std::int64_t d = 0; d < lay.channels; ++d) {
    const bool real = d < lay.features;
    last[d] = real && job.carry_in.last_values != nullptr ? job.carry_in.last_values[at + d]
                                                          : std::numeric_limits<T>::quiet_NaN();
    since[d] = real && job.carry_in.since != nullptr ? job.carry_in.since[at + d] : T(0);
  }
}

// Writes the input, time and constant columns of the token's operand row, and moves `last` and `since` on.
// Whole vectors are written where a part is meant: a row is filled from left to right, h last, and ends with room for it.
// Returns whether the update fires.
template <class V, class T>
bool observe(const Job<T>& job, std::int64_t token, T dt, T* last, T* since,
             const ObserveScratch<T>& scratch, T* row) {
  const Layout& lay = *job.layout;
  const T* const values = job.values + token * lay.features;
  T* const x = row + lay.x;
  const bool keep_delta = uses_delta(job.layer);
  bool fired = true;
  if (has_mask(job.layer)) {
    fired = fires(job, token, read_mask<V>(job, token, scratch.measured));
    copy_row<V>(values, lay.features, scratch.value);
    if (job.delta != nullptr)
      copy_row<V>(job.delta + token * lay.features, lay.features, scratch.delta);
    const ImputeFactors<V> factors{job.layer.impute};
    for (std::int64_t d = 0; d < lay.channels; d += V::size) {
      const auto measured = V::load(scratch.measured + d) > V(0);
      const V delta =
          job.delta != nullptr ? V::load(scratch.delta + d) : V(dt) + V::load(since + d);
      const V mean = V::load(job.mean + d);
      const V value = V::load(scratch.value + d);
      const V before = V::load(last + d);
      const V factor = factors.factor(factors.exponent(job, d, delta));
      const V filled = lacuna::impute(factor, select(is_nan(before), mean, before), mean);
      select(measured, value, filled).store(x + d);
      select(measured, value, before).store(last + d);
      select(measured, V(0), delta).store(since + d);
      if (keep_delta) delta.store(row + lay.delta + d);
    }
  } else {
    fired = fires(job, token, true);
    copy_row<V>(values, lay.features, x);
    if (keep_delta) {
      // Without a mask every feature was measured at the previous token.
      std::fill_n(row + lay.delta, lay.features, dt);
      if (job.delta != nullptr)
        std::copy_n(job.delta + token * lay.features, lay.features, row + lay.delta);
    }
  }
  if (job.imputed != nullptr) copy_row<V>(x, lay.features, job.imputed + token * lay.features);
  if (job.layer.mask_input) {
    for (std::int64_t d = 0; d < lay.channels; d += V::size)
      V::load(scratch.measured + d).store(x + lay.features + d);
  }
  if (job.layer.gap_input) row[lay.one - 1] = std::log1p(dt);
  row[lay.one] = T(1);
  if (keep_delta) row[lay.delta + lay.features] = T(1);
  if (job.layer.evolve == LACUNA_EVOLVE_DECAY_STEP) {
    row[lay.step] = dt;
    row[lay.step + 1] = T(1);
  }
  return fired;
}

// What the way back carries from token to token of a lane, in rows of `channels`.
template <class T>
struct ObserveGradient {
  T* last;   // dL/dx_last: waits for the token that was measured
  T* delta;  // dL/ddelta of the token after this one, as far as it depends on this one's
};

// Sums over the group's tokens, rows of `channels`.
template <class T>
struct ImputeSums {
  T* weight;
  T* bias;
  T* mean;
};

// `d_x` is dL/dx of the token's row; `d_delta` (may be null) holds what evolve adds to dL/ddelta. Writes d_values and
// returns what delta and the imputation add to dL/ddt.
template <class V, class T>
T observe_backward(const Job<T>& job, std::int64_t token, const T* row, const T* d_x,
                   const T* d_delta, const ObserveGradient<T>& carried, const ImputeSums<T>& sums,
                   const ObserveScratch<T>& scratch) {
  const Layout& lay = *job.layout;
  if (!has_mask(job.layer)) {
    if (job.d_values != nullptr)
      copy_row<V>(d_x, lay.features, job.d_values + token * lay.features);
    T d_dt = T(0);
    if (d_delta != nullptr && job.delta == nullptr) {
      for (std::int64_t d = 0; d < lay.features; ++d) d_dt += d_delta[d];
    }
    return d_dt;
  }
  read_mask<V>(job, token, scratch.measured);
  // Past the last feature whole vectors read other columns; `measured` is 0 and `d_x`, weights and means are harmless there.
  const T* const x = row + lay.x;
  const T* const delta = row + lay.delta;
  const ImputeFactors<V> factors{job.layer.impute};
  const bool timed =
      job.layer.impute == LACUNA_IMPUTE_DECAY || job.layer.impute == LACUNA_IMPUTE_RELAX;
  V d_dt(T(0));
  for (std::int64_t d = 0; d < lay.channels; d += V::size) {
    const auto measured = V::load(scratch.measured + d) > V(0);
    const V d_input = V::load(d_x + d);
    const V d_missing = select(measured, V(0), d_input);
    const V exponent = timed ? factors.exponent(job, d, V::load(delta + d)) : V(0);
    const V factor = factors.factor(exponent);
    const V d_last = V::load(carried.last + d);
    select(measured, d_input + d_last, V(0)).store(scratch.value + d);
    // Before this token, x_last is what it was: the gradient that waits goes on, unless it was measured here.
    (select(measured, V(0), d_last) + factor * d_missing).store(carried.last + d);
    multiply_add(V(1) - factor, d_missing, V::load(sums.mean + d)).store(sums.mean + d);
    V d_age(T(0));
    if (timed) {
      // x - x_mean is factor (x_last - x_mean), which is all that the factor's own gradient needs.
      const V decayed = select(measured, V(0), V::load(x + d) - V::load(job.mean + d));
      const V d_exponent = factors.d_exponent(exponent, decayed, d_missing);
      multiply_add(d_exponent, V::load(delta + d), V::load(sums.weight + d)).store(sums.weight + d);
      (V::load(sums.bias + d) + d_exponent).store(sums.bias + d);
      d_age = d_exponent * V::load(job.impute_weight + d);
    }
    if (d_delta != nullptr) d_age = d_age + V::load(d_delta + d);
    if (job.delta == nullptr) {
      // delta of the next token starts from this one's, unless this one was measured.
      d_age = d_age + select(measured, V(0), V::load(carried.delta + d));
      d_age.store(carried.delta + d);
      d_dt = d_dt + d_age;
    }
  }
  if (job.d_values != nullptr)
    copy_row<V>(scratch.value, lay.features, job.d_values + token * lay.features);
  return sum(d_dt);
}

// The sequence's beginning: gradients that found no measurement belong to x_mean, which stood in for it, unless a carried
// value did, to which they go on.
template <class V, class T>
void end_observation_backward(const Job<T>& job, std::int64_t sequence,
                              const ObserveGradient<T>& carried, T* mean_sum,
                              const CarriedGradient<T>& before) {
  const Layout& lay = *job.layout;
  const std::int64_t first = sequence * lay.features;
  for (std::int64_t d = 0; d < lay.features; ++d) {
    const T* const last = job.carry_in.last_values;
    const T value = last != nullptr ? last[first + d] : std::numeric_limits<T>::quiet_NaN();
    const bool stood_in = value != value;
    if (stood_in) mean_sum[d] += carried.last[d];
    if (before.last_values != nullptr)
      before.last_values[first + d] = stood_in ? T(0) : carried.last[d];
    if (before.since != nullptr) before.since[first + d] = carried.delta[d];
  }
}

}  // namespace lacuna::cpu
