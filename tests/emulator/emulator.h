// What a test sets and reads: the order in which threads run, the device that is pretended, errors
// and counters. Kernels never include this.
#pragma once
#include <atomic>
#include <cstdint>
#include <stdexcept>

namespace lacuna::emulator {

// A fault in the kernel: the message names block, thread, file and line.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Which of the threads that can run goes next. `random` replays exactly from its seed; it favours
// some blocks for a while, so that blocks drift apart as they do on a device.
enum class Order { forward, reverse, random };

// Limits of the pretended device (an H100's). Registers are not modelled: a kernel may fit fewer
// blocks on a real one.
struct Device {
  unsigned multiprocessors = 132;
  unsigned threads_per_block = 1024;
  unsigned threads_per_multiprocessor = 2048;
  unsigned blocks_per_multiprocessor = 32;
  unsigned cluster = 16;
  std::size_t shared_per_block = 227 * 1024;
  std::size_t shared_per_multiprocessor = 228 * 1024;  // each resident block takes 1 KiB more
};

struct Settings {
  Order order = Order::forward;
  std::uint64_t seed = 1;
  // How many seeds an emulated backend has drawn from that one: each of its calls has one of its own.
  std::uint64_t draws = 0;
  // Blocks of a non-cooperative launch that are on the device at once, in whole clusters. Few, as
  // on a busy device: a kernel that waits for a block which is not there must be seen to hang.
  unsigned resident_blocks = 3;
  Device device;
  // Polls of flags in a row, with no flag written, after which the launch is called hung.
  std::uint64_t poll_limit = 20'000'000;
};

// Of the calling host thread.
Settings& settings();

// Settings for one scope.
class WithSettings {
 public:
  explicit WithSettings(const Settings& s) : before_(settings()) { settings() = s; }
  ~WithSettings() { settings() = before_; }
  WithSettings(const WithSettings&) = delete;
  WithSettings& operator=(const WithSettings&) = delete;

 private:
  Settings before_;
};

// What a run asked of the runtime, over all host threads. An emulated runtime adds to the last two.
struct Counters {
  std::atomic<std::uint64_t> launches{0}, allocations{0}, synchronisations{0};
  std::atomic<std::size_t> most_shared{0};  // bytes of dynamic shared memory of any launch so far
};
Counters& counters();

}  // namespace lacuna::emulator
