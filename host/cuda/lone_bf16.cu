#include "host/cuda/lone.h"

#include "kernels/recurrence/lone/backward.h"
#include "kernels/recurrence/lone/forward.h"

namespace lacuna::cuda {

template <>
void Lone<simt::Bf16>::forward(simt::Stream stream, const ResidentForward<simt::Bf16>& args) {
  lone_forward(stream, args);
}
template <>
void Lone<simt::Bf16>::backward(simt::Stream stream, const ResidentBackward<simt::Bf16>& args) {
  lone_backward(stream, args);
}

}  // namespace lacuna::cuda
