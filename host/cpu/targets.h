// The last step of the weight gradients: from the groups' sums to the caller's tensors.
#pragma once

#include <algorithm>

#include "host/cpu/engine/job.h"

namespace lacuna::cpu {

// Where the columns of one product belong among the caller's tensors, and its rows among the gates.
template <class T>
struct WeightTargets {
  const Job<T>& job;

  // d_parameter += the groups' sums, in group order, for one unit of every gate.
  void add_unit(std::int64_t unit) const {
    const Layout& lay = *job.layout;
    for (int p = 0; p < lay.product_count; ++p)
      for (std::int64_t g = 0; unit < lay.products[p].rows && g < lay.products[p].gates; ++g)
        add_row(lay.products[p], lay.products[p].first_gate + g, g, unit);
  }

 private:
  void add_row(const GradientProduct& product, std::int64_t gate, std::int64_t gate_in_product,
               std::int64_t unit) const {
    const Layout& lay = *job.layout;
    const std::int64_t at =
        product.offset + (gate_in_product * product.rows + unit) * product.stride;
    if (product.of == GradientProduct::Of::projection)
      return add_range(at, product, lay.unprojected, lay.hidden, LACUNA_PROJECTION,
                       unit * lay.hidden);
    if (product.of == GradientProduct::Of::decay) {
      return add_range(at, product, lay.elapsed, lay.elapsed_width, LACUNA_EVOLVE_WEIGHT,
                       unit * lay.elapsed_width);
    }
    const bool normalised_x = lay.norm_gates > 0 && gate >= lay.first_x_gate;
    const std::int64_t cell_gate = normalised_x ? gate - lay.first_x_gate
                                   : job.layer.cell == LACUNA_GRU
                                       ? (gate + 2) % 3  // of W_hn h + b_hn, then r z n
                                       : gate;
    const std::int64_t row = cell_gate * lay.hidden + unit;
    add_range(at, product, lay.h, lay.outputs, LACUNA_WEIGHTS_H, row * lay.outputs);
    add_range(at, product, lay.x, lay.input, LACUNA_WEIGHTS_X, row * lay.input);
  }

  // Columns [first, first + count) of the operand's row, as far as the product has them.
  void add_range(std::int64_t at, const GradientProduct& product, std::int64_t first,
                 std::int64_t count, lacuna_parameter kind, std::int64_t offset) const {
    T* const out = job.d_parameter[kind];
    if (out == nullptr || first < product.first_column ||
        first + count > product.first_column + product.columns)
      return;
    const Layout& lay = *job.layout;
    const std::int64_t groups = lay.windowed ? lay.groups : 1;
    const T* sums = job.weight_sums + at + (first - product.first_column);
    // A piece of the row at a time, so that each group's sums are read in a loop of vectors.
    constexpr std::int64_t piece = 64;
    for (std::int64_t c = 0; c < count; c += piece) {
      const std::int64_t n = std::min(piece, count - c);
      T total[piece] = {};
      for (std::int64_t g = 0; g < groups; ++g)
        for (std::int64_t i = 0; i < n; ++i) total[i] += sums[g * lay.weight_sums + c + i];
      for (std::int64_t i = 0; i < n; ++i) out[offset + c + i] += total[i];
    }
  }
};

}  // namespace lacuna::cpu
