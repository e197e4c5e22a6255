// Whose token is this, and how much time passed before it: found once, read by every kernel after.
#pragma once
#include "kernels/cells/gap.h"
#include "kernels/tokens/batch.h"
#include "kernels/tokens/flat.h"

namespace lacuna {
inline namespace SIMT_PATH {
namespace tokens {

// The last sequence that starts at or before the token: empty ones that start there come before it.
SIMT_DEVICE std::int64_t find_sequence(const std::int64_t* offsets, std::int64_t sequences,
                                       std::int64_t token) {
  std::int64_t low = 0, high = sequences;  // offsets[low] <= token < offsets[high]
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    if (offsets[middle] <= token)
      low = middle;
    else
      high = middle;
  }
  return low;
}

template <class T>
SIMT_DEVICE simt::Real<T> gap_before(const DeviceBatch<T>& batch, std::int64_t sequence,
                                     std::int64_t token) {
  using R = simt::Real<T>;
  const bool first =
      token == (batch.reverse ? batch.offsets[sequence + 1] - 1 : batch.offsets[sequence]);
  return gap_before_row(GapSource<R>{batch.delta_t, batch.times, batch.carry_last_time,
                                     batch.carry_first_gap, batch.reverse},
                        sequence, token, first);
}

template <class T>
SIMT_KERNEL(flat_threads)
void locate_tokens(DeviceBatch<T> batch, std::int32_t* sequence_of, simt::Real<T>* gaps) {
  const std::int64_t used = used_tokens(batch);
  for (std::int64_t s = flat_index(); s < batch.tokens; s += flat_step()) {
    std::int64_t b = -1;
    simt::Real<T> gap = 0;
    if (s < used) {
      b = find_sequence(batch.offsets, batch.sequences, s);
      gap = gap_before(batch, b, s);
    }
    sequence_of[s] = static_cast<std::int32_t>(b);
    gaps[s] = gap;
  }
}

}  // namespace tokens

// sequence_of [N], -1 beyond the tokens in use; gaps [N], the time before each token's update, 0
// beyond.
template <class T>
void locate(simt::Stream stream, const DeviceBatch<T>& batch, std::int32_t* sequence_of,
            simt::Real<T>* gaps) {
  if (batch.tokens == 0) return;
  simt::launch(tokens::flat_launch(batch.tokens), stream, tokens::locate_tokens<T>, batch,
               sequence_of, gaps);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
