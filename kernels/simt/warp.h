// Shuffles and votes: lanes of one warp read each other's registers. They order no memory.
#pragma once
#include "kernels/simt/index.h"
#include "kernels/simt/platform.h"

namespace lacuna::simt {
inline namespace SIMT_PATH {

inline constexpr std::uint32_t full_mask = 0xffffffffu;

#if !SIMT_ON_DEVICE
namespace host {

template <class T>
struct Shuffle {
  T value, result;
  unsigned source;  // lane read from
  Site site;
};

template <class T>
void shuffle_lanes(void* const* lanes, std::uint32_t mask) {
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if (!(mask >> lane & 1)) continue;
    auto* own = static_cast<Shuffle<T>*>(lanes[lane]);
    if (!(mask >> own->source & 1))
      emulator::fail_lane(lane, "shuffle reads a lane outside its mask", own->site);
    own->result = static_cast<Shuffle<T>*>(lanes[own->source])->value;
  }
}

template <class T>
T shuffle_from(std::uint32_t mask, T value, unsigned source, Site site) {
  Shuffle<T> own{value, value, source, site};
  emulator::warp_collective(mask, &own, shuffle_lanes<T>, "in a shuffle", site);
  return own.result;
}

struct Vote {
  bool predicate;
  std::uint32_t result;
};

inline void vote_lanes(void* const* lanes, std::uint32_t mask) {
  std::uint32_t result = 0;
  for (unsigned lane = 0; lane < warp_size; ++lane)
    if (mask >> lane & 1)
      result |= static_cast<std::uint32_t>(static_cast<Vote*>(lanes[lane])->predicate) << lane;
  for (unsigned lane = 0; lane < warp_size; ++lane)
    if (mask >> lane & 1) static_cast<Vote*>(lanes[lane])->result = result;
}

}  // namespace host
#endif

#if SIMT_ON_DEVICE
// __shfl_sync knows 4 and 8 bytes; anything of those sizes travels as an integer.
template <class T>
using ShuffleBits = std::conditional_t<sizeof(T) == 8, unsigned long long, unsigned>;
#endif

// Value of lane `source` of the caller's group of `width` lanes (a power of two).
// T: any trivially copyable type of 4 or 8 bytes.
template <class T>
SIMT_DEVICE T shuffle(T value, unsigned source, std::uint32_t mask = full_mask,
                      unsigned width = warp_size, Site site = Site::current()) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
#if SIMT_ON_DEVICE
  (void)site;
  return bits_as<T>(__shfl_sync(mask, bits_as<ShuffleBits<T>>(value), source, width));
#else
  const unsigned lane = lane_index(), first = lane & ~(width - 1);
  return host::shuffle_from(mask, value, first | (source & (width - 1)), site);
#endif
}

// Value of the lane whose index differs from the caller's in the bits of `toggle`; the caller's own
// where that lane lies beyond its group of `width`.
template <class T>
SIMT_DEVICE T shuffle_xor(T value, unsigned toggle, std::uint32_t mask = full_mask,
                          unsigned width = warp_size, Site site = Site::current()) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
#if SIMT_ON_DEVICE
  (void)site;
  return bits_as<T>(__shfl_xor_sync(mask, bits_as<ShuffleBits<T>>(value), toggle, width));
#else
  const unsigned lane = lane_index(), source = lane ^ toggle, end = (lane & ~(width - 1)) + width;
  return host::shuffle_from(mask, value, source >= end ? lane : source, site);
#endif
}

// Value of the lane `distance` above the caller; the caller's own beyond its group of `width`.
template <class T>
SIMT_DEVICE T shuffle_down(T value, unsigned distance, std::uint32_t mask = full_mask,
                           unsigned width = warp_size, Site site = Site::current()) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
#if SIMT_ON_DEVICE
  (void)site;
  return bits_as<T>(__shfl_down_sync(mask, bits_as<ShuffleBits<T>>(value), distance, width));
#else
  const unsigned lane = lane_index();
  const bool inside = (lane & (width - 1)) + distance < width;
  return host::shuffle_from(mask, value, inside ? lane + distance : lane, site);
#endif
}

// Value of the lane `distance` below the caller; the caller's own beyond its group of `width`.
template <class T>
SIMT_DEVICE T shuffle_up(T value, unsigned distance, std::uint32_t mask = full_mask,
                         unsigned width = warp_size, Site site = Site::current()) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
#if SIMT_ON_DEVICE
  (void)site;
  return bits_as<T>(__shfl_up_sync(mask, bits_as<ShuffleBits<T>>(value), distance, width));
#else
  const unsigned lane = lane_index();
  const bool inside = (lane & (width - 1)) >= distance;
  return host::shuffle_from(mask, value, inside ? lane - distance : lane, site);
#endif
}

// Bit i is set where lane i of the mask brought true.
SIMT_DEVICE std::uint32_t ballot(bool predicate, std::uint32_t mask = full_mask,
                                 Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  return __ballot_sync(mask, predicate);
#else
  host::Vote own{predicate, 0};
  emulator::warp_collective(mask, &own, host::vote_lanes, "in a vote", site);
  return own.result;
#endif
}

SIMT_DEVICE bool any(bool predicate, std::uint32_t mask = full_mask, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  return __any_sync(mask, predicate);
#else
  return ballot(predicate, mask, site) != 0;
#endif
}

SIMT_DEVICE bool all(bool predicate, std::uint32_t mask = full_mask, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  return __all_sync(mask, predicate);
#else
  return ballot(predicate, mask, site) == mask;
#endif
}

// Set bits of a mask.
SIMT_DEVICE int count_bits(std::uint32_t mask) {
#if SIMT_ON_DEVICE
  return __popc(mask);
#else
  return __builtin_popcount(mask);
#endif
}

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
