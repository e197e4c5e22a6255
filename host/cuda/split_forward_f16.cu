#include "host/cuda/split_forward.h"

namespace lacuna::cuda {

template void Split<simt::Fp16>::forward(simt::Stream, lacuna_regime,
                                         const SplitForward<simt::Fp16>&);

}  // namespace lacuna::cuda
