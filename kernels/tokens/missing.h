// What one feature's missing values read as, and the factor's own gradient: the layer's parameters
// of that feature in registers. An absent parameter is 0.
#pragma once
#include "kernels/cells/impute.h"
#include "kernels/simt/platform.h"
#include "lacuna/lacuna.h"

namespace lacuna {
inline namespace SIMT_PATH {
namespace tokens {

template <class R>
struct Missing {
  lacuna_impute kind;
  R mean, weight, bias;  // the weight is a rate, softplus of the parameter, for `relax`

  SIMT_DEVICE Missing(lacuna_impute impute, const R* means, const R* weights, const R* biases,
                      std::int64_t feature)
      : kind(impute),
        mean(means != nullptr ? means[feature] : R(0)),
        weight(weights != nullptr ? weights[feature] : R(0)),
        bias(biases != nullptr ? biases[feature] : R(0)) {
    if (kind == LACUNA_IMPUTE_RELAX) weight = softplus(weight);
  }

  SIMT_DEVICE bool timed() const {
    return kind == LACUNA_IMPUTE_DECAY || kind == LACUNA_IMPUTE_RELAX;
  }
  SIMT_DEVICE R exponent(R delta) const { return weight * delta + bias; }
  SIMT_DEVICE R factor(R exponent) const {
    if (timed()) return decay_factor(exponent);
    return kind == LACUNA_IMPUTE_FORWARD ? R(1) : R(0);
  }
  // `last` is NaN where nothing has been measured before.
  SIMT_DEVICE R read_as(R last, R delta) const {
    if (kind == LACUNA_IMPUTE_MEAN || last != last) return mean;
    if (kind == LACUNA_IMPUTE_FORWARD) return last;
    return lacuna::impute(factor(exponent(delta)), last, mean);
  }
  // `decayed` is factor (x_last - x_mean). A rate is never clamped: at a gap of 0 its slope is the
  // one from the right.
  SIMT_DEVICE R d_exponent(R exponent, R decayed, R d_filled) const {
    return kind == LACUNA_IMPUTE_RELAX ? -d_filled * decayed
                                       : decay_d_pre(exponent, decayed, d_filled);
  }
};

}  // namespace tokens
}  // namespace SIMT_PATH
}  // namespace lacuna
