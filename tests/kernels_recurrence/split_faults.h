// Mistakes in how a block of a group waits for its operands: what tests and race detectors have to find.
#pragma once

#include "kernels/recurrence/split/forward.h"

namespace split_walk {

// No wait for the block's own warps before their slice is multiplied.
template <class E>
struct NoBarrier : lacuna::split::ClusterOperands<E> {
  using lacuna::split::ClusterOperands<E>::ClusterOperands;
  void meet_own() {}
};
struct WithoutBarrier : lacuna::split::OverCluster {
  template <class E>
  using Gather = NoBarrier<E>;
};

// The others' slices are multiplied first and waited for afterwards.
template <class E>
struct LateWait : lacuna::split::ClusterOperands<E> {
  using Base = lacuna::split::ClusterOperands<E>;
  using Base::Base;
  void publish(int channel, int lane, int at,
               const lacuna::simt::Vec<typename Base::Stored, 2>& two) {
    settle();
    Base::publish(channel, lane, at, two);
  }
  void meet_own() {
    settle();
    Base::meet_own();
  }
  void meet_others(int channel) { owed_ = channel; }
  void leave() {
    settle();
    Base::leave();
  }
  void settle() {
    if (owed_ >= 0) Base::meet_others(owed_);
    owed_ = -1;
  }
  int owed_ = -1;
};
struct WithLateWait : lacuna::split::OverCluster {
  template <class E>
  using Gather = LateWait<E>;
};

}  // namespace split_walk
