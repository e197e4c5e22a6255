#include "host/cuda/device.h"

#include <algorithm>
#include <bit>
#include <cub/device/device_radix_sort.cuh>
#include <limits>
#include <mutex>
#include <span>
#include <vector>

#include "host/cuda/caller.h"
#include "host/cuda/captures.h"
#include "host/cuda/check.h"
#include "host/cuda/walks.h"

namespace lacuna::cuda {

int Device::count() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) {
    (void)cudaGetLastError();
    return 0;
  }
  return devices;
}

std::string Device::why_none() {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  (void)cudaGetLastError();
  return status == cudaSuccess ? "there is no GPU"
                               : std::string("CUDA says: ") + cudaGetErrorString(status);
}

struct Device::State {
  ~State() {
    const BesideCaptures making;
    if (pool != nullptr) (void)cudaMemPoolDestroy(pool);
    if (stream != nullptr) (void)cudaStreamDestroy(stream);
  }
  cudaMemPool_t pool = nullptr;
  // For blocks that come and go. Non-blocking: the null stream would wait for the caller's, and break a capture of one.
  cudaStream_t stream = nullptr;
  bool reads_host_memory = false;  // any of it, without registration
  int capability = 0;
  int multiprocessors = 0;
  std::size_t shared_bytes = 0;
  double gigahertz = 0;
  ClusterCounts clusters{};
};

namespace {

// Blocks come from the device's pool. Making and destroying plans may wait; runs do not come here.
class PoolMemory final : public memory::Memory {
 public:
  PoolMemory(const Device& device, cudaMemPool_t pool, cudaStream_t stream)
      : device_(device), pool_(pool), stream_(stream) {}
  void trim() noexcept override {
    const BesideCaptures making;
    (void)cudaMemPoolTrimTo(pool_, 0);
  }
  std::size_t bytes_kept() const override {
    const std::uint64_t reserved = attribute(cudaMemPoolAttrReservedMemCurrent);
    const std::uint64_t used = attribute(cudaMemPoolAttrUsedMemCurrent);
    return reserved > used ? static_cast<std::size_t>(reserved - used) : 0;
  }

 private:
  std::uint64_t attribute(cudaMemPoolAttr which) const {
    std::uint64_t value = 0;
    return cudaMemPoolGetAttribute(pool_, which, &value) == cudaSuccess ? value : 0;
  }
  void keep_at_most(std::size_t bytes) override {
    std::uint64_t keep = bytes > 0 ? bytes : std::numeric_limits<std::uint64_t>::max();
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep),
          "setting up a memory pool");
  }
  void* take(std::size_t bytes) override {
    const Device::Current current(device_);
    const BesideCaptures making;
    void* block = nullptr;
    const cudaError_t status = cudaMallocFromPoolAsync(&block, bytes, pool_, stream_);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      return nullptr;
    }
    check(status, "taking a block of memory");
    check(cudaStreamSynchronize(stream_), "waiting for a new block of memory");
    return block;
  }
  void give(void* block, std::size_t) noexcept override {
    try {
      const std::lock_guard lock(mutex_);
      given_.push_back(block);
      const Device::Current current(device_);
      const BesideCaptures making;
      // Whatever stream still uses the block: nothing tells which. CUDA refuses while one of the device's is captured; the
      // block then waits for the next that is given back.
      if (cudaDeviceSynchronize() != cudaSuccess) {
        (void)cudaGetLastError();
        return;
      }
      for (void* const one : given_) (void)cudaFreeAsync(one, stream_);
      given_.clear();
    } catch (const std::exception&) {}  // the device is lost, and the block with it
  }

  const Device& device_;
  cudaMemPool_t pool_;
  cudaStream_t stream_;
  std::mutex mutex_;
  std::vector<void*> given_;  // not yet to the pool
};

}  // namespace

ClusterCounts count_clusters(std::size_t shared_bytes) {
  ClusterCounts counts{};
  const void* const probe = cluster_probe();
  // Machine code of clusters may be of another GPU alone ("80;90a-real" on a Blackwell).
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, probe) != cudaSuccess) {
    (void)cudaGetLastError();
    return counts;
  }
  check(cudaFuncSetAttribute(probe, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared_bytes)),
        "asking for all of a multiprocessor's shared memory");
  check(cudaFuncSetAttribute(probe, cudaFuncAttributeNonPortableClusterSizeAllowed, 1),
        "asking for clusters of 16 blocks");
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const unsigned blocks = 2u << i;
    cudaLaunchAttribute cluster{};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {blocks, 1, 1};
    cudaLaunchConfig_t launch{};
    launch.gridDim = dim3(blocks);
    launch.blockDim = dim3(32);
    launch.dynamicSmemBytes = shared_bytes;
    launch.attrs = &cluster;
    launch.numAttrs = 1;
    // What this chip has no clusters of is an error here.
    if (cudaOccupancyMaxActiveClusters(&counts[i], probe, &launch) != cudaSuccess) {
      (void)cudaGetLastError();
      counts[i] = 0;
    }
  }
  return counts;
}

