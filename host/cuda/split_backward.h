// The groups' kernels of the backward pass, for the files that compile them for one type each.
#pragma once

#include "host/cuda/split.h"
#include "kernels/recurrence/split/backward.h"

namespace lacuna::cuda {

template <class T>
void Split<T>::backward(simt::Stream stream, lacuna_regime regime, const SplitBackward<T>& args) {
  if (regime == LACUNA_REGIME_CLUSTER)
    split_backward<split::OverCluster>(stream, args);
  else
    split_backward<split::OverGrid>(stream, args);
}

}  // namespace lacuna::cuda
