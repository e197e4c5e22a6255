#include "host/cuda/lone.h"

#include "kernels/recurrence/lone/backward.h"
#include "kernels/recurrence/lone/forward.h"

namespace lacuna::cuda {

template <>
void Lone<simt::Fp16>::forward(simt::Stream stream, const ResidentForward<simt::Fp16>& args) {
  lone_forward(stream, args);
}
template <>
void Lone<simt::Fp16>::backward(simt::Stream stream, const ResidentBackward<simt::Fp16>& args) {
  lone_backward(stream, args);
}

}  // namespace lacuna::cuda
