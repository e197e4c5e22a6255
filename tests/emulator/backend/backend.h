// What a test may set of the emulated device (device.cpp).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lacuna::emulated_backend {

// The device then takes for its own only what it has handed out, as a GPU does. Otherwise all memory is the device's.
inline bool tells_host_memory = false;

// Memory of a test that the device then takes for its own, too.
void claim(void* block, std::size_t bytes);
void disclaim(void* block);

// Few, so that lanes take several sequences each.
inline int multiprocessors = 2;

// That a group of the cluster and grid regimes may have.
inline int fewest_blocks = 2, most_blocks = 128;

// How often streams have branched, and their branches met again.
inline std::atomic<std::uint64_t> forks{0}, joins{0};

}  // namespace lacuna::emulated_backend
