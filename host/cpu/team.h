// A team of threads that belongs to one context. OpenMP would do the same work, but its pool is one per process,
// its runtime clashes with the copies frameworks bring along, and ThreadSanitizer cannot see through it.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace lacuna::cpu {

class Team {
 public:
  // `threads` >= 1, the caller's own included; the others are started here and sleep between jobs.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const;

  // Calls job(task, worker) for every task in [0, tasks), in rising order per worker, and returns when all are done.
  // `worker` in [0, size()) tells concurrent calls apart: scratch memory may be indexed by it. Nothing is allocated.
  // When another thread is already using the team, the caller does all tasks itself as worker 0, so scratch must
  // belong to the job and not to the team. The job must not throw.
  template <class Job>
  void run(std::int64_t tasks, Job&& job) {
    run_erased(tasks, &job, [](void* erased, std::int64_t task, int worker) {
      (*static_cast<std::remove_reference_t<Job>*>(erased))(task, worker);
    });
  }

 private:
  using Call = void (*)(void* job, std::int64_t task, int worker);
  void run_erased(std::int64_t tasks, void* job, Call call);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lacuna::cpu
