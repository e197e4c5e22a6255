// Which regime a plan takes.
#pragma once

#include <cstddef>

#include "host/cuda/layout.h"

namespace lacuna::cuda {

// Fills in what `lay` says of the regime. `sharers`: as Backend::plan's. Throws BackendError where the one asked for does not serve.
void choose_regime(DeviceLayout& lay, const lacuna_layer& layer, const lacuna_capacity& capacity,
                   const lacuna_plan_options& options, int sharers, const DeviceFacts& facts);
// Of a group, in the grid regime.
std::size_t exchange_bytes(const DeviceLayout& lay, const lacuna_layer& layer, bool inference);

}  // namespace lacuna::cuda
