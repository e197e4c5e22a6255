// Stacks and plans of stacks that cannot be: the message names what is wrong, and context and memory work as before.
#include <cmath>
#include <cstdlib>
#include <functional>

#include "support/stack_refusals.h"

namespace {

using stack_refusals::Description;
using stack_refusals::expect_refusal;
using stack_refusals::layer;

TEST(StackDescription, IsRefusedForWhatMakesNoSense) {
  const auto refused = [](const std::string& message,
                          const std::function<void(Description&)>& spoil) {
    Description d;
    spoil(d);
    expect_refusal(lacuna_stack_check(&d.stack), LACUNA_INVALID_ARGUMENT, message);
  };
  Description right;
  EXPECT_EQ(lacuna_stack_check(&right.stack), LACUNA_OK);
  expect_refusal(lacuna_stack_check(nullptr), LACUNA_INVALID_ARGUMENT, "stack: null");
  refused("stack.layers: null", [](auto& d) { d.stack.layers = nullptr; });
  refused("stack.count: 0, expected 1 to 64", [](auto& d) { d.stack.count = 0; });
  refused("stack.count: 65", [](auto& d) { d.stack.count = 65; });
  refused("stack.bidirectional: 2", [](auto& d) { d.stack.bidirectional = 2; });
  refused("stack.residual: -1", [](auto& d) { d.stack.residual = -1; });
  refused("stack.dropout: 1", [](auto& d) { d.stack.dropout = 1; });
  refused("stack.dropout: -0.5", [](auto& d) { d.stack.dropout = -0.5; });
  refused("stack.dropout: nan", [](auto& d) { d.stack.dropout = NAN; });
  refused("stack.layers[1]: layer.hidden: 0", [](auto& d) { d.layers[1].hidden = 0; });
  refused("stack.layers[0]: layer.impute: 9",
          [](auto& d) { d.layers[0].impute = static_cast<lacuna_impute>(9); });
  refused("stack.layers[1].features: 5, expected 4", [](auto& d) { d.layers[1].features = 5; });
  refused("stack.layers[1].features: 4, expected 3", [](auto& d) {
    d.layers[0].cell = LACUNA_LSTM;
    d.layers[0].projection = 3;
  });
  refused("stack.layers[1].features: 4, expected 8", [](auto& d) { d.stack.bidirectional = 1; });
  refused("stack.layers[1].impute: forward, expected none",
          [](auto& d) { d.layers[1].impute = LACUNA_IMPUTE_FORWARD; });
  refused("stack.layers[1].type", [](auto& d) { d.layers[1].type = LACUNA_F64; });
  refused("stack.layers[1].reverse: 1, expected layers[0].reverse = 0",
          [](auto& d) { d.layers[1].reverse = 1; });
  refused("stack.layers[0].reverse: 1, expected 0, for stack.bidirectional is 1", [](auto& d) {
    d.stack.bidirectional = 1;
    d.layers[0].reverse = 1;
  });
  refused("stack.residual: 1, but the output of stack.layers[1] has 6 columns and its input 4",
          [](auto& d) {
            d.stack.residual = 1;
            d.layers[1].hidden = 6;
          });
}

TEST(StackOptions, AreRefusedForWhatMakesNoSense) {
  const auto context = support::make_context();
  const lacuna_capacity capacity{5000, 4, 3000};
  const auto refused = [&](const std::string& message,
                           const std::function<void(lacuna_stack_options&, Description&)>& spoil) {
    Description d;
    lacuna_stack_options options{};
    spoil(options, d);
    lacuna_stack_plan* plan = nullptr;
    expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, &options, &plan),
                   LACUNA_INVALID_ARGUMENT, message);
    EXPECT_EQ(plan, nullptr);
    lacuna_stack_info info{};
    expect_refusal(lacuna_stack_plan_measure(context.get(), &d.stack, &capacity, &options, &info),
                   LACUNA_INVALID_ARGUMENT, message);
  };
  refused("options.inference: 2", [](auto& o, auto&) { o.inference = 2; });
  refused("options.memory_budget: 1000 bytes, expected at least",
          [](auto& o, auto&) { o.memory_budget = 1000; });
  refused("options.segment: 2, expected at least 3", [](auto& o, auto&) { o.segment = 2; });
  refused("options.segment: -1", [](auto& o, auto&) { o.segment = -1; });
  refused("options.truncate_reach: 10, expected 0", [](auto& o, auto&) { o.truncate_reach = 10; });
  refused("options.truncate_every: -5", [](auto& o, auto&) { o.truncate_every = -5; });
  refused("options.truncate_reach: 15, expected a multiple of options.truncate_every = 10",
          [](auto& o, auto&) {
            o.truncate_every = 10;
            o.truncate_reach = 15;
          });
  refused("options.truncate_reach: 0, expected a multiple",
          [](auto& o, auto&) { o.truncate_every = 10; });
  refused("options.segment: 20, expected 0 or options.truncate_every = 10", [](auto& o, auto&) {
    o.truncate_every = o.truncate_reach = 10;
    o.segment = 20;
  });
  refused("options.truncate_every: 10, expected 0: a bidirectional stack", [](auto& o, auto& d) {
    o.truncate_every = o.truncate_reach = 10;
    d.stack.bidirectional = 1;
    d.layers[1].features = 8;
  });
  Description d;
  lacuna_stack_plan* plan = nullptr;
  expect_refusal(lacuna_stack_plan_create(nullptr, &d.stack, &capacity, nullptr, &plan),
                 LACUNA_INVALID_ARGUMENT, "context: null");
  expect_refusal(lacuna_stack_plan_create(context.get(), nullptr, &capacity, nullptr, &plan),
                 LACUNA_INVALID_ARGUMENT, "stack: null");
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, nullptr, nullptr, &plan),
                 LACUNA_INVALID_ARGUMENT, "capacity: null");
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, nullptr, nullptr),
                 LACUNA_INVALID_ARGUMENT, "plan: null");
  const lacuna_capacity negative{-1, 4, 30}, huge{std::int64_t{1} << 48, std::int64_t{1} << 48, 0};
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &negative, nullptr, &plan),
                 LACUNA_INVALID_ARGUMENT, "capacity.tokens: -1");
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &huge, nullptr, &plan),
                 LACUNA_INVALID_ARGUMENT,
                 support::on_cpu
                     ? "too many for any memory"
                     : "capacity.sequences: 281474976710656, expected 0 to 2147483647 on CUDA");
  EXPECT_EQ(plan, nullptr);
}

