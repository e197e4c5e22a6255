#include "host/cuda/split_backward.h"

namespace lacuna::cuda {

template void Split<simt::Fp16>::backward(simt::Stream, lacuna_regime,
                                          const SplitBackward<simt::Fp16>&);

}  // namespace lacuna::cuda
