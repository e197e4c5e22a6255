// Takes a schedule's tasks in an order in which they could run, and makes a graph of them: who waits for whom follows from
// the buffers that tasks read and write, the lifetimes of buffers from the waves in which that happens.
#pragma once

#include <deque>
#include <initializer_list>
#include <map>
#include <tuple>
#include <vector>

#include "host/schedule/graph.h"

namespace lacuna::schedule {

// A state of every layer of a stage; `none` where it is the caller's.
using States = std::vector<Id>;

// Whose turn it is to use a buffer again.
struct Turn {
  Role role;
  int stage, layer, direction;
};

class Emitter {
 public:
  // A buffer of its own.
  Id make(Role role, std::size_t bytes);
  // No memory: stand for arrays of the caller's in dependencies.
  std::vector<Id> markers(int count);
  // A buffer that is the holder's until it is released, and may then be had again by those with the same turn. Two are made
  // before one is used again, so that the next window need not wait for this one, and no more than the order of tasks
  // needs, so that nothing runs far ahead. Tapes and workspaces are too large for a second.
  Id acquire(const Turn& turn, std::size_t bytes);
  void hold(Id id);
  void release(Id id);
  void hold(const States& states);
  void release(const States& states);

  // In the earliest wave after all that the task must wait for. `none` is ignored.
  void add(Task task, std::initializer_list<Id> reads, std::initializer_list<Id> writes);
  // The latest task uses part of a buffer that others use, too; who waits for whom is said by markers.
  void touch(Id id) { touch(id, tasks_.back().wave); }

  // What is added from now on runs after all that was added before: the backward run.
  void end_forward();
  bool in_backward() const { return in_backward_; }

  Graph& graph() { return graph_; }
  // Lays the buffers out. The last call.
  Graph finish();

 private:
  struct Pool {
    std::deque<Id> free;
    int made = 0;
  };
  void touch(Id id, std::int32_t wave);
  static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

  Graph graph_;
  std::vector<int> holds_;
  std::vector<Id> written_by_;            // the last task that wrote each buffer
  std::vector<std::vector<Id>> readers_;  // the tasks that have read it since
  std::vector<Pool*> pool_of_;
  std::map<std::tuple<Role, int, int, int>, Pool> pools_;
  std::vector<Task> tasks_;  // as they were added
  std::int32_t next_wave_ = 0, least_wave_ = 0;
  bool in_backward_ = false;
};

}  // namespace lacuna::schedule
