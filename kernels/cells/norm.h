// Layer normalisation (Ba, Kiros & Hinton 2016) of a group of gates, over all of their units:
// LN(a) = (a - mean) / sqrt(variance + 1e-5). The variance is the mean of (a - mean)^2, taken when the mean is known: as a
// difference of two means it would lose all digits where the units differ little.
#pragma once

#include <cmath>

#include "kernels/cells/function.h"

namespace lacuna {

// The gates [first, first + gates) of a cell that has `all`: the gru's r and z, and its n, apart; else every gate.
struct NormGroup {
  int first, gates;
};
LACUNA_FN constexpr int norm_groups(int all) { return all == 3 ? 2 : 1; }
LACUNA_FN constexpr int norm_group_of(int all, int gate) { return all == 3 ? gate / 2 : 0; }
LACUNA_FN constexpr NormGroup norm_group(int all, int group) {
  return all == 3 ? NormGroup{2 * group, 2 - group} : NormGroup{0, all};
}

// What a tape keeps of a token: 1/sqrt(variance + 1e-5) of the groups of W_x x, at most two, and of W_h h.
inline constexpr int norm_factors = 4;

// 1 / sqrt(variance + 1e-5), from the sum of squares of a - mean. Of one number LN is 0, and this stays finite.
template <class T>
LACUNA_FN T norm_factor(T squares, T count) {
  return T(1) / std::sqrt(squares / count + T(1e-5));
}

// dL/da from d = dL/dLN(a); `mean` and `along` are the means of d and of d LN(a) over the group.
template <class V>
LACUNA_FN V norm_backward(V d, V normalised, V factor, V mean, V along) {
  return factor * (d - mean - normalised * along);
}

}  // namespace lacuna
