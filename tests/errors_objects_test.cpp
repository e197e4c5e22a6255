// Every argument of the calls that make, describe and measure objects: contexts, layers, plans,
// tapes.
#include <cstdlib>
#include <cstring>

#include "api/example.h"
#include "api/huge_allocations.h"

namespace {

using api_tests::Context;
using api_tests::misaligned;
using api_tests::Plan;
using api_tests::refused;
using api_tests::Tape;

lacuna_status create_context(const lacuna_context_options& options) {
  lacuna_context* context = nullptr;
  const lacuna_status status = lacuna_context_create(&options, &context);
  EXPECT_EQ(context, nullptr) << "a context was made";
  lacuna_context_destroy(context);
  return status;
}

TEST(ContextErrors, Options) {
  const auto with = [](auto change) {
    lacuna_context_options options{};
    change(options);
    return create_context(options);
  };
  EXPECT_TRUE(refused(with([](auto& options) { options.threads = -3; }), LACUNA_INVALID_ARGUMENT,
                      {"options.threads: -3, expected 0 to 1024"}));
  EXPECT_TRUE(refused(with([](auto& options) { options.threads = 1025; }), LACUNA_INVALID_ARGUMENT,
                      {"options.threads: 1025, expected 0 to 1024"}));
  EXPECT_TRUE(refused(with([](auto& options) { options.backend = static_cast<lacuna_backend>(9); }),
                      LACUNA_INVALID_ARGUMENT,
                      {"options.backend: 9, expected a lacuna_backend, 0 to 2"}));
  EXPECT_TRUE(
      refused(with([](auto& options) { options.backend = static_cast<lacuna_backend>(-1); }),
              LACUNA_INVALID_ARGUMENT, {"options.backend: -1, expected a lacuna_backend, 0 to 2"}));
  EXPECT_TRUE(refused(with([](auto& options) { options.isa = static_cast<lacuna_isa>(4); }),
                      LACUNA_INVALID_ARGUMENT, {"options.isa: 4, expected a lacuna_isa, 0 to 3"}));
  EXPECT_TRUE(
      refused(with([](auto& options) {
                options.allocator.allocate = [](void*, std::size_t, std::size_t, void*) -> void* {
                  return nullptr;
                };
              }),
              LACUNA_INVALID_ARGUMENT,
              {"options.allocator: deallocate is null, expected both functions or neither"}));
  EXPECT_TRUE(refused(with([](auto& options) {
                        options.allocator.deallocate = [](void*, void*, std::size_t, std::size_t,
                                                          void*) {};
                      }),
                      LACUNA_INVALID_ARGUMENT,
                      {"options.allocator: allocate is null, expected both functions or neither"}));
}

TEST(ContextErrors, CudaIsRefusedInPlainWordsWhereTheBuildHasNone) {
#if LACUNA_HAVE_CUDA || defined(LACUNA_TEST_BACKEND)
  GTEST_SKIP() << "this build has the CUDA backend";
#else
  lacuna_context_options options{};
  options.backend = LACUNA_BACKEND_CUDA;
  EXPECT_TRUE(
      refused(create_context(options), LACUNA_UNSUPPORTED,
              {"options.backend: LACUNA_BACKEND_CUDA, but this build has no CUDA backend"}));
#endif
}

TEST(ContextErrors, NullArguments) {
  EXPECT_TRUE(
      refused(lacuna_context_create(nullptr, nullptr), LACUNA_INVALID_ARGUMENT, {"context: null"}));
  lacuna_context_info info{};
  EXPECT_TRUE(
      refused(lacuna_context_query(nullptr, &info), LACUNA_INVALID_ARGUMENT, {"context: null"}));
  EXPECT_TRUE(refused(lacuna_context_trim(nullptr), LACUNA_INVALID_ARGUMENT, {"context: null"}));
  const Context context;
  EXPECT_TRUE(
      refused(lacuna_context_query(context, nullptr), LACUNA_INVALID_ARGUMENT, {"info: null"}));
  lacuna_context_destroy(nullptr);
  lacuna_plan_destroy(nullptr);
  lacuna_tape_destroy(nullptr);
}

// ---- Layers ----

TEST(LayerErrors, EveryField) {
  const auto with = [](auto change) {
    lacuna_layer layer = api_tests::gru_d();
    change(layer);
    return lacuna_layer_check(&layer);
  };
  const auto expect = [&](const char* message, auto change) {
    EXPECT_TRUE(refused(with(change), LACUNA_INVALID_ARGUMENT, {message}));
  };
  expect("layer.cell: 6, expected a lacuna_cell, 0 to 5",
         [](auto& l) { l.cell = static_cast<lacuna_cell>(6); });
  expect("layer.cell: -1, expected", [](auto& l) { l.cell = static_cast<lacuna_cell>(-1); });
  expect("layer.impute: 5, expected a lacuna_impute, 0 to 4",
         [](auto& l) { l.impute = static_cast<lacuna_impute>(5); });
  expect("layer.evolve: 4, expected a lacuna_evolve, 0 to 3",
         [](auto& l) { l.evolve = static_cast<lacuna_evolve>(4); });
  expect("layer.empty_rows: 2, expected a lacuna_empty_rows, 0 to 1",
         [](auto& l) { l.empty_rows = static_cast<lacuna_empty_rows>(2); });
  expect("layer.type: 4, expected a lacuna_type, 0 to 3",
         [](auto& l) { l.type = static_cast<lacuna_type>(4); });
  expect("layer.features: 0, expected 1 to 16777216", [](auto& l) { l.features = 0; });
  expect("layer.features: 16777217, expected", [](auto& l) { l.features = 16777217; });
  expect("layer.hidden: -64, expected 1 to 16777216", [](auto& l) { l.hidden = -64; });
  expect("layer.hidden: 9223372036854775807, expected",
         [](auto& l) { l.hidden = std::numeric_limits<std::int64_t>::max(); });
  expect("layer.projection: -1, expected 0 to 7, as layer.hidden says",
         [](auto& l) { l.projection = -1; });
  expect("layer.projection: 65, expected 0 to 7", [](auto& l) { l.projection = 65; });
  expect("layer.projection: 2 is for LACUNA_LSTM, expected 0", [](auto& l) { l.projection = 2; });
  expect("layer.mask_input: 2, expected 0 or 1", [](auto& l) { l.mask_input = 2; });
  expect("layer.gap_input: -1, expected 0 or 1", [](auto& l) { l.gap_input = -1; });
  expect("layer.reverse: 7, expected 0 or 1", [](auto& l) { l.reverse = 7; });
  expect("layer.layer_norm: 2, expected 0 or 1", [](auto& l) { l.layer_norm = 2; });
  expect("layer.mask_input: 1 needs a mask", [](auto& l) { l.impute = LACUNA_IMPUTE_NONE; });
  EXPECT_TRUE(refused(lacuna_layer_check(nullptr), LACUNA_INVALID_ARGUMENT, {"layer: null"}));
}

TEST(LayerErrors, EveryCallChecksItsLayer) {
  lacuna_layer layer = api_tests::gru_d();
  layer.hidden = 0;
  std::int64_t number = -7;
  lacuna_parameter_info info{};
  std::vector<float> parameters(10000);
  for (const lacuna_layer* given :
       {static_cast<const lacuna_layer*>(nullptr), static_cast<const lacuna_layer*>(&layer)}) {
    const char* const message = given ? "layer.hidden: 0, expected" : "layer: null";
    EXPECT_TRUE(
        refused(lacuna_layer_input_width(given, &number), LACUNA_INVALID_ARGUMENT, {message}));
    EXPECT_TRUE(
        refused(lacuna_layer_parameter_count(given, &number), LACUNA_INVALID_ARGUMENT, {message}));
    EXPECT_TRUE(refused(lacuna_layer_parameter(given, LACUNA_BIAS, &info), LACUNA_INVALID_ARGUMENT,
                        {message}));
    EXPECT_TRUE(refused(lacuna_layer_initialize(given, 1, parameters.data()),
                        LACUNA_INVALID_ARGUMENT, {message}));
  }
  EXPECT_EQ(number, -7);
}

TEST(LayerErrors, OtherArguments) {
  const lacuna_layer layer = api_tests::gru_d();
  lacuna_parameter_info info{};
  EXPECT_TRUE(
      refused(lacuna_layer_input_width(&layer, nullptr), LACUNA_INVALID_ARGUMENT, {"width: null"}));
  EXPECT_TRUE(refused(lacuna_layer_parameter_count(&layer, nullptr), LACUNA_INVALID_ARGUMENT,
                      {"count: null"}));
  EXPECT_TRUE(refused(lacuna_layer_parameter(&layer, LACUNA_BIAS, nullptr), LACUNA_INVALID_ARGUMENT,
                      {"info: null"}));
  EXPECT_TRUE(refused(lacuna_layer_parameter(&layer, LACUNA_PARAMETERS, &info),
                      LACUNA_INVALID_ARGUMENT, {"kind: 15, expected a lacuna_parameter, 0 to 14"}));
  EXPECT_TRUE(refused(lacuna_layer_initialize(&layer, 1, nullptr), LACUNA_INVALID_ARGUMENT,
                      {"parameters: null, expected ", " elements"}));
  std::vector<float> parameters(10000);
  EXPECT_TRUE(refused(lacuna_layer_initialize(&layer, 1, misaligned(parameters.data())),
                      LACUNA_INVALID_ARGUMENT,
                      {"parameters: address 0x", "expected a multiple of 4"}));
}

TEST(LayerErrors, HalfPrecisionIsDescribedButNotRunOnTheCpu) {
  if (!support::on_cpu) GTEST_SKIP() << "other backends run it";
  lacuna_layer layer = api_tests::gru_d();
  const Context context;
  const lacuna_capacity capacity{8, 4, 0};
  std::vector<float> parameters(10000);
  for (const lacuna_type type : {LACUNA_F16, LACUNA_BF16}) {
    layer.type = type;
    const char* const name =
        type == LACUNA_F16 ? "layer.type: LACUNA_F16" : "layer.type: LACUNA_BF16";
    EXPECT_EQ(lacuna_layer_check(&layer), LACUNA_OK);
    lacuna_plan* plan = nullptr;
    EXPECT_TRUE(refused(lacuna_plan_create(context, &layer, &capacity, nullptr, &plan),
                        LACUNA_UNSUPPORTED,
                        {name, "the CPU backend computes in LACUNA_F32 and LACUNA_F64 only"}));
    EXPECT_EQ(plan, nullptr);
    // Parameters of 16-bit layers are floats, and need no device.
    std::vector<float> single(parameters.size());
    EXPECT_EQ(lacuna_layer_initialize(&layer, 1, parameters.data()), LACUNA_OK);
    layer.type = LACUNA_F32;
    EXPECT_EQ(lacuna_layer_initialize(&layer, 1, single.data()), LACUNA_OK);
    EXPECT_EQ(parameters, single);
  }
}

// ---- Handles ----

// Whatever the failure, a handle is null behind it, so that destroying it is right.
TEST(HandleErrors, AreNullWhereNothingWasMade) {
  const Context context;
  lacuna_layer layer = api_tests::gru_d();
  const lacuna_capacity capacity{8, 4, 0};
  const Plan plan(context, layer, capacity);
  int something = 0;
  const auto expect_null = [&]<class Handle>(Handle*, auto create) {
    auto* handle = reinterpret_cast<Handle*>(&something);
    EXPECT_EQ(create(&handle), LACUNA_INVALID_ARGUMENT);
    EXPECT_EQ(handle, nullptr) << lacuna_last_error();
  };
  lacuna_context_options options{};
  options.threads = -1;
  expect_null(static_cast<lacuna_context*>(nullptr),
              [&](auto** out) { return lacuna_context_create(&options, out); });
  expect_null(static_cast<lacuna_plan*>(nullptr), [&](auto** out) {
    return lacuna_plan_create(nullptr, &layer, &capacity, nullptr, out);
  });
  expect_null(static_cast<lacuna_tape*>(nullptr),
              [&](auto** out) { return lacuna_tape_create(nullptr, nullptr, 0, out); });
  expect_null(static_cast<lacuna_tape*>(nullptr),
              [&](auto** out) { return lacuna_tape_create(plan, nullptr, 64, out); });
  const lacuna_stack stack{.layers = &layer, .count = 0};
  expect_null(static_cast<lacuna_stack_plan*>(nullptr), [&](auto** out) {
    return lacuna_stack_plan_create(nullptr, &stack, &capacity, nullptr, out);
  });
  expect_null(static_cast<lacuna_stack_plan*>(nullptr), [&](auto** out) {
    return lacuna_stack_plan_create(context, &stack, &capacity, nullptr, out);
  });
  layer.hidden = 0;
  expect_null(static_cast<lacuna_plan*>(nullptr), [&](auto** out) {
    return lacuna_plan_create(context, &layer, &capacity, nullptr, out);
  });
}

// ---- Plans and tapes ----

class PlanErrors : public testing::Test {
 protected:
  lacuna_status create(const lacuna_capacity* capacity,
                       const lacuna_plan_options* options = nullptr) {
    lacuna_plan* plan = nullptr;
    const lacuna_status status = lacuna_plan_create(context, &layer, capacity, options, &plan);
    EXPECT_EQ(plan, nullptr);
    lacuna_plan_destroy(plan);
    lacuna_plan_info info{};
    const std::string message = lacuna_last_error();
    // Measuring asks the same question, so it gives the same answer, but for the workspace that it
    // does not look at.
    if (message.find("workspace") == std::string::npos) {
      EXPECT_EQ(lacuna_plan_measure(context, &layer, capacity, options, &info), status);
      EXPECT_EQ(lacuna_last_error(), message);
    }
    return status;
  }
  lacuna_status create(lacuna_capacity capacity) { return create(&capacity); }
  void expect_one_way();