// Of the second of two layers. A message of the layer's own options stands behind the name of whose they are.
TEST(StackOptions, OfLayersAreRefusedForWhatAStackCannotDo) {
  const auto context = support::make_context();
  const lacuna_capacity capacity{50, 4, 30};
  const auto refused = [&](lacuna_status status, const std::string& message,
                           const std::function<void(lacuna_plan_options&, Description&)>& spoil) {
    Description d;
    lacuna_plan_options layers[2] = {};
    spoil(layers[1], d);
    lacuna_stack_options options{};
    options.layer_options = layers;
    lacuna_stack_plan* plan = nullptr;
    expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, &options, &plan),
                   status, message);
    EXPECT_EQ(plan, nullptr);
    lacuna_stack_info info{};
    expect_refusal(lacuna_stack_plan_measure(context.get(), &d.stack, &capacity, &options, &info),
                   status, message);
  };
  alignas(64) std::byte workspace[64];
  refused(LACUNA_INVALID_ARGUMENT, "options.layer_options[1].workspace: 0x", [&](auto& o, auto&) {
    o.workspace = workspace;
    o.workspace_bytes = sizeof workspace;
  });
  refused(LACUNA_INVALID_ARGUMENT,
          "options.layer_options[1]: options.workspace: null, but options.workspace_bytes is 64",
          [](auto& o, auto&) { o.workspace_bytes = 64; });
  refused(LACUNA_INVALID_ARGUMENT,
          "options.layer_options[1].inference: 1, expected 0, for options.inference is 0",
          [](auto& o, auto&) { o.inference = 1; });
  refused(LACUNA_INVALID_ARGUMENT,
          "options.layer_options[1].tape_budget: 1000, expected 0: options.memory_budget limits",
          [](auto& o, auto&) { o.tape_budget = 1000; });
  refused(LACUNA_INVALID_ARGUMENT, "options.layer_options[1]: options.inference: 2",
          [](auto& o, auto&) { o.inference = 2; });
  refused(LACUNA_INVALID_ARGUMENT, "options.layer_options[1]: options.regime: 9",
          [](auto& o, auto&) { o.regime = static_cast<lacuna_regime>(9); });
  refused(LACUNA_INVALID_ARGUMENT, "options.layer_options[1]: options.precision: 2",
          [](auto& o, auto&) { o.precision = static_cast<lacuna_precision>(2); });
  refused(LACUNA_INVALID_ARGUMENT, "options.layer_options[1]: options.tape: -1",
          [](auto& o, auto&) { o.tape = static_cast<lacuna_tape_kind>(-1); });
  refused(LACUNA_INVALID_ARGUMENT, "options.layer_options[1]: options.blocks: 3, expected 0 or",
          [](auto& o, auto&) {
            o.regime = LACUNA_REGIME_GRID;
            o.blocks = 3;
          });
  refused(LACUNA_INVALID_ARGUMENT,
          "options.layer_options[1]: options.blocks: 4, expected 0 where options.regime is neither",
          [](auto& o, auto&) { o.blocks = 4; });
  if (support::on_cpu) {
    refused(LACUNA_UNSUPPORTED, "options.layer_options[1]: options.regime: 1, expected 0: the CPU",
            [](auto& o, auto&) { o.regime = LACUNA_REGIME_STEPWISE; });
    refused(LACUNA_UNSUPPORTED, "options.layer_options[1]: options.precision: 1, expected 0",
            [](auto& o, auto&) { o.precision = LACUNA_PRECISION_TF32; });
    refused(LACUNA_UNSUPPORTED, "options.layer_options[1]: options.tape: 2, expected 0: the CPU",
            [](auto& o, auto&) { o.tape = LACUNA_TAPE_STATES; });
  } else {
    refused(LACUNA_UNSUPPORTED,
            "options.layer_options[1]: options.regime: the resident regime does not serve: hidden "
            "is 200",
            [](auto& o, auto& d) {
              o.regime = LACUNA_REGIME_RESIDENT;
              d.layers[1].hidden = 200;
            });
    refused(LACUNA_UNSUPPORTED,
            "options.layer_options[1]: options.precision: 1, tf32, which is for fp32 layers",
            [](auto& o, auto& d) {
              o.precision = LACUNA_PRECISION_TF32;
              d.layers[0].type = d.layers[1].type = LACUNA_F64;
            });
  }
}

