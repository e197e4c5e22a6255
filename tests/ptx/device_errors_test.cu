// What host/cuda/device.cu says of CUDA's errors: that there is no more memory, or that something else failed.
#include <gtest/gtest.h>

#include <string>

#include "host/backend.h"
#include "host/cuda/device.h"
#include "ptx/runtime.h"

namespace {

using namespace lacuna;

// While this lives, blocks are refused so.
class Refused {
 public:
  explicit Refused(cudaError_t error) { ptx::Runtime::get().refused_blocks = error; }
  ~Refused() { ptx::Runtime::get().refused_blocks = cudaSuccess; }
  Refused(const Refused&) = delete;
  Refused& operator=(const Refused&) = delete;
};

TEST(DeviceErrors, OnlyWhatIsOutOfMemoryIsNoBlock) {
  const cuda::Device device(0);
  const auto memory = device.make_memory();
  {
    const Refused refused(cudaErrorMemoryAllocation);
    EXPECT_EQ(memory->allocate(64), nullptr);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "the next call would be blamed";
  }
  for (const cudaError_t error : {cudaErrorECCUncorrectable, cudaErrorLaunchFailure}) {
    const Refused refused(error);
    try {
      (void)memory->allocate(64);
      ADD_FAILURE() << "was not refused";
    } catch (const BackendError& failed) {
      EXPECT_EQ(failed.status, LACUNA_DEVICE_ERROR);
      const std::string message = failed.what();
      EXPECT_NE(message.find(cudaGetErrorName(error)), std::string::npos) << message;
    }
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "the next call would be blamed";
  }
  EXPECT_EQ(memory->statistics().bytes_in_use, 0u);
  void* const block = memory->allocate(64);
  EXPECT_NE(block, nullptr);
  memory->deallocate(block, 64);
}

}  // namespace
