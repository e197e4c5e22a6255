// Offsets on their way to the device, and the order of the sequences: the host's where it knows the
// lengths, else ranks, or keys to sort by.
#pragma once
#include <limits>

#include "kernels/simt/warp.h"
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

struct SequencesPiece {
  std::uint32_t offset[offsets_per_launch];  // from the first one's on
  std::int32_t sequence[offsets_per_launch];
};

// The last piece has one offset more than sequences. Offset: std::int64_t; kernels are templates, so that several sources can
// have them.
template <class Offset>
SIMT_KERNEL(flat_threads)
void store_sequences(SequencesPiece piece, Offset first_offset, unsigned offsets,
                     unsigned sequences, Offset* offset_target, std::int32_t* order_target) {
  for (unsigned i = simt::thread_index().x; i < offsets; i += flat_threads) {
    offset_target[i] = first_offset + piece.offset[i];
    if (i < sequences) order_target[i] = piece.sequence[i];
  }
}

// A warp per sequence, whose place is how many come before it.
template <class Offset>
SIMT_KERNEL(flat_threads)
void rank_lengths(const Offset* offsets, std::int64_t sequences, std::int32_t* order) {
  const std::int64_t b = flat_index() / simt::warp_size;
  if (b >= sequences) return;
  const std::int64_t length = offsets[b + 1] - offsets[b];
  unsigned before = 0;
  for (std::int64_t other = simt::lane_index(); other < sequences; other += simt::warp_size) {
    const std::int64_t its = offsets[other + 1] - offsets[other];
    if (its > length || (its == length && other < b)) ++before;
  }
  for (unsigned toggle = simt::warp_size / 2; toggle > 0; toggle /= 2)
    before += simt::shuffle_xor(before, toggle);
  if (simt::lane_index() == 0) order[before] = static_cast<std::int32_t>(b);
}

template <class Offset>
SIMT_KERNEL(flat_threads)
void store_lengths(const Offset* offsets, std::int64_t sequences, Offset* keys,
                   std::int32_t* index) {
  for (std::int64_t b = flat_index(); b < sequences; b += flat_step()) {
    keys[b] = offsets[b + 1] - offsets[b];
    index[b] = static_cast<std::int32_t>(b);
  }
}

}  // namespace tokens

// The host's offsets [sequences+1] and order [sequences] as kernel parameters: they need no staging
// memory that would have to outlive the call, and a CUDA graph that captures the launches keeps the
// values.
inline void write_sequences(simt::Stream stream, const std::int64_t* offsets,
                            const std::int32_t* order, std::int64_t sequences,
                            std::int64_t* device_offsets, std::int32_t* device_order) {
  for (std::int64_t first = 0; first <= sequences;) {
    tokens::SequencesPiece piece{};
    unsigned here = 0;
    for (; here < tokens::offsets_per_launch && first + here <= sequences; ++here) {
      const std::int64_t further = offsets[first + here] - offsets[first];
      if (further > std::numeric_limits<std::uint32_t>::max()) break;
      piece.offset[here] = static_cast<std::uint32_t>(further);
    }
    const auto ordered = static_cast<unsigned>(std::min<std::int64_t>(here, sequences - first));
    std::copy_n(order + first, ordered, piece.sequence);
    simt::launch(tokens::block_launch(1), stream, tokens::store_sequences<std::int64_t>, piece,
                 offsets[first], here, ordered, device_offsets + first, device_order + first);
    first += here;
  }
}

// Up to so many sequences ranks cost less than a sort: each is compared with each.
inline constexpr std::int64_t most_ranked_sequences = 4096;

// order [sequences]: the longest first, ties in the order of the sequences.
inline void rank_sequences(simt::Stream stream, const std::int64_t* offsets, std::int64_t sequences,
                           std::int32_t* order) {
  if (sequences == 0) return;
  simt::launch(tokens::flat_launch(sequences * simt::warp_size), stream,
               tokens::rank_lengths<std::int64_t>, offsets, sequences, order);
}

// keys[b] = length, index[b] = b: a stable sort by falling keys gives the same order.
inline void sequence_lengths(simt::Stream stream, const std::int64_t* offsets,
                             std::int64_t sequences, std::int64_t* keys, std::int32_t* index) {
  if (sequences == 0) return;
  simt::launch(tokens::flat_launch(sequences), stream, tokens::store_lengths<std::int64_t>, offsets,
               sequences, keys, index);
}

}  // namespace SIMT_PATH
}  // namespace lacuna
