// A window of a batch as kernels see it: of every sequence some tokens in the order of reading, the
// sequences back to back in rows of the window's own (host/rows.h).
#pragma once
#include "kernels/tokens/locate.h"
#include "kernels/tokens/offsets.h"

namespace lacuna {

struct DeviceWindow {
  std::int64_t sequences = 0;
  std::int64_t first = 0, count = 0;      // of each sequence the tokens first .. first+count-1
  bool reverse = false;                   // sequences are read from their ends
  const std::int64_t* offsets = nullptr;  // [B+1] of the batch; null: the window is the batch
  const std::int64_t* packed = nullptr;   // [B+1] of the window
};

inline namespace SIMT_PATH {
namespace tokens {

// Where a token of a window stands.
struct WindowToken {
  std::int64_t sequence, step;  // the window's step-th of its sequence
};

SIMT_DEVICE WindowToken find_token(const DeviceWindow& window, std::int64_t own) {
  const std::int64_t b = find_sequence(window.packed, window.sequences, own);
  return {b, own - window.packed[b]};
}

// The batch's row of it.
SIMT_DEVICE std::int64_t batch_row(const DeviceWindow& window, const WindowToken& token) {
  const std::int64_t number = window.first + token.step;
  return window.reverse ? window.offsets[token.sequence + 1] - 1 - number
                        : window.offsets[token.sequence] + number;
}

// Whether the sequence's last token to be read is in the window; of one without tokens: whether the
// window is the first.
SIMT_DEVICE bool ends_in(const DeviceWindow& window, std::int64_t b) {
  const std::int64_t length = window.offsets[b + 1] - window.offsets[b];
  return length <= window.first + window.count && (length > window.first || window.first == 0);
}

}  // namespace tokens

// Of both arrays together, one behind the other.
inline constexpr std::int64_t window_offsets(std::int64_t sequences) { return 2 * (sequences + 1); }

// As write_offsets: both of the host's arrays of `count`, in one launch where it can hold them.
inline void write_window(simt::Stream stream, const std::int64_t* offsets,
                         const std::int64_t* packed, std::int64_t count,
                         std::int64_t* device_offsets) {
  constexpr unsigned most = tokens::offsets_per_launch;
  for (std::int64_t first = 0; first < 2 * count; first += most) {
    const auto here = static_cast<unsigned>(std::min<std::int64_t>(most, 2 * count - first));
    tokens::OffsetsPiece<most> piece{};
    for (unsigned i = 0; i < here; ++i) {
      const std::int64_t at = first + i;
      piece.value[i] = at < count ? offsets[at] : packed[at - count];
    }
    simt::launch(tokens::block_launch(1), stream, tokens::store_offsets<most>, piece, here,
                 device_offsets + first);
  }
}

}  // namespace SIMT_PATH
}  // namespace lacuna
