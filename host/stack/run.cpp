#include "host/stack/run.h"

#include "host/stack/backward_task.h"
#include "host/stack/forward_task.h"

namespace lacuna::stack {
namespace {

std::int64_t widest_wave(const schedule::Graph& graph) {
  std::size_t most = 0;
  for (std::size_t w = 0; w + 1 < graph.wave_begins.size(); ++w)
    most = std::max(most, graph.wave_begins[w + 1] - graph.wave_begins[w]);
  return static_cast<std::int64_t>(most);
}

// Calls work(task, slot, stream) for waves first .. last-1.
template <class Work>
void run_waves(const Call& call, std::int32_t first, std::int32_t last, Work&& work) {
  const schedule::Graph& graph = call.recipe.graph;
  for (std::int32_t wave = first; wave < last; ++wave) {
    const std::size_t begin = graph.wave_begins[static_cast<std::size_t>(wave)];
    const std::size_t end = graph.wave_begins[static_cast<std::size_t>(wave) + 1];
    auto job = [&](int slot, void* stream) {
      work(graph.tasks[begin + static_cast<std::size_t>(slot)], slot, stream);
    };
    call.backend.side_by_side(static_cast<int>(end - begin),
                              call.recipe.recipes.front().layout.groups, call.stream, &job,
                              [](void* erased, int slot, void* stream) {
                                (*static_cast<decltype(job)*>(erased))(slot, stream);
                              });
  }
}

}  // namespace

Prepared::Prepared(Backend& backend, const StackRecipe& recipe) {
  for (const Recipe& one : recipe.recipes) layers.push_back(backend.prepare(one));
  if (!recipe.windows.whole())
    offsets.resize(
        static_cast<std::size_t>(widest_wave(recipe.graph) * (recipe.capacity.sequences + 1)));
}

void forward(const Call& call, const lacuna_stack_outputs& outputs) {
  run_waves(call, 0, call.recipe.graph.forward_waves,
            [&](const schedule::Task& task, int slot, void* stream) {
              ForwardTask(call, task, slot, stream, &outputs).run();
            });
}

void backward(const Call& call, const lacuna_stack_output_gradients& d_outputs,
              const lacuna_parameter_gradients* d_parameters,
              const lacuna_stack_input_gradients& d_inputs) {
  run_waves(
      call, call.recipe.graph.forward_waves, call.recipe.graph.waves(),
      [&](const schedule::Task& task, int slot, void* stream) {
        switch (task.kind) {
          case schedule::Task::Kind::forward:
            return ForwardTask(call, task, slot, stream, nullptr).run();
          case schedule::Task::Kind::backward:
            return BackwardTask(call, task, slot, stream, d_outputs, d_parameters, d_inputs).run();
          case schedule::Task::Kind::close: return close(call, d_inputs, stream);
        }
      });
}

}  // namespace lacuna::stack
