#include "host/cuda/backward.h"
#include "host/cuda/forward.h"

namespace lacuna::cuda {

template <>
void Engine<float>::forward(const Device& device, const ForwardRun& run) {
  Forward<float>(device, run).run();
}
template <>
void Engine<float>::backward(const Device& device, const BackwardRun& run) {
  Backward<float>(device, run).run();
}

}  // namespace lacuna::cuda
