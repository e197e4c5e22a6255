// The exchange of a group whose blocks share no more than global memory (sm_80 and newer): a cooperative launch, in which
// all blocks are there at once, a buffer that stays in the second-level cache, and a counter of arrivals that the blocks
// of one group alone poll. A meeting is that counter's barrier; channels in turn, as in cluster.h.
#pragma once

#include "kernels/recurrence/resident/backward.h"
#include "kernels/recurrence/split/division.h"
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
  SIMT_DEVICE void meet() { barrier_.sync(); }

 private:
  int tile_, rank_;
  simt::GridBarrier barrier_;
};

// A Gather. What has been published is copied to shared memory by each block, where warps read it many times.
template <class E>
class GridOperands {
 public:
  using Stored = typename resident::Operand<E>::Stored;
  static constexpr bool in_group = true;

  static void add_to(simt::SharedLayout& shared, const Division& division, int /*channels*/) {
    resident::OwnOperands<E>::add_to(shared, division, 1);
  }
  // Of a group.
  static std::size_t room(const Division& division, int channels) {
    return static_cast<std::size_t>(channels * resident::lanes_per_tile * division.units()) *
           sizeof(Stored);
  }
  SIMT_DEVICE GridOperands(simt::SharedCarver& shared, const Division& division, int channels,
                           const ExchangeRoom& room)
      : units_(division.units()),
        meetings_(division, room),
        operands_(shared, division, 1),
        published_(reinterpret_cast<Stored*>(room.bytes) +
                   std::int64_t{meetings_.tile()} * channels * resident::lanes_per_tile * units_) {}

  SIMT_DEVICE int tile() const { return meetings_.tile(); }
  SIMT_DEVICE int rank() const { return meetings_.rank(); }
  SIMT_DEVICE void publish(int channel, int lane, int at, const simt::Vec<Stored, 2>& two) {
    simt::store(published(channel, lane) + at, two);
  }
  SIMT_DEVICE void meet(int channel) {
    meetings_.meet();
    constexpr int width = 16 / static_cast<int>(sizeof(Stored));
    const int words = units_ / width;  // of a lane
    const auto threads = static_cast<int>(simt::block_size().x);
    for (int i = static_cast<int>(simt::thread_rank()); i < resident::lanes_per_tile * words;
         i += threads)
      simt::store(operands_.column(0, i / words) + i % words * width,
                  simt::load<width>(published(channel, i / words) + i % words * width));
    simt::sync_block();
  }
  SIMT_DEVICE Stored* column(int /*channel*/, int lane) const { return operands_.column(0, lane); }
  SIMT_DEVICE void leave() {}

 private:
  SIMT_DEVICE Stored* published(int channel, int lane) const {
    return published_ + (channel * resident::lanes_per_tile + lane) * units_;
  }

  int units_;
  GridMeetings meetings_;
  resident::OwnOperands<E> operands_;
  Stored* published_;
};

// A Scatter.
class GridSums {
 public:
  static constexpr bool in_group = true;

  static void add_to(simt::SharedLayout& /*shared*/, const Division& /*division*/) {}
  // Of a group.
  static std::size_t room(const Division& division) {
    return 2 * static_cast<std::size_t>(division.blocks * division.blocks * division.rows()) *
           simt::warp_size * sizeof(simt::Float4);
  }
  SIMT_DEVICE GridSums(simt::SharedCarver& /*shared*/, const Division& division,
                       const ExchangeRoom& room)
      : blocks_(division.blocks),
        rows_(division.rows()),
        meetings_(division, room),
        sums_(reinterpret_cast<simt::Float4*>(room.bytes) +
              std::int64_t{meetings_.tile()} * 2 * blocks_ * blocks_ * rows_ *
                  static_cast<int>(simt::warp_size)) {}

  SIMT_DEVICE int tile() const { return meetings_.tile(); }
  SIMT_DEVICE int rank() const { return meetings_.rank(); }
  SIMT_DEVICE void send(int block, const resident::Own& own, const simt::Float4& sum) {
    *place(channel_, block, rank(), own) = sum;
  }
  SIMT_DEVICE void meet() {
    meetings_.meet();
    channel_ ^= 1;
  }
  SIMT_DEVICE simt::Float4 from(int block, const resident::Own& own) const {
    return *place(channel_ ^ 1, rank(), block, own);
  }
  SIMT_DEVICE void leave() {}

 private:
  SIMT_DEVICE simt::Float4* place(int channel, int to, int from, const resident::Own& own) const {
    return sums_ +
           (((channel * blocks_ + to) * blocks_ + from) * rows_ + own.row) *
               static_cast<int>(simt::warp_size) +
           own.thread;
  }

  int blocks_, rows_;
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
