// What a group of gates receives from the input or from the state: W in, or with layer_norm
// gain LN(W in), LN(a) = (a - mean) / sqrt(variance + 1e-5) over all units of the group's gates.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "reference/layer.h"
#include "reference/linear.h"
#include "reference/parameters.h"
#include "reference/rounding.h"

namespace reference {

template <class Real>
struct Normalised {
  std::vector<Real> value;
  Real factor;  // 1 / sqrt(variance + 1e-5)
};

template <class Real>
Normalised<Real> normalise(std::vector<Real> a) {
  const auto count = static_cast<Real>(a.size());
  Real mean = 0, variance = 0;
  for (const Real element : a) mean += element;
  mean /= count;
  for (const Real element : a) variance += (element - mean) * (element - mean);
  variance /= count;
  const Real factor = 1 / std::sqrt(variance + Real(1e-5));
  for (Real& element : a) element = (element - mean) * factor;
  return {a, factor};
}

// dL/da from dL/dLN(a).
template <class Real>
std::vector<Real> normalise_backward(const Normalised<Real>& to, std::vector<Real> d) {
  const auto count = static_cast<Real>(d.size());
  Real mean = 0, along = 0;
  for (std::size_t j = 0; j < d.size(); ++j) {
    mean += d[j];
    along += d[j] * to.value[j];
  }
  for (std::size_t j = 0; j < d.size(); ++j)
    d[j] = to.factor * (d[j] - mean / count - to.value[j] * (along / count));
  return d;
}

// Rows [first, first + rows) of W_x or W_h, which are the gates of one group.
template <class Real>
struct Product {
  const std::vector<Real>& weights;
  const std::vector<Real>& gain;  // empty: nothing is normalised
  int first, rows, columns;

  const Real* from() const { return weights.data() + first * columns; }
  std::vector<Real> sums(const Real* in) const {
    std::vector<Real> a(static_cast<std::size_t>(rows), Real(0));
    multiply_add(from(), rows, columns, operands(in, columns).data(), a.data());
    return a;
  }
  Normalised<Real> normalised(const Real* in) const { return normalise(sums(in)); }
};

// out[r] += the product's row r
template <class Real>
void add_product(const Product<Real>& product, const Real* in, Real* out) {
  if (product.gain.empty()) {
    multiply_add(product.from(), product.rows, product.columns,
                 operands(in, product.columns).data(), out);
    return;
  }
  const Normalised<Real> a = product.normalised(in);
  for (int r = 0; r < product.rows; ++r)
    out[r] += product.gain[static_cast<std::size_t>(product.first + r)] *
              a.value[static_cast<std::size_t>(r)];
}

// Its adjoint, "+=". d_weights, d_gain: of all rows of W.
template <class Real>
void add_product_backward(const Product<Real>& product, const Real* in, const Real* d_out,
                          std::vector<Real>& d_weights, std::vector<Real>& d_gain, Real* d_in) {
  Real* const d_rows = d_weights.data() + product.first * product.columns;
  const std::vector<Real> read = operands(in, product.columns);
  if (product.gain.empty()) {
    multiply_add_backward(product.from(), product.rows, product.columns, read.data(),
                          operands(d_out, product.rows).data(), d_rows, d_in);
    return;
  }
  Normalised<Real> a = product.normalised(in);
  a.value = operands(a.value.data(), product.rows);  // a tape has it
  std::vector<Real> d(static_cast<std::size_t>(product.rows));
  for (std::size_t r = 0; r < d.size(); ++r) {
    const std::size_t row = static_cast<std::size_t>(product.first) + r;
    d_gain[row] += d_out[r] * a.value[r];
    d[r] = d_out[r] * product.gain[row];
  }
  const std::vector<Real> d_a = normalise_backward(a, operands(d.data(), product.rows));
  multiply_add_backward(product.from(), product.rows, product.columns, read.data(),
                        operands(d_a.data(), product.rows).data(), d_rows, d_in);
}

// Of `gates` gates from `first` on; K columns and R.
template <class Real>
Product<Real> product_x(const Layer& layer, const BasicParameters<Real>& p, int first, int gates) {
  return {p.weights_x, p.norm_gain_x, first * layer.hidden, gates * layer.hidden,
          layer.input_width()};
}
template <class Real>
Product<Real> product_h(const Layer& layer, const BasicParameters<Real>& p, int first, int gates) {
  return {p.weights_h, p.norm_gain_h, first * layer.hidden, gates * layer.hidden,
          layer.output_width()};
}

}  // namespace reference
