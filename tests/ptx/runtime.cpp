#include "ptx/runtime.h"

#include <cstdio>
#include <cstdlib>

namespace lacuna::ptx {
namespace {

std::optional<std::uint64_t> from_environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == 0) return {};
  return std::strtoull(text, nullptr, 10);
}

}  // namespace

Runtime::Runtime()
    : devices(static_cast<int>(from_environment("LACUNA_PTX_DEVICES").value_or(1))),
      device_bytes(from_environment("LACUNA_PTX_MEMORY").value_or(std::uint64_t{4} << 30)),
      seed(from_environment("LACUNA_PTX_SEED").value_or(1)),
      part_lanes(from_environment("LACUNA_PTX_LANES").value_or(0) != 0),
      verbose(from_environment("LACUNA_PTX_VERBOSE").value_or(0) != 0),
      streams(devices, from_environment("LACUNA_PTX_STREAMS")) {}

// Never destroyed: objects with static storage in the program still free their memory at exit.
Runtime& Runtime::get() {
  static auto* const runtime = new Runtime;
  return *runtime;
}

int& Runtime::device() {
  thread_local int current = 0;
  return current;
}

cudaError_t& Runtime::last_error() {
  thread_local cudaError_t last = cudaSuccess;
  return last;
}

void Runtime::perform(const Work& work) noexcept {
  if (lost != cudaSuccess) return;
  try {
    work();
  } catch (const Fault& fault) {
    const std::string what = fault.what();
    lost = what.find("not aligned") != std::string::npos ? cudaErrorMisalignedAddress
           : what.find("trap") != std::string::npos      ? cudaErrorLaunchFailure
                                                         : cudaErrorIllegalAddress;
    std::fprintf(stderr, "PTX machine: %s\n", what.c_str());
  } catch (const Refusal& refusal) {
    lost = refusal.code;
    std::fprintf(stderr, "CUDA stand-in: in a stream: %s\n", refusal.text.c_str());
  } catch (const std::exception& error) {
    lost = cudaErrorUnknown;
    std::fprintf(stderr, "PTX machine: %s\n", error.what());
  }
}

void not_supported(const std::string& what) {
  throw Refusal{cudaErrorNotSupported, what + " is not implemented"};
}

cudaError_t api_call(const char* name, const std::function<void()>& body) noexcept {
  Runtime& runtime = Runtime::get();
  const std::lock_guard guard(runtime.lock);
  cudaError_t status = runtime.lost;
  if (status == cudaSuccess) {
    try {
      body();
      status = runtime.lost;
    } catch (const Refusal& refusal) {
      status = refusal.code;
      if (!refusal.text.empty())
        std::fprintf(stderr, "CUDA stand-in: %s: %s\n", name, refusal.text.c_str());
    } catch (const std::exception& error) {
      status = cudaErrorUnknown;
      std::fprintf(stderr, "CUDA stand-in: %s: %s\n", name, error.what());
    }
  }
  if (status != cudaSuccess) Runtime::last_error() = status;
  return status;
}

Stream& stream_of(cudaStream_t handle) {
  if (handle == cudaStreamPerThread) not_supported("the per-thread default stream");
  Stream& stream = Runtime::get().streams.at(handle, Runtime::device());
  if (stream.device != Runtime::device())
    throw Refusal{cudaErrorInvalidResourceHandle,
                  "a stream of device " + std::to_string(stream.device) + ", current is " +
                      std::to_string(Runtime::device())};
  return stream;
}

void queue(cudaStream_t stream, Work work) {
  Runtime::get().streams.enqueue(stream_of(stream), std::move(work));
}

}  // namespace lacuna::ptx
