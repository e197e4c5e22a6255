// The recurrence by groups of blocks, as the engine calls it. For each type one file instantiates each function
// (split_forward_f32.cu, split_backward_f32.cu, ...), so that they compile side by side: these kernels take longer than all
// others together.
#pragma once

#include "kernels/recurrence/split/division.h"
#include "kernels/simt/launch.h"
#include "lacuna/lacuna.h"

namespace lacuna {

template <class T>
struct SplitForward;
template <class T>
struct SplitBackward;

namespace cuda {

// regime: LACUNA_REGIME_CLUSTER or LACUNA_REGIME_GRID.
template <class T>
struct Split {
  static void forward(simt::Stream stream, lacuna_regime regime, const SplitForward<T>& args);
  static void backward(simt::Stream stream, lacuna_regime regime, const SplitBackward<T>& args);
};

}  // namespace cuda
}  // namespace lacuna
