#include "ptx/runtime.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace lacuna::ptx {
namespace {

std::optional<std::uint64_t> from_environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == 0) return {};
  return std::strtoull(text, nullptr, 10);
}

std::vector<Chip> chips_from_environment() {
  const char* const given = std::getenv("LACUNA_PTX_DEVICES");
  const std::string_view text = given != nullptr && *given != 0 ? given : "1";
  if (!text.starts_with("sm_")) return {std::strtoull(text.data(), nullptr, 10), h100};
  std::vector<Chip> chips;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view name = text.substr(begin, end - begin);
    if (name != "sm_80" && name != "sm_90") {
      std::fprintf(stderr,
                   "LACUNA_PTX_DEVICES: %s, expected a count or sm_80 and sm_90, with commas\n",
                   given);
      std::exit(1);
    }
    chips.push_back(name == "sm_80" ? a100 : h100);
    begin = end + 1;
  }
  return chips;
}

}  // namespace

Runtime::Runtime()
    : chips(chips_from_environment()),
      devices(static_cast<int>(chips.size())),
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

const Chip& Runtime::chip() { return get().chips[static_cast<std::size_t>(device())]; }

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

void require_device(int device) {
  if (device < 0 || device >= Runtime::get().devices)
    throw Refusal{cudaErrorInvalidDevice, "device " + std::to_string(device)};
}

Stream& stream_at(cudaStream_t handle) {
  if (handle == cudaStreamPerThread) not_supported("the per-thread default stream");
  return Runtime::get().streams.at(handle, Runtime::device());
}

Stream& stream_of(cudaStream_t handle) {
  Stream& stream = stream_at(handle);
  if (stream.device != Runtime::device())
    throw Refusal{cudaErrorInvalidResourceHandle, "a stream " + of_device(stream.device)};
  return stream;
}

void queue(Stream& stream, Work work) { Runtime::get().streams.enqueue(stream, std::move(work)); }

std::string of_device(int device) {
  return "of device " + std::to_string(device) + ", the current one is " +
         std::to_string(Runtime::device());
}

}  // namespace lacuna::ptx
