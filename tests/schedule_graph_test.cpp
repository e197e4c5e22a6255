// Windows hold what batches can bring, and the task graph's buffers do not get in each other's way: nothing is read before it
// is written, tasks of a wave share no buffer that one of them writes, and what is alive at one time lies apart.
#include "host/schedule/graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "support/random.h"

namespace {

using namespace lacuna::schedule;
using support::Random;

TEST(Windows, HoldWhateverABatchWithinCapacityBrings) {
  Random random(3);
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(1 + random.below(12)));
    for (std::int64_t& length : lengths) length = random.below(random.chance(0.2) ? 400 : 40);
    const std::int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
    const std::int64_t longest = *std::max_element(lengths.begin(), lengths.end());
    const lacuna_capacity capacity{tokens + random.below(20),
                                   static_cast<std::int64_t>(lengths.size()) + random.below(3),
                                   random.chance(0.2) ? 0 : longest + random.below(9)};
    const Windows windows = cut(capacity, 1 + random.below(50));
    EXPECT_GE(windows.count * windows.segment, longest);
    std::int64_t held = 0;
    for (std::int64_t w = 0; w < windows.count; ++w) {
      std::int64_t in_window = 0;
      for (const std::int64_t length : lengths)
        in_window += std::clamp<std::int64_t>(length - w * windows.segment, 0, windows.segment);
      EXPECT_LE(in_window, windows.tokens(w)) << "window " << w;
      held += in_window;
    }
    EXPECT_EQ(held, tokens);
  }
}

