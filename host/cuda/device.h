// One GPU, as far as the backend needs it: memory, a sort, products. device.cu does it with the CUDA runtime, CUB and
// cuBLASLt; tests/emulator/backend/device.cpp does the same on the CPU, so that all of host/cuda runs in every test run.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "host/memory/memory.h"
#include "kernels/simt/launch.h"
#include "kernels/simt/number.h"

namespace lacuna::cuda {

// C [m, n] = A B, or += where `add`, all row-major, C in what the operands' type is computed in. Of several `parts`, each
// multiplies its share of the depth k, which they divide evenly, into a C of its own.
enum class Form {
  nt,  // A [m, k], B [n, k] transposed
  nn,  // A [m, k], B [k, n]
  tn,  // A [k, m] transposed, B [k, n]
};

template <class T>
struct Product {
  Form form;
  std::int64_t m, n, k;
  const T* a;
  std::int64_t a_stride;
  const T* b;
  std::int64_t b_stride;
  simt::Real<T>* c;
  std::int64_t c_stride;
  bool tf32 = false;  // float: operands may be rounded to 11 bits
  bool add = false;
  int parts = 1;
  std::int64_t c_part = 0;  // from one part's C to the next
};

// Where a product keeps sums that are cut into parts.
struct ProductScratch {
  void* data = nullptr;
  std::size_t bytes = 0;
};

// The algorithms a plan has chosen so far. A fixed table: a run allocates nothing.
struct ProductChoices;
struct DestroyChoices {
  void operator()(ProductChoices* choices) const;
};
using ProductChoicesHandle = std::unique_ptr<ProductChoices, DestroyChoices>;

// Streams beside the caller's and the events that tie them to it. A plan has its own, for two threads must not mix theirs.
struct StreamBranches;
struct DestroyBranches {
  void operator()(StreamBranches* branches) const;
};
using StreamBranchesHandle = std::unique_ptr<StreamBranches, DestroyBranches>;

// How many clusters of 2, 4, 8 and 16 blocks run at once where a block takes a multiprocessor; 0: there are none so large, or
// no code for them.
using ClusterCounts = std::array<int, 4>;

// That a group of the cluster and grid regimes may have; powers of 2.
struct GroupBlocks {
  int fewest = 2, most = 128;
};

// Calls come from several threads at once. All throw BackendError. Work is queued on the stream; nothing waits but
// what make_memory's memory does when a block comes or goes.
class Device {
 public:
  static int count();
  static std::string why_none();

  explicit Device(int index);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  int index() const { return index_; }
  const std::string& name() const { return name_; }
  int capability() const;  // of compute: 90 where it is 9.0
  int multiprocessors() const;
  std::size_t shared_bytes() const;  // that a block may have
  double gigahertz() const;
  ClusterCounts clusters() const;
  GroupBlocks group_blocks() const;
  // Empty when the address is this device's or, if `host` may be, the host's.
  std::string refuse_address(const void* address, bool host) const;
  // Empty when the host can read there, even if the device can, too.
  std::string refuse_host_read(const void* address) const;
  // Memory that CUDA knows nothing of.
  bool is_host_memory(const void* address) const;
  // Host memory that this device's kernels cannot reach.
  bool needs_copy(const void* address) const;

  std::unique_ptr<memory::Memory> make_memory() const;
  // Memory for what is queued next on the stream, given back in its order.
  void* take(simt::Stream stream, std::size_t bytes) const;
  void give(simt::Stream stream, void* block) const noexcept;

  void zero(simt::Stream stream, void* block, std::size_t bytes) const;
  // In either direction.
  void copy(simt::Stream stream, void* to, const void* from, std::size_t bytes) const;
  void wait(simt::Stream stream) const;

  std::size_t sort_bytes(std::int64_t count) const;
  // By falling key, equal ones in the order they had. Keys are 0 .. most_key; bits that such do not have are not read.
  void sort(simt::Stream stream, void* scratch, std::size_t bytes, const std::int64_t* keys,
            std::int64_t* sorted_keys, std::int64_t most_key, const std::int32_t* index,
            std::int32_t* sorted_index, std::int64_t count) const;

  ProductChoicesHandle make_choices() const;
  // Memory of a plan's products, and what one of them has of it: all; or, where others may run at the same time, the part of
  // its branch.
  std::size_t product_bytes() const;
  ProductScratch product_scratch(void* block) const;
  static constexpr int product_parts = 4;
  ProductScratch product_scratch(void* block, int part) const;
  // The algorithm depends on the product's shape and the size of the scratch, on nothing else.
  template <class T>
  void multiply(simt::Stream stream, const Product<T>& product, ProductChoices& choices,
                const ProductScratch& scratch) const;

  // So many, the caller's own stream among them. Work that is queued on branches between fork and join comes after what
  // the stream held before, and before what it gets then; a capture of the stream captures all of it. Of more branches
  // than pieces the last are left alone.
  StreamBranchesHandle make_branches(int count) const;
  void fork(simt::Stream stream, StreamBranches& branches, int pieces) const;
  simt::Stream branch(simt::Stream stream, const StreamBranches& branches, int piece) const;
  void join(simt::Stream stream, StreamBranches& branches, int pieces) const;

  // The device is this thread's current one while this lives.
  class Current {
   public:
    explicit Current(const Device& device);
    ~Current();
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

   private:
    int before_;
  };

 private:
  struct State;
  int index_;
  std::string name_;
  std::unique_ptr<State> state_;
};

}  // namespace lacuna::cuda
