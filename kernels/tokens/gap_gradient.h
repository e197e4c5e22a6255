// The last step of dL/ddelta_t: to where the caller's gaps stand.
#pragma once
#include <cmath>

#include "kernels/tokens/batch.h"
#include "kernels/tokens/flat.h"

namespace lacuna {
inline namespace SIMT_PATH {
namespace tokens {

template <class T>
SIMT_KERNEL(flat_threads)
void store_gap_gradient(DeviceBatch<T> batch, const std::int32_t* sequence_of,
                        const simt::Real<T>* gaps, const simt::Real<T>* total,
                        const simt::Real<T>* d_gap_input, std::int64_t stride,
                        simt::Real<T>* d_delta_t) {
  using R = simt::Real<T>;
  const std::int64_t used = used_tokens(batch);
  for (std::int64_t s = flat_index(); s < used; s += flat_step()) {
    // In reverse the gap before a token stands at the token behind it, so that nothing depends on
    // the first one's, and the gap before the first token read stands nowhere.
    const std::int64_t token = batch.reverse ? s - 1 : s;
    if (token < 0 || sequence_of[token] != sequence_of[s]) {
      d_delta_t[s] = 0;
      continue;
    }
    // The quotient before the sum: what a division calls keeps few registers alive.
    const R by_input =
        d_gap_input != nullptr ? d_gap_input[token * stride] / (R(1) + gaps[token]) : R(0);
    d_delta_t[s] = total[token] + by_input;
  }
}

}  // namespace tokens

// d_delta_t [N] "=", in the caller's order; rows beyond the tokens in use are not written.
// total [N]: dL/dgap of every token but for the input's column log(1+gap), which is `gap_column` of
// d_input [N, stride]; d_input null or the column -1: there is none.
template <class T>
void gap_gradient(simt::Stream stream, const DeviceBatch<T>& batch, const std::int32_t* sequence_of,
                  const simt::Real<T>* gaps, const simt::Real<T>* total,
                  const simt::Real<T>* d_input, std::int64_t stride, std::int64_t gap_column,
                  simt::Real<T>* d_delta_t) {
  if (batch.tokens == 0) return;
  const bool reads_gaps = d_input != nullptr && gap_column >= 0;
  simt::launch(tokens::flat_launch(batch.tokens), stream, tokens::store_gap_gradient<T>, batch,
               sequence_of, gaps, total, reads_gaps ? d_input + gap_column : nullptr, stride,
               d_delta_t);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
