// The door: what a device would refuse, and the run itself.
#include <dlfcn.h>

#include <algorithm>

#include "emulator/state.h"

namespace lacuna::emulator {
namespace {

// Blocks that fit on the pretended device at once.
std::size_t capacity(const LaunchShape& shape, const Device& device) {
  const std::size_t threads = std::size_t{shape.block.x} * shape.block.y * shape.block.z;
  const std::size_t warps_threads = (threads + 31) / 32 * 32;
  std::size_t per = device.threads_per_multiprocessor / warps_threads;
  per = std::min<std::size_t>(per, device.blocks_per_multiprocessor);
  per = std::min(per, device.shared_per_multiprocessor / (shape.shared_bytes + 1024));
  return per * device.multiprocessors;
}

}  // namespace

Settings& settings() {
  static thread_local Settings mine;
  return mine;
}

Counters& counters() {
  static Counters all;
  return all;
}

const char* symbol_of(const void* function) {
  Dl_info found{};
  return dladdr(function, &found) != 0 && found.dli_saddr == function ? found.dli_sname : nullptr;
}

std::string refuse(const LaunchShape& shape) {
  const Device& device = settings().device;
  const std::size_t threads = std::size_t{shape.block.x} * shape.block.y * shape.block.z;
  const std::size_t blocks = std::size_t{shape.grid.x} * shape.grid.y * shape.grid.z;
  const auto number = [](std::size_t n) { return std::to_string(n); };
  if (threads == 0 || threads > device.threads_per_block)
    return "refused: " + number(threads) + " threads per block, 1 to " +
           number(device.threads_per_block) + " are possible";
  if (blocks == 0 || blocks > 0x7fffffff || shape.grid.y > 65535 || shape.grid.z > 65535)
    return "refused: a grid of " + number(blocks) + " blocks";
  if (shape.shared_bytes > device.shared_per_block)
    return "refused: " + number(shape.shared_bytes) +
           " bytes of dynamic shared memory, the device has " + number(device.shared_per_block);
  if (shape.cluster == 0 || shape.cluster > device.cluster)
    return "refused: cluster of " + number(shape.cluster) + " blocks, 1 to " +
           number(device.cluster) + " are possible";
  if (shape.grid.x % shape.cluster != 0)
    return "refused: the grid's x, " + number(shape.grid.x) +
           ", is no multiple of the cluster of " + number(shape.cluster);
  if (shape.cooperative && blocks > capacity(shape, device))
    return "refused: cooperative launch of " + number(blocks) + " blocks, only " +
           number(capacity(shape, device)) + " can be resident";
  return {};
}

void run(const LaunchShape& shape, void* data, void (*body)(void*)) {
  if (current) throw Error("a kernel cannot launch a kernel");
  ++counters().launches;
  std::size_t most = counters().most_shared;
  while (most < shape.shared_bytes &&
         !counters().most_shared.compare_exchange_weak(most, shape.shared_bytes)) {}
  const sanitizers::Quiet quiet;  // around the end of the Run, too
  Run(shape, data, body).execute();
}

}  // namespace lacuna::emulator
