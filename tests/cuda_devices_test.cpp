// Several GPUs: contexts, plans and memory of each, from one host thread and from two; what belongs to another is refused.
// Without a second one they are skipped; the PTX machine has as many as it is told to.
#include <cuda_runtime.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/cuda.h"
#include "support/library_run.h"
#include "support/properties.h"
#include "support/recording.h"

namespace {

using support::ContextHandle;
using support::must;
using support::must_cuda;
using support::refused;

ContextHandle context_on(int device, const lacuna_allocator& allocator = {}) {
  lacuna_context_options options{};
  options.backend = LACUNA_BACKEND_CUDA;
  options.device = device;
  options.allocator = allocator;
  lacuna_context* context = nullptr;
  must(lacuna_context_create(&options, &context));
  return ContextHandle(context);
}

// While this lives, arrays of tests lie on that device, whichever is the current one.
class ArraysOn {
 public:
  explicit ArraysOn(int device) { support::Mirror::device = device; }
  ~ArraysOn() { support::Mirror::device = 0; }
  ArraysOn(const ArraysOn&) = delete;
  ArraysOn& operator=(const ArraysOn&) = delete;
};

int current_device() {
  int device = -1;
  must_cuda(cudaGetDevice(&device));
  return device;
}

std::size_t free_bytes(int device) {
  const int before = current_device();
  std::size_t free = 0, total = 0;
  must_cuda(cudaSetDevice(device));
  must_cuda(cudaDeviceSynchronize());  // blocks go back in the order of a stream
  must_cuda(cudaMemGetInfo(&free, &total));
  must_cuda(cudaSetDevice(before));
  return free;
}

using LayerRun = support::LibraryRun<float>;

void expect_equal(const LayerRun& run, const LayerRun& expected) {
  for (const auto& [name, buffer] : expected.results.entries())
    EXPECT_TRUE(support::agrees(
        name, support::compare_bits<float>(run.results.find(name)->span(), buffer->span())));
}

class CudaDevices : public testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    must_cuda(cudaGetDeviceCount(&devices));
    if (devices < 2) GTEST_SKIP() << "one device";
  }
  void TearDown() override { must_cuda(cudaSetDevice(0)); }
  const support::Case c = support::parse_case("grud_f32_n6_d5_h17_len0-9_miss80_seed4");
};

TEST_F(CudaDevices, TheBestIsTheFirstAndNoneBecomesTheCurrentOne) {
  must_cuda(cudaSetDevice(1));
  EXPECT_EQ(lacuna::Context::best().info().device, 0);
  for (const int device : {0, 1}) {
    EXPECT_EQ(lacuna::Context::cuda({.device = device}).info().device, device);
    const ContextHandle context = context_on(device);
    const ArraysOn there(device);
    LayerRun(c).run(context.get());
    EXPECT_EQ(current_device(), 1);
  }
}

// Chips need not be alike.
TEST_F(CudaDevices, EachSaysWhatItHas) {
  int devices = 0;
  must_cuda(cudaGetDeviceCount(&devices));
  const lacuna_layer layer = support::library_layer(c);
  for (int device = 0; device < devices; ++device) {
    cudaDeviceProp chip{};
    must_cuda(cudaGetDeviceProperties(&chip, device));
    const ContextHandle context = context_on(device);
    EXPECT_EQ(
        support::plan_status(context.get(), layer, LACUNA_REGIME_CLUSTER, {10, 2, 0}) == LACUNA_OK,
        chip.clusterLaunch != 0)
        << device;
    const auto plan = support::make_plan(context.get(), layer, {10, 2, 0});
    EXPECT_NE(support::explained(plan.get()).find("sm_" + std::to_string(chip.major)),
              std::string::npos);
  }
}

TEST_F(CudaDevices, PlansOfTwoTakeTurnsInOneThread) {
  for (const lacuna_regime regime : {LACUNA_REGIME_STEPWISE, LACUNA_REGIME_RESIDENT}) {
    const support::InRegime in(regime);
    const std::array contexts{context_on(0), context_on(1)};
    LayerRun alone(c);
    alone.run(contexts[0].get());
    std::vector<support::PlanHandle> plans;
    std::vector<support::TapeHandle> tapes;
    std::vector<std::unique_ptr<LayerRun>> runs;
    for (const ContextHandle& context : contexts) {
      runs.push_back(std::make_unique<LayerRun>(c));
      plans.push_back(
          support::make_plan(context.get(), runs.back()->layer(), runs.back()->capacity()));
      tapes.push_back(support::make_tape(plans.back().get()));
    }
    for (const std::size_t d : {0, 1}) {
      const ArraysOn there(static_cast<int>(d));
      runs[d]->forward(plans[d].get(), tapes[d].get());
    }
    for (const std::size_t d : {1, 0}) {
      const ArraysOn there(static_cast<int>(d));
      runs[d]->backward(plans[d].get(), tapes[d].get());
      expect_equal(*runs[d], alone);
    }
  }
}

