#include "host/schedule/emitter.h"

#include <algorithm>

#include "host/memory/memory.h"
#include "host/schedule/arena.h"

namespace lacuna::schedule {

// ---- Buffers ----

Id Emitter::make(Role role, std::size_t bytes) {
  graph_.buffers.push_back({role, bytes});
  holds_.push_back(0);
  written_by_.push_back(none);
  readers_.emplace_back();
  pool_of_.push_back(nullptr);
  return static_cast<Id>(graph_.buffers.size()) - 1;
}

std::vector<Id> Emitter::markers(int count) {
  std::vector<Id> made;
  made.reserve(at(count));
  for (int i = 0; i < count; ++i) made.push_back(make(Role::marker, 0));
  return made;
}

Id Emitter::acquire(const Turn& turn, std::size_t bytes) {
  const bool large = turn.role == Role::tape || turn.role == Role::workspace;
  Pool& pool = pools_[{turn.role, turn.stage, turn.layer, turn.direction}];
  Id id = none;
  if (!pool.free.empty() && (large || pool.made >= 2)) {
    id = pool.free.front();
    pool.free.pop_front();
  } else {
    id = make(turn.role, bytes);
    pool_of_[at(id)] = &pool;
    ++pool.made;
  }
  graph_.buffers[at(id)].bytes = std::max(graph_.buffers[at(id)].bytes, bytes);
  holds_[at(id)] = 1;
  return id;
}

void Emitter::hold(Id id) {
  if (id != none) ++holds_[at(id)];
}
void Emitter::release(Id id) {
  if (id != none && --holds_[at(id)] == 0) pool_of_[at(id)]->free.push_back(id);
}
void Emitter::hold(const States& states) {
  for (const Id id : states) hold(id);
}
void Emitter::release(const States& states) {
  for (const Id id : states) release(id);
}

// ---- Tasks ----

void Emitter::add(Task task, std::initializer_list<Id> reads, std::initializer_list<Id> writes) {
  std::int32_t wave = least_wave_;
  const auto after = [&](Id earlier) {
    if (earlier != none) wave = std::max(wave, tasks_[at(earlier)].wave + 1);
  };
  for (const Id id : reads)
    if (id != none) after(written_by_[at(id)]);
  for (const Id id : writes) {
    if (id == none) continue;
    after(written_by_[at(id)]);
    for (const Id reader : readers_[at(id)]) after(reader);
  }
  task.wave = wave;
  next_wave_ = std::max(next_wave_, wave + 1);
  const auto self = static_cast<Id>(tasks_.size());
  for (const Id id : reads)
    if (id != none) {
      readers_[at(id)].push_back(self);
      touch(id, wave);
    }
  for (const Id id : writes)
    if (id != none) {
      written_by_[at(id)] = self;
      readers_[at(id)].clear();
      touch(id, wave);
    }
  tasks_.push_back(task);
}

void Emitter::touch(Id id, std::int32_t wave) {
  if (id == none) return;
  Buffer& buffer = graph_.buffers[at(id)];
  buffer.first = buffer.first < 0 ? wave : std::min(buffer.first, wave);
  buffer.last = std::max(buffer.last, wave);
}

void Emitter::end_forward() {
  graph_.forward_waves = least_wave_ = next_wave_;
  in_backward_ = true;
}

Graph Emitter::finish() {
  if (!in_backward_) graph_.forward_waves = next_wave_;
  std::vector<std::size_t> order(tasks_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return tasks_[a].wave < tasks_[b].wave; });
  for (const std::size_t i : order) {
    while (graph_.wave_begins.size() <= at(tasks_[i].wave))
      graph_.wave_begins.push_back(graph_.tasks.size());
    graph_.tasks.push_back(tasks_[i]);
  }
  graph_.wave_begins.push_back(graph_.tasks.size());

  std::vector<Lifetime> lifetimes;
  for (const Buffer& buffer : graph_.buffers)
    lifetimes.push_back(
        {buffer.first < 0 ? 0 : buffer.bytes, std::max(buffer.first, 0), std::max(buffer.last, 0)});
  const Arena arena = lay_out(lifetimes, memory::alignment);
  for (std::size_t i = 0; i < graph_.buffers.size(); ++i)
    graph_.buffers[i].offset = arena.offsets[i];
  graph_.bytes = arena.bytes;
  graph_.floor = arena.floor;
  return std::move(graph_);
}

}  // namespace lacuna::schedule
