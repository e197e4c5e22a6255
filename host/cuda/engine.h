// The CUDA backend's two runs in one type: what is queued on the stream, in which order. One file per type instantiates
// them (engine_f32.cu, ...), so that the types compile side by side.
#pragma once

#include <vector>

#include "host/backend.h"
#include "host/cuda/device.h"

namespace lacuna::cuda {

// What a plan keeps: room for what a run must not allocate.
struct PreparedPlan final : Prepared {
  PreparedPlan(ProductChoicesHandle choices_of, StreamBranchesHandle branches_of,
               std::int64_t sequences)
      : choices(std::move(choices_of)), branches(std::move(branches_of)) {
    order.reserve(static_cast<std::size_t>(sequences));
    lengths.reserve(static_cast<std::size_t>(sequences));
  }
  ProductChoicesHandle choices;
  StreamBranchesHandle branches;  // null: all stays on the caller's stream
  // Of the batch, where the host knows its lengths: the longest first, ties in the order of the sequences.
  std::vector<std::int32_t> order;
  std::vector<std::int64_t> lengths;
};

template <class T>
struct Engine {
  static void forward(const Device& device, const ForwardRun& run);
  static void backward(const Device& device, const BackwardRun& run);
};

}  // namespace lacuna::cuda
