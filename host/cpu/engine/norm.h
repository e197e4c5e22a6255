// Layer normalisation of rows of units, shared by the normalised cells' two ways. Sums over units are those of one register
// whose parts are added at the end, so that their order is the row's alone.
#pragma once

#include "host/cpu/engine/job.h"
#include "host/cpu/simd.h"
#include "kernels/cells/norm.h"

namespace lacuna::cpu {

// A row of a product as it leaves the registers: of each vector of units one gate after the other.
template <class V, class T, int gates>
struct GateRow {
  T* row;

  T* at(std::int64_t unit, int gate) const { return row + unit * gates + gate * V::size; }
  V load(std::int64_t unit, int gate) const { return V::load(at(unit, gate)); }
};

// LN of one group of the row's gates, in place; padding becomes 0. Returns 1/sqrt(variance + 1e-5).
template <int group, class V, class T, int gates>
T normalise(const Layout& lay, const T* present, const GateRow<V, T, gates>& row) {
  constexpr NormGroup of = norm_group(gates, group);
  const T count = static_cast<T>(of.gates * lay.hidden);
  V total[of.gates], squares[of.gates];
  for (int g = 0; g < of.gates; ++g) total[g] = squares[g] = V(T(0));
  // Padding is 0: its weights are.
  for (std::int64_t u = 0; u < lay.units; u += V::size)
    for (int g = 0; g < of.gates; ++g) total[g] = total[g] + row.load(u, of.first + g);
  for (int g = 1; g < of.gates; ++g) total[0] = total[0] + total[g];
  const V mean(sum(total[0]) / count);
  for (std::int64_t u = 0; u < lay.units; u += V::size)
    for (int g = 0; g < of.gates; ++g) {
      const V centred = (row.load(u, of.first + g) - mean) * V::load(present + u);
      centred.store(row.at(u, of.first + g));
      squares[g] = multiply_add(centred, centred, squares[g]);
    }
  for (int g = 1; g < of.gates; ++g) squares[0] = squares[0] + squares[g];
  const T factor = norm_factor(sum(squares[0]), count);
  for (std::int64_t u = 0; u < lay.units; u += V::size)
    for (int g = 0; g < of.gates; ++g)
      (row.load(u, of.first + g) * V(factor)).store(row.at(u, of.first + g));
  return factor;
}

template <class V, class T>
LACUNA_FN void add_to(T* sums, V value) {
  (V::load(sums) + value).store(sums);
}

// One of a token's two products on the way back: from dL/d(gain LN(a)) of its gates, one vector of units after the other, to
// dL/da of all of them. What lies between waits in the rows of dL/da.
template <class V, class T, int gates>
struct NormBack {
  static constexpr int groups = norm_groups(gates);

  const Layout& lay;
  const T* present;     // [units]
  const T* normalised;  // [gates, units], the tape's
  const T* gain;        // [gates, units]
  T* d_gain;            // [gates, units], "+="
  T* rows[gates];       // [units] each: dL/da, "="
  V mean[groups], along[groups];

  NormBack(const Layout& layout, const T* is_present, const T* from, const T* gains, T* d_gains)
      : lay(layout), present(is_present), normalised(from), gain(gains), d_gain(d_gains) {
    for (int group = 0; group < groups; ++group) mean[group] = along[group] = V(T(0));
  }

  void add(std::int64_t unit, int gate, V d) {
    const std::int64_t at = gate * lay.units + unit;
    const V value = V::load(normalised + at), d_value = d * V::load(gain + at);
    add_to(d_gain + at, d * value);
    d_value.store(rows[gate] + unit);
    V& along_group = along[norm_group_of(gates, gate)];
    V& mean_group = mean[norm_group_of(gates, gate)];
    mean_group = mean_group + d_value;
    along_group = multiply_add(d_value, value, along_group);
  }

  void finish(int group, T factor) {
    const NormGroup of = norm_group(gates, group);
    const T count = static_cast<T>(of.gates * lay.hidden);
    const V d_mean(sum(mean[group]) / count), d_along(sum(along[group]) / count);
    for (int g = of.first; g < of.first + of.gates; ++g)
      for (std::int64_t u = 0; u < lay.units; u += V::size) {
        const V d = norm_backward(V::load(rows[g] + u), V::load(normalised + g * lay.units + u),
                                  V(factor), d_mean, d_along);
        (d * V::load(present + u)).store(rows[g] + u);
      }
  }
};

// A group's sums of what unit parameters are owed, "+=".
template <class T>
struct NormSums {
  T *gain_x, *gain_h, *bias;     // [G, units]
  T *bias_hn, *gain_c, *bias_c;  // [units]

  NormSums(T* at, const Layout& lay)
      : gain_x(at),
        gain_h(gain_x + lay.norm_gates * lay.units),
        bias(gain_h + lay.norm_gates * lay.units),
        bias_hn(bias + lay.norm_gates * lay.units),
        gain_c(bias_hn + lay.units),
        bias_c(gain_c + lay.units) {}
};

}  // namespace lacuna::cpu
