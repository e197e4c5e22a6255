#include "host/cuda/split_forward.h"

namespace lacuna::cuda {

template void Split<simt::Bf16>::forward(simt::Stream, lacuna_regime,
                                         const SplitForward<simt::Bf16>&);

}  // namespace lacuna::cuda
