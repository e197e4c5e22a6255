// Recurrences that one launch walks from end to end, as the engine calls them. Their kernels take longer to compile than
// all others together, so the files of host/cuda/walks instantiate them side by side.
#pragma once

#include "kernels/simt/launch.h"

namespace lacuna {

template <class T>
struct ResidentForward;
template <class T>
struct ResidentBackward;
template <class T>
struct SplitForward;
template <class T>
struct SplitBackward;

namespace cuda {

// T: float, Fp16 or Bf16. Each function is named for its regime.
template <class T>
struct Walk {
  static void resident(simt::Stream stream, const ResidentForward<T>& args);
  static void resident(simt::Stream stream, const ResidentBackward<T>& args);
  static void lone(simt::Stream stream, const ResidentForward<T>& args);
  static void lone(simt::Stream stream, const ResidentBackward<T>& args);
  static void grid(simt::Stream stream, const SplitForward<T>& args);
  static void grid(simt::Stream stream, const SplitBackward<T>& args);
  static void cluster(simt::Stream stream, const SplitForward<T>& args);
  static void cluster(simt::Stream stream, const SplitBackward<T>& args);
};

// An empty kernel, compiled for the same GPUs as those of Walk::cluster, of which CUDA is asked whether this one is among
// them, and how many clusters of its blocks run at once.
const void* cluster_probe();

}  // namespace cuda
}  // namespace lacuna
