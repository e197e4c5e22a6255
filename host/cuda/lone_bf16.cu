#include "host/cuda/lone_kernels.h"

template struct lacuna::cuda::Lone<lacuna::simt::Bf16>;
