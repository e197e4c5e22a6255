#include "ptx/runtime_streams.h"

#include <algorithm>
#include <unordered_set>

#include "ptx/runtime.h"

namespace lacuna::ptx {
namespace {

void merge(std::vector<std::size_t>& into, const std::vector<std::size_t>& more) {
  for (const std::size_t node : more)
    if (std::find(into.begin(), into.end(), node) == into.end()) into.push_back(node);
}

// Everything that the given nodes wait for, and they themselves.
std::vector<bool> reachable(const Graph& graph, const std::vector<std::size_t>& from) {
  std::vector<bool> seen(graph.nodes.size());
  std::vector<std::size_t> left = from;
  while (!left.empty()) {
    const std::size_t node = left.back();
    left.pop_back();
    if (seen[node]) continue;
    seen[node] = true;
    left.insert(left.end(), graph.nodes[node].after.begin(), graph.nodes[node].after.end());
  }
  return seen;
}

// Everything that a task waits for, and it itself.
std::unordered_set<const Task*> needed_by(const Task& wanted) {
  std::unordered_set<const Task*> seen;
  std::vector<const Task*> left{&wanted};
  while (!left.empty()) {
    const Task* task = left.back();
    left.pop_back();
    if (!seen.insert(task).second) continue;
    for (const TaskPtr& before : task->after) left.push_back(before.get());
  }
  return seen;
}

}  // namespace

Streams::Streams(int devices, std::optional<std::uint64_t> seed) {
  for (int device = 0; device < devices; ++device)
    legacy_.push_back(std::make_unique<Stream>(Stream{device, true}));
  if (seed) random_.emplace(*seed);
}

cudaStream_t Streams::create(int device, bool blocking) {
  return reinterpret_cast<cudaStream_t>(*streams_.insert(new Stream{device, blocking}).first);
}

void Streams::destroy(cudaStream_t handle) {
  auto* const stream = reinterpret_cast<Stream*>(handle);
  if (streams_.erase(stream) == 0) throw Refusal{cudaErrorInvalidResourceHandle, "no such stream"};
  if (stream->capture) stream->capture->broken = true;
  delete stream;  // its work goes on
}

Stream& Streams::at(cudaStream_t handle, int current_device) {
  if (handle == nullptr || handle == cudaStreamLegacy)
    return *legacy_[static_cast<std::size_t>(current_device)];
  auto* const stream = reinterpret_cast<Stream*>(handle);
  if (streams_.count(stream) == 0) throw Refusal{cudaErrorInvalidResourceHandle, "no such stream"};
  return *stream;
}

cudaEvent_t Streams::create_event(int device, bool timed) {
  return reinterpret_cast<cudaEvent_t>(*events_.insert(new Event{device, timed}).first);
}

void Streams::destroy_event(cudaEvent_t handle) {
  auto* const event = reinterpret_cast<Event*>(handle);
  if (events_.erase(event) == 0) throw Refusal{cudaErrorInvalidResourceHandle, "no such event"};
  delete event;
}

Event& Streams::event_at(cudaEvent_t handle) {
  auto* const event = reinterpret_cast<Event*>(handle);
  if (events_.count(event) == 0) throw Refusal{cudaErrorInvalidResourceHandle, "no such event"};
  return *event;
}

bool Streams::is_legacy(const Stream& stream) const {
  return legacy_[static_cast<std::size_t>(stream.device)].get() == &stream;
}

// --- work ---------------------------------------------------------------------------------------

void Streams::run(Task& task) {
  Runtime::get().perform(task.run);
  task.finished = std::chrono::steady_clock::now();
  task.done = true;
  task.run = nullptr;
  task.after.clear();
}

TaskPtr Streams::add(Stream& stream, Work work, std::vector<TaskPtr> after) {
  refuse_implicit_capture(stream);
  if (stream.last) after.push_back(stream.last);
  const TaskPtr& legacy = legacy_[static_cast<std::size_t>(stream.device)]->last;
  if (is_legacy(stream)) {
    for (const Stream* other : streams_)
      if (other->blocking && other->device == stream.device && other->last)
        after.push_back(other->last);
  } else if (stream.blocking && legacy) {
    after.push_back(legacy);
  }
  std::erase_if(after, [](const TaskPtr& task) { return task->done; });
  auto task = std::make_shared<Task>(Task{stream.device, std::move(work), std::move(after)});
  stream.last = task;
  if (!random_) {
    run(*task);
  } else {
    pending_.push_back(task);
    if ((*random_)() % 4 == 0) run_one(nullptr);
  }
  return task;
}

// Runs one that could run: any, or one that `wanted` waits for.
void Streams::run_one(const Task* wanted) {
  std::unordered_set<const Task*> needed;
  if (wanted != nullptr) needed = needed_by(*wanted);
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < pending_.size(); ++i)
    if (std::all_of(pending_[i]->after.begin(), pending_[i]->after.end(),
                    [](const TaskPtr& before) { return before->done; }) &&
        (wanted == nullptr || needed.count(pending_[i].get()) > 0))
      ready.push_back(i);
  if (ready.empty()) return;
  const std::size_t chosen = ready[(*random_)() % ready.size()];
  const TaskPtr task = pending_[chosen];
  pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(chosen));
  run(*task);
}

