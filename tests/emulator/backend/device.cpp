// host/cuda/device.h without a GPU: the host's memory is the device's, a stream is always at its end, products and the
// sort are plain loops. Allocations are counted, so that tests see which calls make some.
#include "host/cuda/device.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <numeric>
#include <vector>

#include "emulator/backend/backend.h"
#include "emulator/emulator.h"
#include "emulator/ready_queue.h"
#include "host/backend.h"
#include "host/cuda/caller.h"

namespace lacuna::cuda {
namespace {

// What has been handed out, to tell it from other memory.
class Blocks {
 public:
  void add(void* block, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    blocks_[static_cast<std::byte*>(block)] = bytes;
  }
  void remove(void* block) {
    const std::lock_guard lock(mutex_);
    blocks_.erase(static_cast<std::byte*>(block));
  }
  bool contain(const void* address) {
    const std::lock_guard lock(mutex_);
    const auto* const byte = static_cast<const std::byte*>(address);
    auto after = blocks_.upper_bound(const_cast<std::byte*>(byte));
    return after != blocks_.begin() && byte < std::prev(after)->first + std::prev(after)->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::byte*, std::size_t> blocks_;
};

Blocks& blocks() {
  static Blocks all;
  return all;
}

void give_block(void* block) noexcept {
  blocks().remove(block);
  std::free(block);
}

// New memory holds NaN: what is read before it is written shows.
void* take_block(std::size_t bytes) {
  emulator::counters().allocations += 1;
  const std::size_t rounded = (bytes + 255) / 256 * 256;
  void* const block = std::aligned_alloc(256, rounded);
  if (block != nullptr) {
    std::memset(block, 0xff, rounded);
    blocks().add(block, rounded);
  }
  return block;
}

class EmulatedMemory final : public memory::Memory {
  void* take(std::size_t bytes) override { return take_block(bytes); }
  void give(void* block, std::size_t) noexcept override { give_block(block); }
};

}  // namespace
}  // namespace lacuna::cuda

void lacuna::emulated_backend::claim(void* block, std::size_t bytes) {
  cuda::blocks().add(block, bytes);
}
void lacuna::emulated_backend::disclaim(void* block) { cuda::blocks().remove(block); }

namespace lacuna::cuda {

struct Device::State {};
struct ProductChoices {};
void DestroyChoices::operator()(ProductChoices* choices) const { delete choices; }

int Device::count() { return 1; }
std::string Device::why_none() { return {}; }

Device::Device(int index) : index_(index), name_("emulator") {}
Device::~Device() = default;

int Device::capability() const { return 0; }  // no chip's, so that constants are the defaults
int Device::multiprocessors() const { return emulated_backend::multiprocessors; }
std::size_t Device::shared_bytes() const { return emulator::settings().device.shared_per_block; }
double Device::gigahertz() const { return 1.755; }  // an H100's
ClusterCounts Device::clusters() const {
  ClusterCounts counts{};
  for (std::size_t i = 0; i < counts.size(); ++i)
    if (const int blocks = 2 << i; blocks <= static_cast<int>(emulator::settings().device.cluster))
      counts[i] = std::max(multiprocessors() / blocks, 1);
  return counts;
}
GroupBlocks Device::group_blocks() const {
  return {emulated_backend::fewest_blocks, emulated_backend::most_blocks};
}

std::string Device::refuse_address(const void* address, bool host) const {
  return !host && is_host_memory(address) ? "memory of the host, expected memory of device 0" : "";
}
std::string Device::refuse_host_read(const void* address) const {
  return emulated_backend::tells_host_memory && blocks().contain(address)
             ? "memory of device 0, expected the host's"
             : "";
}
bool Device::needs_copy(const void* address) const { return is_host_memory(address); }
bool Device::is_host_memory(const void* address) const {
  return emulated_backend::tells_host_memory && !blocks().contain(address);
}

std::unique_ptr<memory::Memory> Device::make_memory() const {
  return std::make_unique<EmulatedMemory>();
}
void* Device::take(simt::Stream, std::size_t bytes) const { return take_block(bytes); }
void Device::give(simt::Stream, void* block) const noexcept { give_block(block); }

void Device::zero(simt::Stream, void* block, std::size_t bytes) const {
  if (bytes > 0) std::memset(block, 0, bytes);
}

void Device::copy(simt::Stream, void* to, const void* from, std::size_t bytes) const {
  std::memcpy(to, from, bytes);
}
void Device::wait(simt::Stream) const { emulator::counters().synchronisations += 1; }

std::size_t Device::sort_bytes(std::int64_t) const { return 1; }

void Device::sort(simt::Stream, void*, std::size_t, const std::int64_t* keys,
                  std::int64_t* sorted_keys, std::int64_t most_key, const std::int32_t* index,
                  std::int32_t* sorted_index, std::int64_t count) const {
  std::vector<std::int64_t> rank(static_cast<std::size_t>(count));
  std::iota(rank.begin(), rank.end(), 0);
  const auto read = std::bit_ceil(static_cast<std::uint64_t>(most_key) + 1) - 1;
  const auto key = [&](std::int64_t i) { return static_cast<std::uint64_t>(keys[i]) & read; };
  std::stable_sort(rank.begin(), rank.end(),
                   [&](std::int64_t a, std::int64_t b) { return key(a) > key(b); });
  for (std::int64_t i = 0; i < count; ++i) {
    sorted_keys[i] = keys[rank[static_cast<std::size_t>(i)]];
    sorted_index[i] = index[rank[static_cast<std::size_t>(i)]];
  }
}

ProductChoicesHandle Device::make_choices() const {
  return ProductChoicesHandle(new ProductChoices);
}
constexpr std::size_t part_bytes = 256;
std::size_t Device::product_bytes() const { return product_parts * part_bytes; }
ProductScratch Device::product_scratch(void* block) const {
  return {block, product_parts * part_bytes};
}
ProductScratch Device::product_scratch(void* block, int part) const {
  return {static_cast<std::byte*>(block) + static_cast<std::size_t>(part) * part_bytes, part_bytes};
}

namespace {

// Between a fork and its join: which bytes products used as scratch, and on which streams. Of this thread, which queues all
// of a run.
class ForkedScratch {
 public:
  void fork() {
    used_.clear();
    forked_ = true;
  }
  void join() { forked_ = false; }
  void use(const ProductScratch& scratch, simt::Stream stream) {
    std::memset(scratch.data, 0xff, scratch.bytes);
    if (!forked_) return;
    const auto* const first = static_cast<const std::byte*>(scratch.data);
    const std::byte* const end = first + scratch.bytes;
    for (const Use& other : used_)
      if (other.stream != stream && first < other.end && other.first < end)
        throw BackendError(LACUNA_DEVICE_ERROR, "two branches' products share scratch");
    used_.push_back({first, end, stream});
  }

