// Every detector detects: kernels of a few lines with a fault, and what must be said of it, wherever the emulator can fail.
#include <gtest/gtest.h>

#include "emulator/planted.h"

namespace lacuna {
namespace {

using planted::expect_error;

SIMT_KERNEL(64) void deadlocked() {
  // Warp 0 waits for 64 threads at barrier 1, warp 1 at barrier 2.
  simt::sync_named(1 + simt::warp_index(), 64);
}

SIMT_KERNEL(64) void two_sizes_of_one_barrier() {
  simt::sync_named(1, simt::warp_index() == 0 ? 64 : 32);
  simt::sync_named(1, 64);
}

SIMT_KERNEL(32) void lanes_at_different_shuffles(float* out) {
  float value = 1;
  if (simt::lane_index() < 16)
    value = simt::shuffle(value, 0);
  else
    value = simt::shuffle(value, 1);
  out[simt::lane_index()] = value;
}

SIMT_KERNEL(32) void barrier_inside_divergence() {
  if (simt::lane_index() < 16)
    simt::sync_block();
  else
    simt::sync_warp();
}

SIMT_KERNEL(32) void takes_more_than_it_was_given() {
  simt::SharedCarver shared;
  shared.take<float>(32);
  shared.take<float>(1);
}

SIMT_KERNEL(32) void overlapping_arrays() {
  simt::SharedCarver first, second;
  first.take<float>(16);
  second.take<double>(16);
}

SIMT_KERNEL(32) void misaligned_vector(const float* values, float* out) {
  out[simt::lane_index()] = simt::load<4>(values + 1)[0];
}

SIMT_KERNEL(32) void async_copy_past_the_end(const float* values) {
  simt::SharedCarver shared;
  float* target = shared.take<float>(32);
  simt::copy_async<4>(target + simt::lane_index() + 1, values);
}

SIMT_KERNEL(32) void unfinished_mbarrier() {
  SIMT_SHARED(barrier, simt::Mbarrier);
  if (simt::lane_index() == 0) simt::mbarrier_init(&barrier, 2);
  simt::sync_block();
  if (simt::lane_index() == 0) simt::mbarrier_arrive(&barrier);
  simt::mbarrier_wait(&barrier, 0);
}

SIMT_KERNEL(32) void uninitialised_mbarrier() {
  SIMT_SHARED(barrier, simt::Mbarrier);
  simt::mbarrier_arrive(&barrier);
}

SIMT_KERNEL(32) void too_many_arrivals() {
  SIMT_SHARED(barrier, simt::Mbarrier);
  if (simt::lane_index() == 0) simt::mbarrier_init(&barrier, 1);
  simt::sync_block();
  if (simt::lane_index() == 0) simt::mbarrier_arrive_expect_bytes(&barrier, 16);
  simt::sync_block();
  if (simt::lane_index() == 1) simt::mbarrier_arrive(&barrier);
}

SIMT_KERNEL(32) void half_a_cluster_barrier() { simt::cluster_wait(); }

SIMT_KERNEL(32) void waits_for_a_flag_nobody_writes(unsigned* flag) {
  while (simt::load_acquire(flag) == 0) simt::pause();
}

// Until thread 0 has come to where it set this. It goes on to what follows before another thread runs.
SIMT_DEVICE void await_thread_0(const unsigned& there) {
  while (simt::load_acquire(&there) != 1) simt::pause();
}

SIMT_KERNEL(32) void leaves_before_a_barrier() {
  SIMT_SHARED(gone, unsigned);
  if (simt::thread_rank() == 0) return simt::store_release(&gone, 1u);
  await_thread_0(gone);
  simt::sync_block();
}

SIMT_KERNEL(32) void leaves_while_others_wait() {
  SIMT_SHARED(there, unsigned);
  if (simt::thread_rank() == 0) {
    simt::store_release(&there, 1u);
    simt::sync_block();
  }
  await_thread_0(there);
}

SIMT_KERNEL(32) void leaves_before_a_cluster_barrier() {
  SIMT_SHARED(gone, unsigned);
  if (simt::thread_rank() == 0) return simt::store_release(&gone, 1u);
  await_thread_0(gone);
  simt::cluster_arrive();
}

SIMT_KERNEL(32) void barrier_while_a_lane_waits() {
  SIMT_SHARED(there, unsigned);
  if (simt::thread_rank() == 0) {
    simt::store_release(&there, 1u);
    simt::sync_warp();
  }
  await_thread_0(there);
  simt::sync_block();
}

SIMT_KERNEL(32) void mask_names_a_lane_at_a_barrier() {
  SIMT_SHARED(there, unsigned);
  if (simt::thread_rank() == 0) {
    simt::store_release(&there, 1u);
    simt::sync_block();
  }
  await_thread_0(there);
  simt::sync_warp();
}

SIMT_KERNEL(32) void named_barrier(unsigned id, unsigned threads) { simt::sync_named(id, threads); }

SIMT_KERNEL(32) void two_arrivals_at_a_cluster() {
  simt::cluster_arrive();
  simt::cluster_arrive();
}

SIMT_KERNEL(32) void mask_without_its_lane() { simt::shuffle(1.0f, 1, 0xfffffffeu); }

SIMT_KERNEL(16) void mask_of_lanes_that_do_not_exist() { simt::shuffle(1.0f, 0); }

SIMT_KERNEL(32) void matrix_row(unsigned rows_taken, int away) {
  simt::SharedCarver shared;
  auto* rows = shared.take<std::uint16_t>(8 * rows_taken);
  std::uint32_t tile[1];
  simt::load_matrix<1>(tile, rows + 8 * (simt::lane_index() % 8) + away);
}

SIMT_KERNEL(32) void misaligned_store(float* out) { simt::store(out + 1, simt::Float4{}); }

SIMT_KERNEL(32) void misaligned_async_copy(const float* values, int of_target, int of_source) {
  simt::SharedCarver shared;
  simt::copy_async<8>(shared.take<float>(8) + of_target, values + of_source);
}

SIMT_KERNEL(32) void async_copy_of_too_much(const float* values) {
  simt::SharedCarver shared;
  simt::copy_async<4>(shared.take<float>(8), values, 8);
}

SIMT_KERNEL(32) void arrays_that_overlap_in_the_middle() {
  simt::SharedCarver first, second;
  first.take<float>(4), first.take<float>(16);
  second.take<float>(4), second.take<float>(4, 32);
}

SIMT_KERNEL(32) void takes_more_than_there_is() {
  SIMT_SHARED(values, float[32]);
  values[simt::lane_index()] = 0;
}

// By one thread, of a block that is a cluster.
enum class Misuse {
  mbarrier_in_global_memory,
  misaligned_mbarrier,
  mbarrier_of_nobody,
  mbarrier_initialised_twice,
  mbarrier_invalidated_amid,
  too_many_bytes_expected,
  too_many_bytes_with_an_arrival,
  misaligned_store_async,
  bulk_target_outside,
  bulk_target_misaligned,
  bulk_source_misaligned,
  bulk_of_half_a_unit,
  bulk_of_nothing,
  bulk_to_a_barrier_elsewhere,
  peer_that_is_not_there,
  peer_of_global_memory,
};

template <Misuse misuse>
SIMT_KERNEL(1)
void misused(float* global) {
  using enum Misuse;
  simt::SharedCarver shared;
  auto* words = shared.take<float>(8);
  auto* bytes = shared.take<unsigned char>(16);
  auto* barrier = shared.take<simt::Mbarrier>(1);
  auto* elsewhere = reinterpret_cast<simt::Mbarrier*>(global);
  simt::cluster_sync();
  if (misuse == mbarrier_in_global_memory) simt::mbarrier_init(elsewhere, 1);
  if (misuse == misaligned_mbarrier)
    simt::mbarrier_init(reinterpret_cast<simt::Mbarrier*>(bytes + 4), 1);
  simt::mbarrier_init(barrier, misuse == mbarrier_of_nobody ? 0 : 2);
  if (misuse == mbarrier_initialised_twice) simt::mbarrier_init(barrier, 2);
  if (misuse == mbarrier_invalidated_amid) {
    simt::mbarrier_arrive(barrier);
    simt::mbarrier_invalidate(barrier);
  }
  if (misuse == too_many_bytes_expected) simt::mbarrier_expect_bytes(barrier, 1 << 20);
  if (misuse == too_many_bytes_with_an_arrival)
    simt::mbarrier_arrive_expect_bytes(barrier, 1 << 20);
  if (misuse == misaligned_store_async)
    simt::store_async(reinterpret_cast<simt::Float2*>(words + 1), simt::Float2{}, barrier, 0);
  if (misuse == bulk_target_outside) simt::copy_bulk(words + 4, global, 32, barrier);
  if (misuse == bulk_target_misaligned) simt::copy_bulk(words + 2, global, 16, barrier);
  if (misuse == bulk_source_misaligned) simt::copy_bulk(words, global + 1, 16, barrier);
  if (misuse == bulk_of_half_a_unit) simt::copy_bulk(words, global, 24, barrier);
  if (misuse == bulk_of_nothing) simt::copy_bulk(words, global, 0, barrier);
  if (misuse == bulk_to_a_barrier_elsewhere) simt::copy_bulk(words, global, 16, elsewhere);
  if (misuse == peer_that_is_not_there) simt::peer_shared(words, 1);
  if (misuse == peer_of_global_memory) simt::peer_shared(global, 0);
}

SIMT_KERNEL(1) void waits_for_a_peers_mbarrier() {
  SIMT_SHARED(barrier, simt::Mbarrier);
  simt::mbarrier_init(&barrier, 1);
  simt::cluster_sync();
  if (simt::cluster_rank() == 1) simt::mbarrier_wait(simt::peer_shared(&barrier, 0), 0);
  simt::cluster_sync();
}

SIMT_KERNEL(1) void launches() { simt::launch({.grid = {1}, .block = {1}}, nullptr, deadlocked); }

template <class... Parameters, class... Arguments>
void expect_fault(const char* part, const simt::LaunchConfig& config, void (*kernel)(Parameters...),
                  Arguments... arguments) {
  expect_error(
      [&] {
        simt::launch(config, nullptr, kernel, arguments...);
        return 0.0;
      },
      {part, "planted_faults_test.cpp:"});
}

TEST(PlantedFaults, OfOneLine) {
  std::vector<float> floats(64);
  unsigned flags[2] = {0, 0};
  const simt::LaunchConfig warp{.grid = {1}, .block = {32}, .shared_bytes = 128};
  const simt::LaunchConfig two_warps{.grid = {1}, .block = {64}};
  expect_fault("deadlock: 64 threads wait", two_warps, deadlocked);
  expect_fault("named", two_warps, two_sizes_of_one_barrier);
  expect_fault("lanes diverge", warp, lanes_at_different_shuffles, floats.data());
  expect_fault("in sync_", warp, barrier_inside_divergence);
  expect_fault("launch gave 128", warp, takes_more_than_it_was_given);
  expect_fault("overlap", warp, overlapping_arrays);
  expect_fault("not aligned to 16", warp, misaligned_vector, floats.data(), floats.data());
  expect_fault("outside this block's shared arrays", warp, async_copy_past_the_end, floats.data());
  expect_fault("hung", warp, unfinished_mbarrier);
  expect_fault("before it was initialised", warp, uninitialised_mbarrier);
  expect_fault("more arrivals", warp, too_many_arrivals);
  expect_fault("without an arrival", warp, half_a_cluster_barrier);
  expect_fault("hung", warp, waits_for_a_flag_nobody_writes, flags);
}

TEST(PlantedFaults, OfBarriersAndMasks) {
  const simt::LaunchConfig warp{.grid = {1}, .block = {32}};
  expect_fault("has already returned from the kernel", warp, leaves_before_a_barrier);
  expect_fault("has returned from the kernel, but", warp, leaves_while_others_wait);
  expect_fault("of the cluster has already returned", warp, leaves_before_a_cluster_barrier);
  expect_fault("barrier reached while", warp, barrier_while_a_lane_waits);
  expect_fault("it names block (0,0,0) thread (0,0,0)", warp, mask_names_a_lane_at_a_barrier);
  expect_fault("named barrier 0: 1 to 15 exist", warp, named_barrier, 0u, 32u);
  expect_fault("named barrier 16: 1 to 15 exist", warp, named_barrier, 16u, 32u);
  expect_fault("named barrier for 0 threads", warp, named_barrier, 1u, 0u);
  expect_fault("named barrier for 48 threads", {.grid = {1}, .block = {64}}, named_barrier, 1u,
               48u);
  expect_fault("named barrier for 64 threads", warp, named_barrier, 1u, 64u);
  expect_fault("second arrival", warp, two_arrivals_at_a_cluster);
  expect_fault("the calling lane is not in it", warp, mask_without_its_lane);
  expect_fault("lane 16 has exited or does not exist", {.grid = {1}, .block = {16}},
               mask_of_lanes_that_do_not_exist);
}

TEST(PlantedFaults, OfAddresses) {
  std::vector<float> floats(64);
  const simt::LaunchConfig warp{.grid = {1}, .block = {32}, .shared_bytes = 144};
  expect_fault("ldmatrix row reaches outside", warp, matrix_row, 8u, 8);
  expect_fault("ldmatrix row reaches outside", warp, matrix_row, 8u, -8);
  expect_fault("ldmatrix row is not aligned to 16", warp, matrix_row, 9u, 1);
  expect_fault("vector store is not aligned to 16", warp, misaligned_store, floats.data());
  expect_fault("target of an async copy is not aligned to 8", warp, misaligned_async_copy,
               floats.data(), 1, 0);
  expect_fault("source of an async copy is not aligned to 8", warp, misaligned_async_copy,
               floats.data(), 0, 1);
  expect_fault("more bytes than it holds", warp, async_copy_of_too_much, floats.data());
  expect_fault("overlap bytes 16 to 80", warp, arrays_that_overlap_in_the_middle);
  const simt::LaunchConfig all_of_it{.grid = {1}, .block = {32}, .shared_bytes = 227 * 1024};
  expect_fault("128 bytes of static and 232448 of dynamic", all_of_it, takes_more_than_there_is);
}

template <Misuse misuse>
void expect_misuse(const char* part) {
  std::vector<float> global(64);
  expect_fault(part, {.grid = {1}, .block = {1}, .shared_bytes = 64}, misused<misuse>,
               global.data());
}

TEST(PlantedFaults, OfMbarriersAndWhatReportsToThem) {
  using enum Misuse;
  expect_misuse<mbarrier_in_global_memory>("mbarrier reaches outside");
  expect_misuse<misaligned_mbarrier>("mbarrier is not aligned to 8");
  expect_misuse<mbarrier_of_nobody>("mbarrier for 0 arrivals");
  expect_misuse<mbarrier_initialised_twice>("initialised twice");
  expect_misuse<mbarrier_invalidated_amid>("invalidated in the middle of a phase");
  expect_misuse<too_many_bytes_expected>("cannot count that many bytes");
  expect_misuse<too_many_bytes_with_an_arrival>("cannot count that many bytes");
  expect_misuse<misaligned_store_async>("target of store_async is not aligned to 8");
  expect_misuse<bulk_target_outside>("target of a bulk copy reaches outside");
  expect_misuse<bulk_target_misaligned>("target of a bulk copy is not aligned to 16");
  expect_misuse<bulk_source_misaligned>("source of a bulk copy is not aligned to 16");
  expect_misuse<bulk_of_half_a_unit>("bulk copy of 24 bytes");
  expect_misuse<bulk_of_nothing>("bulk copy of 0 bytes");
  expect_misuse<bulk_to_a_barrier_elsewhere>("mbarrier of a bulk copy reaches outside");
  expect_misuse<peer_that_is_not_there>("block 1 of a cluster of 1");
  expect_misuse<peer_of_global_memory>("not an address in this block's shared arrays");
  expect_fault("only the block that owns", {.grid = {2}, .block = {1}, .cluster = 2},
               waits_for_a_peers_mbarrier);
}

TEST(PlantedFaults, AKernelThatLaunchesAKernel) {
  expect_error(
      [] {
        simt::launch({.grid = {1}, .block = {1}}, nullptr, launches);
        return 0.0;
      },
      {"a kernel cannot launch a kernel"});
}

}  // namespace
}  // namespace lacuna