TEST_F(CudaDevices, ServeTwoThreadsAtOnce) {
  const std::array contexts{context_on(0), context_on(1)};
  LayerRun alone(c);
  alone.run(contexts[0].get());
  std::array<LayerRun, 2> runs{LayerRun(c), LayerRun(c)};
  std::vector<std::thread> workers;
  for (const std::size_t d : {0, 1})
    workers.emplace_back([&, d] {
      const ArraysOn there(static_cast<int>(d));
      runs[d].run(contexts[d].get());
    });
  for (std::thread& worker : workers) worker.join();
  for (const LayerRun& run : runs) expect_equal(run, alone);
}

TEST_F(CudaDevices, ArraysOfAnotherAreRefusedByName) {
  const ContextHandle context = context_on(0);
  LayerRun run(c);
  const auto plan = support::make_plan(context.get(), run.layer(), run.capacity());
  const auto tape = support::make_tape(plan.get());
  const auto refusal = [](const std::string& argument) { return argument + ": address 0x"; };
  const std::string words = "memory of device 1, expected memory of device 0";
  const auto message_of = [](const std::function<void()>& call) -> std::string {
    try {
      call();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "no error";
  };
  // Everything on the other device: the first argument that is looked at says so.
  for (const bool forwards : {true, false}) {
    const ArraysOn there(1);
    const std::string message = message_of([&] {
      if (forwards)
        run.forward(plan.get(), tape.get());
      else
        run.backward(plan.get(), tape.get());
    });
    EXPECT_NE(message.find(refusal("parameters.weights_x")), std::string::npos) << message;
    EXPECT_NE(message.find(words), std::string::npos) << message;
  }
  // The plan of one device and the tape of another.
  const ContextHandle other = context_on(1);
  const auto other_plan = support::make_plan(other.get(), run.layer(), run.capacity());
  const auto other_tape = support::make_tape(other_plan.get());
  const std::string message = message_of([&] { run.forward(plan.get(), other_tape.get()); });
  EXPECT_NE(message.find("tape: made for a plan of another context"), std::string::npos) << message;
}

TEST_F(CudaDevices, EveryArrayIsLookedAt) {
  const ContextHandle context = context_on(0);
  must_cuda(cudaSetDevice(1));
  support::Array<float> far(64);
  must_cuda(cudaSetDevice(0));
  support::Array<float> near(64), near_too(64), near_last(64), near_more(64);
  const auto expect = [&](lacuna_status status, const std::string& argument) {
    EXPECT_TRUE(refused(status, LACUNA_INVALID_ARGUMENT, argument + ": address 0x"));
    EXPECT_TRUE(refused(status, LACUNA_INVALID_ARGUMENT,
                        "memory of device 1, expected memory of device 0"));
  };
  const lacuna_layer layer =
      support::library_layer(support::parse_case("rnn_f32_n1_h8_len1_seed1"));
  const lacuna_capacity capacity{10, 2, 0};
  lacuna_plan_options options{};
  options.workspace = far.data();
  options.workspace_bytes = 64 * sizeof(float);
  lacuna_plan* plan = nullptr;
  expect(lacuna_plan_create(context.get(), &layer, &capacity, &options, &plan),
         "options.workspace");
  const auto made = support::make_plan(context.get(), layer, capacity);
  lacuna_tape* tape = nullptr;
  expect(lacuna_tape_create(made.get(), far.data(), 64 * sizeof(float), &tape), "memory");
  lacuna_adam adam{};
  adam.learning_rate = 0.1;
  adam.beta1 = 0.9;
  adam.beta2 = 0.99;
  adam.epsilon = 1e-8;
  adam.step = 1;
  for (const bool moment : {false, true})
    expect(lacuna_adam_step(context.get(), &adam, LACUNA_F32, 64, moment ? near.data() : far.data(),
                            near_too.data(), moment ? far.data() : near_last.data(),
                            near_more.data(), nullptr),
           moment ? "first_moment" : "gradients");
}

// How many rows they have, the host does not know.
TEST_F(CudaDevices, PackedRowsOfAnotherAreRefused) {
  const ContextHandle context = context_on(0);
  must_cuda(cudaSetDevice(1));
  support::Array<float> far(8);
  must_cuda(cudaSetDevice(0));
  support::Array<float> padded(8);
  support::Array<std::int64_t> lengths(2), offsets(3);
  const std::int64_t known[] = {0, 2, 4};
  lengths.set(known + 1, 2);
  offsets.set(known, 3);
  const lacuna_status statuses[] = {
      lacuna_pack(context.get(), 2, 4, 4, lengths.data(), padded.data(), offsets.data(), far.data(),
                  nullptr),
      lacuna_unpack(context.get(), 2, 4, 4, offsets.data(), far.data(), padded.data(), nullptr)};
  for (const lacuna_status status : statuses)
    EXPECT_TRUE(refused(status, LACUNA_INVALID_ARGUMENT, "packed: address 0x"));
  EXPECT_TRUE(refused(statuses[1], LACUNA_INVALID_ARGUMENT,
                      "memory of device 1, expected memory of device 0"));
}

TEST_F(CudaDevices, AStreamOfAnotherIsRefused) {
  const ContextHandle context = context_on(0);
  must_cuda(cudaSetDevice(1));
  cudaStream_t stream = nullptr;
  must_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  must_cuda(cudaSetDevice(0));
  support::Array<float> x(4), weights(4), bias(1), y(4);
  EXPECT_TRUE(refused(lacuna_linear_forward(context.get(), LACUNA_F32, 4, 1, 1, x.data(),
                                            weights.data(), bias.data(), y.data(), stream),
                      LACUNA_INVALID_ARGUMENT, "stream: of device 1, expected one of device 0"));
  must_cuda(cudaStreamDestroy(stream));
}

TEST_F(CudaDevices, MemoryGoesBackToItsOwn) {
  {  // what a process takes only once
    const ArraysOn there(1);
    LayerRun(c).run(context_on(1).get());
  }
  const std::array before{free_bytes(0), free_bytes(1)};
  {
    LayerRun run(c);
    support::PlanHandle plan;
    support::TapeHandle tape;
    {
      const ContextHandle context = context_on(1);
      plan = support::make_plan(context.get(), run.layer(), run.capacity());
      tape = support::make_tape(plan.get());
      EXPECT_EQ(free_bytes(0), before[0]);
      EXPECT_LT(free_bytes(1), before[1]);
    }
    // Its handle is gone; the plan keeps what it needs.
    const ArraysOn there(1);
    run.forward(plan.get(), tape.get());
    run.backward(plan.get(), tape.get());
  }
  EXPECT_EQ(free_bytes(0), before[0]);
  EXPECT_EQ(free_bytes(1), before[1]);
}

// The caller's functions, which take from the current device as cudaMalloc does.
struct Taken {
  int device_override = -1;  // another than the current one
  std::vector<int> current = {};
  static void* allocate(void* user, std::size_t bytes, std::size_t, void*) {
    auto& taken = *static_cast<Taken*>(user);
    const int before = current_device();
    taken.current.push_back(before);
    if (taken.device_override >= 0) must_cuda(cudaSetDevice(taken.device_override));
    void* block = nullptr;
    must_cuda(cudaMalloc(&block, bytes));
    must_cuda(cudaSetDevice(before));
    return block;
  }
  static void deallocate(void* user, void* block, std::size_t, std::size_t, void*) {
    static_cast<Taken*>(user)->current.push_back(current_device());
    must_cuda(cudaFree(block));
  }
  lacuna_allocator table() { return {allocate, deallocate, this}; }
};

TEST_F(CudaDevices, TheCallersAllocatorFindsTheContextsToBeTheCurrentOne) {
  Taken taken;
  {
    const ContextHandle context = context_on(1, taken.table());
    const ArraysOn there(1);
    LayerRun(c).run(context.get());
  }
  EXPECT_GE(taken.current.size(), 4u);
  for (const int device : taken.current) EXPECT_EQ(device, 1);
}

TEST_F(CudaDevices, MemoryOfAnotherFromTheCallersAllocatorIsRefused) {
  Taken taken{.device_override = 0};
  const ContextHandle context = context_on(1, taken.table());
  const lacuna_layer layer = support::library_layer(c);
  const lacuna_capacity capacity{10, 2, 0};
  lacuna_plan* plan = nullptr;
  const lacuna_status status = lacuna_plan_create(context.get(), &layer, &capacity, nullptr, &plan);
  EXPECT_TRUE(refused(status, LACUNA_INVALID_ARGUMENT, "allocator.allocate: returned address 0x"));
  EXPECT_TRUE(
      refused(status, LACUNA_INVALID_ARGUMENT, "memory of device 0, expected memory of device 1"));
  EXPECT_EQ(taken.current.size(), 2u) << "the block was not given back";
}

}  // namespace
