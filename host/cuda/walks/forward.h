// What the files beside this one instantiate for the forward pass.
#pragma once

#include "host/cuda/walks.h"
#include "kernels/recurrence/lone/forward.h"
#include "kernels/recurrence/split/forward.h"

namespace lacuna::cuda {

template <class T>
void Walk<T>::resident(simt::Stream stream, const ResidentForward<T>& args) {
  resident_forward(stream, args);
}
template <class T>
void Walk<T>::lone(simt::Stream stream, const ResidentForward<T>& args) {
  lone_forward(stream, args);
}
template <class T>
void Walk<T>::grid(simt::Stream stream, const SplitForward<T>& args) {
  split_forward<split::OverGrid>(stream, args);
}
template <class T>
void Walk<T>::cluster(simt::Stream stream, const SplitForward<T>& args) {
  split_forward<split::OverCluster>(stream, args);
}

}  // namespace lacuna::cuda
