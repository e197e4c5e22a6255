// One job at a time, tasks handed out by a counter. A worker that wakes up late finds the job
// closed and goes back to sleep: the caller waits only for those that took part.
#include "host/cpu/team.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace lacuna::cpu {
namespace {

// Runs follow each other within microseconds, while waking a sleeper takes tens of them. Longer
// would take the core from somebody who has work.
constexpr std::chrono::microseconds spin_time{20};

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class Condition>
bool spin_until(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + spin_time;
  do {
    for (int i = 0; i < 32; ++i) {
      if (condition()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

}  // namespace

struct Team::State {
  std::atomic_flag busy;  // taken by the thread whose job runs

  std::mutex
      mutex;  // guards all below but the atomics, which are also read without it, by those who spin
  std::condition_variable work_came, workers_left;
  std::atomic<std::uint64_t> jobs{0};  // published so far
  std::atomic<int> active{0};          // workers inside the current job
  bool open = false;                   // may still be joined
  std::atomic<bool> stop{false};

  Call call = nullptr;
  void* job = nullptr;
  std::int64_t tasks = 0;
  std::atomic<std::int64_t> next{0};

  std::vector<std::thread> threads;

  // A counter rather than shares fixed in advance: sequences, and so tasks, differ in length.
  void work(int worker) {
    const Call my_call = call;
    void* const my_job = job;
    const std::int64_t count = tasks;
    for (;;) {
      const std::int64_t task = next.fetch_add(1, std::memory_order_relaxed);
      if (task >= count) return;
      my_call(my_job, task, worker);
    }
  }

  void live(int worker) {
    std::uint64_t seen = 0;
    for (;;) {
      spin_until([&] {
        return stop.load(std::memory_order_relaxed) || jobs.load(std::memory_order_relaxed) != seen;
      });
      {
        std::unique_lock lock(mutex);
        work_came.wait(lock, [&] {
          return stop.load(std::memory_order_relaxed) ||
                 (open && jobs.load(std::memory_order_relaxed) != seen);
        });
        if (stop.load(std::memory_order_relaxed)) return;
        seen = jobs.load(std::memory_order_relaxed);
        active.fetch_add(1, std::memory_order_relaxed);
      }
      work(worker);
      {
        const std::lock_guard lock(mutex);
        if (active.fetch_sub(1, std::memory_order_relaxed) == 1) workers_left.notify_one();
      }
    }
  }

  void end_threads() {
    {
      const std::lock_guard lock(mutex);
      stop.store(true, std::memory_order_relaxed);
    }
    work_came.notify_all();
    for (std::thread& thread : threads) thread.join();
  }
};

Team::Team(int threads) : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.threads.reserve(static_cast<std::size_t>(threads - 1));
  try {
    for (int worker = 1; worker < threads; ++worker)
      state.threads.emplace_back([&state, worker] { state.live(worker); });
  } catch (...) {
    state.end_threads();
    throw;
  }
}

Team::~Team() { state_->end_threads(); }

int Team::size() const { return static_cast<int>(state_->threads.size()) + 1; }

void Team::run_erased(std::int64_t tasks, void* job, Call call) {
  State& state = *state_;
  if (tasks <= 1 || state.threads.empty() || state.busy.test_and_set(std::memory_order_acquire)) {
    for (std::int64_t task = 0; task < tasks; ++task) call(job, task, 0);
    return;
  }

  {
    const std::lock_guard lock(state.mutex);
    state.call = call;
    state.job = job;
    state.tasks = tasks;
    state.next.store(0, std::memory_order_relaxed);
    state.open = true;
    state.jobs.fetch_add(1, std::memory_order_relaxed);
  }
  if (tasks - 1 < static_cast<std::int64_t>(state.threads.size())) {
    for (std::int64_t helper = 1; helper < tasks; ++helper) state.work_came.notify_one();
  } else {
    state.work_came.notify_all();
  }

  state.work(0);

  spin_until([&] { return state.active.load(std::memory_order_relaxed) == 0; });
  {
    // The lock, not the spin, is what makes the workers' writes visible here.
    std::unique_lock lock(state.mutex);
    state.open = false;
    state.workers_left.wait(lock,
                            [&] { return state.active.load(std::memory_order_relaxed) == 0; });
  }
  state.busy.clear(std::memory_order_release);
}

}  // namespace lacuna::cpu
