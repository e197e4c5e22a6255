// Which regime a plan takes, and how many lanes a batch needs in it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "host/cuda/layout.h"

namespace lacuna::cuda {

// Fills in what `lay` says of the regime. Throws BackendError where the one asked for does not serve.
void choose_regime(DeviceLayout& lay, const lacuna_layer& layer, const lacuna_capacity& capacity,
                   const lacuna_plan_options& options, const DeviceFacts& facts);
std::string explain_regime(const DeviceLayout& lay, const lacuna_capacity& capacity);
// Of a group, in the grid regime.
std::size_t exchange_bytes(const DeviceLayout& lay, const lacuna_layer& layer);

// No larger share of the lanes' steps is idle, however many of `lanes` run: dealt to and fro, no lane has more tokens than
// another and the longest sequence together.
double most_idle(std::int64_t tokens, std::int64_t longest, std::int64_t lanes);

// As few lanes, in whole tiles, as finish a batch about as soon as `most` would; the rest of the device is left to others.
// `lengths`: longest first.
std::int32_t resident_lanes(std::span<const std::int64_t> lengths, std::int32_t most);

}  // namespace lacuna::cuda
