// Offsets on their way to the device, and the order of the sequences: the host's where it knows the
// lengths; else the device bounds what it was given, and ranks, or keys to sort by.
#pragma once
#include <limits>

#include "kernels/simt/shared.h"
#include "kernels/simt/sync.h"
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

SIMT_DEVICE std::int64_t within(std::int64_t value, std::int64_t most) {
  return value < 0 ? 0 : value > most ? most : value;
}

// Lengths of the device, where nobody can refuse them: one outside 0 .. most counts as the nearer.
struct GivenLengths {
  const std::int64_t* lengths;
  std::int64_t most;

  SIMT_DEVICE std::int64_t length(std::int64_t b) const { return within(lengths[b], most); }
};

// Those between its offsets, which begin with 0 and lie within the tokens whatever they say.
struct LengthsBetween {
  const std::int64_t* offsets;
  std::int64_t tokens, most;

  SIMT_DEVICE std::int64_t length(std::int64_t b) const {
    const std::int64_t begin = b > 0 ? within(offsets[b], tokens) : 0;
    return within(within(offsets[b + 1], tokens) - begin, most);
  }
};

inline constexpr unsigned scan_threads = 1024;

// offsets [sequences+1]: running sums of lengths, none above `limit`. One block, which takes `each`
// lengths per thread at a time and carries their sum along. A scan over many blocks would not pay
// below millions of sequences.
template <int each, class Lengths>
SIMT_KERNEL(scan_threads)
void store_running_sums(Lengths lengths, std::int64_t sequences, std::int64_t limit,
                        std::int64_t* offsets) {
  constexpr unsigned warps = scan_threads / simt::warp_size;
  SIMT_SHARED(warp_sums, std::int64_t[warps]);
  const unsigned rank = simt::thread_rank(), lane = simt::lane_index(), warp = simt::warp_index();
  // Every sum stops at the limit, so that none overflows.
  const auto sum_of = [&](std::int64_t a, std::int64_t b) { return within(a + b, limit); };
  std::int64_t carried = 0;
  for (std::int64_t first = 0; first < sequences; first += scan_threads * each) {
    const std::int64_t own = first + std::int64_t{rank} * each;
    std::int64_t ends[each];  // of this thread's lengths
    std::int64_t sum = 0;
    SIMT_UNROLL
    for (int i = 0; i < each; ++i) {
      if (own + i < sequences) sum = sum_of(sum, lengths.length(own + i));
      ends[i] = sum;
    }
    for (unsigned distance = 1; distance < simt::warp_size; distance *= 2) {
      const std::int64_t others = simt::shuffle_up(sum, distance);
      if (lane >= distance) sum = sum_of(sum, others);
    }
    if (lane == simt::warp_size - 1) warp_sums[warp] = sum;
    std::int64_t before = simt::shuffle_up(sum, 1);
    if (lane == 0) before = 0;
    simt::sync_block();
    // Each warp sums what the others brought: cheaper than a second scan and its barrier.
    std::int64_t all = carried;
    for (unsigned other = 0; other < warps; ++other) {
      if (other == warp) before = sum_of(before, all);
      all = sum_of(all, warp_sums[other]);
    }
    carried = all;
    SIMT_UNROLL
    for (int i = 0; i < each; ++i)
      if (own + i < sequences) offsets[own + i + 1] = sum_of(before, ends[i]);
    simt::sync_block();
  }
  if (rank == 0) offsets[0] = 0;
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

// offsets [sequences+1] "=" running sums of lengths [sequences].
struct OffsetsFromLengths {
  std::int64_t sequences, max_length;
  const std::int64_t* lengths;
  std::int64_t* offsets;
};

inline void offsets_from_lengths(simt::Stream stream, const OffsetsFromLengths& a) {
  const std::int64_t most = a.sequences * a.max_length;  // which the caller knows to fit
  simt::launch({.grid = {1}, .block = {tokens::scan_threads}}, stream,
               tokens::store_running_sums<4, tokens::GivenLengths>,
               tokens::GivenLengths{a.lengths, a.max_length}, a.sequences, most, a.offsets);
}

// bounded [sequences+1] "=" offsets where they keep the rules, and else others that do: from 0,
// never falling, to no more than `tokens`, with no length above max_length. Whatever a device's
// offsets are, who reads these touches nothing outside the arrays.
inline void bound_offsets(simt::Stream stream, const std::int64_t* offsets, std::int64_t sequences,
                          std::int64_t tokens, std::int64_t max_length, std::int64_t* bounded) {
  if (sequences == 0) return;
  simt::launch({.grid = {1}, .block = {tokens::scan_threads}}, stream,
               tokens::store_running_sums<4, tokens::LengthsBetween>,
               tokens::LengthsBetween{offsets, tokens, max_length}, sequences, tokens, bounded);
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
