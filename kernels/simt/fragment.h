// Which element of a matrix each register of each lane holds in mma.sync, ldmatrix and movmatrix,
// as the PTX ISA lays them out. Kernels and the host path read the same functions; only the
// conformance test on a GPU can tell whether they are right.
#pragma once
#include "kernels/simt/platform.h"

namespace lacuna::simt::fragment {

// Accumulators of 16x8 (i < 4) and 8x8 (i < 2) products.
SIMT_BOTH constexpr int c_row(int lane, int i) { return lane / 4 + 8 * (i / 2); }
SIMT_BOTH constexpr int c_column(int lane, int i) { return 2 * (lane % 4) + i % 2; }

// m16n8k16, 16-bit operands: register r holds columns k and k + 1 of A, rows k and k + 1 of B.
SIMT_BOTH constexpr int a16_row(int lane, int r) { return lane / 4 + 8 * (r % 2); }
SIMT_BOTH constexpr int a16_k(int lane, int r) { return 2 * (lane % 4) + 8 * (r / 2); }
SIMT_BOTH constexpr int b16_k(int lane, int r) { return 2 * (lane % 4) + 8 * r; }
SIMT_BOTH constexpr int b16_column(int lane) { return lane / 4; }

// m16n8k8, tf32 operands: one element per register.
SIMT_BOTH constexpr int a32_row(int lane, int r) { return lane / 4 + 8 * (r % 2); }
SIMT_BOTH constexpr int a32_k(int lane, int r) { return lane % 4 + 4 * (r / 2); }
SIMT_BOTH constexpr int b32_k(int lane, int r) { return lane % 4 + 4 * r; }
SIMT_BOTH constexpr int b32_column(int lane) { return lane / 4; }

// m8n8k4, fp64 operands: one element per lane.
SIMT_BOTH constexpr int a64_row(int lane) { return lane / 4; }
SIMT_BOTH constexpr int a64_k(int lane) { return lane % 4; }
SIMT_BOTH constexpr int b64_k(int lane) { return lane % 4; }
SIMT_BOTH constexpr int b64_column(int lane) { return lane / 4; }

}  // namespace lacuna::simt::fragment
