// The exchange of a group whose blocks share no more than global memory (sm_80 and newer): a cooperative launch, in which
// all blocks are there at once, a buffer that stays in the second-level cache, and a counter of arrivals that the blocks
// of one group alone poll. A meeting is that counter's barrier; channels in turn, as in cluster.h.
#pragma once

#include "kernels/recurrence/resident/backward.h"
#include "kernels/recurrence/split/division.h"
#include "kernels/simt/async_copy.h"
#include "kernels/simt/grid.h"

namespace lacuna::split {

class GridMeetings {
 public:
  SIMT_DEVICE GridMeetings(const Division& division, const ExchangeRoom& room)
      : tile_(static_cast<int>(simt::block_index().x) / division.blocks),
        rank_(static_cast<int>(simt::block_index().x) % division.blocks),
        barrier_(room.arrivals + tile_ * arrival_stride, static_cast<unsigned>(division.blocks)) {}

  SIMT_DEVICE int tile() const { return tile_; }
  SIMT_DEVICE int rank() const { return rank_; }
  // Also a barrier of this block. What any of its threads has published comes before meet_block, meet_block before the
  // release, and a release covers what its thread knows of by a barrier as well as what it wrote itself; so any one thread
  // may act for the block. The same backwards for wait(): acquire, meet_block, everybody's reads.
  SIMT_DEVICE void arrive() {
    meet_block();
    if (acts()) barrier_.arrive();
  }
  SIMT_DEVICE void wait() {
    if (acts()) barrier_.wait();
    meet_block();
  }

 private:
  // Of the last warp. The release's fence holds its whole warp until all that the block has written is there, and where
  // warps help others, that one has no part of its own to multiply meanwhile.
  SIMT_DEVICE static bool acts() {
    return simt::thread_index().x == simt::block_size().x - simt::warp_size;
  }

  int tile_, rank_;
  simt::GridBarrier barrier_;
};

// A Gather. What others have published is copied to shared memory by each block, where warps read it many times; its own
// slice a block has there at once.
template <class E>
class GridOperands {
 public:
  using Stored = typename resident::Operand<E>::Stored;
  static constexpr bool in_group = true;

  static void add_to(simt::SharedLayout& shared, const Division& division, int channels) {
    resident::Operands<E>::add_to(shared, division.slice, channels);
    resident::Operands<E>::add_to(shared, division.units_of_others(), 1);
  }
  // Of a group.
  static std::size_t room(const Division& division, int channels) {
    return static_cast<std::size_t>(channels * resident::lanes_per_tile * division.units()) *
           sizeof(Stored);
  }
  SIMT_DEVICE GridOperands(simt::SharedCarver& shared, const Division& division, int channels,
                           const ExchangeRoom& room)
      : division_(division),
        meetings_(division, room),
        own_(shared, division.slice, channels),
        others_(shared, division.units_of_others(), 1),
        published_(reinterpret_cast<Stored*>(room.bytes) + std::int64_t{meetings_.tile()} *
                                                               channels * resident::lanes_per_tile *
                                                               division.units()) {}

  SIMT_DEVICE int tile() const { return meetings_.tile(); }
  SIMT_DEVICE int rank() const { return meetings_.rank(); }
  // What this warp has put into its block's columns, to where all others find it.
  SIMT_DEVICE void send(const resident::Own& own, int channel) {
    simt::sync_warp();
    using Piece = WarpPiece<Stored>;
    const Piece piece(own);
    if (piece.share > 0) return;
    simt::store(published(channel, piece.lane) + rank() * division_.slice + piece.at,
                simt::load<Piece::width>(own_column(channel, piece.lane) + piece.at));
  }
  SIMT_DEVICE void meet_own() { meetings_.arrive(); }
  SIMT_DEVICE void meet_others(int channel) {
    meetings_.wait();
    constexpr int width = 16 / static_cast<int>(sizeof(Stored));
    const int first = division_.block_at(rank(), 1) * division_.slice;
    const int warps = static_cast<int>(simt::block_size().x / simt::warp_size);
    // It stands behind every fragment that may end a slice: unrolled it was a fifth to two fifths of the kernel.
    SIMT_NO_UNROLL
    for (int lane = resident::warp_of_block(); lane < resident::lanes_per_tile; lane += warps) {
      SIMT_NO_UNROLL
      for (int to = static_cast<int>(simt::lane_index()) * width; to < division_.units_of_others();
           to += static_cast<int>(simt::warp_size) * width) {
        const int from =
            first + to < division_.units() ? first + to : first + to - division_.units();
        simt::copy_async<16>(others_.column(0, lane) + to, published(channel, lane) + from);
      }
    }
    simt::commit_copies();
    simt::wait_copies<0>();
    meet_block();
  }
  SIMT_DEVICE Stored* own_column(int channel, int lane) const { return own_.column(channel, lane); }
  SIMT_DEVICE Stored* others_column(int /*channel*/, int lane) const {
    return others_.column(0, lane);
  }
  SIMT_DEVICE void leave() {}

 private:
  SIMT_DEVICE Stored* published(int channel, int lane) const {
    return published_ + (channel * resident::lanes_per_tile + lane) * division_.units();
  }

  const Division& division_;
  GridMeetings meetings_;
  resident::Operands<E> own_, others_;
  Stored* published_;
};

// A Scatter.
class GridSums {
 public:
  static constexpr bool in_group = true, helpers_add = true;

  static void add_to(simt::SharedLayout& /*shared*/, const Division& /*division*/) {}
  // Of a group.
  static std::size_t room(const Division& division) {
    return 2 * static_cast<std::size_t>(division.blocks * division.blocks * division.rows()) *
           simt::warp_size * sizeof(simt::Float4);
  }
  SIMT_DEVICE GridSums(simt::SharedCarver& /*shared*/, const Division& division,
                       const ExchangeRoom& room)
      : division_(division),
        meetings_(division, room),
        sums_(reinterpret_cast<simt::Float4*>(room.bytes) +
              std::int64_t{meetings_.tile()} * 2 * division.blocks * division.blocks *
                  division.rows() * static_cast<int>(simt::warp_size)) {}

  SIMT_DEVICE int tile() const { return meetings_.tile(); }
  SIMT_DEVICE int rank() const { return meetings_.rank(); }
  SIMT_DEVICE void meet_own() { meet_block(); }
  SIMT_DEVICE void send(int distance, const resident::Own& own, const simt::Float4& sum) {
    *place(channel_, division_.block_at(rank(), distance), rank(), own) = sum;
  }
  SIMT_DEVICE void all_sent() { meetings_.arrive(); }
  SIMT_DEVICE void meet() {
    meetings_.wait();
    channel_ ^= 1;
  }
  SIMT_DEVICE simt::Float4 from(int distance, const resident::Own& own) const {
    return *place(channel_ ^ 1, rank(), division_.block_at(rank(), distance), own);
  }
  SIMT_DEVICE void leave() {}

 private:
  SIMT_DEVICE simt::Float4* place(int channel, int to, int from, const resident::Own& own) const {
    return sums_ +
           (((channel * division_.blocks + to) * division_.blocks + from) * division_.rows() +
            own.row) *
               static_cast<int>(simt::warp_size) +
           own.thread;
  }

  const Division& division_;
  GridMeetings meetings_;
  simt::Float4* sums_;
  int channel_ = 0;
};

struct OverGrid {
  template <class E>
  using Gather = GridOperands<E>;
  using Scatter = GridSums;
  static constexpr bool is_compiled = true;

  static void group(simt::LaunchConfig& launch, const Division& /*division*/) {
    launch.cooperative = true;
  }
};

}  // namespace lacuna::split