 private:
  struct Use {
    const std::byte *first, *end;
    simt::Stream stream;
  };
  std::vector<Use> used_;
  bool forked_ = false;
};
thread_local ForkedScratch forked_scratch;

}  // namespace

template <class T>
void Device::multiply(simt::Stream stream, const Product<T>& p, ProductChoices&,
                      const ProductScratch& scratch) const {
  using R = simt::Real<T>;
  forked_scratch.use(scratch, stream);
  const auto operand = [&](T stored) {
    const R value = simt::to_real(stored);
    if constexpr (std::is_same_v<T, float>)
      if (p.tf32) return simt::bits_as<float>(simt::to_tf32(value));
    return value;
  };
  const std::int64_t depth = p.k / p.parts;
  for (std::int64_t part = 0; part < p.parts; ++part)
    for (std::int64_t i = 0; i < p.m; ++i)
      for (std::int64_t j = 0; j < p.n; ++j) {
        R sum = 0;
        for (std::int64_t l = part * depth; l < (part + 1) * depth; ++l) {
          const T a = p.form == Form::tn ? p.a[l * p.a_stride + i] : p.a[i * p.a_stride + l];
          const T b = p.form == Form::nt ? p.b[j * p.b_stride + l] : p.b[l * p.b_stride + j];
          sum += operand(a) * operand(b);
        }
        R& c = p.c[part * p.c_part + i * p.c_stride + j];
        c = p.add ? c + sum : sum;
      }
}

#define LACUNA_MULTIPLY(T)                                                            \
  template void Device::multiply<T>(simt::Stream, const Product<T>&, ProductChoices&, \
                                    const ProductScratch&) const;
LACUNA_MULTIPLY(float)
LACUNA_MULTIPLY(double)
LACUNA_MULTIPLY(simt::Fp16)
LACUNA_MULTIPLY(simt::Bf16)
#undef LACUNA_MULTIPLY

void check_stream(const Device&, simt::Stream) {}

// A launch has ended when it returns, so branches stand one behind the other; that each fork meets its join is checked.
struct StreamBranches {
  int count = 1;
  bool forked = false;
};
void DestroyBranches::operator()(StreamBranches* branches) const { delete branches; }
StreamBranchesHandle Device::make_branches(int count) const {
  return StreamBranchesHandle(new StreamBranches{count});
}
void Device::fork(simt::Stream, StreamBranches& branches, int) const {
  if (branches.forked) throw BackendError(LACUNA_DEVICE_ERROR, "forked twice");
  branches.forked = true;
  forked_scratch.fork();
  emulated_backend::forks += 1;
}
simt::Stream Device::branch(simt::Stream stream, const StreamBranches& branches, int piece) const {
  if (!branches.forked) throw BackendError(LACUNA_DEVICE_ERROR, "a branch of nothing forked");
  const int place = piece % branches.count;
  if (place == 0) return stream;
  return reinterpret_cast<simt::Stream>(reinterpret_cast<std::uintptr_t>(&branches) +
                                        static_cast<std::uintptr_t>(place));
}
void Device::join(simt::Stream, StreamBranches& branches, int) const {
  if (!branches.forked) throw BackendError(LACUNA_DEVICE_ERROR, "joined twice");
  branches.forked = false;
  forked_scratch.join();
  emulated_backend::joins += 1;
}

// Every call of the backend runs its threads in another order. Where a test asked for one, in that, by a seed of the call's
// own; else forward, reverse, and at random more often. Drawn, not in turn: programs that make as many calls for each case
// would run the same kernels in the same order in all of them.
namespace {

thread_local int open_calls = 0;  // one within another, as a stack's pieces
thread_local emulator::Settings asked;

std::atomic<std::uint64_t> case_seed{0};
std::mutex latest_mutex;
emulated_backend::Call latest;

emulator::Order drawn_order(std::uint64_t drawn) {
  if (drawn % 4 == 0) return emulator::Order::forward;
  return drawn % 4 == 1 ? emulator::Order::reverse : emulator::Order::random;
}

}  // namespace

Device::Current::Current(const Device&) : before_(0) {
  emulator::Settings& settings = emulator::settings();
  if (open_calls++ == 0) asked = settings;
  const bool chosen = asked.order != emulator::Order::forward;
  const std::uint64_t seed = chosen ? asked.seed : case_seed.load();
  const std::uint64_t call = settings.draws++;
  const std::uint64_t drawn = emulator::scramble(emulator::scramble(seed) + call);
  settings.seed = drawn >> 8;
  settings.order = chosen ? asked.order : drawn_order(drawn);
  const std::lock_guard lock(latest_mutex);
  latest = {settings.order, settings.seed, call + 1, chosen ? seed : 0};
}

Device::Current::~Current() {
  if (--open_calls > 0) return;
  emulator::settings().order = asked.order;
  emulator::settings().seed = asked.seed;
}

}  // namespace lacuna::cuda

namespace lacuna::emulated_backend {

// FNV-1a: the same on every machine.
void begin_case(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  cuda::case_seed = hash;
  emulator::settings().draws = 0;
  const std::lock_guard lock(cuda::latest_mutex);
  cuda::latest = {};
}

Call latest_call() {
  const std::lock_guard lock(cuda::latest_mutex);
  return cuda::latest;
}

}  // namespace lacuna::emulated_backend
