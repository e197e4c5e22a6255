#include "host/cuda/walks/forward.h"

namespace lacuna::cuda {

template void Walk<float>::grid(simt::Stream, const SplitForward<float>&);

}  // namespace lacuna::cuda
