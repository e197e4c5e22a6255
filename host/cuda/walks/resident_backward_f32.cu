#include "host/cuda/walks/backward.h"

namespace lacuna::cuda {

template void Walk<float>::resident(simt::Stream, const ResidentBackward<float>&);

}  // namespace lacuna::cuda
