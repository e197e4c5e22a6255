#include "host/cuda/walks/forward.h"

namespace lacuna::cuda {

template void Walk<float>::resident(simt::Stream, const ResidentForward<float>&);

}  // namespace lacuna::cuda
