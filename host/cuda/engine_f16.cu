#include "host/cuda/backward.h"
#include "host/cuda/forward.h"

namespace lacuna::cuda {

template <>
void Engine<simt::Fp16>::forward(const Device& device, const ForwardRun& run) {
  Forward<simt::Fp16>(device, run).run();
}
template <>
void Engine<simt::Fp16>::backward(const Device& device, const BackwardRun& run) {
  Backward<simt::Fp16>(device, run).run();
}

}  // namespace lacuna::cuda
