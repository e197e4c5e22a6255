// Tensor core products of one warp: c += a·b, fp32 accumulators (fp64 for fp64). The layouts of
// a, b and c over lanes and registers are in fragment.h. All 32 lanes take part.
#pragma once
#include "kernels/simt/fragment.h"
#include "kernels/simt/number.h"
#include "kernels/simt/warp.h"

namespace lacuna::simt {
inline namespace SIMT_PATH {

#if !SIMT_ON_DEVICE
namespace host {

template <int M, int K>
struct Tile {
  double a[M][K], b[K][8];
};

template <class T>
struct Mma16 {
  const std::uint32_t *a, *b;
  float* c;
};

// Products of 11-bit significands are exact in double, and so are sums of a few of them: the host
// rounds once, where the tensor core truncates partial sums. Kernels must tolerate either.
template <class Argument, int K>
void multiply(const Tile<16, K>& tile, void* const* lanes) {
  double c[16][8];
  const auto each = [&](auto use) {
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i)
        use(static_cast<const Argument*>(lanes[lane])->c[i],
            c[fragment::c_row(lane, i)][fragment::c_column(lane, i)]);
  };
  each([](float& of_lane, double& of_tile) { of_tile = of_lane; });
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < K; ++k)
      for (int column = 0; column < 8; ++column)
        c[row][column] += tile.a[row][k] * tile.b[k][column];
  each([](float& of_lane, double& of_tile) { of_lane = static_cast<float>(of_tile); });
}

template <class T>
void mma16_lanes(void* const* lanes, std::uint32_t) {
  Tile<16, 16> tile;
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<const Mma16<T>*>(lanes[lane]);
    for (int r = 0; r < 4; ++r) {
      double* to = &tile.a[fragment::a16_row(lane, r)][fragment::a16_k(lane, r)];
      to[0] = unpack_low<T>(own.a[r]), to[1] = unpack_high<T>(own.a[r]);
    }
    for (int r = 0; r < 2; ++r) {
      const int k = fragment::b16_k(lane, r), n = fragment::b16_column(lane);
      tile.b[k][n] = unpack_low<T>(own.b[r]), tile.b[k + 1][n] = unpack_high<T>(own.b[r]);
    }
  }
  multiply<Mma16<T>>(tile, lanes);
}

inline void mma_tf32_lanes(void* const* lanes, std::uint32_t) {
  const auto value = [](std::uint32_t bits) { return bits_as<float>(bits & ~0x1fffu); };
  Tile<16, 8> tile;
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<const Mma16<float>*>(lanes[lane]);
    for (int r = 0; r < 4; ++r)
      tile.a[fragment::a32_row(lane, r)][fragment::a32_k(lane, r)] = value(own.a[r]);
    for (int r = 0; r < 2; ++r)
      tile.b[fragment::b32_k(lane, r)][fragment::b32_column(lane)] = value(own.b[r]);
  }
  multiply<Mma16<float>>(tile, lanes);
}

struct MmaDouble {
  double a, b;
  double* c;
};

inline void mma_double_lanes(void* const* lanes, std::uint32_t) {
  Tile<8, 4> tile;
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<const MmaDouble*>(lanes[lane]);
    tile.a[fragment::a64_row(lane)][fragment::a64_k(lane)] = own.a;
    tile.b[fragment::b64_k(lane)][fragment::b64_column(lane)] = own.b;
  }
  for (int lane = 0; lane < 32; ++lane) {
    double* c = static_cast<const MmaDouble*>(lanes[lane])->c;
    for (int i = 0; i < 2; ++i)
      for (int k = 0; k < 4; ++k)
        c[i] = __builtin_fma(tile.a[fragment::c_row(lane, i)][k],
                             tile.b[k][fragment::c_column(lane, i)], c[i]);
  }
}

}  // namespace host
#endif

// c[16x8] += a[16x16]·b[16x8]. T: Fp16 or Bf16, two per register.
template <class T>
SIMT_DEVICE void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4],
                              const std::uint32_t (&b)[2], Site site = Site::current()) {
  static_assert(std::is_same_v<T, Fp16> || std::is_same_v<T, Bf16>);
#if SIMT_ON_DEVICE
  (void)site;
  if constexpr (std::is_same_v<T, Fp16>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  host::Mma16<T> own{a, b, c};
  emulator::warp_collective(full_mask, &own, host::mma16_lanes<T>, "in mma.sync", site);
#endif
}

// c[16x8] += a[16x8]·b[8x8], operands from to_tf32.
SIMT_DEVICE void mma_m16n8k8_tf32(float (&c)[4], const std::uint32_t (&a)[4],
                                  const std::uint32_t (&b)[2], Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  host::Mma16<float> own{a, b, c};
  emulator::warp_collective(full_mask, &own, host::mma_tf32_lanes, "in mma.sync", site);
#endif
}

// c[8x8] += a[8x4]·b[4x8] in fp64.
SIMT_DEVICE void mma_m8n8k4(double (&c)[2], double a, double b, Site site = Site::current()) {
#if SIMT_ON_DEVICE
  (void)site;
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
               : "+d"(c[0]), "+d"(c[1])
               : "d"(a), "d"(b));
#else
  host::MmaDouble own{a, b, c};
  emulator::warp_collective(full_mask, &own, host::mma_double_lanes, "in mma.sync", site);
#endif
}

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
