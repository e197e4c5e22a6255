// Offsets on their way to the device, and lengths as keys to sort sequences by.
#pragma once
#include "kernels/tokens/flat.h"

namespace lacuna {
inline namespace SIMT_PATH {
namespace tokens {

// How many travel with one launch: kernel parameters hold 4 KiB.
inline constexpr unsigned offsets_per_launch = 480;

template <unsigned count>
struct OffsetsPiece {
  std::int64_t value[count];
};

template <unsigned most>
SIMT_KERNEL(flat_threads)
void store_offsets(OffsetsPiece<most> piece, unsigned count, std::int64_t* target) {
  for (unsigned i = simt::thread_index().x; i < count; i += flat_threads)
    target[i] = piece.value[i];
}

template <class Key>
SIMT_KERNEL(flat_threads)
void store_lengths(const std::int64_t* offsets, std::int64_t sequences, Key* keys,
                   std::int32_t* index) {
  for (std::int64_t b = flat_index(); b < sequences; b += flat_step()) {
    keys[b] = static_cast<Key>(offsets[b + 1] - offsets[b]);
    index[b] = static_cast<std::int32_t>(b);
  }
}

}  // namespace tokens

// The host's offsets as kernel parameters: they need no staging memory that would have to outlive
// the call, and a CUDA graph that captures the launches keeps the values.
inline void write_offsets(simt::Stream stream, const std::int64_t* host_offsets, std::int64_t count,
                          std::int64_t* device_offsets) {
  constexpr unsigned most = tokens::offsets_per_launch;
  for (std::int64_t first = 0; first < count; first += most) {
    const auto here = static_cast<unsigned>(std::min<std::int64_t>(most, count - first));
    tokens::OffsetsPiece<most> piece{};
    std::copy_n(host_offsets + first, here, piece.value);
    simt::launch(tokens::block_launch(1), stream, tokens::store_offsets<most>, piece, here,
                 device_offsets + first);
  }
}

// keys[b] = length, index[b] = b: a stable sort by falling keys gives the longest first, ties in
// the order of the sequences. Key: std::int64_t, or std::int32_t where no length needs more.
template <class Key>
void sequence_lengths(simt::Stream stream, const std::int64_t* offsets, std::int64_t sequences,
                      Key* keys, std::int32_t* index) {
  if (sequences == 0) return;
  simt::launch(tokens::flat_launch(sequences), stream, tokens::store_lengths<Key>, offsets,
               sequences, keys, index);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