void Streams::finish(Task& task) {
  while (!task.done) run_one((*random_)() % 2 == 0 ? &task : nullptr);
}

void Streams::enqueue(Stream& stream, Work work) {
  if (stream.capture)
    add_node(stream, std::move(work));
  else
    add(stream, std::move(work));
}

void Streams::record(Stream& stream, Event& event) {
  if (event.device != stream.device)
    throw Refusal{cudaErrorInvalidResourceHandle,
                  "an event of device " + std::to_string(event.device) + " in a stream of device " +
                      std::to_string(stream.device)};
  event.captured = stream.capture != nullptr;
  event.capture = stream.capture;
  if (stream.capture)
    event.tips = stream.tips;
  else
    event.recorded = add(stream, [] {});
}

void Streams::wait(Stream& stream, Event& event) {
  if (event.captured) {
    const auto capture = event.capture.lock();
    if (!capture) throw Refusal{cudaErrorCapturedEvent, "an event of a capture that has ended"};
    if (stream.capture && stream.capture != capture) {
      stream.capture->broken = capture->broken = true;
      throw Refusal{cudaErrorStreamCaptureMerge, "an event of another capture"};
    }
    if (is_legacy(stream)) {
      capture->broken = true;
      throw Refusal{cudaErrorStreamCaptureImplicit, "the legacy stream waits for a capture"};
    }
    if (!stream.capture) stream.tips.clear();
    stream.capture = capture;
    merge(stream.tips, event.tips);
  } else if (stream.capture) {
    stream.capture->broken = true;
    throw Refusal{cudaErrorStreamCaptureIsolation, "a capture waits for an event outside it"};
  } else if (event.recorded) {
    add(stream, [] {}, {event.recorded});
  }
}

void Streams::launch(Stream& stream, const Graph& graph) {
  if (stream.capture) not_supported("a graph launched into a capture");
  const TaskPtr before = stream.last;
  std::vector<TaskPtr> tasks;
  // The nodes run beside one another, whatever order they have in the list.
  for (const Graph::Node& node : graph.nodes) {
    std::vector<TaskPtr> after;
    for (const std::size_t index : node.after) after.push_back(tasks[index]);
    stream.last = before;
    tasks.push_back(add(stream, node.run, std::move(after)));
  }
  stream.last = before;
  add(
      stream, [] {}, std::move(tasks));
}

void Streams::finish(Stream& stream) {
  refuse_captured(stream, "a synchronisation");
  refuse_implicit_capture(stream);
  if (stream.last) finish(*stream.last);
}

void Streams::finish(Event& event) {
  if (const auto capture = event.capture.lock(); event.captured) {
    if (capture) capture->broken = true;
    throw Refusal{cudaErrorCapturedEvent, "a synchronisation with an event of a capture"};
  }
  if (event.recorded) finish(*event.recorded);
}

