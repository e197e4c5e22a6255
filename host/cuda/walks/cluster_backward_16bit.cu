#include "host/cuda/walks/backward.h"

namespace lacuna::cuda {

template void Walk<simt::Fp16>::cluster(simt::Stream, const SplitBackward<simt::Fp16>&);
template void Walk<simt::Bf16>::cluster(simt::Stream, const SplitBackward<simt::Bf16>&);

}  // namespace lacuna::cuda
