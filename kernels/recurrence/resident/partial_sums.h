// Sums that several warps of a block, which share the depth of the same units' work, hand to the one that owns the units.
#pragma once

#include <cstddef>

#include "kernels/recurrence/resident/tile.h"
#include "kernels/simt/shared.h"
#include "kernels/simt/sync.h"
#include "kernels/simt/vec.h"

namespace lacuna::resident {

// sums: of a thread at a time; 0: nobody helps.
template <int sums>
class PartialSums {
 public:
  static void add_to(simt::SharedLayout& shared, const Division& division) {
    if (size(division) > 0) shared.add<simt::Float4>(size(division));
  }
  SIMT_DEVICE PartialSums(simt::SharedCarver& shared, const Division& division)
      : division_(division),
        sums_(size(division) > 0 ? shared.take<simt::Float4>(size(division)) : nullptr) {}

  // A helping warp's. The owner has read what was put here before once both have met since.
  SIMT_DEVICE void put(const Own& own, int which, const simt::Float4& sum) const {
    *place(own, own.depth, which) = sum;
  }
  // All warps of the same units.
  SIMT_DEVICE void meet(const Own& own) const {
    simt::sync_named(1 + static_cast<unsigned>(own.row),
                     static_cast<unsigned>(division_.depths) * simt::warp_size);
  }
  // After meet, the owner: to += what each helper has put, in their order.
  SIMT_DEVICE void add_all(const Own& own, int which, float (&to)[pairs]) const {
    for (int depth = 1; depth < division_.depths; ++depth) {
      const simt::Float4 part = *place(own, depth, which);
      SIMT_UNROLL
      for (int i = 0; i < pairs; ++i) to[i] += part[i];
    }
  }

 private:
  SIMT_BOTH static std::size_t size(const Division& division) {
    return static_cast<std::size_t>((division.depths - 1) * division.rows() * sums) *
           simt::warp_size;
  }
  SIMT_DEVICE simt::Float4* place(const Own& own, int depth, int which) const {
    return sums_ +
           (((depth - 1) * division_.rows() + own.row) * sums + which) *
               static_cast<int>(simt::warp_size) +
           own.thread;
  }

  const Division& division_;
  simt::Float4* sums_;
};

}  // namespace lacuna::resident
