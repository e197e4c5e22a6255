#include "host/cuda/walks/forward.h"

namespace lacuna::cuda {

template void Walk<simt::Fp16>::resident(simt::Stream, const ResidentForward<simt::Fp16>&);
template void Walk<simt::Bf16>::resident(simt::Stream, const ResidentForward<simt::Bf16>&);

}  // namespace lacuna::cuda
