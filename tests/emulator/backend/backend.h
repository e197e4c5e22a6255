// What a test may set of the emulated device (device.cpp).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "emulator/emulator.h"

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

// The calls to come run in orders drawn for a case of this name: its own, and the same in every run. Of the calling thread;
// others begin anew with the same orders.
void begin_case(std::string_view name);

// In which order a call ran its threads. `call` counts from 1 since the case or the order was set; `asked` is the seed that
// a test asked for, or 0.
struct Call {
  emulator::Order order = emulator::Order::forward;
  std::uint64_t seed = 0, call = 0, asked = 0;
};
Call latest_call();  // of any thread

}  // namespace lacuna::emulated_backend