Device::Device(int index) : index_(index), state_(std::make_unique<State>()) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "asking for the device's properties");
  if (properties.major < 8)
    throw BackendError(LACUNA_UNSUPPORTED,
                       "options.device: " + std::to_string(index) + " (" + properties.name +
                           ") has compute capability " + std::to_string(properties.major) + "." +
                           std::to_string(properties.minor) + ", expected 8.0 or newer");
  name_ = std::string(properties.name) + ", sm_" + std::to_string(properties.major) +
          std::to_string(properties.minor);
  state_->reads_host_memory = properties.pageableMemoryAccess != 0;
  state_->capability = 10 * properties.major + properties.minor;
  state_->multiprocessors = properties.multiProcessorCount;
  state_->shared_bytes = properties.sharedMemPerBlockOptin;
  const auto ask = [&](cudaDeviceAttr attribute) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, attribute, index), "asking for the device's attributes");
    return value;
  };
  state_->gigahertz = ask(cudaDevAttrClockRate) * 1e-6;
  const Current current(*this);
  const BesideCaptures making;
  // Where no architecture was asked for that has clusters, their kernels are empty. Else they are there or not.
  if (LACUNA_HAS_CLUSTER_CODE && ask(cudaDevAttrClusterLaunch) != 0)
    state_->clusters = count_clusters(properties.sharedMemPerBlockOptin);
  cudaMemPoolProps pool{};
  pool.allocType = cudaMemAllocationTypePinned;
  pool.location.type = cudaMemLocationTypeDevice;
  pool.location.id = index;
  check(cudaMemPoolCreate(&state_->pool, &pool), "making a memory pool");
  check(cudaStreamCreateWithFlags(&state_->stream, cudaStreamNonBlocking), "making a stream");
}

Device::~Device() = default;

int Device::capability() const { return state_->capability; }
int Device::multiprocessors() const { return state_->multiprocessors; }
std::size_t Device::shared_bytes() const { return state_->shared_bytes; }
double Device::gigahertz() const { return state_->gigahertz; }
ClusterCounts Device::clusters() const { return state_->clusters; }
GroupBlocks Device::group_blocks() const { return {}; }

std::string Device::refuse_address(const void* address, bool host) const {
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, address) != cudaSuccess) {
    (void)cudaGetLastError();
    return "which CUDA does not know";
  }
  const std::string expected = ", expected memory of device " + std::to_string(index_);
  if (attributes.type == cudaMemoryTypeUnregistered && !host && !state_->reads_host_memory)
    return "memory of the host" + expected;
  if (attributes.type == cudaMemoryTypeDevice && attributes.device != index_)
    return "memory of device " + std::to_string(attributes.device) + expected;
  return {};
}

std::string Device::refuse_host_read(const void* address) const {
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, address) != cudaSuccess) {
    (void)cudaGetLastError();
    return "which CUDA does not know";
  }
  if (attributes.type != cudaMemoryTypeDevice) return {};
  return "memory of device " + std::to_string(attributes.device) + ", expected the host's";
}

bool Device::needs_copy(const void* address) const {
  return !state_->reads_host_memory && is_host_memory(address);
}

bool Device::is_host_memory(const void* address) const {
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, address), "asking where an array is");
  return attributes.type == cudaMemoryTypeUnregistered;
}

std::unique_ptr<memory::Memory> Device::make_memory() const {
  return std::make_unique<PoolMemory>(*this, state_->pool, state_->stream);
}

void* Device::take(simt::Stream stream, std::size_t bytes) const {
  void* block = nullptr;
  check(cudaMallocFromPoolAsync(&block, bytes, state_->pool, stream), "taking scratch memory");
  return block;
}

void Device::give(simt::Stream stream, void* block) const noexcept {
  (void)cudaFreeAsync(block, stream);
}

void Device::zero(simt::Stream stream, void* block, std::size_t bytes) const {
  if (bytes > 0) check(cudaMemsetAsync(block, 0, bytes, stream), "filling with zeros");
}

