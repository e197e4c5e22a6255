#include "host/cuda/walks/backward.h"

namespace lacuna::cuda {

template void Walk<simt::Fp16>::resident(simt::Stream, const ResidentBackward<simt::Fp16>&);
template void Walk<simt::Bf16>::resident(simt::Stream, const ResidentBackward<simt::Bf16>&);

}  // namespace lacuna::cuda
