#include "host/cuda/walks/forward.h"

namespace lacuna::cuda {

template void Walk<simt::Fp16>::grid(simt::Stream, const SplitForward<simt::Fp16>&);
template void Walk<simt::Bf16>::grid(simt::Stream, const SplitForward<simt::Bf16>&);

}  // namespace lacuna::cuda
