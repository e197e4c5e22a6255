// CUDA's status codes as exceptions with CUDA's own words.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <string>

#include "host/backend.h"

namespace lacuna::cuda {

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // else the next call that asks would be blamed for it
  throw BackendError(
      status == cudaErrorMemoryAllocation ? LACUNA_OUT_OF_MEMORY : LACUNA_DEVICE_ERROR,
      std::string(what) + ": " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

// `what`: a function that makes the text, which is called where there is something to say.
template <class What>
void check(cublasStatus_t status, const What& what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw BackendError(
      status == CUBLAS_STATUS_ALLOC_FAILED ? LACUNA_OUT_OF_MEMORY : LACUNA_DEVICE_ERROR,
      what() + ": " + cublasLtGetStatusName(status) + ": " + cublasLtGetStatusString(status));
}

}  // namespace lacuna::cuda
