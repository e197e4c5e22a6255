// What the files beside this one instantiate for the backward pass.
#pragma once

#include "host/cuda/walks.h"
#include "kernels/recurrence/lone/backward.h"
#include "kernels/recurrence/split/backward.h"

namespace lacuna::cuda {

template <class T>
void Walk<T>::resident(simt::Stream stream, const ResidentBackward<T>& args) {
  resident_backward(stream, args);
}
template <class T>
void Walk<T>::lone(simt::Stream stream, const ResidentBackward<T>& args) {
  lone_backward(stream, args);
}
template <class T>
void Walk<T>::grid(simt::Stream stream, const SplitBackward<T>& args) {
  split_backward<split::OverGrid>(stream, args);
}
template <class T>
void Walk<T>::cluster(simt::Stream stream, const SplitBackward<T>& args) {
  split_backward<split::OverCluster>(stream, args);
}

}  // namespace lacuna::cuda