void Device::copy(simt::Stream stream, void* to, const void* from, std::size_t bytes) const {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "copying");
}

void Device::wait(simt::Stream stream) const {
  check(cudaStreamSynchronize(stream), "waiting for the stream");
}

std::size_t Device::sort_bytes(std::int64_t count) const {
  std::size_t bytes = 0;
  check(cub::DeviceRadixSort::SortPairsDescending(
            nullptr, bytes, static_cast<const std::int64_t*>(nullptr),
            static_cast<std::int64_t*>(nullptr), static_cast<const std::int32_t*>(nullptr),
            static_cast<std::int32_t*>(nullptr), static_cast<int>(count)),
        "sizing a sort");
  return bytes;
}

void Device::sort(simt::Stream stream, void* scratch, std::size_t bytes, const std::int64_t* keys,
                  std::int64_t* sorted_keys, std::int64_t most_key, const std::int32_t* index,
                  std::int32_t* sorted_index, std::int64_t count) const {
  if (count == 0) return;
  const int bits =
      std::max(1, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(most_key))));
  check(cub::DeviceRadixSort::SortPairsDescending(scratch, bytes, keys, sorted_keys, index,
                                                  sorted_index, static_cast<int>(count), 0, bits,
                                                  stream),
        "sorting lengths");
}

struct StreamBranches {
  struct Branch {
    cudaStream_t stream = nullptr;
    cudaEvent_t end = nullptr;
  };
  ~StreamBranches() {
    if (begin != nullptr) (void)cudaEventDestroy(begin);
    for (const Branch& branch : beside) {
      if (branch.end != nullptr) (void)cudaEventDestroy(branch.end);
      if (branch.stream != nullptr) (void)cudaStreamDestroy(branch.stream);
    }
  }
  // Those that so many pieces use.
  std::span<const Branch> used(int pieces) const {
    return std::span(beside).first(std::min(static_cast<std::size_t>(pieces) - 1, beside.size()));
  }
  cudaEvent_t begin = nullptr;
  std::vector<Branch> beside;
};
void DestroyBranches::operator()(StreamBranches* branches) const { delete branches; }

StreamBranchesHandle Device::make_branches(int count) const {
  const BesideCaptures making;
  StreamBranchesHandle made(new StreamBranches);
  const auto make_event = [](cudaEvent_t& event) {
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  };
  make_event(made->begin);
  made->beside.resize(static_cast<std::size_t>(count) - 1);
  for (StreamBranches::Branch& branch : made->beside) {
    // Non-blocking: the null stream has nothing to do with them but through events.
    check(cudaStreamCreateWithFlags(&branch.stream, cudaStreamNonBlocking), "making a stream");
    make_event(branch.end);
  }
  return made;
}

void Device::fork(simt::Stream stream, StreamBranches& branches, int pieces) const {
  check(cudaEventRecord(branches.begin, stream), "forking a stream");
  for (const StreamBranches::Branch& branch : branches.used(pieces))
    check(cudaStreamWaitEvent(branch.stream, branches.begin, 0), "forking a stream");
}

simt::Stream Device::branch(simt::Stream stream, const StreamBranches& branches, int piece) const {
  const std::size_t place = static_cast<std::size_t>(piece) % (branches.beside.size() + 1);
  return place == 0 ? stream : branches.beside[place - 1].stream;
}

void Device::join(simt::Stream stream, StreamBranches& branches, int pieces) const {
  for (const StreamBranches::Branch& branch : branches.used(pieces)) {
    check(cudaEventRecord(branch.end, branch.stream), "joining streams");
    check(cudaStreamWaitEvent(stream, branch.end, 0), "joining streams");
  }
}

void check_stream(const Device& device, simt::Stream stream) {
#if CUDART_VERSION >= 12080
  int its_device = device.index();
  check(cudaStreamGetDevice(stream, &its_device), "asking for a stream's device");
  if (its_device != device.index())
    throw BackendError(LACUNA_INVALID_ARGUMENT, "stream: of device " + std::to_string(its_device) +
                                                    ", expected one of device " +
                                                    std::to_string(device.index()));
#else
  (void)device, (void)stream;
#endif
}

Device::Current::Current(const Device& device) : before_(-1) {
  check(cudaGetDevice(&before_), "asking for the current device");
  if (before_ != device.index()) check(cudaSetDevice(device.index()), "choosing the device");
}

Device::Current::~Current() {
  int now = -1;
  if (cudaGetDevice(&now) == cudaSuccess && now != before_) (void)cudaSetDevice(before_);
}

}  // namespace lacuna::cuda
