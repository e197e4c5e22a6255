// What a head may see of a sequence besides its latest state: the mean and the maximum of all states so
// far. What happened long ago then reaches the head without having to be remembered.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "examples/common/records.h"

namespace examples {

class RunningSummary {
 public:
  // hidden [N, H] -> seen [N, 3 H] =: the state h_s, then the mean and the maximum of h_0 .. h_s.
  void forward(const RaggedBatch& batch, const std::vector<float>& hidden,
               std::vector<float>& seen) {
    const std::size_t width = hidden.size() / std::max<std::size_t>(1, batch.tokens());
    is_highest_.resize(hidden.size());
    seen.resize(3 * hidden.size());
    std::vector<float> sum(width), highest(width);
    for_each_sequence(batch, [&](std::size_t, std::size_t begin, std::size_t end) {
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (std::size_t s = begin; s < end; ++s) {
        const float* const h = &hidden[s * width];
        float* const out = &seen[s * 3 * width];
        for (std::size_t u = 0; u < width; ++u) {
          sum[u] += h[u];
          is_highest_[s * width + u] = s == begin || h[u] > highest[u];
          if (is_highest_[s * width + u]) highest[u] = h[u];
          out[u] = h[u];
          out[width + u] = sum[u] / static_cast<float>(s - begin + 1);
          out[2 * width + u] = highest[u];
        }
      }
    });
  }

  // d_seen [N, 3 H] -> d_hidden [N, H] =, after forward() on the same batch. A state is in its own mean
  // and in all later ones, and is the maximum from where it is the highest until another one is higher.
  void backward(const RaggedBatch& batch, const std::vector<float>& d_seen,
                std::vector<float>& d_hidden) const {
    const std::size_t width = is_highest_.size() / std::max<std::size_t>(1, batch.tokens());
    d_hidden.resize(is_highest_.size());
    std::vector<float> d_sum(width), d_highest(width);
    for_each_sequence(batch, [&](std::size_t, std::size_t begin, std::size_t end) {
      std::fill(d_sum.begin(), d_sum.end(), 0.0f);
      std::fill(d_highest.begin(), d_highest.end(), 0.0f);
      for (std::size_t s = end; s-- > begin;) {
        const float* const d_out = &d_seen[s * 3 * width];
        float* const d_h = &d_hidden[s * width];
        for (std::size_t u = 0; u < width; ++u) {
          d_sum[u] += d_out[width + u] / static_cast<float>(s - begin + 1);
          d_highest[u] += d_out[2 * width + u];
          d_h[u] = d_out[u] + d_sum[u];
          if (!is_highest_[s * width + u]) continue;
          d_h[u] += d_highest[u];
          d_highest[u] = 0;
        }
      }
    });
  }

 private:
  std::vector<std::uint8_t> is_highest_;  // [N, H]
};

}  // namespace examples
