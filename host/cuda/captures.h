// Making and destroying things while streams are being captured.
#pragma once

#include <cuda_runtime.h>

namespace lacuna::cuda {

// While this lives, the calling thread may take memory and wait for streams although it, or any other thread, captures one:
// what contexts and plans do when they come and go belongs to no recording. Not for runs, which may be part of one.
class BesideCaptures {
 public:
  BesideCaptures() { exchange(); }
  ~BesideCaptures() { exchange(); }
  BesideCaptures(const BesideCaptures&) = delete;
  BesideCaptures& operator=(const BesideCaptures&) = delete;

 private:
  void exchange() {
    if (cudaThreadExchangeStreamCaptureMode(&mode_) != cudaSuccess) (void)cudaGetLastError();
  }
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace lacuna::cuda
