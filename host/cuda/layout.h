// What the CUDA backend runs and in how much memory.
#pragma once

#include <cstdint>

#include "host/cuda/device.h"
#include "host/cuda/measured_chips.h"
#include "host/plan/recipe.h"

namespace lacuna::cuda {

// What a layout depends on besides the layer and the capacity.
struct DeviceFacts {
  std::size_t sort_bytes = 0;     // scratch of a sort of capacity.sequences lengths
  std::size_t product_bytes = 0;  // scratch of a matrix product
  int multiprocessors = 1;
  std::size_t shared_bytes = 0;  // shared memory that a block may have
  double gigahertz = 1;
  int capability = 0;  // of compute: 90 where it is 9.0; 0: of no GPU
  ClusterCounts clusters{};
  GroupBlocks group;
  ChipConstants costs;  // of the model that chooses the regime
};

// What does not depend on a capacity: all but the two sizes of scratch.
DeviceFacts facts_of(const Device& device);

// `sharers`: as Backend::plan's. Throws std::length_error where the sizes overflow, BackendError where the regime
// asked for does not serve.
Recipe make_recipe(const lacuna_layer& layer, const lacuna_capacity& capacity,
                   const lacuna_plan_options& options, int sharers, const DeviceFacts& facts);

}  // namespace lacuna::cuda
