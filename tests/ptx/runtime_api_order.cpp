// Streams, events, capture and graphs as CUDA's functions.
#include <utility>

#include "ptx/runtime.h"

using namespace lacuna::ptx;

namespace {

Streams& streams() { return Runtime::get().streams; }
Event& event_at(cudaEvent_t event) { return streams().event_at(event); }

void require_ready(bool idle) {
  if (!idle) throw Refusal{cudaErrorNotReady};
}

// A recorded graph, until it is instantiated; and one that can be launched.
Graph* graph_of(cudaGraph_t graph) { return reinterpret_cast<Graph*>(graph); }
using Executable = std::shared_ptr<const Graph>;
Executable* executable_of(cudaGraphExec_t graph) { return reinterpret_cast<Executable*>(graph); }

}  // namespace

extern "C" {

cudaError_t cudaDeviceSynchronize() {
  return api_call("cudaDeviceSynchronize", [&] {
    streams().forbid_in_capture("cudaDeviceSynchronize");
    streams().finish_device(Runtime::device());
  });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return api_call("cudaStreamCreateWithFlags", [&] {
    *stream = streams().create(Runtime::device(), (flags & cudaStreamNonBlocking) == 0);
  });
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  return api_call("cudaStreamGetDevice", [&] { *device = stream_at(stream).device; });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return api_call("cudaStreamDestroy", [&] { streams().destroy(stream); });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return api_call("cudaStreamSynchronize", [&] {
    streams().forbid_in_capture("cudaStreamSynchronize");
    streams().finish(stream_at(stream));
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return api_call("cudaStreamQuery", [&] {
    streams().forbid_in_capture("cudaStreamQuery");
    require_ready(streams().idle(stream_at(stream)));
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return api_call("cudaStreamWaitEvent",
                  [&] { streams().wait(stream_at(stream), event_at(event)); });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return api_call("cudaLaunchHostFunc", [&] { queue(stream_at(stream), [=] { function(data); }); });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return api_call("cudaEventCreateWithFlags", [&] {
    *event = streams().create_event(Runtime::device(), (flags & cudaEventDisableTiming) == 0);
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return api_call("cudaEventDestroy", [&] { streams().destroy_event(event); });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return api_call("cudaEventRecord", [&] { streams().record(stream_at(stream), event_at(event)); });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return api_call("cudaEventSynchronize", [&] {
    streams().forbid_in_capture("cudaEventSynchronize");
    streams().finish(event_at(event));
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return api_call("cudaEventQuery", [&] {
    streams().forbid_in_capture("cudaEventQuery");
    require_ready(streams().idle(event_at(event)));
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  return api_call("cudaEventElapsedTime", [&] {
    const Event &first = event_at(begin), &second = event_at(end);
    if (!first.timed || !second.timed || !first.recorded || !second.recorded)
      throw Refusal{cudaErrorInvalidResourceHandle, "an event without a time"};
    if (first.device != second.device)
      throw Refusal{cudaErrorInvalidResourceHandle, "events of two devices"};
    require_ready(first.recorded->done && second.recorded->done);
    const std::chrono::duration<float, std::milli> elapsed =
        second.recorded->finished - first.recorded->finished;
    *milliseconds = elapsed.count();
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return api_call("cudaStreamBeginCapture",
                  [&] { streams().begin_capture(stream_at(stream), mode); });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return api_call("cudaThreadExchangeStreamCaptureMode",
                  [&] { std::swap(*mode, Streams::thread_mode()); });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return api_call("cudaStreamIsCapturing", [&] {
    const auto& capture = stream_at(stream).capture;
    *status = !capture          ? cudaStreamCaptureStatusNone
              : capture->broken ? cudaStreamCaptureStatusInvalidated
                                : cudaStreamCaptureStatusActive;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return api_call("cudaStreamEndCapture", [&] {
    *graph = nullptr;
    *graph = reinterpret_cast<cudaGraph_t>(streams().end_capture(stream_at(stream)).release());
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  return api_call("cudaGraphInstantiate", [&] {
    if (graph == nullptr) throw Refusal{cudaErrorInvalidValue, "no graph"};
    *executable = reinterpret_cast<cudaGraphExec_t>(
        new Executable(std::make_shared<const Graph>(*graph_of(graph))));
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return api_call("cudaGraphDestroy", [&] { delete graph_of(graph); });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return api_call("cudaGraphLaunch",
                  [&] { streams().launch(stream_of(stream), **executable_of(executable)); });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return api_call("cudaGraphExecDestroy", [&] { delete executable_of(executable); });
}

}  // extern "C"
