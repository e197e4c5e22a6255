// What the parts of the stand-in for the CUDA runtime share: one state under one lock, and how a call begins, ends and
// fails. The stand-in lies under objects that nvcc made and runs their kernels on the PTX machine (ptx/machine.h).
// What is not implemented is not defined, so that a program which needs it does not link.
//
// Environment, read once:
//   LACUNA_PTX_DEVICES   how many GPUs there are (default 1), all of them H100s; or the compute capability of each, as in
//                        sm_90,sm_80
//   LACUNA_PTX_STREAMS   a seed: work waits in its streams until somebody waits for it, and streams run in a random order
//                        as far as events and synchronisations leave one (default: work runs where it is queued)
//   LACUNA_PTX_MEMORY    bytes of memory of a GPU (default 4 GiB)
//   LACUNA_PTX_SEED      the order of blocks and warps (default 1)
//   LACUNA_PTX_LANES     1: lanes of a warp part at random, as they may
//   LACUNA_PTX_VERBOSE   1: every launch is printed
//   LACUNA_PTX_COUNTS    1: at the end, what a profiler would count of each kernel
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ptx/machine.h"
#include "ptx/runtime_limits.h"
#include "ptx/runtime_memory.h"
#include "ptx/runtime_streams.h"

namespace lacuna::ptx {

// A call's failure. A text is printed to stderr: what the code alone would not tell.
struct Refusal {
  cudaError_t code;
  std::string text = {};
};

class Runtime {
 public:
  static Runtime& get();

  const std::vector<Chip> chips;  // of each device
  const int devices;
  const std::size_t device_bytes;
  const std::uint64_t seed;
  const bool part_lanes, verbose;
  Allocations memory;
  Streams streams;
  std::recursive_mutex lock;
  cudaError_t lost = cudaSuccess;  // after a kernel's fault every call fails so
  // What a test wants launches, and blocks from a pool, to fail with.
  cudaError_t refused_launches = cudaSuccess, refused_blocks = cudaSuccess;

  // The calling thread's.
  static int& device();
  static const Chip& chip();
  static cudaError_t& last_error();

  // Runs a kernel, a copy or a product of a stream. A fault of it loses the device.
  void perform(const Work& work) noexcept;

 private:
  Runtime();
};

[[noreturn]] void not_supported(const std::string& what);

// The body of an API function: under the lock, with the error state kept as CUDA keeps it. It throws Refusal to fail.
cudaError_t api_call(const char* name, const std::function<void()>& body) noexcept;

// Throws Refusal where there is no such device.
void require_device(int device);

// A stream of any device; null is the current one's legacy stream (throws Refusal).
Stream& stream_at(cudaStream_t stream);
// One of the current device: what a launch, a fill or a product wants, and a copy, an event or an allocation does not.
Stream& stream_of(cudaStream_t stream);

// Queues work, or records it where the stream is being captured (throws Refusal).
void queue(Stream& stream, Work work);

// "of device 1, the current one is 0"
std::string of_device(int device);

}  // namespace lacuna::ptx
