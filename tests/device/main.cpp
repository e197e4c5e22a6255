// main() of the tests that run on a GPU. Without one they end with 77, which ctest takes for skipped.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdio>

int main(int count, char** arguments) {
  testing::InitGoogleTest(&count, arguments);
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  const bool none = status != cudaSuccess || devices == 0;
  if (none && !testing::GTEST_FLAG(list_tests)) {
    std::printf("skipped: %s\n", status == cudaSuccess ? "no GPU" : cudaGetErrorString(status));
    return 77;
  }
  cudaDeviceProp device{};
  int runtime = 0, driver = 0;
  if (!none && cudaGetDeviceProperties(&device, 0) == cudaSuccess &&
      cudaRuntimeGetVersion(&runtime) == cudaSuccess &&
      cudaDriverGetVersion(&driver) == cudaSuccess)
    std::printf("on %s, sm_%d%d, CUDA runtime %d.%d, driver's CUDA %d.%d\n", device.name,
                device.major, device.minor, runtime / 1000, runtime % 1000 / 10, driver / 1000,
                driver % 1000 / 10);
  return RUN_ALL_TESTS();
}
