// The recurrence by blocks of one lane each, as the engine calls it. One file per type instantiates it (lone_f32.cu, ...), so
// that these kernels compile beside the others of a type.
#pragma once

#include "kernels/simt/launch.h"

namespace lacuna {

template <class T>
struct ResidentForward;
template <class T>
struct ResidentBackward;

namespace cuda {

template <class T>
struct Lone {
  static void forward(simt::Stream stream, const ResidentForward<T>& args);
  static void backward(simt::Stream stream, const ResidentBackward<T>& args);
};

}  // namespace cuda
}  // namespace lacuna
