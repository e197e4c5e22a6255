// The conversions. Foreign libraries differ in four ways: the order of the gates, whether matrices
// are transposed, whether the bias is split in two, and, for GRU-D, in how it feeds the mask and
// where it decays to.
#include <algorithm>

#include "host/plan/shape.h"
#include "host/weights/convention.h"

namespace lacuna::weights {
namespace {

// Where our gate g stands in the foreign stack.
int foreign_gate(lacuna_cell cell, lacuna_convention convention, int g) {
  if (cell == LACUNA_LSTM) {
    constexpr int onnx[] = {0, 2, 3, 1};  // ours i,f,g,o in its i,o,f,g
    return convention == LACUNA_ONNX ? onnx[g] : g;
  }
  if ((cell == LACUNA_GRU || cell == LACUNA_GRU_RESET_BEFORE) && convention != LACUNA_PYTORCH) {
    constexpr int zrn[] = {1, 0, 2};  // ours r,z,n
    return zrn[g];
  }
  return g;
}

bool is_transposed(lacuna_convention convention) {
  return convention == LACUNA_KERAS || convention == LACUNA_GRU_D;
}

// One row of ours in a foreign matrix: element k lies at begin + k * step.
struct ForeignRow {
  std::int64_t begin, step;
};

struct Map {
  Map(const lacuna_layer& of, lacuna_convention in) : layer(of), convention(in) {}

  const lacuna_layer& layer;
  lacuna_convention convention;
  std::int64_t D = layer.features, H = layer.hidden, K = input_width(layer),
               R = output_width(layer), GH = gates(layer.cell) * H;

  // Row r = g * H + unit of a stack of gates.
  std::int64_t foreign_row(std::int64_t r) const {
    return foreign_gate(layer.cell, convention, static_cast<int>(r / H)) * H + r % H;
  }
  ForeignRow matrix_row(std::int64_t r, std::int64_t columns) const {
    const std::int64_t row = foreign_row(r);
    return is_transposed(convention) ? ForeignRow{row, GH} : ForeignRow{row * columns, 1};
  }

  template <class Real>
  void import_matrix(const Real* source, Real* target, std::int64_t columns) const {
    if (!target) return;
    for (std::int64_t r = 0; r < GH; ++r) {
      const ForeignRow row = matrix_row(r, columns);
      for (std::int64_t k = 0; k < columns; ++k)
        target[r * columns + k] = source[row.begin + k * row.step];
    }
  }
  template <class Real>
  void export_matrix(const Real* source, Real* target, std::int64_t columns) const {
    if (!target) return;
    for (std::int64_t r = 0; r < GH; ++r) {
      const ForeignRow row = matrix_row(r, columns);
      for (std::int64_t k = 0; k < columns; ++k)
        target[row.begin + k * row.step] = source[r * columns + k];
    }
  }

