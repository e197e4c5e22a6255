// After a plan and a tape are made, running allocates nothing: not from the context's memory, and
// not from the heap, which this program's own operator new counts.
#include <atomic>
#include <cstdlib>
#include <new>

#include "api/example.h"
#include "support/stack_cases.h"

namespace {
std::atomic<std::size_t> heap_allocations{0};

void* counted(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
  ++heap_allocations;
  return std::aligned_alloc(
      alignment, (bytes + alignment - 1) / alignment * alignment + (bytes == 0 ? alignment : 0));
}
}  // namespace

// None inline: seen side by side, new and free look mismatched to the compiler.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (void* const block = counted(bytes)) return block;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  if (void* const block = counted(bytes, static_cast<std::size_t>(alignment))) return block;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return counted(bytes);
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment,
                                     const std::nothrow_t&) noexcept {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  std::free(block);
}

namespace {

using api_tests::Context;
using api_tests::Example;
using api_tests::Plan;
using api_tests::Tape;

TEST(Allocation, TheCounterCounts) {
  const std::size_t before = heap_allocations;
  int* volatile number = new int(7);  // volatile: a pair that nobody looks at may be left out
  delete number;
  EXPECT_EQ(heap_allocations, before + 1);
}

lacuna_layer noisy_lstm() {
  lacuna_layer layer = api_tests::relaxing_lstm();
  layer.zoneout_hidden = layer.zoneout_cell = layer.recurrent_dropout = 0.25;
  return layer;
}

TEST(Allocation, ASecondRunAllocatesNothing) {
  lacuna_layer normalised = api_tests::relaxing_lstm();
  normalised.layer_norm = 1;
  for (const lacuna_layer& layer :
       {api_tests::gru_d(), api_tests::relaxing_lstm(), api_tests::projected_lstm(),
        api_tests::plain_gru(), noisy_lstm(), normalised}) {
    for (const int threads : {1, 3}) {
      const Context context(api_tests::with_threads(threads));
      Example<float> first(layer, {50, 0, 70, 1, 3, 3, 20}), second(layer, {1, 20, 0, 80, 30});
      const Plan plan(context, first.layer, {200, 10});
      const Tape tape(plan);
      ASSERT_EQ(first.forward(plan, tape), LACUNA_OK);
      ASSERT_EQ(first.backward(plan, tape), LACUNA_OK);

      const auto parameters = second.parameters();
      const auto batch = second.batch();
      const auto outputs = second.outputs();
      const auto d_outputs = second.d_outputs();
      const auto d_parameters = second.d_parameters();
      const auto d_inputs = second.d_inputs();
      const std::size_t allocations = context.info().allocations;
      const std::size_t heap_before = heap_allocations;
      const lacuna_status forward =
          lacuna_forward(plan, &parameters, &batch, &outputs, tape, nullptr);
      const lacuna_status backward = lacuna_backward(plan, &parameters, &batch, &d_outputs, tape,
                                                     &d_parameters, &d_inputs, nullptr);
      const std::size_t heap_after = heap_allocations;
      EXPECT_EQ(forward, LACUNA_OK);
      EXPECT_EQ(backward, LACUNA_OK);
      EXPECT_EQ(heap_after, heap_before);
      EXPECT_EQ(context.info().allocations, allocations);
    }
  }
}

TEST(Allocation, ASecondRunOfAStackAllocatesNothing) {
  for (const bool bidirectional : {false, true})
    for (const int threads : {1, 3}) {
      const Context context(api_tests::with_threads(threads));
      support::StackCase c;
      c.stack = lacuna::stacked(
          lacuna::gru_d(4, 9),
          {.depth = 2, .bidirectional = bidirectional, .residual = true, .dropout = 0.2});
      c.lengths = {50, 0, 70, 1, 20};
      const auto data = support::generate<float>(c);
      const lacuna::StackParameters<float> weights(c.stack, 1);
      std::vector<lacuna_layer> layers = lacuna::detail::layers_of(c.stack);
      const lacuna_stack stack = lacuna::detail::c_of(c.stack, layers);
      const lacuna_capacity capacity{data.tokens(), data.sequences(), data.longest()};
      lacuna_stack_options options{};
      options.segment = 8;
      lacuna_stack_info info{};
      ASSERT_EQ(lacuna_stack_plan_measure(context, &stack, &capacity, &options, &info), LACUNA_OK);
      options.memory_budget = info.memory_least;
      lacuna_stack_plan* plan = nullptr;
      ASSERT_EQ(lacuna_stack_plan_create(context, &stack, &capacity, &options, &plan), LACUNA_OK);

      const auto parameters = weights.c();
      lacuna::StackGradients<float> gradients(weights);
      const auto d_parameters = gradients.c(weights);
      std::vector<float> hidden(data.d_hidden.size()), d_values(data.values.size());
      lacuna_batch batch{};
      batch.sequences = data.sequences();
      batch.tokens = data.tokens();
      batch.offsets = data.offsets.data();
      batch.values = data.values.data();
      batch.delta_t = data.delta_t.data();
      lacuna_stack_outputs outputs{};
      outputs.hidden = hidden.data();
      lacuna_stack_output_gradients d_outputs{};
      d_outputs.d_hidden = data.d_hidden.data();
      lacuna_stack_input_gradients d_inputs{};
      d_inputs.d_values = d_values.data();
      const std::size_t allocations = context.info().allocations;
      const std::size_t before = heap_allocations;
      int failures = 0;
      for (int step = 0; step < 2; ++step) {
        failures += LACUNA_OK != lacuna_stack_forward(plan, parameters.data(), &batch, nullptr, 5,
                                                      &outputs, nullptr);
        failures +=
            LACUNA_OK != lacuna_stack_backward(plan, parameters.data(), &batch, nullptr, &d_outputs,
                                               d_parameters.data(), &d_inputs, nullptr);
      }
      const std::size_t after = heap_allocations;
      EXPECT_EQ(failures, 0) << lacuna_last_error();
      EXPECT_EQ(after, before);
      EXPECT_EQ(context.info().allocations, allocations);
      lacuna_stack_plan_destroy(plan);
    }
}

TEST(Allocation, TrainingStepsAllocateNothing) {
  const Context context(api_tests::with_threads(2));
  const std::int64_t rows = 3000, in = 40, out = 6;
  std::vector<float> x(rows * in, 0.5f), weights(in * out, 0.1f), y(rows * out),
      targets(rows * out, 1), d_x(rows * in), d_weights(in * out), first(in * out),
      second(in * out);
  double loss = 0;
  std::int64_t count = 0;
  const lacuna_adam adam{1e-3, 0.9, 0.999, 1e-8, 0, 1};
  const lacuna_loss_scaling scaling{2, 0.5, 2000};
  lacuna_loss_scale loss_scale{65536, 0, 0};
  void* const gradients[] = {d_weights.data()};
  const std::int64_t counts[] = {in * out};
  const std::size_t before = heap_allocations;
  int failures = 0;
  failures += LACUNA_OK != lacuna_linear_forward(context, LACUNA_F32, rows, in, out, x.data(),
                                                 weights.data(), nullptr, y.data(), nullptr);
  failures +=
      LACUNA_OK != lacuna_loss_evaluate(context, LACUNA_LOSS_BINARY_CROSS_ENTROPY, LACUNA_F32, rows,
                                        out, y.data(), targets.data(), nullptr, 1, &loss_scale,
                                        &loss, &count, nullptr, nullptr);
  failures += LACUNA_OK != lacuna_linear_backward(context, LACUNA_F32, rows, in, out, x.data(),
                                                  weights.data(), y.data(), d_x.data(),
                                                  d_weights.data(), nullptr, nullptr);
  failures += LACUNA_OK != lacuna_clip_gradient_norm(context, LACUNA_F32, 1, gradients, counts, 1,
                                                     nullptr, nullptr);
  failures += LACUNA_OK != lacuna_adam_step(context, &adam, LACUNA_F32, in * out, d_weights.data(),
                                            weights.data(), first.data(), second.data(), nullptr);
  const lacuna_adam_array both[] = {
      {in * out, d_weights.data(), weights.data(), first.data(), second.data()}};
  failures += LACUNA_OK != lacuna_adam_step_clipped(context, &adam, LACUNA_F32, 1, both, 1,
                                                    &scaling, &loss_scale, nullptr, nullptr);
  const std::size_t after = heap_allocations;
  EXPECT_EQ(failures, 0) << lacuna_last_error();
  EXPECT_EQ(after, before);
}

TEST(Allocation, ARefusedRunAllocatesNothingEither) {
  const Context context(api_tests::with_threads(1));
  Example<float> example(api_tests::gru_d());
  const Plan plan(context, example.layer, example.capacity());
  const auto parameters = example.parameters();
  auto batch = example.batch();
  const auto outputs = example.outputs();
  example.delta_t[5] = -0.25f;
  (void)lacuna_forward(plan, &parameters, &batch, &outputs, nullptr,
                       nullptr);  // the thread's first message
  const std::size_t before = heap_allocations;
  const lacuna_status status =
      lacuna_forward(plan, &parameters, &batch, &outputs, nullptr, nullptr);
  const std::size_t after = heap_allocations;
  EXPECT_EQ(status, LACUNA_INVALID_ARGUMENT);
  EXPECT_EQ(after, before);
}

}  // namespace
