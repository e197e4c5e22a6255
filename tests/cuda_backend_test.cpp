// The CUDA backend's contexts, plans and memory: what runs may not do, and what happens when something fails.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/cuda.h"
#include "support/library_run.h"
#include "support/properties.h"
#include "support/recording.h"
#ifndef LACUNA_TEST_ON_DEVICE
#include "emulator/emulator.h"
#endif

namespace {

using support::ContextHandle;
using support::must;
using support::refused;

TEST(CudaContext, IsTheBestThereIs) {
  for (const lacuna_backend backend : {LACUNA_BACKEND_BEST, LACUNA_BACKEND_CUDA}) {
    lacuna_context_info info{};
    must(lacuna_context_query(support::make_context_of(backend).get(), &info));
    EXPECT_EQ(info.backend, LACUNA_BACKEND_CUDA);
    EXPECT_EQ(info.device, 0);
  }
  lacuna_context_info info{};
  must(lacuna_context_query(support::make_context_of(LACUNA_BACKEND_CPU).get(), &info));
  EXPECT_EQ(info.backend, LACUNA_BACKEND_CPU);
  EXPECT_EQ(info.device, -1);
}

TEST(CudaContext, RefusesADeviceThatIsNotThere) {
  lacuna_context_options options{};
  options.backend = LACUNA_BACKEND_CUDA;
  for (const int device : {-1, 1000}) {
    options.device = device;
    lacuna_context* context = nullptr;
    EXPECT_TRUE(refused(lacuna_context_create(&options, &context), LACUNA_INVALID_ARGUMENT,
                        "options.device: " + std::to_string(device)));
    EXPECT_EQ(context, nullptr);
  }
}

TEST(CudaPlan, ExplainsItself) {
  const ContextHandle context = support::make_context();
  const support::Case c = support::parse_case("grud_f16_n4_d3_h9_len1-9_miss50_seed1");
  const auto plan = support::make_plan(context.get(), support::library_layer(c), {100, 10, 50});
  const std::string text = support::explained(plan.get());
  for (const char* part : {"100 tokens in 10 sequences of at most 50", "CUDA", "fp16", "resident"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

// A context serves several host threads at once, each with a plan of its own.
TEST(CudaContext, ServesTwoThreadsAtOnce) {
  const support::Case c = support::parse_case("grud_f32_n6_d5_h17_len0-9_miss80_seed4");
  const ContextHandle context = support::make_context();
  support::LibraryRun<float> alone(c);
  alone.run(context.get());
  std::vector<std::unique_ptr<support::LibraryRun<float>>> runs;
  std::vector<std::thread> workers;
  for (int w = 0; w < 2; ++w) {
    runs.push_back(std::make_unique<support::LibraryRun<float>>(c));
    workers.emplace_back([&context, run = runs.back().get()] { run->run(context.get()); });
  }
  for (std::thread& worker : workers) worker.join();
  for (const auto& run : runs)
    for (const auto& [name, buffer] : alone.results.entries())
      EXPECT_TRUE(support::agrees(
          name, support::compare_bits<float>(run->results.find(name)->span(), buffer->span())));
}

// ---- Memory ----

class CudaRun : public testing::TestWithParam<lacuna_regime> {};

TEST_P(CudaRun, AsksForNoMemory) {
  if (!support::serves(GetParam())) GTEST_SKIP() << "no clusters here";
  const support::InRegime regime(GetParam());
  const support::Case c = support::parse_case("grud_f32_n6_d5_h17_len0-19_miss80_seed4");
  const ContextHandle context = support::make_context();
  support::LibraryRun<float> run(c);
  const auto plan = support::make_plan(context.get(), run.layer(), run.capacity());
  const auto tape = support::make_tape(plan.get());
  lacuna_context_info before{}, after{};
  must(lacuna_context_query(context.get(), &before));
#ifndef LACUNA_TEST_ON_DEVICE
  const auto allocations = lacuna::emulator::counters().allocations.load();
  const auto launches = lacuna::emulator::counters().launches.load();
  const auto waits = lacuna::emulator::counters().synchronisations.load();
#endif
  run.forward(plan.get(), tape.get());
  run.backward(plan.get(), tape.get());
  must(lacuna_context_query(context.get(), &after));
  EXPECT_EQ(after.allocations, before.allocations);
#ifndef LACUNA_TEST_ON_DEVICE
  EXPECT_EQ(lacuna::emulator::counters().allocations.load(), allocations);
  EXPECT_EQ(lacuna::emulator::counters().synchronisations.load(), waits);
  // 19 steps of kernels, or one kernel, each way; and what is done for all tokens.
  const std::uint64_t fewest = GetParam() == LACUNA_REGIME_STEPWISE ? 20 : 2;
  EXPECT_GT(lacuna::emulator::counters().launches.load(), launches + fewest);
#endif
}

INSTANTIATE_TEST_SUITE_P(Regimes, CudaRun,
                         testing::Values(LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT,
                                         LACUNA_REGIME_LONE, LACUNA_REGIME_CLUSTER,
                                         LACUNA_REGIME_GRID));

// Memory of the device that begins 64 bytes behind a multiple of 256, and so is aligned to 64 and no more.
class BarelyAligned {
 public:
  explicit BarelyAligned(std::size_t bytes) : block_(bytes + 256) {}
  void* data() {
    const auto address = reinterpret_cast<std::uintptr_t>(block_.data());
    return block_.data() + (256 + 64 - address % 256) % 256;
  }

 private:
  support::Array<unsigned char> block_;
};

// cuBLASLt wants more than the 64 bytes that a caller's memory has to be aligned to.
TEST(CudaMemory, OfTheCallerIsAlignedTo64BytesAndNoMore) {
  for (const char* name :
       {"grud_f32_n6_d5_h17_len0-9_miss80_seed4", "lstm_f64_n5_d3_h8_len0-9_init_seed7"}) {
    const support::Case c = support::parse_case(name);
    const ContextHandle context = support::make_context();
    support::in_type(c, [&]<class Real>(Real) {
      support::LibraryRun<Real> expected(c), run(c);
      expected.run(context.get());
      const lacuna_capacity room = run.capacity();
      lacuna_plan_info info{};
      must(lacuna_plan_query(support::make_plan(context.get(), run.layer(), room).get(), &info));
      BarelyAligned workspace(info.workspace_bytes), tape_memory(info.tape_bytes);
      lacuna_plan_options options{};
      options.workspace = workspace.data();
      options.workspace_bytes = info.workspace_bytes;
      lacuna_plan* made = nullptr;
      must(lacuna_plan_create(context.get(), &run.layer(), &room, &options, &made));
      const support::PlanHandle plan(made);
      lacuna_tape* taken = nullptr;
      must(lacuna_tape_create(plan.get(), tape_memory.data(), info.tape_bytes, &taken));
      const support::TapeHandle tape(taken);
      run.forward(plan.get(), tape.get());
      run.backward(plan.get(), tape.get());
      for (const auto& [name, buffer] : expected.results.entries())
        EXPECT_TRUE(support::agrees(
            name, support::compare_bits<Real>(run.results.find(name)->span(), buffer->span())));
    });
  }
}

// The workspace of so many tokens is larger than any memory.
TEST(CudaMemory, ThatAPlanDoesNotGetIsSaidAndTheContextTrains) {
  const support::Case c = support::parse_case("gru_f32_n4_d3_h8_len1-7_seed2");
  const ContextHandle context = support::make_context();
  support::LibraryRun<float> expected(c), run(c);
  expected.run(support::make_context().get());
  EXPECT_TRUE(refused(support::plan_status(context.get(), run.layer(), LACUNA_REGIME_BEST,
                                           {std::int64_t{1} << 42, 1000, 0}),
                      LACUNA_OUT_OF_MEMORY, "bytes"));
  run.run(context.get());
  support::expect_same_bits(run, expected);
}

TEST(CudaMemory, MoreSequencesThanTheDeviceSorts) {
  const support::Case c = support::parse_case("gru_f32_n4_d3_h8_len1-7_seed2");
  const ContextHandle context = support::make_context();
  const support::LibraryRun<float> run(c);
  EXPECT_TRUE(refused(support::plan_status(context.get(), run.layer(), LACUNA_REGIME_BEST,
                                           {100, std::int64_t{1} << 31, 0}),
                      LACUNA_INVALID_ARGUMENT,
                      "capacity.sequences: 2147483648, expected 0 to 2147483647 on CUDA"));
}

#ifndef LACUNA_TEST_ON_DEVICE
// Kernels of a forward and a backward run, products apart.
struct Launches {
  std::uint64_t forward, backward;
};
template <class Real>
Launches launches_of(const char* text) {
  const support::InRegime regime(LACUNA_REGIME_RESIDENT);
  const ContextHandle context = support::make_context();
  support::LibraryRun<Real> run(support::parse_case(text));
  const auto plan = support::make_plan(context.get(), run.layer(), run.capacity());
  const auto tape = support::make_tape(plan.get());
  const auto count = [] { return lacuna::emulator::counters().launches.load(); };
  const auto begin = count();
  run.forward(plan.get(), tape.get());
  const auto middle = count();
  run.backward(plan.get(), tape.get());
  return {middle - begin, count() - middle};
}

// Each costs a short step about as much as a time step of the recurrence.
TEST(CudaRun, LaunchesLittleAroundTheRecurrence) {
  // Offsets, a copy of the rows and the recurrence; offsets, the recurrence, two for the bias, and two for the gradient by
  // the gaps, which this test asks for.
  const Launches whole = launches_of<float>("lstm_f32_n5_d8_h16_len1-9_seed3");
  EXPECT_EQ(whole.forward, 3u);
  EXPECT_EQ(whole.backward, 6u);
  // And W_x is packed; twice; its gradient and that of the rows are brought to the caller's widths.
  const Launches padded = launches_of<float>("lstm_f32_n5_d5_h16_len1-9_seed3");
  EXPECT_EQ(padded.forward, 4u);
  EXPECT_EQ(padded.backward, 9u);
  // All its weights are packed by one launch, and its biases summed with what its decays have.
  const Launches decays = launches_of<float>("grud_f32_n5_d5_h17_len1-9_miss50_seed3");
  EXPECT_EQ(decays.forward, 7u);
  EXPECT_EQ(decays.backward, 16u);
}

struct Ledger {
  int left = 1 << 20, blocks = 0;
  std::vector<void*> streams;  // of each block that was taken
  static void* allocate(void* user, std::size_t bytes, std::size_t alignment, void* stream) {
    auto& ledger = *static_cast<Ledger*>(user);
    if (ledger.left-- <= 0) return nullptr;
    ++ledger.blocks;
    ledger.streams.push_back(stream);
    return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  }
  static void deallocate(void* user, void* block, std::size_t, std::size_t, void*) {
    --static_cast<Ledger*>(user)->blocks;
    std::free(block);
  }
};

// Every allocation fails once; nothing leaks, and the context works afterwards.
TEST(CudaMemory, ACallersAllocatorMayFail) {
  const support::Case c = support::parse_case("lstm_f32_n4_d3_h8_len0-7_seed2");
  Ledger ledger;
  {
    const ContextHandle context = support::make_context_of(
        LACUNA_BACKEND_CUDA, {Ledger::allocate, Ledger::deallocate, &ledger});
    std::vector<float> x(12, 1), w(3, 1), dy(4, 1), dw(3, 0);
    const auto everything = [&] {
      support::LibraryRun<float> run(c);
      run.run(context.get());
      must(lacuna_linear_backward(context.get(), LACUNA_F32, 4, 3, 1, x.data(), w.data(), dy.data(),
                                  nullptr, dw.data(), nullptr, nullptr));
    };
    int failures = 0;
    for (int until = 0; failures == until; ++until) {
      ledger.left = until;
      try {
        everything();
      } catch (const std::runtime_error& error) {
        EXPECT_NE(std::string(error.what()).find("LACUNA_OUT_OF_MEMORY"), std::string::npos)
            << error.what();
        ++failures;
      }
      EXPECT_EQ(ledger.blocks, 0);
    }
    EXPECT_EQ(failures, 3);  // workspace, tape, scratch
  }
  EXPECT_EQ(ledger.blocks, 0);
}

// Which calls take memory of their own, as lacuna_allocator says: in their stream, and none of it for longer than they last.
TEST(CudaMemory, OfACallIsTakenInItsStreamAndGivenBack) {
  Ledger ledger;
  const ContextHandle context = support::make_context_of(
      LACUNA_BACKEND_CUDA, {Ledger::allocate, Ledger::deallocate, &ledger});
  void* const stream = &ledger;  // to the emulator one is as good as another
  const auto blocks_of = [&](auto&& call) {
    const int before = ledger.blocks;
    ledger.streams.clear();
    call();
    EXPECT_EQ(ledger.blocks, before);
    return ledger.streams;
  };
  const std::vector<void*> none, one{stream};
  std::vector<float> x(12, 1), w(3, 1), y(4, 1), dx(12), dw(3), db(1), first(3), second(3);
  std::vector<std::int64_t> counts{3};
  double loss = 0, norm = 0;
  std::int64_t count = 0;
  void* gradients[] = {dw.data()};
  const lacuna_adam adam{0.1, 0.9, 0.999, 1e-8, 0, 1};
  const lacuna_adam_array array{3, dw.data(), w.data(), first.data(), second.data()};
  const auto linear_backward = [&](float* d_x, float* d_weights, float* d_bias) {
    return blocks_of([&] {
      must(lacuna_linear_backward(context.get(), LACUNA_F32, 4, 3, 1, x.data(), w.data(), y.data(),
                                  d_x, d_weights, d_bias, stream));
    });
  };
  EXPECT_EQ(linear_backward(dx.data(), nullptr, nullptr), none);
  EXPECT_EQ(linear_backward(nullptr, dw.data(), nullptr), one);
  EXPECT_EQ(linear_backward(nullptr, nullptr, db.data()), one);
  EXPECT_EQ(blocks_of([&] {
              must(lacuna_linear_forward(context.get(), LACUNA_F32, 4, 3, 1, x.data(), w.data(),
                                         nullptr, y.data(), stream));
            }),
            none);
  EXPECT_EQ(blocks_of([&] {
              must(lacuna_loss_evaluate(context.get(), LACUNA_LOSS_SQUARED_ERROR, LACUNA_F32, 4, 1,
                                        y.data(), y.data(), nullptr, 1, nullptr, &loss, &count,
                                        nullptr, stream));
            }),
            one);
  EXPECT_EQ(blocks_of([&] {
              must(lacuna_clip_gradient_norm(context.get(), LACUNA_F32, 1, gradients, counts.data(),
                                             1, &norm, stream));
            }),
            one);
  EXPECT_EQ(blocks_of([&] {
              must(lacuna_adam_step(context.get(), &adam, LACUNA_F32, 3, dw.data(), w.data(),
                                    first.data(), second.data(), stream));
            }),
            none);
  EXPECT_EQ(blocks_of([&] {
              must(lacuna_adam_step_clipped(context.get(), &adam, LACUNA_F32, 1, &array, 1, nullptr,
                                            nullptr, &norm, stream));
            }),
            one);
  // A run of a plan, with arrays of the device and of the host.
  support::LibraryRun<float> run(support::parse_case("lstm_f32_n4_d3_h8_len0-7_seed2"));
  const auto plan = support::make_plan(context.get(), run.layer(), run.capacity());
  EXPECT_EQ(blocks_of([&] { run.forward(plan.get(), nullptr); }), none);
  const support::HostArrays host;
  EXPECT_GT(blocks_of([&] { run.forward(plan.get(), nullptr); }).size(), 1u);
}

// ---- What the device refuses ----

TEST(CudaErrors, AFailedLaunchNamesItselfAndLeavesAllUsable) {
  const support::Case c = support::parse_case("gru_f32_n4_d3_h8_len1-7_seed2");
  const ContextHandle context = support::make_context();
  support::LibraryRun<float> run(c);
  const auto plan = support::make_plan(context.get(), run.layer(), run.capacity());
  lacuna::emulator::Settings& settings = lacuna::emulator::settings();
  const auto whole = settings.device;
  settings.device.threads_per_block = 16;
  try {
    run.forward(plan.get(), nullptr);
    ADD_FAILURE() << "was not refused";
  } catch (const std::runtime_error& error) {
    for (const char* part :
         {"LACUNA_DEVICE_ERROR: forward: launch of lacuna::", "::tokens::store_",
          ": refused: 256 threads per block",
          "; layer none -> none -> gru, fp32, 3 features, 8 hidden", " tokens in 4 sequences"})
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
  settings.device = whole;
  run.forward(plan.get(), nullptr);
}
#endif

}  // namespace
