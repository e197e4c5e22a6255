// Conformance of what a block and a grid do: indices, barriers, shared memory, copies, flags.
#pragma once
#include "emulator/conformance/case.h"

namespace lacuna::conformance {
inline namespace SIMT_PATH {

// Blocks and grid of three dimensions.
SIMT_KERNEL(120) void indices(Buffers b) {
  const simt::Dim3 thread = simt::thread_index(), block = simt::block_index();
  const simt::Dim3 size = simt::block_size(), grid = simt::grid_size();
  Word* out = b.out + 8 * (simt::block_rank() * size.count() + simt::thread_rank());
  out[0] = thread.x + 100 * thread.y + 10000 * thread.z;
  out[1] = block.x + 100 * block.y + 10000 * block.z;
  out[2] = size.x + 100 * size.y + 10000 * size.z;
  out[3] = grid.x + 100 * grid.y + 10000 * grid.z;
  out[4] = simt::thread_rank();
  out[5] = simt::block_rank();
  out[6] = simt::lane_index();
  out[7] = simt::warp_index();
}

// Values through static and carved arrays, past block, named and warp barriers.
SIMT_KERNEL(128) void shared_memory(Buffers b) {
  SIMT_SHARED(fixed, Word[128]);
  SIMT_SHARED(pair, simt::Vec<float, 2>);
  simt::SharedCarver shared;
  auto* bytes = shared.take<std::uint8_t>(3);
  auto* words = shared.take<Word>(128);
  const unsigned rank = simt::thread_rank();
  fixed[rank] = b.in[rank];
  if (rank < 3) bytes[rank] = static_cast<std::uint8_t>(rank + 7);
  if (rank == 77) pair = {{1.5f, 2.5f}};
  simt::sync_block();
  const Word reversed = fixed[127 - rank];
  // Each half of the block turns its own values round behind a barrier of its own.
  const unsigned half = rank / 64;
  words[rank] = reversed + bytes[rank % 3];
  simt::sync_named(1 + half, 64);
  const Word turned = words[half * 64 + 63 - rank % 64];
  simt::sync_block();
  fixed[rank] = turned + static_cast<Word>(pair[0] + pair[1]);
  simt::sync_warp();
  const std::uint64_t before = simt::clock_ticks();
  simt::pause();
  b.out[2 * rank] = fixed[rank ^ 1];
  b.out[2 * rank + 1] = simt::clock_ticks() >= before;
}

SIMT_KERNEL(32) void vectors(Buffers b) {
  const unsigned lane = simt::lane_index();
  const auto two = simt::load<2>(b.in + 2 * lane);
  const auto four = simt::load<4>(b.in + 4 * lane);
  simt::store(b.out + 8 * lane, simt::Vec<Word, 4>{{four[3], four[2], four[1], four[0]}});
  simt::store(b.out + 8 * lane + 4, simt::Vec<Word, 2>{{two[1], two[0]}});
  const auto halves = simt::load<2>(reinterpret_cast<const std::uint16_t*>(b.in) + 2 * lane);
  b.out[8 * lane + 6] = halves[0];
  b.out[8 * lane + 7] = halves[1];
}

// Elements of 1, 2 and 8 bytes. Vectors of 4 bytes are stored as a word.
SIMT_KERNEL(32) void other_vectors(Buffers b) {
  const unsigned lane = simt::lane_index();
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(b.in);
  const auto* halves = reinterpret_cast<const std::uint16_t*>(b.in);
  const auto* wide = reinterpret_cast<const double*>(b.in);
  Word* out = b.out + 8 * lane;
  const auto of_bytes = simt::load<4>(bytes + 4 * lane);
  simt::store(reinterpret_cast<std::uint8_t*>(out),
              simt::Vec<std::uint8_t, 4>{{of_bytes[2], of_bytes[0], of_bytes[3], of_bytes[1]}});
  const auto two = simt::load<2>(halves + 2 * lane);
  simt::store(reinterpret_cast<std::uint16_t*>(out + 1),
              simt::Vec<std::uint16_t, 2>{{two[1], two[0]}});
  const auto four = simt::load<4>(halves + 4 * lane);
  simt::store(reinterpret_cast<std::uint16_t*>(out + 2),
              simt::Vec<std::uint16_t, 4>{{four[3], four[2], four[1], four[0]}});
  const auto pair = simt::load<2>(wide + 2 * lane);
  simt::store(reinterpret_cast<double*>(out + 4), simt::Double2{{pair[1], pair[0]}});
}

// Copies of each size, whole and cut short, in groups that are waited for one by one.
SIMT_KERNEL(32) void async_copies(Buffers b) {
  simt::SharedCarver shared;
  auto* target = shared.take<Word>(3 * 32 * 4);
  const unsigned lane = simt::lane_index();
  Word* four = target + lane;
  Word* eight = target + 128 + 2 * lane;
  Word* sixteen = target + 256 + 4 * lane;
  simt::copy_async<4>(four, b.in + lane, lane % 2 * 4);
  simt::commit_copies();
  simt::copy_async<8>(eight, b.in + 64 + 2 * lane, lane % 3 * 4);
  simt::commit_copies();
  simt::copy_async<16>(sixteen, b.in + 256 + 4 * lane, lane % 5 * 4);
  simt::commit_copies();
  Word* out = b.out + 8 * lane;
  simt::wait_copies<2>();
  out[0] = four[0];
  simt::wait_copies<1>();
  out[1] = eight[0], out[2] = eight[1];
  simt::wait_copies();
  for (int i = 0; i < 4; ++i) out[3 + i] = sixteen[i];
  simt::sync_block();
  out[7] = target[256 + 4 * (31 - lane)];
}

// Block 0 sends by store_release, block 1 by red_add_release; block 2 collects and counts itself
// in. scratch: [0] and [1] flags, [2] a counter, data from [64] on.
SIMT_KERNEL(32) void flags(Buffers b) {
  const unsigned lane = simt::lane_index(), block = simt::block_rank();
  Word* data = b.scratch + 64;
  if (block < 2) {
    data[32 * block + lane] = b.in[32 * block + lane];
    simt::sync_block();
    if (lane == 0 && block == 0) simt::store_release(b.scratch, 7);
    if (lane == 0 && block == 1) simt::red_add_release(b.scratch + 1, 9);
  } else {
    while (simt::load_acquire(b.scratch) != 7) simt::pause();
    while (simt::load_acquire(b.scratch + 1) != 9) {}
    b.out[lane] = data[lane] ^ data[32 + lane];
  }
  // The last of 96 to arrive sees what all before it wrote.
  data[64 + 32 * block + lane] = lane * block;
  if (simt::fetch_add(b.scratch + 2, 1) == 95) {
    Word sum = 0;
    for (unsigned i = 0; i < 96; ++i) sum += data[64 + i];
    b.out[32] = sum;
  }
}

// Each block hands a value to the next, step after step. scratch: [0] the barrier, values from
// [64].
SIMT_KERNEL(64) void grid_barrier(Buffers b) {
  const unsigned blocks = simt::grid_size().x, block = simt::block_rank();
  simt::GridBarrier grid(b.scratch, blocks);
  Word* values = b.scratch + 64;
  Word carried = b.in[block];
  for (unsigned step = 0; step < 6; ++step) {
    Word* round = values + step % 2 * blocks;
    if (simt::thread_rank() == 63) round[block] = carried;
    grid.sync();
    carried = round[(block + 1) % blocks] * 3 + step;
  }
  b.out[block * 64 + simt::thread_rank()] = carried;
}

}  // namespace SIMT_PATH
}  // namespace lacuna::conformance
