// How much a layer's normalisations multiply rounding errors on a case: what tolerances of layer_norm are widened by.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/cell.h"
#include "reference/layer_pass.h"
#include "reference/product.h"

namespace support {

// LN divides what a sum of size |a| was rounded by by the units' spread: |a| / sqrt(variance + 1e-5). Of dL/dLN(a), its gradient
// loses the parts along the mean and along LN(a), and keeps n-2 of n; of two numbers only what 1e-5 leaves of the second. Of
// one number LN is 0, exactly. Where a = W v, LN does not see v's length, whose part the gradient by v loses: it keeps k-1 of
// k columns, of one again what 1e-5 leaves. `columns` 0: a is no product.
inline double condition_of(const std::vector<double>& a, int columns) {
  if (a.size() < 2) return 1;
  double largest = 0;
  for (const double element : a) largest = std::max(largest, std::abs(element));
  const double factor = reference::normalise(a).factor, rest = 1e-5 * factor * factor;
  const auto kept = [&](double numbers, double lost) {
    return numbers > lost ? std::sqrt((numbers - lost) / numbers) : rest;
  };
  const double left = kept(static_cast<double>(a.size()), 2);
  return largest * factor / (columns > 0 ? left * kept(columns, 1) : left);
}

// The worst of all tokens; 1 without layer_norm. What is made of normalised gates and then normalised itself, an lstm's c' and
// what W_hn of gru_reset_before makes of r h, has the product of both.
inline double norm_condition(const reference::Layer& layer, const reference::Parameters& p,
                             const reference::Forward& forward) {
  double worst = 1;
  if (!layer.layer_norm) return worst;
  const auto K = static_cast<std::size_t>(layer.input_width());
  const auto H = static_cast<std::size_t>(layer.hidden);
  const auto R = static_cast<std::size_t>(layer.output_width());
  const auto kept = static_cast<std::size_t>(reference::kept_width(layer));
  const auto row = [](const std::vector<double>& of, std::size_t s, std::size_t width) {
    const auto begin = of.begin() + static_cast<std::ptrdiff_t>(s * width);
    return std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(width));
  };
  for (std::size_t s = 0; s * R < forward.hidden.size(); ++s) {
    const double* const x = forward.input.data() + s * K;
    std::vector<double> h = row(forward.evolved_hidden, s, R);
    double of_gates = 1;
    const auto look = [&](const reference::Product<double>& product, const double* in) {
      of_gates = std::max(of_gates, condition_of(product.sums(in), product.columns));
    };
    const int first_group = layer.is_gru() ? 2 : layer.gates();
    look(product_x(layer, p, 0, first_group), x);
    look(product_h(layer, p, 0, first_group), h.data());
    double of_second = 1;
    if (layer.is_gru()) {
      look(product_x(layer, p, 2, 1), x);
      const auto second = product_h(layer, p, 2, 1);
      if (layer.cell == reference::Cell::gru_reset_before) {
        for (std::size_t j = 0; j < H; ++j) h[j] *= forward.kept[s * kept + j];
        of_second = std::max(1.0, condition_of(second.sums(h.data()), second.columns));
      } else {
        look(second, h.data());
      }
    }
    if (layer.has_cell_state()) of_second = std::max(1.0, condition_of(row(forward.cell, s, H), 0));
    worst = std::max(worst, of_gates * of_second);
  }
  return worst;
}

}  // namespace support
