// Launches on the stand-in for the CUDA runtime: what runs, what is refused, and what a fault leaves behind.
#include <gtest/gtest.h>

#include <vector>

#include "ptx/runtime.h"
#include "ptx/runtime_kernels.h"
#include "ptx/sample_program.h"

namespace {

using namespace lacuna::ptx;

struct Launch {
  unsigned grid = 1, block = 32, cluster = 1;
  std::size_t shared = 0;
  bool cooperative = false;
};

cudaError_t launch(const void* stub, const Launch& shape, void** arguments = nullptr,
                   cudaStream_t stream = nullptr) {
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {shape.cluster, 1, 1};
  attributes[1].id = cudaLaunchAttributeCooperative;
  attributes[1].val.cooperative = shape.cooperative;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.grid);
  config.blockDim = dim3(shape.block);
  config.dynamicSmemBytes = shape.shared;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  const cudaError_t status = cudaLaunchKernelExC(&config, stub, arguments);
  if (status != cudaSuccess && Runtime::get().lost == cudaSuccess) {
    EXPECT_EQ(cudaGetLastError(), status);
  }
  return status;
}

TEST(RuntimeLaunch, FindsTheTextInAFatBinary) {
  using Texts = std::vector<std::string_view>;
  const auto old = fat_binary(".version 8.0\nrest");
  EXPECT_EQ(find_ptx(old.data()), Texts{".version 8.0\nrest"});
  const auto two = fat_binary(std::string_view(".version 1\0\1\0.version 2", 24));
  EXPECT_EQ(find_ptx(two.data()), (Texts{".version 1", ".version 2"}));
  EXPECT_EQ(find_ptx(fat_binary("nothing").data()), Texts{});
  std::vector<char> other = fat_binary(".version 8.0");
  other[0] = 0;
  EXPECT_EQ(find_ptx(other.data()), Texts{});
}

TEST(RuntimeLaunch, RunsTheNewestTextThatTheDeviceCan) {
  const std::vector<std::string_view> texts{".target sm_90", ".target sm_80", ".target sm_100"};
  EXPECT_EQ(choose_ptx(texts, 90), texts[0]);
  EXPECT_EQ(choose_ptx(texts, 89), texts[1]);
  EXPECT_EQ(choose_ptx(texts, 75), "");
  EXPECT_EQ(choose_ptx({"no target"}, 90), "");
}