TEST(StackMemory, OfTheCallersIsUsedAndChecked) {
  if (!support::on_cpu) GTEST_SKIP() << "the caller's memory would have to be the device's";
  const auto context = support::make_context();
  const lacuna_capacity capacity{100, 4, 50};
  Description d;
  lacuna_stack_info info{};
  ASSERT_EQ(lacuna_stack_plan_measure(context.get(), &d.stack, &capacity, nullptr, &info),
            LACUNA_OK);
  std::vector<std::byte> room(info.memory_bytes + 128);
  const auto address = reinterpret_cast<std::uintptr_t>(room.data());
  std::byte* const aligned = room.data() + (64 - address % 64) % 64;
  lacuna_stack_options options{};
  lacuna_stack_plan* plan = nullptr;
  options.memory = aligned + 8;
  options.memory_bytes = info.memory_bytes;
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, &options, &plan),
                 LACUNA_INVALID_ARGUMENT, "options.memory: address");
  options.memory = aligned;
  options.memory_bytes = info.memory_bytes - 1;
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, &options, &plan),
                 LACUNA_INVALID_ARGUMENT, "options.memory_bytes");
  options.memory = nullptr;
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, &options, &plan),
                 LACUNA_INVALID_ARGUMENT, "options.memory: null");
  options.memory = aligned;
  options.memory_bytes = info.memory_bytes;
  ASSERT_EQ(lacuna_stack_plan_create(context.get(), &d.stack, &capacity, &options, &plan),
            LACUNA_OK);
  lacuna_context_info used{};
  ASSERT_EQ(lacuna_context_query(context.get(), &used), LACUNA_OK);
  EXPECT_EQ(used.bytes_in_use, 0U);
  lacuna_stack_plan_destroy(plan);
  lacuna_stack_plan_destroy(nullptr);
}

