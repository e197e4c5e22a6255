// Other libraries' weights: what their tensors are, and how each number finds its place in ours and
// back.
#pragma once

#include <cstdint>

#include "lacuna/lacuna.h"

namespace lacuna::weights {

struct Tensor {
  const char* name = "";
  std::int64_t rows = 0, columns = 0;  // both 0: none
  bool needed = false;                 // to import; one that is not may be null and then reads as 0
  std::int64_t count() const { return rows * columns; }
};

// Whether `convention` has weights for this layer; else, why not. The layer has been checked.
const char* why_unsupported(const lacuna_layer& layer, lacuna_convention convention);

Tensor tensor(const lacuna_layer& layer, lacuna_convention convention, int index);

// Both are for a supported layer, with every needed source there and every array as large as it
// must be. Null targets are skipped.
template <class Real>
void import_weights(const lacuna_layer& layer, lacuna_convention convention,
                    const lacuna_foreign_tensors& source, const lacuna_parameter_gradients& target);
template <class Real>
void export_weights(const lacuna_layer& layer, lacuna_convention convention,
                    const lacuna_parameters& source, const lacuna_foreign_tensors& target);

}  // namespace lacuna::weights
