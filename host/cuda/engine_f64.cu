#include "host/cuda/backward.h"
#include "host/cuda/forward.h"

namespace lacuna::cuda {

template <>
void Engine<double>::forward(const Device& device, const ForwardRun& run) {
  Forward<double>(device, run).run();
}
template <>
void Engine<double>::backward(const Device& device, const BackwardRun& run) {
  Backward<double>(device, run).run();
}

}  // namespace lacuna::cuda
