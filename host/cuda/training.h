// Queues what a training step needs besides the recurrence. Arrays are the device's.
#pragma once

#include "host/backend.h"
#include "host/cuda/scratch.h"

namespace lacuna::cuda {

template <class T>
void queue_linear(const LinearForwardRun& run);
template <class T>
void queue_linear_backward(Scratch&& scratch, const LinearBackwardRun& run);
template <class T>
void queue_loss(Scratch&& scratch, const LossRun& run);
void queue_clip(Scratch&& scratch, const ClipRun& run);
void queue_adam(const AdamRun& run);
void queue_clipped_adam(Scratch&& scratch, const ClippedAdamRun& run);
void queue_pack(const PackRun& run);
void queue_unpack(const UnpackRun& run);

}  // namespace lacuna::cuda