TEST(RuntimeLaunch, HandsArgumentsToTheKernel) {
  std::uint32_t* out = nullptr;
  ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&out), 64 * 4), cudaSuccess);
  std::uint32_t value = 7;
  void* arguments[] = {&out, &value};
  ASSERT_EQ(launch(&samples().fill, {.grid = 2}, arguments), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  std::vector<std::uint32_t> read(64);
  ASSERT_EQ(cudaMemcpy(read.data(), out, 64 * 4, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(read, std::vector<std::uint32_t>(64, 7));
  EXPECT_EQ(cudaFree(out), cudaSuccess);
}

TEST(RuntimeLaunch, ARecordedLaunchKeepsItsArguments) {
  std::uint32_t* out = nullptr;
  ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&out), 32 * 4), cudaSuccess);
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
  std::uint32_t value = 3;
  void* arguments[] = {&out, &value};
  ASSERT_EQ(launch(&samples().fill, {}, arguments, stream), cudaSuccess);
  value = 4;
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  std::uint32_t read = 0;
  ASSERT_EQ(cudaMemcpy(&read, out, 4, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(read, 0xffffffffu) << "the capture itself ran";
  ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(&read, out, 4, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(read, 3u);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  EXPECT_EQ(cudaFree(out), cudaSuccess);
}

TEST(RuntimeLaunch, RefusesWhatAGpuWouldRefuse) {
  const void* const kernel = &samples().shares;
  EXPECT_EQ(launch(kernel, {}), cudaSuccess);
  EXPECT_EQ(launch(kernel, {.block = 1025}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(kernel, {.block = 0}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(kernel, {.grid = 0}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(&samples().fill, {.block = 288}), cudaErrorInvalidValue);  // .maxntid 256
  EXPECT_EQ(launch(&samples().lost, {}), cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(launch(&kernel, {}), cudaErrorInvalidDeviceFunction);
}

TEST(RuntimeLaunch, KnowsAKernelsName) {
  const char* name = nullptr;
  ASSERT_EQ(cudaFuncGetName(&name, &samples().fill), cudaSuccess);
  EXPECT_STREQ(name, "fill");
  EXPECT_EQ(cudaFuncGetName(&name, &name), cudaErrorInvalidDeviceFunction);
  (void)cudaGetLastError();
}

TEST(RuntimeLaunch, SharedMemoryBeyond48KiBIsOptedInto) {
  const void* const kernel = &samples().shares;  // 1 KiB of it is static
  EXPECT_EQ(launch(kernel, {.shared = 47 << 10}), cudaSuccess);
  EXPECT_EQ(launch(kernel, {.shared = (47 << 10) + 1}), cudaErrorInvalidValue);
  const auto allow = [&](int bytes) {
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  EXPECT_EQ(allow((226 << 10) + 1), cudaErrorInvalidValue);
  (void)cudaGetLastError();
  ASSERT_EQ(allow(226 << 10), cudaSuccess);
  EXPECT_EQ(launch(kernel, {.shared = 226 << 10}), cudaSuccess);
  EXPECT_EQ(launch(kernel, {.shared = (226 << 10) + 1}), cudaErrorInvalidValue);
  ASSERT_EQ(allow(60 << 10), cudaSuccess);
  EXPECT_EQ(launch(kernel, {.shared = 61 << 10}), cudaErrorInvalidValue);
  ASSERT_EQ(allow(48 << 10), cudaSuccess);
}

TEST(RuntimeLaunch, LargeClustersAreOptedInto) {
  const void* const kernel = &samples().shares;
  EXPECT_EQ(launch(kernel, {.grid = 16, .cluster = 8}), cudaSuccess);
  EXPECT_EQ(launch(kernel, {.grid = 12, .cluster = 8}), cudaErrorInvalidClusterSize);
  EXPECT_EQ(launch(kernel, {.grid = 16, .cluster = 16}), cudaErrorInvalidClusterSize);
  ASSERT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1),
            cudaSuccess);
  EXPECT_EQ(launch(kernel, {.grid = 16, .cluster = 16}), cudaSuccess);
  EXPECT_EQ(launch(kernel, {.grid = 32, .cluster = 32}), cudaErrorInvalidClusterSize);
  ASSERT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 0),
            cudaSuccess);
}

TEST(RuntimeLaunch, ACooperativeGridIsResidentAtOnce) {
  const void* const kernel = &samples().shares;
  EXPECT_EQ(launch(kernel, {.grid = 264, .block = 1024, .cooperative = true}), cudaSuccess);
  EXPECT_EQ(launch(kernel, {.grid = 265, .block = 1024, .cooperative = true}),
            cudaErrorCooperativeLaunchTooLarge);
  EXPECT_EQ(launch(kernel, {.grid = 265, .block = 1024}), cudaSuccess);
}

TEST(RuntimeLaunch, AFaultLosesTheDevice) {
  std::uint32_t* out = nullptr;
  ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&out), 31 * 4), cudaSuccess);
  std::uint32_t value = 7;
  void* arguments[] = {&out, &value};
  (void)launch(&samples().fill, {}, arguments);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  void* more = nullptr;
  EXPECT_EQ(cudaMalloc(&more, 4), cudaErrorIllegalAddress);
  Runtime::get().lost = cudaSuccess;  // for the other tests
  (void)cudaGetLastError();
  EXPECT_EQ(cudaFree(out), cudaSuccess);
}

}  // namespace