TEST(Windows, AreCutByTheSquareRoot) {
  EXPECT_EQ(customary_segment(0), 1);
  EXPECT_EQ(customary_segment(50), 50);
  EXPECT_EQ(customary_segment(1000), 64);
  EXPECT_EQ(customary_segment(10'000), 112);
  EXPECT_EQ(customary_segment(100'000'000), 97'657);
  for (const std::int64_t longest : {1, 64, 65, 5000, 3'000'000})
    EXPECT_LE((longest + customary_segment(longest) - 1) / customary_segment(longest),
              most_windows);
}

// Which buffers a task reads and writes, told from its fields alone.
struct Uses {
  std::vector<Id> reads, writes;
};
Uses uses_of(const Graph& graph, const Stack& stack, const Task& task) {
  Uses uses;
  const bool enters = stack.bidirectional || task.layer == 0;
  const auto add = [](std::vector<Id>& to, std::initializer_list<Id> ids) {
    for (const Id id : ids)
      if (id != none) to.push_back(id);
  };
  switch (task.kind) {
    case Task::Kind::forward:
      add(uses.reads, {task.rows_in, task.state});
      add(enters ? uses.writes : uses.reads, {task.input, task.gaps});
      add(uses.writes, {task.rows_out, task.next_state, task.tape, task.workspace});
      if (enters) add(uses.reads, {graph.boundary[static_cast<std::size_t>(task.stage)]});
      break;
    case Task::Kind::backward:
      add(uses.reads, {task.tape, task.state, task.gaps, task.input, task.d_gaps_above});
      add(task.severed ? uses.writes : uses.reads, {task.d_next_state});
      add(uses.writes, {task.d_rows_out, task.d_rows_in, task.d_state, task.d_gaps, task.d_norms,
                        task.workspace});
      break;
    case Task::Kind::close: add(uses.reads, {graph.d_gaps_reverse, graph.d_boundary[0][1]});
  }
  return uses;
}

void expect_sound(const Graph& graph, const Stack& stack) {
  std::set<Id> written(graph.boundary.begin(), graph.boundary.end());
  for (const auto& pair : graph.d_boundary) written.insert(pair.begin(), pair.end());
  written.insert(graph.d_gaps_reverse);
  for (std::int32_t wave = 0; wave < graph.waves(); ++wave) {
    std::map<Id, int> writers;
    std::set<Id> read;
    const auto begin = graph.wave_begins[static_cast<std::size_t>(wave)];
    const auto end = graph.wave_begins[static_cast<std::size_t>(wave) + 1];
    ASSERT_LT(begin, end) << "an empty wave";
    for (std::size_t t = begin; t < end; ++t) {
      const Task& task = graph.tasks[t];
      ASSERT_EQ(task.wave, wave);
      EXPECT_EQ(task.kind == Task::Kind::forward && !task.again, wave < graph.forward_waves);
      const Uses uses = uses_of(graph, stack, task);
      for (const Id id : uses.reads) {
        EXPECT_TRUE(written.count(id)) << "buffer " << id << " is read before it is written";
        read.insert(id);
      }
      for (const Id id : uses.writes) ++writers[id];
      for (const auto* ids : {&uses.reads, &uses.writes})
        for (const Id id : *ids) {
          const Buffer& buffer = graph.buffers[static_cast<std::size_t>(id)];
          EXPECT_LE(buffer.first, wave);
          EXPECT_GE(buffer.last, wave);
        }
    }
    for (const auto& [id, count] : writers) {
      EXPECT_EQ(count, 1) << "two tasks of wave " << wave << " write buffer " << id;
      EXPECT_FALSE(read.count(id) &&
                   graph.buffers[static_cast<std::size_t>(id)].role != Role::boundary)
          << "wave " << wave << " reads and writes buffer " << id;
      written.insert(id);
    }
  }
  for (std::size_t a = 0; a < graph.buffers.size(); ++a)
    for (std::size_t b = 0; b < a; ++b) {
      const Buffer &one = graph.buffers[a], &other = graph.buffers[b];
      if (one.first < 0 || other.first < 0 || one.bytes == 0 || other.bytes == 0) continue;
      const bool meet = one.first <= other.last && other.first <= one.last;
      const bool apart =
          one.offset + one.bytes <= other.offset || other.offset + other.bytes <= one.offset;
      ASSERT_TRUE(apart || !meet) << "buffers " << a << " and " << b;
    }
}

TEST(Graph, IsSoundWhateverTheStackAndTheMemory) {
  Random random(17);
  for (int trial = 0; trial < 150; ++trial) {
    Stack stack;
    stack.bidirectional = random.chance(0.4);
    const std::int64_t depth = 1 + random.below(4), hidden = 1 + random.below(30);
    for (std::int64_t l = 0; l < depth; ++l) {
      lacuna_layer layer{};
      layer.cell = random.chance(0.5) ? LACUNA_LSTM : LACUNA_GRU;
      layer.impute = l == 0 && random.chance(0.5) ? LACUNA_IMPUTE_DECAY : LACUNA_IMPUTE_NONE;
      layer.features = l == 0 ? 1 + random.below(20) : hidden * stack.directions();
      layer.hidden = hidden;
      stack.layers.push_back(layer);
    }
    const lacuna_capacity capacity{1 + random.below(3000), 1 + random.below(20),
                                   1 + random.below(200)};
    const Windows windows = cut(capacity, 1 + random.below(40));
    const bool truncated = !stack.bidirectional && random.chance(0.3);
    GraphRequest request{.stack = stack,
                         .capacity = capacity,
                         .windows = windows,
                         .measure = [&](int layer, int, int size_class) {
                           const auto tokens = static_cast<std::size_t>(
                               windows.class_tokens[static_cast<std::size_t>(size_class)]);
                           return LayerSizes{tokens * static_cast<std::size_t>(100 + layer),
                                             static_cast<std::size_t>(4000 + layer)};
                         }};
    request.inference = random.chance(0.2);
    request.truncated = truncated;
    request.reach = truncated ? 1 + random.below(4) : 0;
    request.tapes = 1 + random.below(windows.count);
    if (truncated) request.tapes = random.chance(0.5) ? windows.count : request.reach;
    request.slots = 1 + random.below(windows.count);
    const Graph graph = build(request);
    expect_sound(graph, stack);
    EXPECT_GE(graph.bytes, graph.floor);
    if (HasFailure()) FAIL() << "trial " << trial;
  }
}

// Layer l of window w beside layer l+1 of window w-1: K + L - 1 waves instead of K L.
TEST(Graph, LayersAndWindowsFormAWavefront) {
  Stack stack;
  for (int l = 0; l < 3; ++l) {
    lacuna_layer layer{};
    layer.cell = LACUNA_GRU;
    layer.features = layer.hidden = 8;
    stack.layers.push_back(layer);
  }
  const lacuna_capacity capacity{100, 1, 100};
  const Windows windows = cut(capacity, 10);
  const Graph graph = build({.stack = stack,
                             .capacity = capacity,
                             .windows = windows,
                             .measure =
                                 [](int, int, int) {
                                   return LayerSizes{1000, 1000};
                                 },
                             .tapes = 10});
  EXPECT_EQ(graph.forward_waves, 10 + 3 - 1);
  EXPECT_EQ(graph.waves() - graph.forward_waves, 10 + 3 - 1);
}

}  // namespace
