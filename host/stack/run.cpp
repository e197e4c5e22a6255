#include "host/stack/run.h"

#include "host/stack/backward_task.h"
#include "host/stack/forward_task.h"
#include "host/stack/staged.h"

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
    call.backend.side_by_side(call.prepared.side_by_side.get(), static_cast<int>(end - begin),
                              call.recipe.recipes.front().layout.groups, call.stream, &job,
                              [](void* erased, int slot, void* stream) {
                                (*static_cast<decltype(job)*>(erased))(slot, stream);
                              });
  }
}

// Calls work(null), or work(&call) where all its arrays have been staged.
template <class Work>
void stage(const Call& call, Work&& work) {
  auto job = [&](Staging* staging) {
    if (staging == nullptr) return work(nullptr);
    const StagedCall there(*staging, call);
    work(&there);
  };
  call.backend.stage(call.stream, &job, [](void* erased, Staging* staging) {
    (*static_cast<decltype(job)*>(erased))(staging);
  });
}

void run_forward(const Call& call, const lacuna_stack_outputs& outputs) {
  run_waves(call, 0, call.recipe.graph.forward_waves,
            [&](const schedule::Task& task, int slot, void* stream) {
              ForwardTask(call, task, slot, stream, &outputs).run();
            });
}

void run_backward(const Call& call, const lacuna_stack_output_gradients& d_outputs,
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

}  // namespace

Prepared::Prepared(Backend& backend, const StackRecipe& recipe) {
  for (const Recipe& one : recipe.recipes) layers.push_back(backend.prepare(one));
  const std::int64_t widest = widest_wave(recipe.graph);
  if (recipe.needs_windows())
    offsets.resize(static_cast<std::size_t>(widest * (recipe.capacity.sequences + 1)));
  side_by_side = backend.prepare_side_by_side(static_cast<int>(widest));
  const std::size_t places = recipe.stack.places();
  staged.parameters.resize(places);
  staged.d_parameters.resize(places);
  for (auto* states : {&staged.initial_states, &staged.final_states, &staged.d_initial_states})
    states->resize(places);
  staged.d_hidden_norms.resize(places);
}

void forward(const Call& call, const lacuna_stack_outputs& outputs) {
  stage(call, [&](const StagedCall* there) {
    if (there == nullptr) return run_forward(call, outputs);
    run_forward(there->call(), there->outputs(outputs));
  });
}

void backward(const Call& call, const lacuna_stack_output_gradients& d_outputs,
              const lacuna_parameter_gradients* d_parameters,
              const lacuna_stack_input_gradients& d_inputs) {
  stage(call, [&](const StagedCall* there) {
    if (there == nullptr) return run_backward(call, d_outputs, d_parameters, d_inputs);
    run_backward(there->call(), there->output_gradients(d_outputs),
                 there->parameter_gradients(d_parameters), there->input_gradients(d_inputs));
  });
}

}  // namespace lacuna::stack
