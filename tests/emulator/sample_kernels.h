// Kernels that the emulator is tested with: a reduction, a matrix product, a persistent grid and a
// cluster exchange. Each can be built with one planted bug, which a detector must then find.
#pragma once
#include "kernels/simt/simt.h"

namespace lacuna::sample {

enum class Bug {
  none,
  missing_sync,
  divergent_barrier,
  early_return,
  idle_lanes_in_mask,
  lane_outside_mask,
  unwritten_shared,
  shared_out_of_bounds,
  missing_copy_wait,
  missing_grid_barrier,
  missing_mbarrier_wait,
  too_many_bytes,
  block_scope_wait,
  missing_cluster_barrier,
  early_exit_of_peer,
  relaxed_arrival,
};

// partial_sums[block] = its share of Σ values. Blocks of up to 1024 threads.
template <Bug bug = Bug::none>
SIMT_KERNEL(1024)
void block_sum(const float* values, int count, float* partial_sums) {
  SIMT_SHARED(warp_sum, float[32]);
  const unsigned rank = simt::thread_rank(), warps = simt::block_size().x / 32;
  const unsigned stride = simt::grid_size().x * simt::block_size().x;
  if (bug == Bug::early_return && rank == 40) return;
  float sum = 0;
  for (unsigned i = simt::block_index().x * simt::block_size().x + rank;
       i < static_cast<unsigned>(count); i += stride)
    sum += values[i];
  for (unsigned distance = 16; distance > 0; distance /= 2)
    sum += simt::shuffle_down(sum, distance);
  const unsigned lane = simt::lane_index(), warp = simt::warp_index();
  if (lane == 0) warp_sum[bug == Bug::shared_out_of_bounds ? warp + 32 : warp] = sum;
  if (bug == Bug::divergent_barrier) {
    if (warp == 0)
      simt::sync_block();
    else
      simt::sync_block();
  } else if (bug != Bug::missing_sync) {
    simt::sync_block();
  }
  if (warp > 0) return;
  sum = bug == Bug::unwritten_shared || lane < warps ? warp_sum[lane] : 0.0f;
  if (bug == Bug::idle_lanes_in_mask) {
    if (lane < 16) sum += simt::shuffle_down(sum, 1);
  } else if (bug == Bug::lane_outside_mask) {
    if (lane < 16) sum += simt::shuffle(sum, 20, 0xffff);
  } else {
    for (unsigned distance = 16; distance > 0; distance /= 2)
      sum += simt::shuffle_down(sum, distance);
  }
  if (lane == 0) partial_sums[simt::block_index().x] = sum;
}

inline constexpr int product_depth = 32;   // of one stage
inline constexpr int product_stride = 40;  // of a row in shared memory: spreads rows over banks

// c[M,N] = a[M,K]·bᵀ[N,K]: one warp per 16x8 tile, two stages of copies in flight. M a multiple of
// 16, N and K of 8. Grid (N / 8, M / 16), block 32.
template <class T, Bug bug = Bug::none>
SIMT_KERNEL(32)
void product16(const T* a, const T* b, float* c, int columns, int depth) {
  simt::SharedCarver shared;
  T* a_stage = shared.take<T>(2 * 16 * product_stride);
  T* b_stage = shared.take<T>(2 * 8 * product_stride);
  const int lane = static_cast<int>(simt::lane_index());
  const int row = 16 * static_cast<int>(simt::block_index().y);
  const int column = 8 * static_cast<int>(simt::block_index().x);
  const auto fetch = [&](int k, int stage) {
    // Pieces of 8 values: 4 per row of the stage, 16 rows of a and 8 of b. Beyond K they are zero.
    for (int piece = lane; piece < 24 * 4; piece += 32) {
      const int r = piece / 4, at = k + 8 * (piece % 4);
      const bool of_a = r < 16;
      const T* source = of_a ? a + (row + r) * depth : b + (column + r - 16) * depth;
      T* target = of_a ? a_stage + (stage * 16 + r) * product_stride
                       : b_stage + (stage * 8 + r - 16) * product_stride;
      const bool inside = at < depth;
      simt::copy_async<16>(target + 8 * (piece % 4), source + (inside ? at : 0), inside ? 16 : 0);
    }
    simt::commit_copies();
  };
  float sum[4] = {};
  fetch(0, 0);
  int stage = 0;
  for (int k = 0; k < depth; k += product_depth, stage ^= 1) {
    fetch(k + product_depth, stage ^ 1);
    if (bug != Bug::missing_copy_wait) simt::wait_copies<1>();
    simt::sync_block();
    for (int inner = 0; inner < product_depth; inner += 16) {
      std::uint32_t a_tile[4], b_tile[2];
      const T* a_row = a_stage + (stage * 16 + lane % 16) * product_stride + inner;
      simt::load_matrix<4>(a_tile, a_row + 8 * (lane / 16));
      const T* b_row = b_stage + (stage * 8 + lane % 8) * product_stride + inner;
      simt::load_matrix<2>(b_tile, b_row + 8 * (lane / 8 % 2));
      simt::mma_m16n8k16<T>(sum, a_tile, b_tile);
    }
    simt::sync_block();  // the stage is free only when every lane has read it
  }
  simt::wait_copies<0>();
  for (int i = 0; i < 4; ++i)
    c[(row + simt::fragment::c_row(lane, i)) * columns + column +
      simt::fragment::c_column(lane, i)] = sum[i];
}

// The same in tf32, operands straight from global memory; K a multiple of 8.
SIMT_KERNEL(32)
void product_tf32(const float* a, const float* b, float* c, int columns, int depth) {
  const int lane = static_cast<int>(simt::lane_index());
  const int row = 16 * static_cast<int>(simt::block_index().y);
  const int column = 8 * static_cast<int>(simt::block_index().x);
  namespace at = simt::fragment;
  float sum[4] = {};
  for (int k = 0; k < depth; k += 8) {
    std::uint32_t a_tile[4], b_tile[2];
    for (int r = 0; r < 4; ++r)
      a_tile[r] = simt::to_tf32(a[(row + at::a32_row(lane, r)) * depth + k + at::a32_k(lane, r)]);
    for (int r = 0; r < 2; ++r)
      b_tile[r] =
          simt::to_tf32(b[(column + at::b32_column(lane)) * depth + k + at::b32_k(lane, r)]);
    simt::mma_m16n8k8_tf32(sum, a_tile, b_tile);
  }
  for (int i = 0; i < 4; ++i)
    c[(row + at::c_row(lane, i)) * columns + column + at::c_column(lane, i)] = sum[i];
}

// The same in fp64, 8x8 tiles; M a multiple of 8, K of 4. Grid (N / 8, M / 8).
SIMT_KERNEL(32)
void product_fp64(const double* a, const double* b, double* c, int columns, int depth) {
  const int lane = static_cast<int>(simt::lane_index());
  const int row = 8 * static_cast<int>(simt::block_index().y);
  const int column = 8 * static_cast<int>(simt::block_index().x);
  namespace at = simt::fragment;
  double sum[2] = {};
  for (int k = 0; k < depth; k += 4)
    simt::mma_m8n8k4(sum, a[(row + at::a64_row(lane)) * depth + k + at::a64_k(lane)],
                     b[(column + at::b64_column(lane)) * depth + k + at::b64_k(lane)]);
  for (int i = 0; i < 2; ++i)
    c[(row + at::c_row(lane, i)) * columns + column + at::c_column(lane, i)] = sum[i];
}

// state_{t+1} = weights·state_t over a persistent grid: each block owns blockDim.x rows, and the
// whole state crosses global memory every step. states: [2][units], the first is the input.
template <Bug bug = Bug::none>
SIMT_KERNEL(256)
void persistent_steps(const float* weights, float* states, unsigned* counter, int units,
                      int steps) {
  simt::SharedCarver shared;
  float* state = shared.take<float>(static_cast<std::size_t>(units));
  simt::GridBarrier grid(counter, simt::grid_size().x);
  const int own =
      static_cast<int>(simt::block_index().x * simt::block_size().x + simt::thread_index().x);
  for (int step = 0; step < steps; ++step) {
    const float* from = states + (step % 2) * units;
    for (int i = static_cast<int>(simt::thread_index().x); i < units;
         i += static_cast<int>(simt::block_size().x))
      simt::copy_async<4>(state + i, from + i);
    simt::commit_copies();
    simt::wait_copies();
    simt::sync_block();
    float sum = 0;
    for (int k = 0; k < units; ++k) sum += weights[own * units + k] * state[k];
    states[((step + 1) % 2) * units + own] = sum;
    if (bug != Bug::missing_grid_barrier)
      grid.sync();
    else
      simt::sync_block();
  }
}

inline constexpr unsigned exchange_slice = 32;  // values that a block owns; also its threads

// x_{t+1}[i] = x_t[i]/2 + mean(x_t), each block of the cluster its own slice, sent to all blocks by
// st.async and awaited on two mbarriers in turn. out: what each block then reads in its neighbour.
template <Bug bug = Bug::none>
SIMT_KERNEL(32)
void cluster_exchange(const float* initial, float* out, int steps) {
  simt::SharedCarver shared;
  const unsigned size = simt::cluster_size(), rank = simt::cluster_rank();
  const unsigned values = size * exchange_slice, own = simt::thread_rank();
  float* x[2];
  x[0] = shared.take<float>(values);
  x[1] = shared.take<float>(values);
  simt::Mbarrier* full[2];
  for (auto& barrier : full) barrier = shared.take<simt::Mbarrier>(1);
  const unsigned bytes = values * sizeof(float);
  if (own == 0) {
    for (auto* barrier : full) simt::mbarrier_init(barrier, 1);
    simt::mbarrier_publish();
    if (bug != Bug::missing_cluster_barrier) {
      simt::mbarrier_arrive_expect_bytes(full[0], bytes);
      simt::copy_bulk(x[0], initial, bytes, full[0]);
    }
  }
  if (bug != Bug::missing_cluster_barrier)
    simt::cluster_sync();
  else
    simt::sync_block();
  for (int step = 0; step < steps; ++step) {
    const int now = step % 2, next = 1 - now;
    const unsigned parity = static_cast<unsigned>(step / 2 % 2);
    if (bug == Bug::block_scope_wait)
      simt::mbarrier_wait(full[now], parity);
    else if (bug != Bug::missing_mbarrier_wait && bug != Bug::missing_cluster_barrier)
      simt::mbarrier_wait<simt::Scope::cluster>(full[now], parity);
    if (own == 0)
      simt::mbarrier_arrive_expect_bytes(full[next],
                                         bug == Bug::too_many_bytes ? bytes / 2 : bytes);
    float mean = 0;
    for (unsigned i = 0; i < values; ++i) mean += x[now][i] / static_cast<float>(values);
    const unsigned mine = rank * exchange_slice + own;
    const float y = x[now][mine] / 2 + mean;
    for (unsigned to = 0; to < size; ++to) simt::store_async(x[next] + mine, y, full[next], to);
  }
  const int last = steps % 2;
  simt::mbarrier_wait<simt::Scope::cluster>(full[last], static_cast<unsigned>(steps / 2 % 2));
  if (bug == Bug::relaxed_arrival) {
    simt::cluster_arrive_relaxed();
    simt::cluster_wait();
  } else {
    simt::cluster_sync();  // the neighbour has seen its slices arrive; this passes it on
  }
  if (bug == Bug::early_exit_of_peer && rank == 0) return;
  const float* neighbour = simt::peer_shared(x[last], (rank + 1) % size);
  for (unsigned i = own; i < values; i += exchange_slice)
    out[simt::block_rank() * values + i] = neighbour[i];
  if (bug == Bug::early_exit_of_peer) return;
  simt::cluster_arrive_relaxed();  // nobody leaves while others read
  simt::cluster_wait();
}

}  // namespace lacuna::sample
