// What a launch of the library's own says when CUDA refuses it: simt::launch as nvcc compiles it, over the stand-in for the
// CUDA runtime.
#include <gtest/gtest.h>

#include <string>

#include "kernels/simt/launch.h"
#include "ptx/runtime.h"

namespace refused_kernels {

template <int blocks, class T>
SIMT_KERNEL(64)
void of_a_type(T* out) {
  if (out != nullptr) *out = T(blocks);
}

SIMT_KERNEL(64) void of_its_own() {}

}  // namespace refused_kernels

namespace {

using namespace lacuna;

std::string refusal(const simt::LaunchConfig& config, void (*kernel)(float*)) {
  try {
    simt::launch(config, nullptr, kernel, nullptr);
  } catch (const simt::LaunchError& error) {
    return error.what();
  }
  return "was not refused";
}

TEST(RuntimeLaunchError, NamesTheKernelTheLaunchAndTheError) {
  const auto kernel = refused_kernels::of_a_type<4, float>;
  EXPECT_EQ(
      refusal({.grid = {3}, .block = {2048}, .shared_bytes = 16}, kernel),
      "launch of refused_kernels::of_a_type<4, float>, grid 3x1x1, block 2048x1x1, 16 bytes of "
      "shared memory, cluster 1: cudaErrorInvalidConfiguration: " +
          std::string(cudaGetErrorString(cudaErrorInvalidConfiguration)));
  // What is asked for before a launch is refused in its name.
  EXPECT_EQ(
      refusal({.grid = {1}, .block = {32}, .shared_bytes = 1 << 20}, kernel),
      "launch of refused_kernels::of_a_type<4, float>, grid 1x1x1, block 32x1x1, 1048576 bytes "
      "of shared memory, cluster 1: cudaErrorInvalidValue: " +
          std::string(cudaGetErrorString(cudaErrorInvalidValue)));
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "the next call would be blamed";
  EXPECT_EQ(refusal({.grid = {1}, .block = {32}}, kernel), "was not refused");
}

TEST(RuntimeLaunchError, TellsWhatIsOutOfMemory) {
  for (const cudaError_t error : {cudaErrorMemoryAllocation, cudaErrorLaunchFailure}) {
    ptx::Runtime::get().refused_launches = error;
    try {
      simt::launch({.grid = {1}, .block = {32}}, nullptr, refused_kernels::of_its_own);
      ADD_FAILURE() << "was not refused";
    } catch (const simt::LaunchError& refused) {
      EXPECT_EQ(refused.out_of_memory, error == cudaErrorMemoryAllocation) << refused.what();
    }
    ptx::Runtime::get().refused_launches = cudaSuccess;
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "the next call would be blamed";
  }
}

TEST(RuntimeLaunchError, NamesAKernelThatIsNoTemplate) {
  try {
    simt::launch({.grid = {1u << 20, 1u << 20}, .block = {32}}, nullptr,
                 refused_kernels::of_its_own);
    ADD_FAILURE() << "was not refused";
  } catch (const simt::LaunchError& error) {
    EXPECT_EQ(
        std::string(error.what()).find("launch of refused_kernels::of_its_own, grid 1048576x"), 0u)
        << error.what();
  }
}

// What one launch is allowed, a smaller one leaves; the machine has what cudaFuncSetAttribute was told last.
TEST(RuntimeLaunchError, AllowedSharedMemoryIsNeverLowered) {
  const auto kernel = refused_kernels::of_a_type<5, float>;
  const auto with = [&](std::size_t bytes) {
    return refusal({.grid = {1}, .block = {32}, .shared_bytes = bytes}, kernel);
  };
  const auto allowed = [&] {
    cudaFuncAttributes attributes{};
    EXPECT_EQ(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)),
              cudaSuccess);
    return attributes.maxDynamicSharedSizeBytes;
  };
  EXPECT_EQ(with(200 << 10), "was not refused");
  EXPECT_EQ(allowed(), 200 << 10);
  EXPECT_EQ(with(110 << 10), "was not refused");
  EXPECT_EQ(allowed(), 200 << 10);
  EXPECT_EQ(with(210 << 10), "was not refused");
  EXPECT_EQ(allowed(), 210 << 10);
  EXPECT_NE(with(1 << 20), "was not refused");
  EXPECT_EQ(allowed(), 210 << 10);
  // Somebody else did.
  ASSERT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 60 << 10),
            cudaSuccess);
  EXPECT_EQ(with(110 << 10), "was not refused");
  EXPECT_EQ(allowed(), 210 << 10);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "the next call would be blamed";
}

}  // namespace