  Context context;
  lacuna_layer layer = api_tests::gru_d();
  lacuna_capacity capacity{100, 10, 0};
};

TEST_F(PlanErrors, NullArguments) {
  lacuna_plan* plan = nullptr;
  lacuna_plan_info info{};
  EXPECT_TRUE(refused(lacuna_plan_create(nullptr, &layer, &capacity, nullptr, &plan),
                      LACUNA_INVALID_ARGUMENT, {"context: null"}));
  EXPECT_TRUE(refused(lacuna_plan_create(context, nullptr, &capacity, nullptr, &plan),
                      LACUNA_INVALID_ARGUMENT, {"layer: null"}));
  EXPECT_TRUE(refused(create(nullptr), LACUNA_INVALID_ARGUMENT, {"capacity: null"}));
  EXPECT_TRUE(refused(lacuna_plan_create(context, &layer, &capacity, nullptr, nullptr),
                      LACUNA_INVALID_ARGUMENT, {"plan: null"}));
  EXPECT_TRUE(refused(lacuna_plan_measure(nullptr, &layer, &capacity, nullptr, &info),
                      LACUNA_INVALID_ARGUMENT, {"context: null"}));
  EXPECT_TRUE(refused(lacuna_plan_measure(context, &layer, &capacity, nullptr, nullptr),
                      LACUNA_INVALID_ARGUMENT, {"info: null"}));
  EXPECT_TRUE(refused(lacuna_plan_query(nullptr, &info), LACUNA_INVALID_ARGUMENT, {"plan: null"}));
  std::size_t length = 0;
  EXPECT_TRUE(refused(lacuna_plan_explain(nullptr, nullptr, &length), LACUNA_INVALID_ARGUMENT,
                      {"plan: null"}));
  const Plan made(context, layer, capacity);
  EXPECT_TRUE(refused(lacuna_plan_query(made, nullptr), LACUNA_INVALID_ARGUMENT, {"info: null"}));
  EXPECT_TRUE(refused(lacuna_plan_explain(made, nullptr, nullptr), LACUNA_INVALID_ARGUMENT,
                      {"length: null"}));
}

TEST_F(PlanErrors, Capacity) {
  EXPECT_TRUE(refused(create({-1, 10}), LACUNA_INVALID_ARGUMENT,
                      {"capacity.tokens: -1, expected 0 to 281474976710656"}));
  EXPECT_TRUE(refused(create({100, -5}), LACUNA_INVALID_ARGUMENT,
                      {"capacity.sequences: -5, expected 0 to "}));
  const std::int64_t vast = std::numeric_limits<std::int64_t>::max();
  EXPECT_TRUE(refused(create({vast, 10}), LACUNA_INVALID_ARGUMENT,
                      {"capacity.tokens: 9223372036854775807, expected 0 to "}));
  EXPECT_TRUE(refused(create({100, vast}), LACUNA_INVALID_ARGUMENT,
                      {"capacity.sequences: 9223372036854775807, expected"}));
  layer.hidden = layer.features = 1 << 24;
  EXPECT_TRUE(refused(
      create({std::int64_t{1} << 48, 10}), LACUNA_INVALID_ARGUMENT,
      {"capacity: 281474976710656 tokens in 10 sequences, too many for any memory with a layer of "
       "16777216 features and 16777216 hidden units"}));
}

TEST_F(PlanErrors, MoreThanThereIs) {
  // Fits a size_t but no machine.
  EXPECT_TRUE(refused(
      [&] {
        const lacuna_capacity most{std::int64_t{1} << 46, 10, 0};
        lacuna_plan* plan = nullptr;
        lacuna_status status = lacuna_plan_create(context, &layer, &most, nullptr, &plan);
        if (status == LACUNA_OK) {  // a workspace may not grow with the tokens; a tape must
          lacuna_tape* tape = nullptr;
          status = lacuna_tape_create(plan, nullptr, 0, &tape);
          EXPECT_EQ(tape, nullptr);
        }
        lacuna_plan_destroy(plan);
        return status;
      }(),
      LACUNA_OUT_OF_MEMORY, {": the context's memory has no block of ", " bytes"}));
  EXPECT_EQ(context.info().bytes_in_use, 0u);
}

// What other backends have a choice of.
void PlanErrors::expect_one_way() {
  lacuna_plan_options options{};
  options.regime = LACUNA_REGIME_RESIDENT;
  EXPECT_TRUE(refused(create(&capacity, &options), LACUNA_UNSUPPORTED,
                      {"options.regime: 2, expected 0: the CPU backend has one way"}));
  options = {};
  options.precision = LACUNA_PRECISION_TF32;
  EXPECT_TRUE(refused(create(&capacity, &options), LACUNA_UNSUPPORTED,
                      {"options.precision: 1, expected 0: the CPU backend multiplies in the "}));
  options = {};
  options.tape = LACUNA_TAPE_STATES;
  EXPECT_TRUE(refused(create(&capacity, &options), LACUNA_UNSUPPORTED,
                      {"options.tape: 2, expected 0: the CPU backend has one kind of tape"}));
  options = {};
  options.tape_budget = 4096;
  EXPECT_TRUE(refused(create(&capacity, &options), LACUNA_UNSUPPORTED,
                      {"options.tape_budget: 4096, expected 0: the CPU backend has one kind"}));
}

TEST_F(PlanErrors, Options) {
  lacuna_plan_options options{};
  options.inference = 2;
  EXPECT_TRUE(refused(create(&capacity, &options), LACUNA_INVALID_ARGUMENT,
                      {"options.inference: 2, expected 0 or 1"}));
  options = {};
  const int no_regime = 7;
  std::memcpy(&options.regime, &no_regime, sizeof no_regime);
  EXPECT_TRUE(refused(create(&capacity, &options), LACUNA_INVALID_ARGUMENT,
                      {"options.regime: 7, expected a lacuna_regime, 0 to 5"}));
  if (support::on_cpu) expect_one_way();
  options = {};
  options.workspace_bytes = 640;
  EXPECT_TRUE(refused(create(&capacity, &options), LACUNA_INVALID_ARGUMENT,
                      {"options.workspace: null, but options.workspace_bytes is 640"}));

  if (!support::on_cpu) return;  // other backends refuse memory of the host, whatever its size
  lacuna_plan_info info{};
  ASSERT_EQ(lacuna_plan_measure(context, &layer, &capacity, nullptr, &info), LACUNA_OK);
  ASSERT_GT(info.workspace_bytes, 64u);
  void* const memory = std::aligned_alloc(64, info.workspace_bytes + 64);
  options = {.workspace = memory, .workspace_bytes = info.workspace_bytes - 1, .inference = 0};
  EXPECT_TRUE(refused(create(&capacity, &options), LACUNA_INVALID_ARGUMENT,
                      {"options.workspace_bytes: " + std::to_string(info.workspace_bytes - 1) +
                       ", expected at least " + std::to_string(info.workspace_bytes)}));
  options = {.workspace = static_cast<char*>(memory) + 16,
             .workspace_bytes = info.workspace_bytes,
             .inference = 0};
  EXPECT_TRUE(refused(create(&capacity, &options), LACUNA_INVALID_ARGUMENT,
                      {"options.workspace: address 0x", ", expected a multiple of 64"}));
  std::free(memory);
}

TEST_F(PlanErrors, ExplainIntoTooSmallAText) {
  const Plan plan(context, layer, capacity);
  std::size_t needed = 0;
  ASSERT_EQ(lacuna_plan_explain(plan, nullptr, &needed), LACUNA_OK);
  std::string text(needed + 1, '#');
  std::size_t room = needed;  // no place for the 0
  EXPECT_TRUE(refused(
      lacuna_plan_explain(plan, text.data(), &room), LACUNA_INVALID_ARGUMENT,
      {"length: " + std::to_string(needed) + ", expected at least " + std::to_string(needed + 1)}));
  EXPECT_EQ(text, std::string(needed + 1, '#'));
  EXPECT_EQ(room, needed);
}

TEST_F(PlanErrors, ExplainABatchThatDoesNotFit) {
  const Plan plan(context, layer, {.tokens = 20, .sequences = 2, .max_length = 15});
  std::size_t length = 0;
  const auto explain = [&](const std::vector<std::int64_t>& offsets) {
    return lacuna_plan_explain_batch(
        plan, offsets.data(), static_cast<std::int64_t>(offsets.size()) - 1, nullptr, &length);
  };
  EXPECT_EQ(explain({0, 10, 20}), LACUNA_OK);
  EXPECT_TRUE(refused(explain({1, 2}), LACUNA_INVALID_ARGUMENT, {"offsets[0]: 1, expected 0"}));
  EXPECT_TRUE(refused(explain({0, 5, 4}), LACUNA_INVALID_ARGUMENT,
                      {"offsets[2]: 4 falls below offsets[1] = 5"}));
  EXPECT_TRUE(refused(explain({0, 16}), LACUNA_CAPACITY_EXCEEDED,
                      {"offsets[1]: sequence 0 has 16 tokens", "for at most 15"}));
  EXPECT_TRUE(refused(explain({0, 15, 25}), LACUNA_CAPACITY_EXCEEDED,
                      {"offsets[2]: 25 tokens, but the plan was made for at most 20"}));
  EXPECT_TRUE(refused(explain({0, 1, 2, 3}), LACUNA_CAPACITY_EXCEEDED,
                      {"sequences: 3, but the plan was made for at most 2"}));
  EXPECT_TRUE(refused(lacuna_plan_explain_batch(plan, nullptr, -1, nullptr, &length),
                      LACUNA_INVALID_ARGUMENT, {"sequences: -1, expected at least 0"}));
  EXPECT_TRUE(refused(lacuna_plan_explain_batch(plan, nullptr, 1, nullptr, &length),
                      LACUNA_INVALID_ARGUMENT, {"offsets: null"}));
  EXPECT_TRUE(refused(lacuna_plan_explain_batch(nullptr, nullptr, 0, nullptr, &length),
                      LACUNA_INVALID_ARGUMENT, {"plan: null"}));
  EXPECT_TRUE(refused(lacuna_plan_explain_batch(plan, nullptr, 0, nullptr, nullptr),
                      LACUNA_INVALID_ARGUMENT, {"length: null"}));
}

TEST_F(PlanErrors, Tapes) {
  const Plan plan(context, layer, capacity);
  lacuna_tape* tape = nullptr;
  EXPECT_TRUE(refused(lacuna_tape_create(nullptr, nullptr, 0, &tape), LACUNA_INVALID_ARGUMENT,
                      {"plan: null"}));
  EXPECT_TRUE(refused(lacuna_tape_create(plan, nullptr, 0, nullptr), LACUNA_INVALID_ARGUMENT,
                      {"tape: null"}));
  EXPECT_TRUE(refused(lacuna_tape_create(plan, nullptr, 64, &tape), LACUNA_INVALID_ARGUMENT,
                      {"memory: null, but bytes is 64"}));
  if (!support::on_cpu) return;  // as above
  const std::size_t bytes = plan.info().tape_bytes;
  void* const memory = std::aligned_alloc(64, (bytes + 127) / 64 * 64);
  EXPECT_TRUE(refused(
      lacuna_tape_create(plan, memory, bytes - 1, &tape), LACUNA_INVALID_ARGUMENT,
      {"bytes: " + std::to_string(bytes - 1) + ", expected at least " + std::to_string(bytes)}));
  EXPECT_TRUE(refused(lacuna_tape_create(plan, static_cast<char*>(memory) + 4, bytes, &tape),
                      LACUNA_INVALID_ARGUMENT,
                      {"memory: address 0x", ", expected a multiple of 64"}));
  EXPECT_EQ(tape, nullptr);
  std::free(memory);
}

}  // namespace
