// The exchange of a group that is a cluster (sm_90 and newer): values are stored into the other blocks' shared memory and
// report to a barrier there (st.async, mbarrier), so that a meeting is a wait for bytes and nothing else. What a block
// has for itself waits for none of them. No barrier of the whole cluster stands in the loop.
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
  // `bytes`: what a block gets from the others by a channel each time.
  SIMT_DEVICE ClusterMeetings(simt::SharedCarver& shared, const Division& division, int channels,
                              int bytes)
      : division_(division),
        rank_(static_cast<int>(simt::cluster_rank())),
        bytes_(static_cast<unsigned>(bytes)),
        barriers_(shared.take<simt::Mbarrier>(static_cast<std::size_t>(channels))) {
    if (resident::is_first_of_block()) {
      for (int c = 0; c < channels; ++c) simt::mbarrier_init(barriers_ + c, 1);
      simt::mbarrier_publish();
      for (int c = 0; c < channels; ++c) await(c);
    }
    simt::cluster_sync();
  }

  SIMT_DEVICE int tile() const {
    return static_cast<int>(simt::block_index().x) / division_.blocks;
  }
  SIMT_DEVICE int rank() const { return rank_; }

  // To the place in the block at that distance that `target` has here.
  template <class V>
  SIMT_DEVICE void send(V* target, const V& value, int channel, int distance) {
    simt::store_async(target, value, barriers_ + channel,
                      static_cast<unsigned>(division_.block_at(rank_, distance)));
  }
  SIMT_DEVICE void meet(int channel) {
    simt::mbarrier_wait<simt::Scope::cluster>(barriers_ + channel, phases_ >> channel & 1);
    phases_ ^= 1u << channel;
    // Nobody sends for the next time before this thread's own share of this step has arrived there.
    if (resident::is_first_of_block()) await(channel);
  }
  // Once, at the end: nobody's shared memory may go while others could still reach for it.
  SIMT_DEVICE void leave() { simt::cluster_sync(); }

 private:
  SIMT_DEVICE void await(int channel) {
    simt::mbarrier_arrive_expect_bytes(barriers_ + channel, bytes_);
  }

  const Division& division_;
  int rank_;
  unsigned bytes_;
  simt::Mbarrier* barriers_;
  unsigned phases_ = 0;  // a bit for each channel: the parity of the phase that is awaited
};

// A Gather (resident/forward.h): every block gets all operands. A column begins with the block's own slice; the others'
// follow around the circle.
template <class E>
class ClusterOperands {
 public:
  using Stored = typename resident::Operand<E>::Stored;
  static constexpr bool in_group = true;

  static void add_to(simt::SharedLayout& shared, const Division& division, int channels) {
    ClusterMeetings::add_to(shared, channels);
    resident::Operands<E>::add_to(shared, division.units(), channels);
  }
  SIMT_DEVICE ClusterOperands(simt::SharedCarver& shared, const Division& division, int channels,
                              const ExchangeRoom& /*room*/)
      : division_(division),
        meetings_(shared, division, channels,
                  resident::lanes_per_tile * division.units_of_others() *
                      static_cast<int>(sizeof(Stored))),
        operands_(shared, division.units(), channels) {}

  SIMT_DEVICE int tile() const { return meetings_.tile(); }
  SIMT_DEVICE int rank() const { return meetings_.rank(); }
  // What this warp has put into its block's columns, to all others.
  SIMT_DEVICE void send(const resident::Own& own, int channel) {
    simt::sync_warp();
    using Piece = WarpPiece<Stored>;
    const Piece piece(own);
    auto* const from = own_column(channel, piece.lane) + piece.at;
    const auto some = simt::load<Piece::width>(from);
    // From the block before this one back, for which this one is the first behind its own. Counted upwards: ptxas 13.0
    // makes of a loop from -1 down to -blocks one that ends too early, by a bound whose sign it loses.
    for (int before = 1 + piece.share; before < division_.blocks; before += Piece::sharing)
      meetings_.send(
          reinterpret_cast<simt::Vec<Stored, Piece::width>*>(from + before * division_.slice), some,
          channel, -before);
  }
  SIMT_DEVICE void meet_own() { meet_block(); }
  SIMT_DEVICE void meet_others(int channel) { meetings_.meet(channel); }
  SIMT_DEVICE Stored* own_column(int channel, int lane) const {
    return operands_.column(channel, lane);
  }
  SIMT_DEVICE Stored* others_column(int channel, int lane) const {
    return own_column(channel, lane) + division_.slice;
  }
  SIMT_DEVICE void leave() { meetings_.leave(); }

 private:
  const Division& division_;
  ClusterMeetings meetings_;
  resident::Operands<E> operands_;
};

// A Scatter (resident/backward.h): every block gets what the others have for it. A part lies at the distance of the block
// that it comes from.
class ClusterSums {
 public:
  static constexpr bool in_group = true, helpers_add = false;

  static void add_to(simt::SharedLayout& shared, const Division& division) {
    ClusterMeetings::add_to(shared, 2);
    shared.add<simt::Float4>(2 * sums(division));
  }
  SIMT_DEVICE ClusterSums(simt::SharedCarver& shared, const Division& division,
                          const ExchangeRoom& /*room*/)
      : division_(division),
        meetings_(shared, division, 2, static_cast<int>(sums(division) * sizeof(simt::Float4))),
        sums_(shared.take<simt::Float4>(2 * sums(division))) {}

  SIMT_DEVICE int tile() const { return meetings_.tile(); }
  SIMT_DEVICE int rank() const { return meetings_.rank(); }
  // The gates' gradients of this block are there.
  SIMT_DEVICE void meet_own() { meet_block(); }
  // To the thread that has this one's place in the block at that distance, not 0. To it, this one is as far the other way.
  SIMT_DEVICE void send(int distance, const resident::Own& own, const simt::Float4& sum) {
    meetings_.send(place(channel_, -distance, own), sum, channel_, distance);
  }
  SIMT_DEVICE void all_sent() {}
  SIMT_DEVICE void meet() {
    meetings_.meet(channel_);
    channel_ ^= 1;
  }
  // What the block at that distance has sent for the last meeting.
  SIMT_DEVICE simt::Float4 from(int distance, const resident::Own& own) const {
    return *place(channel_ ^ 1, distance, own);
  }
  SIMT_DEVICE void leave() { meetings_.leave(); }

 private:
  // Of all others, for one.
  SIMT_BOTH static std::size_t sums(const Division& division) {
    return static_cast<std::size_t>((division.blocks - 1) * division.rows()) * simt::warp_size;
  }
  SIMT_DEVICE simt::Float4* place(int channel, int distance, const resident::Own& own) const {
    const int others = division_.blocks - 1;
    const int from = channel * others + ((distance - 1) & others);  // blocks: a power of 2
    return sums_ + (from * division_.rows() + own.row) * static_cast<int>(simt::warp_size) +
           own.thread;
  }

  const Division& division_;
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
