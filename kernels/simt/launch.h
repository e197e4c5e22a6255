// launch(): starts a kernel on a CUDA stream, or runs it to its end in the emulator.
#pragma once
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "kernels/simt/platform.h"

namespace lacuna::simt {
inline namespace SIMT_PATH {

#if SIMT_ON_DEVICE
using Stream = cudaStream_t;
#else
using Stream = void*;  // the emulator runs a launch where it stands; streams order nothing
#endif

struct LaunchConfig {
  Dim3 grid, block;
  std::size_t shared_bytes = 0;  // dynamic
  unsigned cluster = 1;          // consecutive blocks along x
  bool cooperative = false;      // all blocks resident at once, or an error
};

// Says which launch failed and why; the message holds its shape.
struct LaunchError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

#if SIMT_ON_DEVICE

namespace device {

inline void check(cudaError_t status, const LaunchConfig& c) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // else the next call that asks would be blamed for it
  const auto three = [](Dim3 d) {
    return std::to_string(d.x) + "x" + std::to_string(d.y) + "x" + std::to_string(d.z);
  };
  throw LaunchError("launch of grid " + three(c.grid) + ", block " + three(c.block) + ", " +
                    std::to_string(c.shared_bytes) + " bytes of shared memory, cluster " +
                    std::to_string(c.cluster) + (c.cooperative ? ", cooperative" : "") + ": " +
                    cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

}  // namespace device

// Throws LaunchError; never waits.
template <class... Parameters, class... Arguments>
void launch(const LaunchConfig& config, Stream stream, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  // Both limits are opt-in, and asking for them costs a driver call each.
  if (config.shared_bytes > 48 * 1024)
    device::check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       static_cast<int>(config.shared_bytes)),
                  config);
  if (config.cluster > 8)
    device::check(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1),
                  config);
  cudaLaunchAttribute attributes[2] = {};
  unsigned count = 0;
  if (config.cooperative) {
    attributes[count].id = cudaLaunchAttributeCooperative;
    attributes[count++].val.cooperative = 1;
  }
  if (config.cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count++].val.clusterDim = {config.cluster, 1, 1};
  }
  cudaLaunchConfig_t shape = {};
  shape.gridDim = dim3(config.grid.x, config.grid.y, config.grid.z);
  shape.blockDim = dim3(config.block.x, config.block.y, config.block.z);
  shape.dynamicSmemBytes = config.shared_bytes;
  shape.stream = stream;
  shape.attrs = attributes;
  shape.numAttrs = count;
  device::check(cudaLaunchKernelEx(&shape, kernel, static_cast<Parameters>(arguments)...), config);
}

#else

// Throws LaunchError for a launch a device would refuse, emulator::Error for a fault in the kernel.
template <class... Parameters, class... Arguments>
void launch(const LaunchConfig& config, Stream, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  } call{kernel, {static_cast<Parameters>(arguments)...}};
  const emulator::LaunchShape shape{{config.grid.x, config.grid.y, config.grid.z},
                                    {config.block.x, config.block.y, config.block.z},
                                    config.shared_bytes,
                                    config.cluster,
                                    config.cooperative};
  const std::string refusal = emulator::refuse(shape);
  if (!refusal.empty()) throw LaunchError(refusal);
  emulator::run(shape, &call, [](void* data) {
    auto* c = static_cast<Call*>(data);
    std::apply(c->kernel, c->arguments);
  });
}

#endif

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
