// Which regime a plan takes, and how many lanes a batch needs in it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "host/cuda/layout.h"

namespace lacuna::cuda {

// Fills in what `lay` says of the regime. `sharers`: as Backend::plan's. Throws BackendError where the one asked for does not serve.
void choose_regime(DeviceLayout& lay, const lacuna_layer& layer, const lacuna_capacity& capacity,
                   const lacuna_plan_options& options, int sharers, const DeviceFacts& facts);
std::string explain_regime(const Recipe& recipe);
// Of a group, in the grid regime.
std::size_t exchange_bytes(const DeviceLayout& lay, const lacuna_layer& layer, bool inference);

// No larger share of the lanes' steps is idle, however many of `lanes` run: dealt to and fro, no lane has more tokens than
// another and the longest sequence together.
double most_idle(std::int64_t tokens, std::int64_t longest, std::int64_t lanes);

// What becomes of a batch. `lengths`: longest first.
std::string explain_lanes(const DeviceLayout& lay, std::span<const std::int64_t> lengths);

// Rows that a step of the stepwise regime covers: at least as many sequences as reach it, in coarse numbers, so that
// products take few shapes, each of which needs an algorithm of its own. `lengths`: longest first.
std::int64_t stepwise_rows(std::span<const std::int64_t> lengths, std::int64_t step);

// As few lanes, in whole tiles, as finish a batch about as soon as all of the plan's would; the rest of the device is left to
// others. `lengths`: longest first.
std::int32_t lanes_for(const DeviceLayout& lay, std::span<const std::int64_t> lengths);

}  // namespace lacuna::cuda
