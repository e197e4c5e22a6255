#include "host/api/parameter_check.h"

#include "host/api/layer.h"
#include "host/plan/shape.h"

namespace lacuna::api {
namespace {

// Calls add(kind, name, extent) for what the layer has, and refuses a tensor for what it has not.
template <class Tensors, class Add>
void each_tensor(const lacuna_layer& layer, std::string_view group, const Tensors& tensors,
                 Add add) {
  for (int number = 0; number < LACUNA_PARAMETERS; ++number) {
    const auto kind = static_cast<lacuna_parameter>(number);
    const Shape shape = parameter_shape(layer, kind);
    const Name name(group, name_of(kind));
    if (shape.rows > 0)
      add(name, tensors.tensor[number],
          Extent{
              .rows = shape.rows, .columns = shape.columns, .element = wide_size_of(layer.type)});
    else if (tensors.tensor[number])
      refuse(LACUNA_INVALID_ARGUMENT, name.group, name.member, ": given, but the layer (",
             name_of(layer.cell), ", impute ", name_of(layer.impute), ", evolve ",
             name_of(layer.evolve), ") has none; expected null");
  }
}

}  // namespace

void check_parameters(const lacuna_layer& layer, std::string_view group,
                      const lacuna_parameters& parameters, Arrays& arrays) {
  each_tensor(layer, group, parameters, [&](Name name, const void* data, Extent extent) {
    arrays.input(name, data, extent);
  });
}

void check_gradients(const lacuna_layer& layer, std::string_view group,
                     const lacuna_parameter_gradients& gradients, Arrays& arrays) {
  each_tensor(layer, group, gradients, [&](Name name, void* data, Extent extent) {
    arrays.optional_output(name, data, extent);
  });
}

void check_cell(const lacuna_layer& layer, const void* array, Name name) {
  if (array && layer.cell != LACUNA_LSTM)
    refuse(LACUNA_INVALID_ARGUMENT, name.group, name.member, ": given, but a cell of ",
           name_of(layer.cell), " has no c; expected null");
}

}  // namespace lacuna::api
