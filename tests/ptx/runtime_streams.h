// Streams, events and graphs: work, and what it has to wait for.
//
// Without a seed work runs where it is queued, which is one of the orders that streams allow. With one it waits: whenever
// somebody synchronises, a random piece among those that could run does, until what is waited for is done. Half of the time
// nothing runs that is not waited for, so that what nobody waits for stays undone as long as possible.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace lacuna::ptx {

using Work = std::function<void()>;

struct Task {
  int device;
  Work run;
  std::vector<std::shared_ptr<Task>> after;
  bool done = false;
  std::chrono::steady_clock::time_point finished{};
};
using TaskPtr = std::shared_ptr<Task>;

// Recorded work, in an order in which it could run.
struct Graph {
  struct Node {
    Work run;
    std::vector<std::size_t> after;
  };
  std::vector<Node> nodes;
};

struct Capture;

struct Stream {
  int device;
  bool blocking;  // orders itself against the legacy stream
  TaskPtr last = {};
  std::shared_ptr<Capture> capture = {};
  std::vector<std::size_t> tips = {};  // nodes that the next one of a capture waits for
};

struct Event {
  int device;
  bool timed;
  TaskPtr recorded = {};
  std::weak_ptr<Capture> capture = {};
  bool captured = false;
  std::vector<std::size_t> tips = {};
};

struct Capture {
  Stream* origin;
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  Graph graph = {};
  bool broken = false;
};

// All calls throw Refusal.
class Streams {
 public:
  Streams(int devices, std::optional<std::uint64_t> seed);

  cudaStream_t create(int device, bool blocking);
  void destroy(cudaStream_t stream);
  Stream& at(cudaStream_t stream, int current_device);
  cudaEvent_t create_event(int device, bool timed);
  void destroy_event(cudaEvent_t event);
  Event& event_at(cudaEvent_t event);

  void enqueue(Stream& stream, Work work);
  void record(Stream& stream, Event& event);
  void wait(Stream& stream, Event& event);
  void launch(Stream& stream, const Graph& graph);

  // Until it is done; no stream of a capture may be waited for, nor a device that has one.
  void finish(Stream& stream);
  void finish(Event& event);
  void finish_device(int device);
  // What frees memory waits so, beside a capture, too.
  void drain(int device);
  bool idle(Stream& stream);
  bool idle(Event& event);

  void begin_capture(Stream& stream, cudaStreamCaptureMode mode);
  std::unique_ptr<Graph> end_capture(Stream& stream);
  // Throws, and breaks the capture, where one that runs forbids such a call on the calling thread: what may be unsafe, as
  // cudaThreadExchangeStreamCaptureMode's documentation has it. That gives few examples; what waits, and what takes memory
  // or gives it back but in a stream's order, is taken to be so.
  void forbid_in_capture(const char* what);
  // The calling thread's.
  static cudaStreamCaptureMode& thread_mode();

 private:
  TaskPtr add(Stream& stream, Work work, std::vector<TaskPtr> also_after = {});
  void add_node(Stream& stream, Work work);
  void refuse_implicit_capture(const Stream& stream);
  void run(Task& task);
  void run_one(const Task* wanted);
  void finish(Task& task);
  bool is_legacy(const Stream& stream) const;
  void refuse_captured(Stream& stream, const char* what);

  std::vector<std::unique_ptr<Stream>> legacy_;  // of each device
  std::set<Stream*> streams_;
  std::set<Event*> events_;
  std::vector<std::shared_ptr<Capture>> captures_;
  std::vector<TaskPtr> pending_;
  std::optional<std::mt19937_64> random_;
};

}  // namespace lacuna::ptx
