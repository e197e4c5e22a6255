// Queues what a training step needs besides the recurrence. Workspaces are taken and given back in the stream's order.
#pragma once

#include "host/backend.h"
#include "host/cuda/device.h"

namespace lacuna::cuda {

// Memory for one call, from the caller's allocator when there is one.
class Scratch {
 public:
  Scratch(const Device& device, const lacuna_allocator& table, simt::Stream stream)
      : device_(device), table_(table), stream_(stream) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  // Once; null for 0 bytes. Throws BackendError when there is no more.
  void* take(std::size_t bytes);
  simt::Stream stream() const { return stream_; }

 private:
  const Device& device_;
  const lacuna_allocator& table_;
  simt::Stream stream_;
  void* block_ = nullptr;
  std::size_t bytes_ = 0;
};

template <class T>
void queue_linear(const LinearForwardRun& run);
template <class T>
void queue_linear_backward(Scratch&& scratch, const LinearBackwardRun& run);
template <class T>
void queue_loss(Scratch&& scratch, const LossRun& run);
void queue_clip(Scratch&& scratch, const ClipRun& run);
void queue_adam(const AdamRun& run);
void queue_pack(const PackRun& run);
void queue_unpack(const UnpackRun& run);

}  // namespace lacuna::cuda
