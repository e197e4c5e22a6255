// Allocators that fail, misalign and throw: the message says so, no block is lost, and the context
// still works.
#include <cstdlib>

#include "api/example.h"

namespace {

using api_tests::Context;
using api_tests::Example;
using api_tests::refused;

// Counts its calls, and fails the one it is told to.
struct FaultyMemory {
  int calls = 0, fail_at = -1, outstanding = 0;
  bool misalign = false;

  lacuna_allocator table() {
    return {.allocate = [](void* user, std::size_t bytes, std::size_t alignment, void*) -> void* {
              auto& memory = *static_cast<FaultyMemory*>(user);
              if (memory.calls++ == memory.fail_at) return nullptr;
              ++memory.outstanding;
              char* const block = static_cast<char*>(
                  std::aligned_alloc(alignment, (bytes / alignment + 2) * alignment));
              return memory.misalign ? block + 8 : block;
            },
            .deallocate =
                [](void* user, void* block, std::size_t, std::size_t, void*) {
                  auto& memory = *static_cast<FaultyMemory*>(user);
                  --memory.outstanding;
                  std::free(static_cast<char*>(block) - (memory.misalign ? 8 : 0));
                },
            .user = this};
  }
};

// Makes a plan and a tape and runs them, or tells what failed.
lacuna_status run_all(lacuna_context* context, Example<float>& example, std::string& result) {
  lacuna_plan* plan = nullptr;
  lacuna_tape* tape = nullptr;
  const lacuna_capacity capacity = example.capacity();
  lacuna_status status = lacuna_plan_create(context, &example.layer, &capacity, nullptr, &plan);
  if (status == LACUNA_OK) status = lacuna_tape_create(plan, nullptr, 0, &tape);
  example.poison();
  if (status == LACUNA_OK) status = example.forward(plan, tape);
  if (status == LACUNA_OK) status = example.backward(plan, tape);
  result = example.bytes();
  lacuna_tape_destroy(tape);
  lacuna_plan_destroy(plan);
  return status;
}

TEST(AllocatorErrors, EachAllocationFailsOnce) {
  FaultyMemory memory;
  lacuna_context_options options{};
  options.allocator = memory.table();
  const Context context(options);
  Example<float> example(api_tests::gru_d());
  std::string expected, result;
  ASSERT_EQ(run_all(context, example, expected), LACUNA_OK) << lacuna_last_error();
  const int allocations = memory.calls;
  EXPECT_GT(allocations, 0);
  EXPECT_EQ(static_cast<int>(context.info().allocations), allocations);
  for (int failing = 0; failing < allocations; ++failing) {
    SCOPED_TRACE(failing);
    memory.calls = 0;
    memory.fail_at = failing;
    EXPECT_TRUE(refused(run_all(context, example, result), LACUNA_OUT_OF_MEMORY,
                        {": the context's memory has no block of ", " bytes"}));
    EXPECT_EQ(memory.outstanding, 0) << "a block was lost";
    EXPECT_EQ(context.info().bytes_in_use, 0u);
    memory.fail_at = -1;
    EXPECT_EQ(run_all(context, example, result), LACUNA_OK);
    EXPECT_EQ(result, expected);
  }
}

TEST(AllocatorErrors, MisalignedBlocksGoBack) {
  FaultyMemory memory;
  memory.misalign = true;
  lacuna_context_options options{};
  options.allocator = memory.table();
  const Context context(options);
  Example<float> example(api_tests::gru_d());
  std::string result;
  EXPECT_TRUE(refused(run_all(context, example, result), LACUNA_INVALID_ARGUMENT,
                      {"allocator.allocate: returned address 0x", ", expected a multiple of 64"}));
  EXPECT_EQ(memory.outstanding, 0);
}

TEST(AllocatorErrors, AnExceptionStopsAtTheBorder) {
  lacuna_context_options options{};
  options.allocator.allocate = [](void*, std::size_t, std::size_t, void*) -> void* { throw 42; };
  options.allocator.deallocate = [](void*, void*, std::size_t, std::size_t, void*) {};
  const Context context(options);
  Example<float> example(api_tests::gru_d());
  std::string result;
  EXPECT_TRUE(refused(run_all(context, example, result), LACUNA_INTERNAL,
                      {"an exception from the caller's allocator"}));
  EXPECT_EQ(context.info().bytes_in_use, 0u);
}

}  // namespace
