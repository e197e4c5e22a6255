#include "host/cuda/walks/backward.h"

namespace lacuna::cuda {

template void Walk<float>::grid(simt::Stream, const SplitBackward<float>&);

}  // namespace lacuna::cuda
