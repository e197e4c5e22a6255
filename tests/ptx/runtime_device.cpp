// Devices and errors. No GPU can read the host's pageable memory, nor another's.
#include <cstring>

#include "ptx/runtime.h"

using namespace lacuna::ptx;

namespace {

const Chip& chip_of(int device) {
  require_device(device);
  return Runtime::get().chips[static_cast<std::size_t>(device)];
}

struct Named {
  cudaError_t code;
  const char *name, *text;
};
#define LACUNA_NAMED(code, text) \
  { code, #code, text }
constexpr Named errors[] = {
    LACUNA_NAMED(cudaSuccess, "no error"),
    LACUNA_NAMED(cudaErrorInvalidValue, "invalid argument"),
    LACUNA_NAMED(cudaErrorMemoryAllocation, "out of memory"),
    LACUNA_NAMED(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    LACUNA_NAMED(cudaErrorInvalidPtx, "the PTX machine cannot read the PTX"),
    LACUNA_NAMED(cudaErrorInvalidDeviceFunction, "no such kernel"),
    LACUNA_NAMED(cudaErrorNoKernelImageForDevice, "no kernel for this device"),
    LACUNA_NAMED(cudaErrorInvalidDevice, "invalid device ordinal"),
    LACUNA_NAMED(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    LACUNA_NAMED(cudaErrorInvalidClusterSize, "invalid cluster size"),
    LACUNA_NAMED(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    LACUNA_NAMED(cudaErrorNotReady, "device not ready"),
    LACUNA_NAMED(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    LACUNA_NAMED(cudaErrorMisalignedAddress, "misaligned address"),
    LACUNA_NAMED(cudaErrorLaunchFailure, "unspecified launch failure"),
    LACUNA_NAMED(cudaErrorCooperativeLaunchTooLarge, "too many blocks in cooperative launch"),
    LACUNA_NAMED(cudaErrorNotSupported, "operation not supported"),
    LACUNA_NAMED(cudaErrorStreamCaptureUnsupported, "not permitted when stream is capturing"),
    LACUNA_NAMED(cudaErrorStreamCaptureInvalidated, "an earlier error broke the capture"),
    LACUNA_NAMED(cudaErrorStreamCaptureMerge, "two captures would have to become one"),
    LACUNA_NAMED(cudaErrorStreamCaptureUnmatched, "the capture began on another stream"),
    LACUNA_NAMED(cudaErrorStreamCaptureUnjoined, "a capture ended with work that was not joined"),
    LACUNA_NAMED(cudaErrorStreamCaptureIsolation, "a capture would depend on work outside it"),
    LACUNA_NAMED(cudaErrorStreamCaptureImplicit, "the legacy stream would depend on a capture"),
    LACUNA_NAMED(cudaErrorCapturedEvent, "the event was recorded in a capture"),
    LACUNA_NAMED(cudaErrorStreamCaptureWrongThread, "the capture began in another thread"),
    LACUNA_NAMED(cudaErrorUnknown, "unknown error"),
};
#undef LACUNA_NAMED

const Named* named(cudaError_t code) {
  for (const Named& one : errors)
    if (one.code == code) return &one;
  return nullptr;
}

cudaError_t answered_error(bool forget) {
  Runtime& runtime = Runtime::get();
  const std::lock_guard guard(runtime.lock);
  if (runtime.lost != cudaSuccess) return runtime.lost;
  const cudaError_t last = Runtime::last_error();
  if (forget) Runtime::last_error() = cudaSuccess;
  return last;
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  return api_call("cudaGetDeviceCount", [&] { *count = Runtime::get().devices; });
}

cudaError_t cudaGetDevice(int* device) {
  return api_call("cudaGetDevice", [&] { *device = Runtime::device(); });
}

cudaError_t cudaSetDevice(int device) {
  return api_call("cudaSetDevice", [&] {
    require_device(device);
    Runtime::device() = device;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return api_call("cudaGetDeviceProperties", [&] {
    const Chip& chip = chip_of(device);
    cudaDeviceProp p{};
    std::strcpy(p.name, "PTX machine");
    p.totalGlobalMem = Runtime::get().device_bytes;
    p.sharedMemPerBlock = limits::shared_bytes;
    p.sharedMemPerBlockOptin = static_cast<std::size_t>(chip.shared_bytes_opt_in);
    p.sharedMemPerMultiprocessor = static_cast<std::size_t>(chip.shared_bytes_of_multiprocessor);
    p.reservedSharedMemPerBlock = limits::reserved_shared_bytes;
    p.regsPerBlock = p.regsPerMultiprocessor = 65536;
    p.warpSize = 32;
    p.maxThreadsPerBlock = limits::threads;
    p.maxThreadsDim[0] = p.maxThreadsDim[1] = limits::threads;
    p.maxThreadsDim[2] = 64;
    p.maxGridSize[0] = 2147483647;
    p.maxGridSize[1] = p.maxGridSize[2] = 65535;
    p.totalConstMem = 65536;
    p.major = chip.capability / 10;
    p.minor = chip.capability % 10;
    p.multiProcessorCount = chip.multiprocessors;
    p.maxThreadsPerMultiProcessor = limits::threads_of_multiprocessor;
    p.maxBlocksPerMultiProcessor = limits::blocks_of_multiprocessor;
    p.l2CacheSize = chip.cache_bytes;
    p.canMapHostMemory = p.concurrentKernels = p.unifiedAddressing = 1;
    p.cooperativeLaunch = p.memoryPoolsSupported = 1;
    p.clusterLaunch = chip.largest_cluster > 1;
    p.asyncEngineCount = 3;
    *properties = p;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return api_call("cudaDeviceGetAttribute", [&] {
    const Chip& chip = chip_of(device);
    switch (attribute) {
      case cudaDevAttrClockRate: *value = chip.kilohertz; return;
      case cudaDevAttrMultiProcessorCount: *value = chip.multiprocessors; return;
      case cudaDevAttrComputeCapabilityMajor: *value = chip.capability / 10; return;
      case cudaDevAttrComputeCapabilityMinor: *value = chip.capability % 10; return;
      case cudaDevAttrWarpSize: *value = 32; return;
      case cudaDevAttrMaxThreadsPerBlock: *value = limits::threads; return;
      case cudaDevAttrMaxGridDimX: *value = 2147483647; return;
      case cudaDevAttrMaxSharedMemoryPerBlock: *value = limits::shared_bytes; return;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = chip.shared_bytes_opt_in; return;
      case cudaDevAttrClusterLaunch: *value = chip.largest_cluster > 1; return;
      case cudaDevAttrCooperativeLaunch:
      case cudaDevAttrMemoryPoolsSupported: *value = 1; return;
      case cudaDevAttrPageableMemoryAccess: *value = 0; return;
      default: not_supported("device attribute " + std::to_string(attribute));
    }
  });
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  return api_call("cudaRuntimeGetVersion", [&] { *version = CUDART_VERSION; });
}

cudaError_t cudaDriverGetVersion(int* version) {
  return api_call("cudaDriverGetVersion", [&] { *version = CUDART_VERSION; });
}

cudaError_t cudaGetLastError() { return answered_error(true); }
cudaError_t cudaPeekAtLastError() { return answered_error(false); }

const char* cudaGetErrorName(cudaError_t code) {
  const Named* one = named(code);
  return one != nullptr ? one->name : "an error the stand-in has no name for";
}

const char* cudaGetErrorString(cudaError_t code) {
  const Named* one = named(code);
  return one != nullptr ? one->text : "an error the stand-in has no words for";
}

}  // extern "C"
