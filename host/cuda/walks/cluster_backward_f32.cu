#include "host/cuda/walks/backward.h"

namespace lacuna::cuda {

template void Walk<float>::cluster(simt::Stream, const SplitBackward<float>&);

}  // namespace lacuna::cuda
