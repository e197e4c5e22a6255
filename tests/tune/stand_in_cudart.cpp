// What bench/cudart.py calls of the CUDA runtime, for the CPU backend, whose memory is the host's and whose stream is null.
// What is captured has been done by the end of the capture, and a replay is said to take as long as that did. Calls that a
// capture does not allow fail in one, and LACUNA_FAILING names another that does.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr int success = 0, planted = 1, in_capture = 2, misused = 3;
bool capturing = false;
Clock::time_point began;
Seconds now{};  // of the device, for which only replays take time
int held = 0;   // allocations, graphs, and those that can be replayed

int answer(const char* call, bool allowed_in_capture = true) {
  const char* failing = std::getenv("LACUNA_FAILING");
  if (failing && std::string_view(failing) == call) return planted;
  return capturing && !allowed_in_capture ? in_capture : success;
}

}  // namespace

extern "C" {

const char* cudaGetErrorName(int status) {
  switch (status) {
    case planted: return "cudaErrorPlanted";
    case in_capture: return "cudaErrorStreamCaptureUnsupported";
    default: return "cudaErrorMisused";
  }
}

int cudaMalloc(void** there, std::size_t bytes) {
  const int status = answer("cudaMalloc", false);
  if (status != success) return status;
  ++held;
  *there = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  return *there ? success : misused;
}
int cudaFree(void* there) {
  --held;
  std::free(there);
  return answer("cudaFree", false);
}
int cudaMemcpy(void* there, const void* here, std::size_t bytes, int) {
  const int status = answer("cudaMemcpy", false);
  if (status == success) std::memcpy(there, here, bytes);
  return status;
}
int cudaMemsetAsync(void* there, int byte, std::size_t bytes, void*) {
  const int status = answer("cudaMemsetAsync");
  if (status == success) std::memset(there, byte, bytes);
  return status;
}
int cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return answer("cudaRuntimeGetVersion");
}

int cudaStreamCreateWithFlags(void** stream, unsigned) {
  *stream = nullptr;
  return answer("cudaStreamCreateWithFlags");
}
int cudaStreamSynchronize(void*) { return answer("cudaStreamSynchronize", false); }
int cudaStreamBeginCapture(void*, int) {
  const int status = answer("cudaStreamBeginCapture", false);
  capturing = status == success;
  began = Clock::now();
  return status;
}
int cudaStreamEndCapture(void*, void** graph) {
  const int status = capturing ? answer("cudaStreamEndCapture") : misused;
  capturing = false;
  if (status == success) {
    ++held;
    *graph = new Seconds(Clock::now() - began);
  }
  return status;
}

int cudaGraphInstantiate(void** replayed, void* graph, unsigned long long) {
  ++held;
  *replayed = new Seconds(*static_cast<Seconds*>(graph));
  return answer("cudaGraphInstantiate");
}
int cudaGraphDestroy(void* graph) {
  --held;
  delete static_cast<Seconds*>(graph);
  return answer("cudaGraphDestroy");
}
int cudaGraphLaunch(void* replayed, void*) {
  now += *static_cast<Seconds*>(replayed);
  return answer("cudaGraphLaunch");
}
int cudaGraphExecDestroy(void* replayed) {
  --held;
  delete static_cast<Seconds*>(replayed);
  return answer("cudaGraphExecDestroy");
}

int cudaEventCreate(void** event) {
  *event = new Seconds;
  return answer("cudaEventCreate");
}
int cudaEventRecord(void* event, void*) {
  *static_cast<Seconds*>(event) = now;
  return answer("cudaEventRecord");
}
int cudaEventSynchronize(void*) { return answer("cudaEventSynchronize", false); }
int cudaEventElapsedTime(float* milliseconds, void* begin, void* end) {
  const Seconds took = *static_cast<Seconds*>(end) - *static_cast<Seconds*>(begin);
  *milliseconds = static_cast<float>(1e3 * took.count());
  return answer("cudaEventElapsedTime");
}

// Of this stand-in alone: what was made and not given back.
int stand_in_held() { return held; }

}  // extern "C"
