// Memory of the stand-in for the CUDA runtime: bounds, poison, pools, copies.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "ptx/runtime.h"

namespace {

using lacuna::ptx::DeviceMemory;
using lacuna::ptx::Runtime;

template <class T>
T* take(std::size_t count) {
  void* block = nullptr;
  EXPECT_EQ(cudaMalloc(&block, count * sizeof(T)), cudaSuccess);
  return static_cast<T*>(block);
}

std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

cudaMemPool_t make_pool() {
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, {0}};
  cudaMemPool_t pool = nullptr;
  EXPECT_EQ(cudaMemPoolCreate(&pool, &properties), cudaSuccess);
  return pool;
}

std::uint64_t bytes_of(cudaMemPool_t pool, cudaMemPoolAttr which) {
  std::uint64_t value = 0;
  EXPECT_EQ(cudaMemPoolGetAttribute(pool, which, &value), cudaSuccess);
  return value;
}

TEST(RuntimeMemory, KernelsTouchBlocksAndNothingElse) {
  auto* const block = take<char>(100);
  const DeviceMemory memory(Runtime::get().memory, 0);
  EXPECT_TRUE(memory.allows(number(block), 100, true));
  EXPECT_TRUE(memory.allows(number(block) + 99, 1, true));
  EXPECT_FALSE(memory.allows(number(block) + 99, 2, false));
  EXPECT_FALSE(memory.allows(number(block) - 1, 1, false));
  EXPECT_FALSE(DeviceMemory(Runtime::get().memory, 1).allows(number(block), 1, false));
  int local = 0;
  EXPECT_FALSE(memory.allows(number(&local), sizeof local, false));
  void* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, 8), cudaSuccess);
  EXPECT_TRUE(memory.allows(number(pinned), 8, true));
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  EXPECT_EQ(cudaFree(block), cudaSuccess);
  EXPECT_FALSE(memory.allows(number(block), 1, false));
}

TEST(RuntimeMemory, IsPoisonUntilItIsWritten) {
  auto* const block = take<float>(3);
  float read[3] = {};
  ASSERT_EQ(cudaMemcpy(read, block, sizeof read, cudaMemcpyDefault), cudaSuccess);
  for (const float value : read) EXPECT_TRUE(std::isnan(value));
  EXPECT_EQ(cudaFree(block), cudaSuccess);
}

TEST(RuntimeMemory, PointersTellWhereTheyPoint) {
  auto* const block = take<char>(10);
  char local = 0;
  cudaPointerAttributes attributes{};
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, block + 9), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  EXPECT_EQ(attributes.device, 0);
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, &local), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  EXPECT_EQ(cudaFree(block), cudaSuccess);
}

TEST(RuntimeMemory, RefusesWhatIsNoBlock) {
  auto* const block = take<char>(10);
  EXPECT_EQ(cudaFree(block + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  char host[20] = {};
  EXPECT_EQ(cudaMemcpy(host, block, 11, cudaMemcpyDefault), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host, block, 10, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(block, 0, 11), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(host, 0, 5), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset2DAsync(block, 4, 0, 3, 3, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset2DAsync(block, 4, 0, 2, 3, nullptr), cudaSuccess);
  EXPECT_EQ(cudaFree(block), cudaSuccess);
  EXPECT_EQ(cudaFree(block), cudaErrorInvalidValue);
  void* huge = nullptr;
  EXPECT_EQ(cudaMalloc(&huge, Runtime::get().device_bytes + 1), cudaErrorMemoryAllocation);
  (void)cudaGetLastError();
}

TEST(RuntimeMemory, FillsRowsAndLeavesWhatLiesBetween) {
  auto* const block = take<unsigned char>(8);
  ASSERT_EQ(cudaMemset2DAsync(block, 5, 1, 3, 2, nullptr), cudaSuccess);
  unsigned char read[8];
  ASSERT_EQ(cudaMemcpy(read, block, 8, cudaMemcpyDeviceToHost), cudaSuccess);
  const unsigned char expected[8] = {1, 1, 1, 255, 255, 1, 1, 1};
  EXPECT_EQ(std::memcmp(read, expected, 8), 0);
  EXPECT_EQ(cudaFree(block), cudaSuccess);
}

TEST(RuntimeMemory, PoolsCountWhatTheyKeep) {
  const cudaMemPool_t pool = make_pool();
  std::uint64_t keep = 1000;
  ASSERT_EQ(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), cudaSuccess);
  void *first = nullptr, *second = nullptr;
  ASSERT_EQ(cudaMallocFromPoolAsync(&first, 600, pool, nullptr), cudaSuccess);
  ASSERT_EQ(cudaMallocFromPoolAsync(&second, 900, pool, nullptr), cudaSuccess);
  EXPECT_EQ(bytes_of(pool, cudaMemPoolAttrUsedMemCurrent), 1500u);
  EXPECT_EQ(cudaFreeAsync(first, nullptr), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(second, nullptr), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(bytes_of(pool, cudaMemPoolAttrUsedMemCurrent), 0u);
  EXPECT_EQ(bytes_of(pool, cudaMemPoolAttrReservedMemCurrent), 1000u);
  EXPECT_EQ(cudaMemPoolTrimTo(pool, 10), cudaSuccess);
  EXPECT_EQ(bytes_of(pool, cudaMemPoolAttrReservedMemCurrent), 10u);
  EXPECT_EQ(cudaMemPoolDestroy(pool), cudaSuccess);
  EXPECT_EQ(cudaMemPoolTrimTo(pool, 0), cudaErrorInvalidValue);
  (void)cudaGetLastError();
}

}  // namespace
