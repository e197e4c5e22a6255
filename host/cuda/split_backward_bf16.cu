#include "host/cuda/split_backward.h"

namespace lacuna::cuda {

template void Split<simt::Bf16>::backward(simt::Stream, lacuna_regime,
                                          const SplitBackward<simt::Bf16>&);

}  // namespace lacuna::cuda
