#include "host/cuda/walks/backward.h"
#include "host/cuda/walks/forward.h"

namespace lacuna::cuda {

template void Walk<float>::lone(simt::Stream, const ResidentForward<float>&);
template void Walk<float>::lone(simt::Stream, const ResidentBackward<float>&);

}  // namespace lacuna::cuda
