#include "host/cuda/split_backward.h"

namespace lacuna::cuda {

template void Split<float>::backward(simt::Stream, lacuna_regime, const SplitBackward<float>&);

}  // namespace lacuna::cuda
