// Named float arrays: what contestants are given and what they give back, all in Lacuna's own
// layout, so that one comparer judges every one of them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bench {

struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> data;
};

Tensor make_tensor(std::vector<std::int64_t> shape, float fill = 0.0f);

using Tensors = std::map<std::string, Tensor>;

// A file is one line of JSON, {"offsets": [...], "tensors": [{"name": ..., "shape": [...]}, ...]},
// and then every tensor's floats back to back. Both throw std::runtime_error on failure.
void save(const std::string& path, const std::vector<std::int64_t>& offsets,
          const Tensors& tensors);
Tensors load(const std::string& path);

// The worst tensor's largest difference, relative to the reference's root mean square.
struct Difference {
  std::string tensor;
  double worst = 0;
  bool ok = false;
};

// A NaN, a missing tensor and another shape all fail, for `ok` needs worst <= tolerance.
Difference compare(const Tensors& reference, const Tensors& other, double tolerance);

// Proves that the comparer notices a planted NaN, a value off by twice the tolerance and a
// missing tensor; throws std::logic_error when it does not. Run before anything is timed.
void prove_comparer(const Tensors& good, double tolerance);

}  // namespace bench
