// The exchange of a group that is a cluster (sm_90 and newer): values are stored into the other blocks' shared memory and
// report to a barrier there (st.async, mbarrier), so that a meeting is a wait for bytes and nothing else. No barrier of
// the whole cluster stands in the loop.
//
// Two channels in turn are enough: who has got all of a step knows that every warp of the group has done with the step
// before, for it sends only then.
#pragma once

#include "kernels/recurrence/resident/backward.h"
#include "kernels/recurrence/split/division.h"
#include "kernels/simt/cluster.h"
#include "kernels/simt/mbarrier.h"

namespace lacuna::split {

// A barrier for each channel, which completes a phase when all bytes of a meeting are there.
class ClusterMeetings {
 public:
  static void add_to(simt::SharedLayout& shared, int channels) {
    shared.add<simt::Mbarrier>(static_cast<std::size_t>(channels));
  }
  // `bytes`: what a block gets by a channel each time, from itself, too.
  SIMT_DEVICE ClusterMeetings(simt::SharedCarver& shared, const Division& division, int channels,
                              int bytes)
      : blocks_(division.blocks),
        rank_(static_cast<int>(simt::cluster_rank())),
        bytes_(static_cast<unsigned>(bytes)),
        barriers_(shared.take<simt::Mbarrier>(static_cast<std::size_t>(channels))) {
    if (simt::thread_rank() == 0) {
      for (int c = 0; c < channels; ++c) simt::mbarrier_init(barriers_ + c, 1);
      simt::mbarrier_publish();
      for (int c = 0; c < channels; ++c) await(c);
    }
    simt::cluster_sync();
  }

  SIMT_DEVICE int tile() const { return static_cast<int>(simt::block_index().x) / blocks_; }
  SIMT_DEVICE int rank() const { return rank_; }

  // To the place in a block of the group that `target` has here.
  template <class V>
  SIMT_DEVICE void send(V* target, const V& value, int channel, int block) {
    simt::store_async(target, value, barriers_ + channel, static_cast<unsigned>(block));
  }
  SIMT_DEVICE void meet(int channel) {
    simt::mbarrier_wait<simt::Scope::cluster>(barriers_ + channel, phases_ >> channel & 1);
    phases_ ^= 1u << channel;
    // Nobody sends for the next time before this thread's own share of this step has arrived there.
    if (simt::thread_rank() == 0) await(channel);
  }
  // Once, at the end: nobody's shared memory may go while others could still reach for it.
  SIMT_DEVICE void leave() { simt::cluster_sync(); }

 private:
  SIMT_DEVICE void await(int channel) {
    simt::mbarrier_arrive_expect_bytes(barriers_ + channel, bytes_);
  }

  int blocks_, rank_;
  unsigned bytes_;
  simt::Mbarrier* barriers_;
  unsigned phases_ = 0;  // a bit for each channel: the parity of the phase that is awaited
};

// A Gather (resident/forward.h): every block gets all operands.
template <class E>
class ClusterOperands {
 public:
  using Stored = typename resident::Operand<E>::Stored;
  static constexpr bool in_group = true;

  static void add_to(simt::SharedLayout& shared, const Division& division, int channels) {
    ClusterMeetings::add_to(shared, channels);
    resident::OwnOperands<E>::add_to(shared, division, channels);
  }
  SIMT_DEVICE ClusterOperands(simt::SharedCarver& shared, const Division& division, int channels,
                              const ExchangeRoom& /*room*/)
      : blocks_(division.blocks),
        meetings_(shared, division, channels,
                  resident::lanes_per_tile * division.units() * static_cast<int>(sizeof(Stored))),
        operands_(shared, division, channels) {}

  SIMT_DEVICE int tile() const { return meetings_.tile(); }
  SIMT_DEVICE int rank() const { return meetings_.rank(); }
  SIMT_DEVICE void publish(int channel, int lane, int at, const simt::Vec<Stored, 2>& two) {
    auto* const to = reinterpret_cast<simt::Vec<Stored, 2>*>(column(channel, lane) + at);
    // Each block begins with another one, so that they do not all send to the same.
    for (int i = 1; i <= blocks_; ++i)
      meetings_.send(to, two, channel, (rank() + i) & (blocks_ - 1));
  }
  SIMT_DEVICE void meet(int channel) { meetings_.meet(channel); }
  SIMT_DEVICE Stored* column(int channel, int lane) const {
    return operands_.column(channel, lane);
  }
  SIMT_DEVICE void leave() { meetings_.leave(); }

 private:
  int blocks_;
  ClusterMeetings meetings_;
  resident::OwnOperands<E> operands_;
};

// A Scatter (resident/backward.h): every block gets what the others have for it.
class ClusterSums {
 public:
  static constexpr bool in_group = true;

  static void add_to(simt::SharedLayout& shared, const Division& division) {
    ClusterMeetings::add_to(shared, 2);
    shared.add<simt::Float4>(2 * sums(division));
  }
  SIMT_DEVICE ClusterSums(simt::SharedCarver& shared, const Division& division,
                          const ExchangeRoom& /*room*/)
      : blocks_(division.blocks),
        rows_(division.rows()),
        meetings_(shared, division, 2, static_cast<int>(sums(division) * sizeof(simt::Float4))),
        sums_(shared.take<simt::Float4>(2 * sums(division))) {}

  SIMT_DEVICE int tile() const { return meetings_.tile(); }
  SIMT_DEVICE int rank() const { return meetings_.rank(); }
  // To the thread of that block that has this one's place.
  SIMT_DEVICE void send(int block, const resident::Own& own, const simt::Float4& sum) {
    meetings_.send(place(channel_, rank(), own), sum, channel_, block);
  }
  SIMT_DEVICE void meet() {
    meetings_.meet(channel_);
    channel_ ^= 1;
  }
  // What it has sent for the last meeting.
  SIMT_DEVICE simt::Float4 from(int block, const resident::Own& own) const {
    return *place(channel_ ^ 1, block, own);
  }
  SIMT_DEVICE void leave() { meetings_.leave(); }

 private:
  // Of all blocks, for one.
  SIMT_BOTH static std::size_t sums(const Division& division) {
    return static_cast<std::size_t>(division.blocks * division.rows()) * simt::warp_size;
  }
  SIMT_DEVICE simt::Float4* place(int channel, int from, const resident::Own& own) const {
    return sums_ +
           ((channel * blocks_ + from) * rows_ + own.row) * static_cast<int>(simt::warp_size) +
           own.thread;
  }

  int blocks_, rows_;
  ClusterMeetings meetings_;
  simt::Float4* sums_;
  int channel_ = 0;
};

// An exchange: a Gather and a Scatter, and how a group comes to be launched.
struct OverCluster {
  template <class E>
  using Gather = ClusterOperands<E>;
  using Scatter = ClusterSums;
  static constexpr bool is_compiled = simt::has_clusters;

  static void group(simt::LaunchConfig& launch, const Division& division) {
    launch.cluster = static_cast<unsigned>(division.blocks);
  }
};

}  // namespace lacuna::split
