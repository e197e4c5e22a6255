// What was measured, how long ago, and what it said: mask, delta_t, delta and x_last per token.
#pragma once

#include <cstdint>
#include <vector>

#include "reference/batch.h"

namespace reference {

// `last_token` of a feature whose latest value is not in this batch.
inline constexpr std::int64_t never_measured = -1;
inline constexpr std::int64_t measured_in_an_earlier_piece = -2;

// Indexed by the caller's token s; "before s" means read before s, so after it when reversed.
template <class Real>
struct BasicObserved {
  std::vector<std::uint8_t> measured;    // m [N, D]; all ones under Impute::none
  std::vector<Real> delta_t;             // [N] gap to the token read before s
  std::vector<Real> delta;               // [N, D] delta_t[s] + (1-m[before])*delta[before]
  std::vector<Real> last_value;          // x_last [N, D]; NaN where never measured before s
  std::vector<std::int64_t> last_token;  // [N, D] the token that x_last was measured at
  BasicContext<Real> context;            // carried out, to be the next piece's batch.context

  bool row_is_empty(std::int64_t token, int features) const;
};

// Whether the state is updated at a token, not evolved only.
template <class Real>
bool fires(const Layer& layer, const BasicBatch<Real>& batch, const BasicObserved<Real>& observed,
           std::int64_t token) {
  if (layer.empty_rows == EmptyRows::update) return true;
  if (layer.impute != Impute::none) return !observed.row_is_empty(token, layer.features);
  return batch.fires.empty() || batch.fires[static_cast<std::size_t>(token)] != 0;
}

template <class Real>
BasicObserved<Real> observe(const Layer& layer, const BasicBatch<Real>& batch);

// The gradient with respect to the caller's delta_t, from that with respect to the gaps as read,
// d_gap [N], and to delta, d_delta [N, D], which is used up.
//
// Forwards, d_delta_t[s] is the derivative by the gap before s. A reversed layer reads delta_t[s+1]
// at token s, so what it finds at s is returned at s+1; it never reads a sequence's first delta_t,
// whose gradient is 0, and the gap at the first token it reads is a constant. With time stamps the
// result is the same: the derivative by the gaps between them. A ready-made delta is a constant.
template <class Real>
std::vector<Real> observe_backward(const Layer& layer, const BasicBatch<Real>& batch,
                                   const BasicObserved<Real>& observed, std::vector<Real> d_gap,
                                   std::vector<Real> d_delta);

}  // namespace reference