void Streams::finish_device(int device) {
  for (const auto& capture : captures_)
    if (capture->origin->device == device) {
      capture->broken = true;
      throw Refusal{cudaErrorStreamCaptureUnsupported, "a wait for a device with a capture"};
    }
  drain(device);
}

void Streams::drain(int device) {
  const std::vector<TaskPtr> all = pending_;
  for (const TaskPtr& task : all)
    if (task->device == device) finish(*task);
}

bool Streams::idle(Stream& stream) {
  refuse_captured(stream, "a query");
  return !stream.last || stream.last->done;
}

bool Streams::idle(Event& event) {
  if (event.captured) throw Refusal{cudaErrorCapturedEvent, "a query of an event of a capture"};
  return !event.recorded || event.recorded->done;
}

// --- capture ------------------------------------------------------------------------------------

void Streams::add_node(Stream& stream, Work work) {
  Capture& capture = *stream.capture;
  if (capture.broken) throw Refusal{cudaErrorStreamCaptureInvalidated};
  capture.graph.nodes.push_back({std::move(work), stream.tips});
  stream.tips = {capture.graph.nodes.size() - 1};
}

void Streams::refuse_captured(Stream& stream, const char* what) {
  if (!stream.capture) return;
  stream.capture->broken = true;
  throw Refusal{cudaErrorStreamCaptureUnsupported, std::string(what) + " of a stream in capture"};
}

// The legacy stream would wait for every blocking stream, one that is being captured among them.
void Streams::refuse_implicit_capture(const Stream& stream) {
  if (!is_legacy(stream)) return;
  for (const Stream* other : streams_)
    if (other->capture && other->blocking && other->device == stream.device) {
      other->capture->broken = true;
      throw Refusal{cudaErrorStreamCaptureImplicit, "the legacy stream beside a capture"};
    }
}

cudaStreamCaptureMode& Streams::thread_mode() {
  thread_local cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  return mode;
}

void Streams::forbid_in_capture(const char* what) {
  if (thread_mode() == cudaStreamCaptureModeRelaxed) return;
  for (const auto& capture : captures_) {
    const bool own = capture->thread == std::this_thread::get_id();
    const bool forbids = own ? capture->mode != cudaStreamCaptureModeRelaxed
                             : capture->mode == cudaStreamCaptureModeGlobal &&
                                   thread_mode() == cudaStreamCaptureModeGlobal;
    if (forbids) {
      capture->broken = true;
      throw Refusal{cudaErrorStreamCaptureUnsupported, std::string(what) + " during a capture"};
    }
  }
}

void Streams::begin_capture(Stream& stream, cudaStreamCaptureMode mode) {
  if (is_legacy(stream))
    throw Refusal{cudaErrorStreamCaptureUnsupported, "the legacy stream cannot be captured"};
  if (stream.capture) throw Refusal{cudaErrorIllegalState, "the stream is being captured already"};
  stream.capture = std::make_shared<Capture>(Capture{&stream, mode, std::this_thread::get_id()});
  stream.tips.clear();
  captures_.push_back(stream.capture);
}

std::unique_ptr<Graph> Streams::end_capture(Stream& stream) {
  const std::shared_ptr<Capture> capture = stream.capture;
  if (!capture) throw Refusal{cudaErrorIllegalState, "the stream is not being captured"};
  if (capture->origin != &stream)
    throw Refusal{cudaErrorStreamCaptureUnmatched, "the capture began on another stream"};
  if (capture->mode != cudaStreamCaptureModeRelaxed &&
      capture->thread != std::this_thread::get_id())
    throw Refusal{cudaErrorStreamCaptureWrongThread};
  const std::vector<bool> joined = reachable(capture->graph, stream.tips);
  for (Stream* other : streams_)
    if (other->capture == capture) other->capture = nullptr;
  std::erase(captures_, capture);
  if (capture->broken) throw Refusal{cudaErrorStreamCaptureInvalidated};
  if (std::find(joined.begin(), joined.end(), false) != joined.end())
    throw Refusal{cudaErrorStreamCaptureUnjoined, "work of another stream was not joined"};
  return std::make_unique<Graph>(std::move(capture->graph));
}

}  // namespace lacuna::ptx
