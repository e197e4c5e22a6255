#include "host/cuda/lone.h"

#include "kernels/recurrence/lone/backward.h"
#include "kernels/recurrence/lone/forward.h"

namespace lacuna::cuda {

template <>
void Lone<float>::forward(simt::Stream stream, const ResidentForward<float>& args) {
  lone_forward(stream, args);
}
template <>
void Lone<float>::backward(simt::Stream stream, const ResidentBackward<float>& args) {
  lone_backward(stream, args);
}

}  // namespace lacuna::cuda
