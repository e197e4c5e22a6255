#include "host/cuda/split.h"

#include "kernels/recurrence/split/backward.h"
#include "kernels/recurrence/split/forward.h"

namespace lacuna::cuda {

template <>
void Split<simt::Bf16>::forward(simt::Stream stream, lacuna_regime regime,
                                const SplitForward<simt::Bf16>& args) {
  if (regime == LACUNA_REGIME_CLUSTER)
    split_forward<split::OverCluster>(stream, args);
  else
    split_forward<split::OverGrid>(stream, args);
}
template <>
void Split<simt::Bf16>::backward(simt::Stream stream, lacuna_regime regime,
                                 const SplitBackward<simt::Bf16>& args) {
  if (regime == LACUNA_REGIME_CLUSTER)
    split_backward<split::OverCluster>(stream, args);
  else
    split_backward<split::OverGrid>(stream, args);
}

}  // namespace lacuna::cuda
