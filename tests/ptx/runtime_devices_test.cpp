// Several devices on the stand-in for the CUDA runtime: what of one may be used with another, and what is refused. Run with
// LACUNA_PTX_DEVICES=sm_90,sm_90,sm_80 (cmake/LacunaPtxTests.cmake).
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "ptx/runtime.h"
#include "ptx/runtime_kernels.h"
#include "ptx/sample_program.h"

namespace {

using namespace lacuna::ptx;

class RuntimeDevices : public testing::Test {
 protected:
  void SetUp() override {
    if (Runtime::get().devices < 3) GTEST_SKIP() << "one device";
    for (int device = 0; device < 2; ++device) {
      ASSERT_EQ(cudaSetDevice(device), cudaSuccess);
      ASSERT_EQ(cudaStreamCreateWithFlags(&streams[device], cudaStreamNonBlocking), cudaSuccess);
      ASSERT_EQ(cudaEventCreate(&events[device]), cudaSuccess);
      ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&blocks[device]), bytes), cudaSuccess);
    }
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  }
  void TearDown() override {
    if (IsSkipped()) return;
    (void)cudaGetLastError();
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
    for (int device = 0; device < 2; ++device) {
      EXPECT_EQ(cudaStreamDestroy(streams[device]), cudaSuccess);
      EXPECT_EQ(cudaEventDestroy(events[device]), cudaSuccess);
      EXPECT_EQ(cudaFree(blocks[device]), cudaSuccess);
    }
  }
  // 32 words of a device's block.
  static cudaError_t fill(std::uint32_t* out, std::uint32_t value, cudaStream_t stream) {
    void* arguments[] = {&out, &value};
    return cudaLaunchKernel(&samples().fill, dim3(1), dim3(32), arguments, 0, stream);
  }

  static constexpr std::size_t bytes = 32 * 4;
  cudaStream_t streams[2] = {};
  cudaEvent_t events[2] = {};
  std::uint32_t* blocks[2] = {};
};

TEST_F(RuntimeDevices, EachHostThreadHasItsOwnCurrentOne) {
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  std::thread([] {
    int device = -1;
    EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
    EXPECT_EQ(device, 0);
    EXPECT_EQ(cudaSetDevice(2), cudaSuccess);
  }).join();
  int device = -1;
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 1);
  for (const int absent : {-1, 3}) EXPECT_EQ(cudaSetDevice(absent), cudaErrorInvalidDevice);
}

TEST_F(RuntimeDevices, MemoryBelongsToOne) {
  for (int device = 0; device < 2; ++device) {
    cudaPointerAttributes attributes{};
    ASSERT_EQ(cudaPointerGetAttributes(&attributes, blocks[device] + 1), cudaSuccess);
    EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
    EXPECT_EQ(attributes.device, device);
  }
  const auto left = [](int device) {
    std::size_t free = 0, total = 0;
    EXPECT_EQ(cudaSetDevice(device), cudaSuccess);
    EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    return free;
  };
  const std::size_t before[] = {left(0), left(1)};
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, {3}};
  cudaMemPool_t pool = nullptr;
  EXPECT_EQ(cudaMemPoolCreate(&pool, &properties), cudaErrorInvalidDevice);
  properties.location.id = 1;
  ASSERT_EQ(cudaMemPoolCreate(&pool, &properties), cudaSuccess);
  // The pool says whose memory it is, not the stream nor the current device.
  void* block = nullptr;
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  ASSERT_EQ(cudaMallocFromPoolAsync(&block, 1000, pool, streams[0]), cudaSuccess);
  EXPECT_EQ(left(0), before[0]);
  EXPECT_EQ(left(1), before[1] - 1000);
  EXPECT_EQ(cudaFreeAsync(block, streams[0]), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(streams[0]), cudaSuccess);
  EXPECT_EQ(left(1), before[1]);
  EXPECT_EQ(cudaMemPoolDestroy(pool), cudaSuccess);
}

