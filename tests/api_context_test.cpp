// Contexts, errors and versions: what they report, and who keeps whom alive.
#include <algorithm>
#include <cstdlib>
#include <memory_resource>
#include <thread>

#include "api/example.h"
#include "host/cpu/machine.h"
#include "lacuna/lacuna.hpp"

namespace {

using api_tests::Context;
using api_tests::Example;
using api_tests::Plan;
using api_tests::refused;
using api_tests::Tape;

TEST(ContextApi, NullOptionsAndAllZeroMeanTheBestThereIs) {
  lacuna_context* context = nullptr;
  ASSERT_EQ(lacuna_context_create(nullptr, &context), LACUNA_OK);
  lacuna_context_info info{};
  ASSERT_EQ(lacuna_context_query(context, &info), LACUNA_OK);
  EXPECT_NE(info.backend, LACUNA_BACKEND_BEST);
  EXPECT_EQ(info.threads, std::min(1024, lacuna::cpu::usable_cores()));
  EXPECT_EQ(info.isa, lacuna::cpu::detect_isa());
  EXPECT_EQ(info.bytes_in_use, 0u);
  EXPECT_EQ(info.allocations, 0u);
  lacuna_context_destroy(context);
}

TEST(ContextApi, GivesWhatWasAskedButNeverMoreThanTheMachineHas) {
  for (const lacuna_isa isa : {LACUNA_ISA_BASELINE, LACUNA_ISA_AVX2, LACUNA_ISA_AVX512}) {
    lacuna_context_options options{};
    options.isa = isa;
    options.threads = 3;
    const Context context(options);
    EXPECT_EQ(context.info().threads, 3);
    EXPECT_EQ(context.info().isa, std::min(isa, lacuna::cpu::detect_isa()));
  }
}

TEST(ContextApi, CountsWhatPlansAndTapesTake) {
  const Context context;
  const Example<float> example(api_tests::gru_d());
  std::size_t workspace = 0, tape_bytes = 0;
  {
    const Plan plan(context, example.layer, example.capacity());
    workspace = plan.info().workspace_bytes;
    EXPECT_EQ(context.info().bytes_in_use, workspace);
    const Tape tape(plan);
    tape_bytes = plan.info().tape_bytes;
    EXPECT_EQ(context.info().bytes_in_use, workspace + tape_bytes);
    EXPECT_EQ(context.info().allocations, 2u);
  }
  EXPECT_EQ(context.info().bytes_in_use, 0u);
  EXPECT_EQ(context.info().bytes_peak, workspace + tape_bytes);
  EXPECT_EQ(lacuna_context_trim(context), LACUNA_OK);
}

TEST(ContextApi, PlansAndTapesKeepItAlive) {
  Example<float> example(api_tests::gru_d());
  auto context = std::make_unique<Context>(api_tests::with_threads(2));
  const Plan plan(*context, example.layer, example.capacity());
  const Tape tape(plan);
  ASSERT_EQ(example.forward(plan, tape), LACUNA_OK);
  const std::string expected = example.bytes();
  context.reset();
  example.poison();
  EXPECT_EQ(example.forward(plan, tape), LACUNA_OK);
  EXPECT_EQ(example.bytes(), expected);
}

TEST(ContextApi, ATapeOutlivesItsPlanAndServesAnotherLikeIt) {
  Example<float> example(api_tests::gru_d());
  const Context context(api_tests::with_threads(2));
  auto plan = std::make_unique<Plan>(context, example.layer, example.capacity());
  const Tape tape(*plan);
  ASSERT_EQ(example.forward(*plan, tape), LACUNA_OK);
  ASSERT_EQ(example.backward(*plan, tape), LACUNA_OK);
  const std::string expected = example.bytes();
  plan.reset();
  const Plan other(context, example.layer, example.capacity());
  for (auto* array : {&example.d_values, &example.d_delta_t})
    std::fill(array->begin(), array->end(), -1.0f);
  EXPECT_EQ(example.backward(other, tape), LACUNA_OK) << lacuna_last_error();
  EXPECT_EQ(example.bytes(), expected);
}

TEST(ContextApi, AMemoryResourceCanServeAsItsMemory) {
  std::pmr::unsynchronized_pool_resource resource;
  Example<float> example(api_tests::relaxing_lstm());
  std::string expected;
  {
    const Context context;
    const Plan plan(context, example.layer, example.capacity());
    ASSERT_EQ(example.forward(plan, nullptr), LACUNA_OK);
    expected = example.bytes();
  }
  lacuna_context_options options{};
  options.allocator = lacuna::allocator_from(resource);
  const Context context(options);
  const Plan plan(context, example.layer, example.capacity());
  example.poison();
  ASSERT_EQ(example.forward(plan, nullptr), LACUNA_OK);
  EXPECT_EQ(example.bytes(), expected);
  EXPECT_EQ(context.info().allocations, 1u);
}

TEST(ErrorApi, NamesOfEveryStatus) {
  EXPECT_STREQ(lacuna_status_name(LACUNA_OK), "LACUNA_OK");
  EXPECT_STREQ(lacuna_status_name(LACUNA_INVALID_ARGUMENT), "LACUNA_INVALID_ARGUMENT");
  EXPECT_STREQ(lacuna_status_name(LACUNA_CAPACITY_EXCEEDED), "LACUNA_CAPACITY_EXCEEDED");
  EXPECT_STREQ(lacuna_status_name(LACUNA_MISMATCH), "LACUNA_MISMATCH");
  EXPECT_STREQ(lacuna_status_name(LACUNA_OUT_OF_MEMORY), "LACUNA_OUT_OF_MEMORY");
  EXPECT_STREQ(lacuna_status_name(LACUNA_UNSUPPORTED), "LACUNA_UNSUPPORTED");
  EXPECT_STREQ(lacuna_status_name(LACUNA_INTERNAL), "LACUNA_INTERNAL");
  EXPECT_STREQ(lacuna_status_name(static_cast<lacuna_status>(99)), "not a lacuna_status");
}

TEST(ErrorApi, EveryThreadHasItsOwnLastError) {
  EXPECT_EQ(lacuna_layer_check(nullptr), LACUNA_INVALID_ARGUMENT);
  std::string before, after;
  std::thread other([&] {
    before = lacuna_last_error();
    (void)lacuna_context_trim(nullptr);
    after = lacuna_last_error();
  });
  other.join();
  EXPECT_EQ(before, "");
  EXPECT_EQ(after, "context: null");
  EXPECT_STREQ(lacuna_last_error(), "layer: null");
}

TEST(ErrorApi, TheLibraryIsTheOneWeWereCompiledAgainst) {
  EXPECT_EQ(lacuna::version(), std::to_string(LACUNA_VERSION_MAJOR) + "." +
                                   std::to_string(LACUNA_VERSION_MINOR) + "." +
                                   std::to_string(LACUNA_VERSION_PATCH));
}

}  // namespace