// Fails the calls it is told to.
struct FaultyAllocator {
  int calls = 0, fails_at = -1, alive = 0;
  lacuna_allocator table() {
    return {[](void* user, std::size_t bytes, std::size_t alignment, void*) -> void* {
              auto& self = *static_cast<FaultyAllocator*>(user);
              if (self.calls++ == self.fails_at) return nullptr;
              ++self.alive;
              return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
            },
            [](void* user, void* block, std::size_t, std::size_t, void*) {
              --static_cast<FaultyAllocator*>(user)->alive;
              std::free(block);
            },
            this};
  }
};

TEST(StackMemory, ThatCannotBeHadLeavesTheContextUsable) {
  if (!support::on_cpu) GTEST_SKIP() << "the allocator's memory would have to be the device's";
  FaultyAllocator allocator;
  lacuna_context_options options{};
  options.backend = LACUNA_BACKEND_CPU;
  options.allocator = allocator.table();
  lacuna_context* made = nullptr;
  ASSERT_EQ(lacuna_context_create(&options, &made), LACUNA_OK);
  const support::ContextHandle context(made);
  const lacuna_capacity capacity{100, 4, 50};
  Description d;
  lacuna_stack_plan* plan = nullptr;
  // Each call of the allocator fails once.
  int failures = 0;
  for (int fails_at = 0; plan == nullptr; ++fails_at, ++failures) {
    allocator.calls = 0;
    allocator.fails_at = fails_at;
    const lacuna_status status =
        lacuna_stack_plan_create(context.get(), &d.stack, &capacity, nullptr, &plan);
    if (status == LACUNA_OK) break;
    expect_refusal(status, LACUNA_OUT_OF_MEMORY, "has no block of");
    EXPECT_EQ(plan, nullptr);
    EXPECT_EQ(allocator.alive, 0);
  }
  EXPECT_GT(failures, 0);
  lacuna_stack_plan_destroy(plan);
  EXPECT_EQ(allocator.alive, 0);
}

TEST(StackMemory, StaysWithinTheContextsLimit) {
  lacuna_context_options options{};
  options.backend = support::tested_backend;
  options.memory_limit = 64 << 20;  // on a GPU half of it is scratch of cuBLASLt
  lacuna_context* made = nullptr;
  ASSERT_EQ(lacuna_context_create(&options, &made), LACUNA_OK);
  const support::ContextHandle context(made);
  Description d;
  lacuna_stack_plan* plan = nullptr;
  const lacuna_capacity large{10000000, 4, 3000000};
  expect_refusal(lacuna_stack_plan_create(context.get(), &d.stack, &large, nullptr, &plan),
                 LACUNA_OUT_OF_MEMORY, "its limit is 67108864, and 0 are in use");
  EXPECT_EQ(plan, nullptr);
  lacuna_stack_options tight{};
  tight.inference = 1;
  const lacuna_capacity small{20, 2, 10};
  ASSERT_EQ(lacuna_stack_plan_create(context.get(), &d.stack, &small, &tight, &plan), LACUNA_OK)
      << lacuna_last_error();
  lacuna_context_info info{};
  ASSERT_EQ(lacuna_context_query(context.get(), &info), LACUNA_OK);
  EXPECT_LE(info.bytes_peak, options.memory_limit);
  lacuna_stack_plan_destroy(plan);
}

}  // namespace
