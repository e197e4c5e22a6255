// ldmatrix and movmatrix: 8x8 tiles of 16-bit elements between shared memory and mma fragments.
#pragma once
#include "kernels/simt/number.h"
#include "kernels/simt/warp.h"

namespace lacuna::simt {
inline namespace SIMT_PATH {

#if !SIMT_ON_DEVICE
namespace host {

template <int count>
struct LoadMatrix {
  std::uint16_t row[8];   // what the lane's own address holds
  std::uint32_t* result;  // [count]
};

// A tile's fragment: lane l holds elements (l / 4, 2·(l % 4)) and the next, or their transposes.
template <int count, bool transpose>
void load_matrix_lanes(void* const* lanes, std::uint32_t) {
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned tile = 0; tile < count; ++tile) {
      std::uint32_t two = 0;
      for (unsigned i = 0; i < 2; ++i) {
        unsigned row = lane / 4, column = 2 * (lane % 4) + i;
        if (transpose) row = 2 * (lane % 4) + i, column = lane / 4;
        const auto* source = static_cast<const LoadMatrix<count>*>(lanes[8 * tile + row]);
        two |= static_cast<std::uint32_t>(source->row[column]) << 16 * i;
      }
      static_cast<LoadMatrix<count>*>(lanes[lane])->result[tile] = two;
    }
}

struct MoveMatrix {
  std::uint32_t value, result;
};

inline void move_matrix_lanes(void* const* lanes, std::uint32_t) {
  std::uint16_t tile[8][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const std::uint32_t two = static_cast<const MoveMatrix*>(lanes[lane])->value;
    for (unsigned i = 0; i < 2; ++i)
      tile[lane / 4][2 * (lane % 4) + i] = static_cast<std::uint16_t>(two >> 16 * i);
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned row = 2 * (lane % 4), column = lane / 4;
    static_cast<MoveMatrix*>(lanes[lane])->result =
        tile[row][column] | static_cast<std::uint32_t>(tile[row + 1][column]) << 16;
  }
}

}  // namespace host
#endif

// Loads `count` (1, 2 or 4) tiles: lane i of the first 8·count brings the address of row i % 8 of
// tile i / 8, 16 bytes in shared memory, aligned to 16. Other lanes' addresses are not read.
// T: Fp16, Bf16 or any 2-byte type.
template <int count, bool transpose = false, class T>
SIMT_DEVICE void load_matrix(std::uint32_t (&tiles)[count], const T* row,
                             Site site = Site::current()) {
  static_assert(sizeof(T) == 2 && (count == 1 || count == 2 || count == 4));
#if SIMT_ON_DEVICE
  (void)site;
  const unsigned at = shared_address(row);
  if constexpr (count == 1 && !transpose)
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                 : "=r"(tiles[0])
                 : "r"(at)
                 : "memory");
  else if constexpr (count == 1)
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(tiles[0])
                 : "r"(at)
                 : "memory");
  else if constexpr (count == 2 && !transpose)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(tiles[0]), "=r"(tiles[1])
                 : "r"(at)
                 : "memory");
  else if constexpr (count == 2)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(tiles[0]), "=r"(tiles[1])
                 : "r"(at)
                 : "memory");
  else if constexpr (!transpose)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                 : "r"(at)
                 : "memory");
#else
  host::LoadMatrix<count> own{{}, tiles};
  if (lane_index() < 8 * count) {
    emulator::require_shared(row, 16, 16, "ldmatrix row", site);
    for (int i = 0; i < 8; ++i) own.row[i] = bits_as<std::uint16_t>(row[i]);
  }
  emulator::warp_collective(full_mask, &own, host::load_matrix_lanes<count, transpose>,
                            "in ldmatrix", site);
#endif
}

// The transpose of an 8x8 tile held as a fragment, without a trip through shared memory.
SIMT_DEVICE std::uint32_t transpose_matrix(std::uint32_t tile, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  std::uint32_t result;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(tile));
  return result;
#else
  host::MoveMatrix own{tile, 0};
  emulator::warp_collective(full_mask, &own, host::move_matrix_lanes, "in movmatrix", site);
  return own.result;
#endif
}

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
