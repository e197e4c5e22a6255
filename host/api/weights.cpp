// lacuna_weights_*: checks, then host/weights.
#include "host/api/arrays.h"
#include "host/api/guard.h"
#include "host/api/layer.h"
#include "host/weights/convention.h"

namespace lacuna::api {
namespace {

void check(const lacuna_layer* layer, const lacuna_convention& convention) {
  checked(layer);
  check_enumerator(convention, LACUNA_GRU_D, "convention", "lacuna_convention");
  if (const char* const reason = weights::why_unsupported(*layer, convention))
    refuse(LACUNA_UNSUPPORTED, "layer: a cell of ", name_of(layer->cell), ", impute ",
           name_of(layer->impute), ", evolve ", name_of(layer->evolve),
           ", which this convention cannot hold: ", reason);
}

// Calls add(name, data, extent, needed) for each foreign tensor that there is, and refuses one that
// there is not.
template <class Add>
void each_foreign(const lacuna_layer& layer, lacuna_convention convention, std::string_view group,
                  const lacuna_foreign_tensors& tensors, Add add) {
  for (int index = 0; index < LACUNA_FOREIGN_TENSORS; ++index) {
    const weights::Tensor tensor = weights::tensor(layer, convention, index);
    if (tensor.rows > 0)
      add(Name(group, tensor.name), tensors.tensor[index],
          Extent{tensor.rows, tensor.columns, wide_size_of(layer.type)}, tensor.needed);
    else if (tensors.tensor[index])
      refuse(LACUNA_INVALID_ARGUMENT, group, "tensor[", index,
             "]: given, but the convention has none there for a cell of ", name_of(layer.cell),
             "; expected null");
  }
}

template <class Tensors, class Add>
void each_parameter(const lacuna_layer& layer, std::string_view group, const Tensors& tensors,
                    Add add) {
  for (int number = 0; number < LACUNA_PARAMETERS; ++number) {
    const auto kind = static_cast<lacuna_parameter>(number);
    const Shape shape = parameter_shape(layer, kind);
    if (shape.rows > 0)
      add(kind, Name(group, name_of(kind)), tensors.tensor[number],
          Extent{shape.rows, shape.columns, wide_size_of(layer.type)});
  }
}

}  // namespace
}  // namespace lacuna::api

namespace api = lacuna::api;
namespace weights = lacuna::weights;
using api::not_null;

extern "C" {

lacuna_status lacuna_weights_describe(const lacuna_layer* layer, lacuna_convention convention,
                                      int32_t index, lacuna_parameter_info* info) {
  return api::guarded([&] {
    api::check(layer, convention);
    if (index < 0 || index >= LACUNA_FOREIGN_TENSORS)
      api::refuse(LACUNA_INVALID_ARGUMENT, "index: ", index, ", expected 0 to ",
                  LACUNA_FOREIGN_TENSORS - 1);
    not_null(info, "info");
    std::int64_t offset = 0;
    for (int before = 0; before < index; ++before)
      offset += weights::tensor(*layer, convention, before).count();
    const weights::Tensor tensor = weights::tensor(*layer, convention, index);
    *info = {.name = tensor.name, .rows = tensor.rows, .columns = tensor.columns, .offset = offset};
  });
}

lacuna_status lacuna_weights_import(const lacuna_layer* layer, lacuna_convention convention,
                                    const lacuna_foreign_tensors* source,
                                    const lacuna_parameter_gradients* target) {
  return api::guarded([&] {
    api::check(layer, convention);
    not_null(source, "source");
    not_null(target, "target");
    api::LayerArrays arrays;
    api::each_foreign(*layer, convention, "source.", *source,
                      [&](api::Name name, const void* data, api::Extent extent, bool needed) {
                        needed ? arrays.input(name, data, extent)
                               : arrays.optional_input(name, data, extent);
                      });
    api::each_parameter(*layer, "target.", *target,
                        [&](lacuna_parameter, api::Name name, void* data, api::Extent extent) {
                          arrays.optional_output(name, data, extent);
                        });
    arrays.check();
    if (layer->type == LACUNA_F64)
      weights::import_weights<double>(*layer, convention, *source, *target);
    else  // parameters of 16-bit layers are floats
      weights::import_weights<float>(*layer, convention, *source, *target);
  });
}

lacuna_status lacuna_weights_export(const lacuna_layer* layer, lacuna_convention convention,
                                    const lacuna_parameters* source,
                                    const lacuna_foreign_tensors* target) {
  return api::guarded([&] {
    api::check(layer, convention);
    not_null(source, "source");
    not_null(target, "target");
    api::LayerArrays arrays;
    api::each_parameter(
        *layer, "source.", *source,
        [&](lacuna_parameter kind, api::Name name, const void* data, api::Extent extent) {
          // Only GRU-D's convention reads what comes after the cell's own parameters.
          if (kind <= LACUNA_BIAS_HN || kind == LACUNA_PROJECTION || convention == LACUNA_GRU_D)
            arrays.input(name, data, extent);
        });
    api::each_foreign(*layer, convention, "target.", *target,
                      [&](api::Name name, void* data, api::Extent extent, bool) {
                        arrays.optional_output(name, data, extent);
                      });
    arrays.check();
    if (layer->type == LACUNA_F64)
      weights::export_weights<double>(*layer, convention, *source, *target);
    else  // parameters of 16-bit layers are floats
      weights::export_weights<float>(*layer, convention, *source, *target);
  });
}
}
