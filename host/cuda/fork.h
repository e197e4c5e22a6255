// The caller's stream in several branches, for work whose parts do not depend on each other.
#pragma once

#include "host/backend.h"
#include "host/cuda/device.h"

namespace lacuna::cuda {

class Fork {
 public:
  // For so many pieces of work, of which each branch takes some in turn.
  Fork(const Device& device, simt::Stream stream, StreamBranches& branches, int pieces)
      : device_(device), stream_(stream), branches_(branches), pieces_(pieces) {
    device_.fork(stream_, branches_, pieces_);
  }
  Fork(const Fork&) = delete;
  Fork& operator=(const Fork&) = delete;
  // Where queueing failed: whatever was queued must end before what the caller queues next.
  ~Fork() {
    if (joined_) return;
    try {
      join();
    } catch (const BackendError&) {}  // the device is lost
  }

  simt::Stream stream(int piece) const { return device_.branch(stream_, branches_, piece); }

  void join() {
    joined_ = true;
    device_.join(stream_, branches_, pieces_);
  }

 private:
  const Device& device_;
  simt::Stream stream_;
  StreamBranches& branches_;
  int pieces_;
  bool joined_ = false;
};

}  // namespace lacuna::cuda
