#include "host/cuda/walks/backward.h"
#include "host/cuda/walks/forward.h"

namespace lacuna::cuda {

template void Walk<simt::Fp16>::lone(simt::Stream, const ResidentForward<simt::Fp16>&);
template void Walk<simt::Fp16>::lone(simt::Stream, const ResidentBackward<simt::Fp16>&);
template void Walk<simt::Bf16>::lone(simt::Stream, const ResidentForward<simt::Bf16>&);
template void Walk<simt::Bf16>::lone(simt::Stream, const ResidentBackward<simt::Bf16>&);

}  // namespace lacuna::cuda
