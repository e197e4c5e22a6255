#include "host/cuda/split_forward.h"

namespace lacuna::cuda {

template void Split<float>::forward(simt::Stream, lacuna_regime, const SplitForward<float>&);

}  // namespace lacuna::cuda
