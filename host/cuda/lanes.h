// How a batch's sequences are spread over lanes, and how many of the lanes' steps stay idle.
#pragma once

#include <cstdint>
#include <span>

#include "host/plan/device_layout.h"

namespace lacuna::cuda {

// Of a regime that walks tiles of lanes.
std::int64_t lanes_per_tile(lacuna_regime regime);

// No larger share of the lanes' steps is idle, however many of `lanes` run: dealt to and fro, no lane has more tokens than
// another and the longest sequence together.
double most_idle(std::int64_t tokens, std::int64_t longest, std::int64_t lanes);

// As few lanes, in whole tiles, as finish a batch about as soon as all of the plan's would; the rest of the device is left to
// others. `lengths`: longest first.
std::int32_t lanes_for(const DeviceLayout& lay, std::span<const std::int64_t> lengths);

// Of that of so many lanes which has the most.
std::int64_t steps_of_lanes(std::span<const std::int64_t> lengths, std::int64_t lanes);

// Rows that a step of the stepwise regime covers: at least as many sequences as reach it, in coarse numbers, so that
// products take few shapes, each of which needs an algorithm of its own. `lengths`: longest first.
std::int64_t stepwise_rows(std::span<const std::int64_t> lengths, std::int64_t step);

}  // namespace lacuna::cuda
