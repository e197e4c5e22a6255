// What a lone_*.cu instantiates.
#pragma once

#include "host/cuda/lone.h"
#include "kernels/recurrence/lone/backward.h"
#include "kernels/recurrence/lone/forward.h"

namespace lacuna::cuda {

template <class T>
void Lone<T>::forward(simt::Stream stream, const ResidentForward<T>& args) {
  lone_forward(stream, args);
}
template <class T>
void Lone<T>::backward(simt::Stream stream, const ResidentBackward<T>& args) {
  lone_backward(stream, args);
}

}  // namespace lacuna::cuda
