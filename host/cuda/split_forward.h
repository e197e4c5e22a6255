// The groups' kernels of the forward pass, for the files that compile them for one type each.
#pragma once

#include "host/cuda/split.h"
#include "kernels/recurrence/split/forward.h"

namespace lacuna::cuda {

template <class T>
void Split<T>::forward(simt::Stream stream, lacuna_regime regime, const SplitForward<T>& args) {
  if (regime == LACUNA_REGIME_CLUSTER)
    split_forward<split::OverCluster>(stream, args);
  else
    split_forward<split::OverGrid>(stream, args);
}

}  // namespace lacuna::cuda
