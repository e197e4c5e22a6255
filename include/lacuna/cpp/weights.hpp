// Other libraries' weights, in and out. Each convention's tensors and their shapes stand at
// lacuna_convention.
#pragma once

#include <initializer_list>

#include "lacuna/cpp/parameters.hpp"

namespace lacuna {

enum class Convention {
  pytorch = LACUNA_PYTORCH,
  keras = LACUNA_KERAS,
  onnx = LACUNA_ONNX,
  gru_d = LACUNA_GRU_D,  // the GRU-D authors' Keras code
};

// One foreign tensor's name and shape; rows and columns 0 when the convention has no tensor of this
// index here.
inline ParameterInfo foreign_tensor_info(const Layer& layer, Convention convention, int index) {
  const lacuna_layer c = layer.c();
  lacuna_parameter_info info{};
  detail::check(
      lacuna_weights_describe(&c, static_cast<lacuna_convention>(convention), index, &info));
  return {.name = info.name, .rows = info.rows, .columns = info.columns, .offset = info.offset};
}

namespace detail {

template <class Element>
lacuna_foreign_tensors checked(const Layer& layer, Convention convention,
                               std::initializer_list<std::span<Element>> tensors) {
  lacuna_foreign_tensors c{};
  int index = 0;
  for (const std::span<Element> tensor : tensors) {
    if (index == LACUNA_FOREIGN_TENSORS)
      refuse("tensors: " + std::to_string(tensors.size()) + ", expected at most " +
             std::to_string(LACUNA_FOREIGN_TENSORS));
    const ParameterInfo info = foreign_tensor_info(layer, convention, index);
    if (info.rows == 0)
      refuse("tensors[" + std::to_string(index) + "]: given, but this layer has none there");
    // The C struct serves both directions; the library only reads an import's.
    c.tensor[index++] = const_cast<std::remove_const_t<Element>*>(
        optional(info.name, tensor, {"rows", info.rows}, {"columns", info.columns}));
  }
  return c;
}

}  // namespace detail

// For example:
//   import_weights<float>(Convention::pytorch, {weight_ih, weight_hh, bias_ih, bias_hh},
//                         parameters);
// An empty span: a bias that the other library's layer does not have.
template <RealNumber Real>
void import_weights(Convention convention,
                    std::initializer_list<std::span<const Wide<Real>>> source,
                    Parameters<Real>& target) {
  const lacuna_layer layer = target.layer().c();
  const lacuna_foreign_tensors from = detail::checked(target.layer(), convention, source);
  lacuna_parameter_gradients to{};
  for (int kind = 0; kind < parameter_kinds; ++kind)
    if (target.has(static_cast<Parameter>(kind)))
      to.tensor[kind] = target[static_cast<Parameter>(kind)].data();
  detail::check(
      lacuna_weights_import(&layer, static_cast<lacuna_convention>(convention), &from, &to));
}

template <RealNumber Real>
void export_weights(Convention convention, const Parameters<Real>& source,
                    std::initializer_list<std::span<Wide<Real>>> target) {
  const lacuna_layer layer = source.layer().c();
  const lacuna_foreign_tensors to = detail::checked(source.layer(), convention, target);
  const lacuna_parameters from = source.c();
  detail::check(
      lacuna_weights_export(&layer, static_cast<lacuna_convention>(convention), &from, &to));
}

}  // namespace lacuna
