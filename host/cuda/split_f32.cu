#include "host/cuda/split.h"

#include "kernels/recurrence/split/backward.h"
#include "kernels/recurrence/split/forward.h"

namespace lacuna::cuda {

template <>
void Split<float>::forward(simt::Stream stream, lacuna_regime regime,
                           const SplitForward<float>& args) {
  if (regime == LACUNA_REGIME_CLUSTER)
    split_forward<split::OverCluster>(stream, args);
  else
    split_forward<split::OverGrid>(stream, args);
}
template <>
void Split<float>::backward(simt::Stream stream, lacuna_regime regime,
                            const SplitBackward<float>& args) {
  if (regime == LACUNA_REGIME_CLUSTER)
    split_backward<split::OverCluster>(stream, args);
  else
    split_backward<split::OverGrid>(stream, args);
}

}  // namespace lacuna::cuda
