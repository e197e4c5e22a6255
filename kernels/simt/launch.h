// launch(): starts a kernel on a CUDA stream, or runs it to its end in the emulator.
#pragma once
#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "kernels/simt/high_marks.h"
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

// Says which kernel's launch failed and why; the message holds the launch's shape.
struct LaunchError : std::runtime_error {
  explicit LaunchError(const std::string& message, bool memory = false)
      : std::runtime_error(message), out_of_memory(memory) {}
  bool out_of_memory;  // the device has too little for it: its code, its stack, a graph's node
};

// A kernel by its symbol, as C++ writes it; without its parameters, for their types are as long again. Null: not known.
inline std::string kernel_name(const char* symbol) {
  if (symbol == nullptr) return "a kernel whose name is not known";
  const std::unique_ptr<char, decltype(&std::free)> readable(
      abi::__cxa_demangle(symbol, nullptr, nullptr, nullptr), std::free);
  std::string name = readable ? readable.get() : symbol;
  if (name.starts_with("void ")) name.erase(0, 5);
  if (!name.ends_with(')')) return name;
  std::size_t begin = name.size();
  int open = 0;
  do {
    --begin;
    open += name[begin] == ')' ? 1 : name[begin] == '(' ? -1 : 0;
  } while (open > 0 && begin > 0);
  return name.substr(0, begin);
}

#if SIMT_ON_DEVICE

namespace device {

inline void check(cudaError_t status, const void* kernel, const LaunchConfig& c) {
  if (status == cudaSuccess) return;
  const char* symbol = nullptr;
  if (cudaFuncGetName(&symbol, kernel) != cudaSuccess) symbol = nullptr;
  (void)cudaGetLastError();  // else the next call that asks would be blamed for it
  const auto three = [](Dim3 d) {
    return std::to_string(d.x) + "x" + std::to_string(d.y) + "x" + std::to_string(d.z);
  };
  throw LaunchError("launch of " + kernel_name(symbol) + ", grid " + three(c.grid) + ", block " +
                        three(c.block) + ", " + std::to_string(c.shared_bytes) +
                        " bytes of shared memory, cluster " + std::to_string(c.cluster) +
                        (c.cooperative ? ", cooperative" : "") + ": " + cudaGetErrorName(status) +
                        ": " + cudaGetErrorString(status),
                    status == cudaErrorMemoryAllocation);
}

// Of dynamic shared memory. Never destroyed: somebody may launch while a program ends.
inline HighMarks& shared_bytes_allowed() {
  static auto* const marks = new HighMarks;
  return *marks;
}

// start(), a launch, after the kernel is allowed what it takes. One kernel's launches take unlike amounts, and none may
// lower what another thread's has just been allowed.
template <class F>
cudaError_t start_allowed(const void* kernel, std::size_t shared_bytes, F&& start) {
  if (shared_bytes <= 48 * 1024) return start();
  int device = 0;
  cudaError_t status = cudaGetDevice(&device);
  const auto allow = [&](int bytes) {
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  if (status == cudaSuccess)
    status = shared_bytes_allowed().raise(kernel, device, static_cast<int>(shared_bytes), allow);
  if (status != cudaSuccess) return status;
  status = start();
  if (status != cudaErrorInvalidValue) return status;
  // cudaDeviceReset has forgotten it, or somebody else has lowered it.
  (void)cudaGetLastError();
  status = shared_bytes_allowed().restore(kernel, device, allow);
  return status == cudaSuccess ? start() : status;
}

}  // namespace device

// Throws LaunchError; never waits.
template <class... Parameters, class... Arguments>
void launch(const LaunchConfig& config, Stream stream, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  const auto check = [&](cudaError_t status) {
    device::check(status, reinterpret_cast<const void*>(kernel), config);
  };
  // Opt-in, as is much shared memory, and costs a driver call.
  if (config.cluster > 8)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
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
  check(device::start_allowed(reinterpret_cast<const void*>(kernel), config.shared_bytes, [&] {
    return cudaLaunchKernelEx(&shape, kernel, static_cast<Parameters>(arguments)...);
  }));
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
  if (!refusal.empty())
    throw LaunchError("launch of " +
                      kernel_name(emulator::symbol_of(reinterpret_cast<const void*>(kernel))) +
                      ": " + refusal);
  emulator::run(shape, &call, [](void* data) {
    auto* c = static_cast<Call*>(data);
    std::apply(c->kernel, c->arguments);
  });
}

#endif

}  // namespace SIMT_PATH
}  // namespace lacuna::simt
