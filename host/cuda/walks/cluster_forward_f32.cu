#include "host/cuda/walks/forward.h"

namespace lacuna::cuda {

template void Walk<float>::cluster(simt::Stream, const SplitForward<float>&);

}  // namespace lacuna::cuda