  // A bias for the input's product and, where the convention has one, a second for the state's. The
  // two add up, but for gru's n, whose second bias stands inside the reset.
  template <class Real>
  void import_biases(const Real* first, const Real* second, Real* bias, Real* bias_hn) const {
    const auto at = [](const Real* biases, std::int64_t i) { return biases ? biases[i] : Real(0); };
    const std::int64_t kept_apart = layer.cell == LACUNA_GRU ? 2 * H : GH;  // n is our last gate
    for (std::int64_t r = 0; r < GH; ++r) {
      const std::int64_t row = foreign_row(r);
      if (bias) bias[r] = r < kept_apart ? at(first, row) + at(second, row) : at(first, row);
      if (bias_hn && r >= kept_apart) bias_hn[r - kept_apart] = at(second, row);
    }
  }
  template <class Real>
  void export_biases(const Real* bias, const Real* bias_hn, Real* first, Real* second) const {
    const std::int64_t kept_apart = layer.cell == LACUNA_GRU ? 2 * H : GH;
    for (std::int64_t r = 0; r < GH; ++r) {
      const std::int64_t row = foreign_row(r);
      if (first) first[row] = bias[r];
      if (second) second[row] = r < kept_apart ? Real(0) : bias_hn[r - kept_apart];
    }
  }
};

// A foreign bias tensor as its two halves; the second is null where there is none.
template <class Pointer>
struct Biases {
  Pointer first = nullptr, second = nullptr;
};

template <class Real>
Biases<Real*> biases_of(const Map& map, const lacuna_foreign_tensors& foreign) {
  const auto tensor = [&](int index) { return static_cast<Real*>(foreign.tensor[index]); };
  if (map.convention == LACUNA_PYTORCH) return {tensor(2), tensor(3)};
  const bool in_one_tensor = map.convention == LACUNA_ONNX ||
                             (map.convention == LACUNA_KERAS && map.layer.cell == LACUNA_GRU);
  return {tensor(2), in_one_tensor && tensor(2) ? tensor(2) + map.GH : nullptr};
}

// ---- GRU-D. Its code feeds 1-m where we feed m, and decays to 0, the mean of its standardised
// inputs. ----
//   W m' with m' = 1-m, plus b  =  -W m + (b + sum_d W_d)

template <class Real>
void import_gru_d(const Map& map, const lacuna_foreign_tensors& source,
                  const lacuna_parameter_gradients& target) {
  const auto from = [&](int index) { return static_cast<const Real*>(source.tensor[index]); };
  const auto to = [&](lacuna_parameter kind) { return static_cast<Real*>(target.tensor[kind]); };
  const auto copy = [](const Real* values, std::int64_t count, Real* out) {
    if (out && values) std::copy(values, values + count, out);
    if (out && !values) std::fill(out, out + count, Real(0));
  };
  const std::int64_t D = map.D, H = map.H, K = map.K;
  const Real *const kernel = from(0), *const masking = from(2), *const bias = from(3);
  for (std::int64_t r = 0; r < map.GH; ++r) {
    const ForeignRow row = map.matrix_row(r, D);
    double masking_sum = 0;
    for (std::int64_t d = 0; d < D; ++d) {
      const std::int64_t at = row.begin + d * row.step;
      masking_sum += static_cast<double>(masking[at]);
      if (Real* const weights = to(LACUNA_WEIGHTS_X)) {
        weights[r * K + d] = kernel[at];
        weights[r * K + D + d] = -masking[at];
      }
    }
    const double own = bias ? static_cast<double>(bias[map.foreign_row(r)]) : 0.0;
    if (Real* const b = to(LACUNA_BIAS)) b[r] = static_cast<Real>(own + masking_sum);
  }
  map.import_matrix(from(1), to(LACUNA_WEIGHTS_H), H);
  copy(nullptr, D, to(LACUNA_X_MEAN));
  copy(from(4), D, to(LACUNA_IMPUTE_WEIGHT));
  copy(from(5), D, to(LACUNA_IMPUTE_BIAS));
  if (Real* const decay = to(LACUNA_EVOLVE_WEIGHT))
    for (std::int64_t h = 0; h < H; ++h)
      for (std::int64_t d = 0; d < D; ++d) decay[h * D + d] = from(6)[d * H + h];
  copy(from(7), H, to(LACUNA_EVOLVE_BIAS));
}

// The exported model reads x - x_mean, so that what it decays to is 0: the bias takes W_x x_mean.
template <class Real>
void export_gru_d(const Map& map, const lacuna_parameters& source,
                  const lacuna_foreign_tensors& target) {
  const auto from = [&](lacuna_parameter kind) {
    return static_cast<const Real*>(source.tensor[kind]);
  };
  const auto to = [&](int index) { return static_cast<Real*>(target.tensor[index]); };
  const auto copy = [](const Real* values, std::int64_t count, Real* out) {
    if (out) std::copy(values, values + count, out);
  };
  const std::int64_t D = map.D, H = map.H, K = map.K;
  const Real *const weights = from(LACUNA_WEIGHTS_X), *const x_mean = from(LACUNA_X_MEAN);
  for (std::int64_t r = 0; r < map.GH; ++r) {
    const ForeignRow row = map.matrix_row(r, D);
    auto bias = static_cast<double>(from(LACUNA_BIAS)[r]);
    for (std::int64_t d = 0; d < D; ++d) {
      const Real of_x = weights[r * K + d], of_mask = weights[r * K + D + d];
      bias +=
          static_cast<double>(of_x) * static_cast<double>(x_mean[d]) + static_cast<double>(of_mask);
      if (to(0)) to(0)[row.begin + d * row.step] = of_x;
      if (to(2)) to(2)[row.begin + d * row.step] = -of_mask;
    }
    if (to(3)) to(3)[map.foreign_row(r)] = static_cast<Real>(bias);
  }
  map.export_matrix(from(LACUNA_WEIGHTS_H), to(1), H);
  copy(from(LACUNA_IMPUTE_WEIGHT), D, to(4));
  copy(from(LACUNA_IMPUTE_BIAS), D, to(5));
  if (to(6))
    for (std::int64_t h = 0; h < H; ++h)
      for (std::int64_t d = 0; d < D; ++d) to(6)[d * H + h] = from(LACUNA_EVOLVE_WEIGHT)[h * D + d];
  copy(from(LACUNA_EVOLVE_BIAS), H, to(7));
}

}  // namespace

template <class Real>
void import_weights(const lacuna_layer& layer, lacuna_convention convention,
                    const lacuna_foreign_tensors& source,
                    const lacuna_parameter_gradients& target) {
  const Map map(layer, convention);
  if (convention == LACUNA_GRU_D) return import_gru_d<Real>(map, source, target);
  const auto to = [&](lacuna_parameter kind) { return static_cast<Real*>(target.tensor[kind]); };
  map.import_matrix(static_cast<const Real*>(source.tensor[0]), to(LACUNA_WEIGHTS_X), map.K);
  map.import_matrix(static_cast<const Real*>(source.tensor[1]), to(LACUNA_WEIGHTS_H), map.R);
  if (Real* const projection = to(LACUNA_PROJECTION); projection && layer.projection > 0)
    std::copy_n(static_cast<const Real*>(source.tensor[4]), map.R * map.H, projection);
  const Biases<Real*> biases = biases_of<Real>(map, source);
  map.import_biases<Real>(biases.first, biases.second, to(LACUNA_BIAS), to(LACUNA_BIAS_HN));
}

template <class Real>
void export_weights(const lacuna_layer& layer, lacuna_convention convention,
                    const lacuna_parameters& source, const lacuna_foreign_tensors& target) {
  const Map map(layer, convention);
  if (convention == LACUNA_GRU_D) return export_gru_d<Real>(map, source, target);
  const auto from = [&](lacuna_parameter kind) {
    return static_cast<const Real*>(source.tensor[kind]);
  };
  map.export_matrix(from(LACUNA_WEIGHTS_X), static_cast<Real*>(target.tensor[0]), map.K);
  map.export_matrix(from(LACUNA_WEIGHTS_H), static_cast<Real*>(target.tensor[1]), map.R);
  if (auto* const projection = static_cast<Real*>(target.tensor[4]);
      projection && layer.projection > 0)
    std::copy_n(from(LACUNA_PROJECTION), map.R * map.H, projection);
  const Biases<Real*> biases = biases_of<Real>(map, target);
  map.export_biases<Real>(from(LACUNA_BIAS), from(LACUNA_BIAS_HN), biases.first, biases.second);
}

template void import_weights<float>(const lacuna_layer&, lacuna_convention,
                                    const lacuna_foreign_tensors&,
                                    const lacuna_parameter_gradients&);
template void import_weights<double>(const lacuna_layer&, lacuna_convention,
                                     const lacuna_foreign_tensors&,
                                     const lacuna_parameter_gradients&);
template void export_weights<float>(const lacuna_layer&, lacuna_convention,
                                    const lacuna_parameters&, const lacuna_foreign_tensors&);
template void export_weights<double>(const lacuna_layer&, lacuna_convention,
                                     const lacuna_parameters&, const lacuna_foreign_tensors&);

}  // namespace lacuna::weights