TEST_F(RuntimeDevices, LaunchesAndFillsAreQueuedOnTheirOwnStreams) {
  for (int expected = 0; expected < 2; ++expected) {
    int device = -1;
    EXPECT_EQ(cudaStreamGetDevice(streams[expected], &device), cudaSuccess);
    EXPECT_EQ(device, expected);
  }
  EXPECT_EQ(fill(blocks[0], 1, streams[0]), cudaSuccess);
  EXPECT_EQ(fill(blocks[1], 1, streams[1]), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaMemsetAsync(blocks[1], 0, bytes, streams[1]), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaMemsetAsync(blocks[1], 0, bytes, streams[0]), cudaErrorInvalidValue);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(fill(blocks[1], 2, streams[1]), cudaSuccess);
  EXPECT_EQ(fill(blocks[1], 2, streams[0]), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST_F(RuntimeDevices, AKernelCannotReachAnothersMemory) {
  (void)fill(blocks[1], 1, streams[0]);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  Runtime::get().lost = cudaSuccess;  // for the other tests
}

TEST_F(RuntimeDevices, CopiesGoBetweenThemOnAnyStream) {
  ASSERT_EQ(fill(blocks[0], 7, streams[0]), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(streams[0]), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(blocks[1], blocks[0], bytes, cudaMemcpyDefault, streams[1]),
            cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(streams[1]), cudaSuccess);
  std::vector<std::uint32_t> read(32);
  ASSERT_EQ(cudaMemcpy(read.data(), blocks[1], bytes, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(read, std::vector<std::uint32_t>(32, 7));
}

TEST_F(RuntimeDevices, AnEventIsRecordedOnItsOwnAndWaitedForOnAny) {
  EXPECT_EQ(cudaEventRecord(events[1], streams[1]), cudaSuccess);  // whichever is current
  EXPECT_EQ(cudaEventRecord(events[1], streams[0]), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventRecord(events[0], streams[0]), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(streams[0], events[1], 0), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(events[1]), cudaSuccess);
  float time = 0;
  EXPECT_EQ(cudaStreamSynchronize(streams[0]), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&time, events[0], events[1]), cudaErrorInvalidResourceHandle);
}

TEST_F(RuntimeDevices, KernelsAreOptedIntoLimitsOnEach) {
  const void* const kernel = &samples().shares;
  const auto launch = [&] {
    return cudaLaunchKernel(kernel, dim3(1), dim3(32), nullptr, 100 << 10, nullptr);
  };
  ASSERT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10),
            cudaSuccess);
  EXPECT_EQ(launch(), cudaSuccess);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(launch(), cudaErrorInvalidValue);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  ASSERT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 48 << 10),
            cudaSuccess);
}

TEST_F(RuntimeDevices, TheLastIsAnotherChip) {
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 2), cudaSuccess);
  EXPECT_EQ(properties.major, 8);
  EXPECT_EQ(properties.sharedMemPerBlockOptin, 163u << 10);
  EXPECT_EQ(properties.clusterLaunch, 0);
  ASSERT_EQ(cudaSetDevice(2), cudaSuccess);
  std::uint32_t* block = nullptr;
  ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&block), bytes), cudaSuccess);
  EXPECT_EQ(fill(block, 1, nullptr), cudaErrorNoKernelImageForDevice);  // the sample is for sm_90
  cudaFuncAttributes attributes{};
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, &samples().fill), cudaErrorNoKernelImageForDevice);
  EXPECT_EQ(cudaFree(block), cudaSuccess);
}

// --- waits, by the class behind CUDA's functions ------------------------------------------------

TEST(RuntimeStreams, ADeviceIsWaitedForAlone) {
  int undone = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Streams streams(2, seed);
    bool first = false, second = false;
    streams.enqueue(streams.at(streams.create(0, false), 0), [&] { first = true; });
    streams.enqueue(streams.at(streams.create(1, false), 1), [&] { second = true; });
    streams.finish_device(0);
    EXPECT_TRUE(first);
    undone += !second;
  }
  EXPECT_GT(undone, 0);
}

}  // namespace
